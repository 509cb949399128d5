"""Which columns the list shows. The list below changes as they are chosen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from peft_tui.ui.keymap import named
from peft_tui.ui.widgets.lines import Lines
from peft_tui.ui.widgets.live_table import Cell, Column, LiveTable, Row

ALWAYS, NO_ROOM, SHOWN, HIDDEN = "always", "no room", "shown", "hidden"
CHOOSER = (Column("title", "COLUMN", 12), Column("words", "", 30, grow=True), Column("state", "", 8))


class ColumnsScreen(ModalScreen[frozenset[str] | None]):
    """Answers with the keys of those that are hidden; None when nothing is to change."""

    DEFAULT_CSS = """
    ColumnsScreen { align: right top; background: $background 0%; }
    ColumnsScreen > Vertical {
        width: 64; max-width: 100%; height: auto; max-height: 100%; padding: 1 2; background: $panel;
    }
    ColumnsScreen Lines { height: 2; background: $panel; }
    ColumnsScreen LiveTable { height: auto; max-height: 1fr; background: $panel; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,x", "turn", "Show or hide", tooltip="The list changes at once."),
        Binding("r", "reset", "All", tooltip="Show every column again."),
        Binding("enter,w", "keep", "Keep", tooltip="It stays so.", priority=True),
        Binding("escape", "leave", "Leave", tooltip="As it was before."),
    ]
    BINDINGS = named("columns", BINDINGS)

    def __init__(
        self,
        columns: Sequence[Column],
        hidden: Collection[str],
        preview: Callable[[Collection[str]], None],
        fitting: Callable[[], Collection[str]],
    ) -> None:
        """
        Args:
            preview: shows the list with these hidden.
            fitting: the columns that it has room for.
        """
        super().__init__()
        self._columns = columns
        self._hidden = set(hidden)
        self._preview = preview
        self._fitting = fitting

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines(id="columns-title")
            yield LiveTable(CHOOSER, id="columns-list")

    def on_mount(self) -> None:
        title = self.query_one(Lines)
        title.ascii_only = self._table.ascii_only = getattr(self.app, "ascii_only", False)
        title.show([(Cell("Columns", "strong"), Cell("   space hides · enter keeps · esc leaves", "dim"))])
        self._draw()
        self._table.focus()

    def action_turn(self) -> None:
        column = next((c for c in self._columns if c.key == self._table.cursor_key), None)
        if column is not None and column.priority:
            self._hidden ^= {column.key}
            self._show()

    def action_reset(self) -> None:
        self._hidden.clear()
        self._show()

    def action_keep(self) -> None:
        self.dismiss(frozenset(self._hidden))

    def action_leave(self) -> None:
        self.dismiss(None)

    def on_live_table_chosen(self) -> None:
        """Clicked twice."""
        self.action_turn()

    def _show(self) -> None:
        self._preview(self._hidden)
        self._draw()

    def _draw(self) -> None:
        fitting = self._fitting()
        self._table.set_rows([self._row(column, column.key in fitting) for column in self._columns])

    def _row(self, column: Column, fits: bool) -> Row:
        if not column.priority:
            state = Cell(ALWAYS, "dim")
        elif column.key in self._hidden:
            state = Cell(HIDDEN, "dim")
        else:
            state = Cell(SHOWN, "good") if fits else Cell(NO_ROOM, "warn")
        tone = "dim" if column.key in self._hidden else ""
        return Row(column.key, (Cell(column.title, tone), Cell(column.words, "dim"), state))

    @property
    def _table(self) -> LiveTable:
        return self.query_one(LiveTable)
