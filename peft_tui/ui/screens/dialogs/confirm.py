"""Is this what you want? Cancel comes first; what cannot be undone is typed."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input

from peft_tui.text import clean_line
from peft_tui.ui.keymap import named
from peft_tui.ui.screens.dialogs.question import Question
from peft_tui.ui.screens.dialogs.sheet import Buttons, SheetScreen
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.fields import TextField
from peft_tui.ui.widgets.lines import width_of
from peft_tui.ui.widgets.live_table import Cell


class ConfirmScreen(SheetScreen[bool]):
    """True when the person means it."""

    DEFAULT_CSS = """
    ConfirmScreen TextField { width: 1fr; height: 1; margin: 0 0 1 0; }
    ConfirmScreen #type, ConfirmScreen #option { height: 1; }
    ConfirmScreen #option { margin: 0 0 1 0; }
    ConfirmScreen.-tiny TextField, ConfirmScreen.-tiny #option, ConfirmScreen.-tiny #asked { margin: 0; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", tooltip="Nothing is done."),
        Binding("n", "cancel", "Cancel", show=False),
        Binding("y", "agree", "Do it", tooltip="Where nothing has to be typed."),
        Binding("ctrl+t", "turn", "Keep the adapter", show=False, tooltip="Where a delete can leave it."),
    ]
    BINDINGS = named("confirm", BINDINGS)

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question
        self._refused = ""
        """What was typed and is not what has to be."""
        self.option_taken = False

    def compose(self) -> ComposeResult:
        question = self._question
        tone = {"bad": "-bad", "accent": "-accent"}.get(question.tone, "")
        with Vertical(id="sheet", classes=tone):
            yield Block(lambda width: [(Cell(question.title, "strong"),)], id="asked-title")
            with VerticalScroll(id="scroll", can_focus=False):
                yield Block(question.lines, id="asked")
            if question.option:
                yield Block(lambda width: [self._option_line(width)], id="option")
            if question.typed:
                yield Block(lambda width: [self._ask_to_type()], id="type")
                yield TextField("", placeholder=clean_line(question.typed, 80))
            hint = "enter does it  esc cancels" if question.typed else "y does it  esc cancels"
            yield Buttons(("Cancel", question.yes), hint)

    def on_mount(self) -> None:
        if self._question.typed:
            self.query_one(TextField).focus()
        else:
            self.query_one(Buttons).focus()

    def _ask_to_type(self) -> tuple[Cell, ...]:
        wanted = clean_line(self._question.typed, 80)
        verb = self._question.yes.lower()
        if self._refused:
            typed = clean_line(self._refused, 40)
            said = f"✖ Not “{typed}”. Type " if typed.strip() else "✖ Type "
            return (Cell(said, "bad"), Cell(wanted, "strong"), Cell(f" to {verb}.", "bad"))
        return (Cell("Type "), Cell(wanted, "strong"), Cell(f" to {verb}."))

    def _option_line(self, width: int) -> tuple[Cell, ...]:
        mark = "x" if self.option_taken else " "
        whole = (Cell("ctrl+t", "accent"), Cell(f"  [{mark}] {self._question.option}"))
        short = (whole[0], Cell(whole[1].text.partition(":")[0]))
        return whole if width_of(whole) <= width else short

    def action_turn(self) -> None:
        """Take the option, or leave it."""
        if self._question.option:
            self.option_taken = not self.option_taken
            self.query_one("#option", Block).redraw()

    def action_cancel(self) -> None:
        self.dismiss(False)

    def action_agree(self) -> None:
        """Not before what has to be typed is."""
        if self._question.typed and self._typed != clean_line(self._question.typed, 80):
            self._refused = self._typed or " "
            self.query_one("#type", Block).redraw()
            self.query_one(TextField).focus()
            return
        self.dismiss(True)

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.action_agree()

    @on(Buttons.Pressed)
    def _pressed(self, event: Buttons.Pressed) -> None:
        if event.place == 0:
            self.action_cancel()
        else:
            self.action_agree()

    @property
    def _typed(self) -> str:
        return self.query_one(TextField).value.strip()
