"""Pictures of the screen that every viewer shows alike."""

from __future__ import annotations

import html
import re

from rich.cells import cell_len

TEXT = re.compile(r'<text class="(?P<c>[^"]*)" x="(?P<x>[^"]*)" y="(?P<y>[^"]*)" textLength="(?P<l>[^"]*)"'
                  r'(?P<rest>[^>]*)>(?P<t>[^<]*)</text>')  # fmt: skip


def viewable(picture: str) -> str:
    """The same SVG with each text begun where its first letter stands: not every viewer keeps the spaces."""
    return TEXT.sub(_without_padding, picture)


def _without_padding(match: re.Match[str]) -> str:
    text = html.unescape(match["t"]).replace("\xa0", " ")
    kept = text.strip()
    if not kept:
        return ""
    cell = float(match["l"]) / cell_len(text)
    x = float(match["x"]) + cell * (len(text) - len(text.lstrip()))
    inner = html.escape(kept).replace(" ", "&#160;")
    return (
        f'<text class="{match["c"]}" x="{x:g}" y="{match["y"]}"'
        f' textLength="{cell * cell_len(kept):g}"{match["rest"]}>{inner}</text>'
    )
