"""Asks for one value that nobody may look at. Its answer is what was typed or pasted; None when left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Paste
from textual.screen import ModalScreen
from textual.widgets import Input

from peft_tui.ui.keymap import named
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.fields import TextField
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Line, marked, wrapped
from peft_tui.ui.widgets.live_table import Cell


class SecretField(TextField):
    """Dots. What is in it can be replaced, not copied out again."""

    def action_copy(self) -> None:
        """Not from here."""

    def action_cut(self) -> None:
        """As a deletion, without the clipboard."""
        self.delete_selection()

    def _on_paste(self, event: Paste) -> None:
        # Pages and mails wrap a key, and shells add a line break: none of that belongs to it.
        # The handler of the base class, which puts it in, is called after this one.
        event.text = "".join(event.text.split()) if self.password else event.text.strip()


class Prompt(ModalScreen[str | None]):
    """One field with a sentence or two above it."""

    DEFAULT_CSS = """
    Prompt { align: center middle; background: $background 60%; }
    Prompt > Vertical {
        width: 90%; max-width: 76; height: auto; padding: 1 2; background: $background;
        border: round $border-blurred;
    }
    Prompt.-tiny > Vertical { padding: 0 1; }
    Prompt SecretField {
        background: $panel; padding: 0 1; margin: 1 0; width: 1fr;
        &:focus { background: $panel; }
        &:ansi { text-style: underline; }
    }
    """
    AUTO_FOCUS = "SecretField"
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (14, "-short")]

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "Take it", priority=True, tooltip="Go on with what stands there."),
        Binding("escape", "leave", "Cancel", priority=True, tooltip="Change nothing."),
    ]
    BINDINGS = named("prompt", BINDINGS)

    def __init__(
        self,
        title: str,
        sentences: Sequence[str],
        *,
        hidden: bool = True,
        value: str = "",
        problem: Callable[[str], str] = lambda value: "" if value else "paste or type it",
    ) -> None:
        super().__init__()
        self._title = title
        self._sentences = sentences
        self._problem = problem
        self._field = SecretField(value)
        self._field.password = hidden
        self._told = Block()

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Block(self._draw)
            yield self._field
            yield self._told
            yield KeyBar()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._told.put(lambda width: [])

    def action_take(self) -> None:
        value = self._field.value.strip()
        if problem := self._problem(value):
            self._told.put(lambda width: marked("✖", "bad", problem, width, "bad"))
        else:
            self.dismiss(value)

    def action_leave(self) -> None:
        self.dismiss(None)

    def _draw(self, width: int) -> list[Line]:
        lines: list[Line] = [(Cell(self._title, "strong"),)]
        for sentence in self._sentences:
            lines += wrapped(sentence, width, "dim")
        return lines
