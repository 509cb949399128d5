"""The last line before the terminal: what is drawn holds glyphs and nothing that steers.

Foreign text is cleaned where it comes in. Should one be forgotten, it ends here: Textual itself hands escape
sequences on to the terminal.
"""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from peft_tui.text import steers, without_steering


class LastLine(LineFilter):
    """Takes out what `clean` would have replaced. It has no width, so nothing moves."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        if not any(steers(text) or (style and style.link) for text, style, _ in segments):
            return segments
        return [
            Segment(without_steering(text), style.update_link(None) if style else style, control)
            for text, style, control in segments
        ]
