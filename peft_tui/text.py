"""The one gate for text that we did not write ourselves."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_][^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|[\x9d\x90\x98\x9e\x9f][^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"
)
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"  # bidi controls, zero-width tricks
    "\ufff9-\ufffb\U000e0000-\U000e007f"  # interlinear marks, tags
    "\ud800-\udfff]"  # lone surrogates
)


def clean(text: object, limit: int | None = None) -> str:
    """Text that can do nothing to a terminal: whole escape sequences go, other controls become `·`.

    Newline and tab stay. `limit` shortens to that many characters, the last one an ellipsis.
    """
    safe = _UNSAFE.sub("·", _SEQUENCE.sub("", str(text).replace("\r\n", "\n")))
    if limit is not None and len(safe) > limit:
        safe = safe[: limit - 1] + "…"
    return safe


def clean_line(text: object, limit: int = 300) -> str:
    """The same on one line, for table cells, messages and logs."""
    return clean(" ".join(str(text).split()), limit)
