"""The foot of the wizard: what ends the page, and one sentence."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal

from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.fields import ActionLine
from peft_tui.ui.widgets.lines import Line, marked, wrapped

_MARKS = {"bad": "✖", "warn": "!", "good": "✓"}
MOST_LINES, HELP_LINES = 4, 2


class Foot(Horizontal):
    """A message stands before the help of the field that has the keys."""

    def __init__(self) -> None:
        super().__init__(id="foot")
        self.action = ActionLine()
        self.message = ""
        self._tone = ""
        self._help = ""
        self._words = Block(self._draw, id="message")

    def compose(self) -> ComposeResult:
        yield self.action
        yield self._words

    def say(self, message: str, tone: str = "") -> None:
        """Show a sentence, or with an empty one the help again."""
        self.message, self._tone = message, tone
        self._words.redraw()

    def help(self, words: str) -> None:
        """What to know of the field that has the keys."""
        self._help = words
        self._words.redraw()

    def _draw(self, width: int) -> list[Line]:
        if not self.message:
            return wrapped(self._help, width, "dim")[:HELP_LINES] if self._help else [()]
        mark = _MARKS.get(self._tone)
        lines = marked(mark, self._tone, self.message, width) if mark else wrapped(self.message, width)
        return lines[:MOST_LINES]
