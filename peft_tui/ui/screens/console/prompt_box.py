"""Where the prompt is written: several lines, and whatever is pasted can do nothing to the terminal."""

from __future__ import annotations

from textual.events import Paste
from textual.widgets import TextArea

from peft_tui.text import clean


class PromptBox(TextArea):
    """A plain text area."""

    DEFAULT_CSS = """
    PromptBox {
        height: 4; border: none; padding: 0 1; background: $panel; scrollbar-size-vertical: 1;
        &:focus { border: none; background: $panel; }
        &:ansi:focus { border: none; }
        & .text-area--cursor-line { background: $panel; }
        & .text-area--placeholder { color: $text-muted; }
    }
    """

    def __init__(self, text: str = "", *, id: str | None = None) -> None:
        super().__init__(
            clean(text),
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            tab_behavior="focus",
            compact=True,
            highlight_cursor_line=False,
            placeholder="What to ask. ctrl+s sends it.",
        )
        self.cursor_blink = False
        # The screen's, which would stand where it does here: before every other key of the screen.
        self._bindings.key_to_bindings.pop("ctrl+y", None)

    def put(self, text: str) -> None:
        """Replace all of it."""
        self.load_text(clean(text))
        self.move_cursor(self.document.end)

    async def _on_paste(self, event: Paste) -> None:
        # The text area's own handler comes after this one. A pasted line end sends nothing; most terminals
        # make a carriage return of it, as of the enter key.
        event.text = clean(event.text.replace("\r\n", "\n").replace("\r", "\n"))
