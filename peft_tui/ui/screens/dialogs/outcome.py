"""What became of several intents, row by row: shown where not all of them could be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll

from peft_tui.domain.errors import PeftTuiError
from peft_tui.text import clean_line
from peft_tui.ui.keymap import named
from peft_tui.ui.screens.dialogs.sheet import Buttons, SheetScreen
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.lines import Line, wrapped
from peft_tui.ui.widgets.live_table import Cell


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """Of one deployment."""

    name: str
    error: PeftTuiError | None = None
    """None: it was asked for."""
    refused: str = ""
    """Why it was not even tried."""

    @property
    def is_good(self) -> bool:
        return self.error is None and not self.refused


class OutcomeScreen(SheetScreen[None]):
    """Those that failed first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close"),
    ]
    BINDINGS = named("outcome", BINDINGS)

    def __init__(self, verb: str, rows: Sequence[RowOutcome]) -> None:
        super().__init__()
        self._verb = verb
        self._rows = sorted(rows, key=lambda row: row.is_good)

    def compose(self) -> ComposeResult:
        with Vertical(id="sheet"):
            yield Block(self._title, id="asked-title")
            with VerticalScroll(id="scroll", can_focus=False):
                yield Block(self._facts, id="asked")
            yield Buttons(("Close",))

    def on_mount(self) -> None:
        self.query_one(Buttons).focus()

    def _title(self, width: int) -> list[Line]:
        good = sum(row.is_good for row in self._rows)
        return [(Cell(f"{self._verb}: {good} of {len(self._rows)} asked for", "strong"),)]

    def _facts(self, width: int) -> list[Line]:
        lines: list[Line] = []
        for row in self._rows:
            mark, tone = ("✓ ", "good") if row.is_good else ("✖ ", "bad")
            words = row.refused or (f"{row.error.message} {row.error.hint}".strip() if row.error else "")
            lines.append((Cell(mark, tone), Cell(clean_line(row.name, 80))))
            if words:
                lines += wrapped(clean_line(words, 400), width, "dim", indent=2)
        return lines

    def action_close(self) -> None:
        self.dismiss(None)

    @on(Buttons.Pressed)
    def _pressed(self) -> None:
        self.action_close()
