"""What went wrong in this session: the newest first, each with its next step."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from peft_tui.clock import Clock
from peft_tui.text import clean_line
from peft_tui.ui.keymap import named
from peft_tui.ui.troubles import Trouble, Troubles
from peft_tui.ui.widgets.detail import clock_words, error_lines
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Line, Lines, clipped
from peft_tui.ui.widgets.live_table import Cell, Column, LiveTable, Row
from peft_tui.ui.widgets.opaque import OpaqueScreen

COLUMNS = (
    Column("at", "SINCE", 12),
    Column("where", "OF", 14, grow=True, elide="middle"),
    Column("what", "WHAT", 16, priority=1),
    Column("message", "SAID", 24, priority=2, grow=True),
)


class ErrorsScreen(OpaqueScreen[str | None]):
    """Answers with the deployment to go to, if one was picked."""

    DEFAULT_CSS = """
    ErrorsScreen #errors-title { height: 1; padding: 0 1; margin-bottom: 1; }
    ErrorsScreen #error { height: auto; max-height: 50%; padding: 0 1; margin-top: 1; overflow-y: auto; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,e", "close", "Close"),
        Binding("enter", "pick", "Go there", tooltip="To the deployment that it is of."),
    ]
    BINDINGS = named("errors", BINDINGS)

    def __init__(self, troubles: Troubles, clock: Clock) -> None:
        super().__init__()
        self._troubles = {trouble.key: trouble for trouble in troubles.all}
        self._open = troubles.open
        self._now = clock.now()

    def compose(self) -> ComposeResult:
        yield Lines(id="errors-title")
        yield LiveTable(COLUMNS, id="errors")
        yield Lines(id="error")
        yield KeyBar()

    def on_mount(self) -> None:
        self.app.clear_notifications()  # they are all in the list, and would lie over it
        ascii_only = bool(getattr(self.app, "ascii_only", False))
        for lines in self.query(Lines):
            lines.ascii_only = ascii_only
        self._table.ascii_only = ascii_only
        count = len(self._troubles)
        words = f"   {self._open} of {count} still so" if count else "   nothing went wrong in this session"
        self.query_one("#errors-title", Lines).show([(Cell("Errors", "strong"), Cell(words, "dim"))])
        self._table.set_rows([self._row(trouble) for trouble in self._troubles.values()])
        self._table.focus()

    def _row(self, trouble: Trouble) -> Row:
        tone = "dim" if trouble.over else ""
        return Row(
            trouble.key,
            (
                Cell(clock_words(trouble.at, self._now, None), "dim"),
                Cell(clean_line(trouble.where, 80), tone),
                Cell(f"{trouble.what}{', over' if trouble.over else ''}", tone or "bad"),
                Cell(clean_line(trouble.error.message, 200), "dim"),
            ),
        )

    @on(LiveTable.Highlighted)
    @on(Lines.Resized)
    def _show(self) -> None:
        trouble = self._chosen
        said = self.query_one("#error", Lines)
        lines: list[Line] = error_lines(trouble.error, said.width, "", "error") if trouble else []
        said.show([clipped(line, said.width) for line in lines])

    @on(LiveTable.Chosen)
    def _entered(self) -> None:
        self.action_pick()

    def action_close(self) -> None:
        self.dismiss(None)

    def action_pick(self) -> None:
        if (trouble := self._chosen) and trouble.deployment_id:
            self.dismiss(trouble.deployment_id)

    @property
    def _chosen(self) -> Trouble | None:
        return self._troubles.get(self._table.cursor_key or "")

    @property
    def _table(self) -> LiveTable:
        return self.query_one(LiveTable)
