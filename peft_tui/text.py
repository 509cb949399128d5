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
_STEERING = re.compile(f"[\\t\\n]|{_UNSAFE.pattern}")


def clean(text: object, limit: int | None = None) -> str:
    """Text that can do nothing to a terminal: whole escape sequences go, other controls become `·`.

    Newline and tab stay. `limit` shortens to that many characters, the last one an ellipsis.
    """
    safe = str(text)
    # Nearly all text is harmless, and looking for one of them costs a third of removing none.
    if _UNSAFE.search(safe) is not None:
        safe = _UNSAFE.sub("·", _SEQUENCE.sub("", safe.replace("\r\n", "\n")))
    if limit is not None and len(safe) > limit:
        safe = safe[: limit - 1] + "…"
    return safe


def clean_line(text: object, limit: int = 300) -> str:
    """The same on one line, for table cells, messages and logs."""
    return clean(" ".join(str(text).split()), limit)


def steers(text: str) -> bool:
    """Whether a terminal would do anything else with it than show it."""
    return _STEERING.search(text) is not None


def without_steering(text: str) -> str:
    """What is left for the eye, as many cells wide as before: for a line that is laid out already."""
    return _STEERING.sub(lambda found: "·" if found[0] >= "\ud800" and found[0] <= "\udfff" else "", text)


_OPEN = re.compile(
    r"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x80-\x9f]*\x1b?)?"
    r"|\x9b[0-?]*[ -/]*"
    r"|[\x9d\x90\x98\x9e\x9f][^\x07\x1b\x80-\x9f]*\x1b?"
    r"|\r)\Z"
)
"""What may still become a sequence, or the end of a line, with the next piece."""
HELD = 4096
"""How much is held back while it may. A sequence that is longer is shown as the text that it holds."""


class Cleaner:
    """`clean` for text that comes in pieces: a sequence that is split between two of them goes as well."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown by now."""
        if not self._held and piece.isascii() and piece.isprintable():
            return piece
        text = self._held + piece
        opened = _OPEN.search(text)
        end = opened.start() if opened is not None and len(text) - opened.start() <= HELD else len(text)
        self._held = text[end:]
        return clean(text[:end])

    def finish(self) -> str:
        """What was held back and has become nothing."""
        rest, self._held = self._held, ""
        return clean(rest)
