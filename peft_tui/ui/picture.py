"""Pictures of the screen without secrets."""

from __future__ import annotations

import re
from html import escape, unescape
from itertools import groupby

from peft_tui.redaction import masked

_TEXT = re.compile(r'(<text [^>]*clip-path="url\(#[^"]*-line-(\d+)\)"[^>]*>)([^<]*)(</text>)')


def without_secrets(svg: str) -> str:
    """The same picture with dots for secrets, also where a change of colour or the edge breaks one."""
    pieces = list(_TEXT.finditer(svg))
    lines = [list(group) for _, group in groupby(pieces, key=lambda piece: piece[2])]
    texts = [[unescape(piece[3]) for piece in line] for line in lines]
    hidden = masked(["".join(line) for line in texts])
    parts: list[str] = []
    end = 0
    for line, before, after in zip(lines, texts, hidden, strict=True):
        place = 0
        for piece, text in zip(line, before, strict=True):
            shown = after[place : place + len(text)]
            place += len(text)
            if shown != text:
                content = escape(shown).replace(" ", "&#160;").replace("\xa0", "&#160;")
                parts += [svg[end : piece.start()], piece[1], content, piece[4]]
                end = piece.end()
    return "".join([*parts, svg[end:]])
