"""Which colours. What stands behind takes them on while one chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from peft_tui.ui.keymap import named
from peft_tui.ui.widgets.lines import Lines
from peft_tui.ui.widgets.live_table import Cell, Column, LiveTable, Row

COLUMNS = (Column("name", "", 20, grow=True), Column("kind", "", 10, "right"))


class ThemesScreen(ModalScreen[str | None]):
    """Answers with the theme that is to stay; None when it is to be as before."""

    DEFAULT_CSS = """
    ThemesScreen { align: right top; background: $background 0%; }
    ThemesScreen > Vertical { width: 40; max-width: 100%; height: 100%; padding: 1 2; background: $panel; }
    ThemesScreen Lines { height: 2; background: $panel; }
    ThemesScreen LiveTable { height: 1fr; background: $panel; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", tooltip="As it was before."),
    ]
    BINDINGS = named("themes", BINDINGS)

    def __init__(self, themes: Sequence[tuple[str, str]]) -> None:
        """`themes`: name and kind of each, in their order."""
        super().__init__()
        self._themes = themes
        self._before = ""

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines()
            yield LiveTable(COLUMNS)

    def on_mount(self) -> None:
        self._before = self.app.theme
        title = self.query_one(Lines)
        title.ascii_only = self._table.ascii_only = getattr(self.app, "ascii_only", False)
        title.show([(Cell("Theme", "strong"), Cell("   enter keeps · esc leaves", "dim"))])
        self._table.set_rows([Row(name, (Cell(name), Cell(kind, "dim"))) for name, kind in self._themes])
        self._table.move_to(self._before)
        self._table.focus()

    def on_live_table_highlighted(self, event: LiveTable.Highlighted) -> None:
        if event.key is not None and event.key == self._table.cursor_key:
            self.app.theme = event.key

    def on_live_table_chosen(self, event: LiveTable.Chosen) -> None:
        self.app.theme = event.key
        self.dismiss(event.key)

    def action_leave(self) -> None:
        self.app.theme = self._before
        self.dismiss(None)

    @property
    def _table(self) -> LiveTable:
        return self.query_one(LiveTable)
