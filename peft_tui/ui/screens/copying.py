"""What to take of a deployment: one key, and it is in the clipboard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from peft_tui.services.copies import Copy
from peft_tui.ui.keymap import named
from peft_tui.ui.widgets.lines import Lines
from peft_tui.ui.widgets.live_table import Cell, Column, LiveTable, Row
from peft_tui.ui.widgets.opaque import OpaqueScreen
from peft_tui.ui.work import start_work

KEYS = {
    "url": "y",
    "model": "m",
    "id": "i",
    "name": "n",
    "curl": "c",
    "python": "p",
    "command": "t",
    "json": "s",
}
"""In the order in which they stand there. `j` moves."""
COLUMNS = (Column("key", "", 1), Column("title", "", 8), Column("text", "", 20, grow=True))
LATER = Cell("looking …", "dim")


class CopyScreen(OpaqueScreen[Copy | None]):
    """Answers with what was chosen. Requests as code come a moment later: their form must be found out."""

    DEFAULT_CSS = """
    CopyScreen { align: center middle; }
    CopyScreen > Vertical { width: 92; max-width: 100%; height: auto; max-height: 100%; padding: 1 2; }
    CopyScreen Lines { height: 1; }
    CopyScreen LiveTable { height: 9; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"choose('{kind}')", kind.capitalize(), show=False) for kind, key in KEYS.items()),
        Binding("escape", "leave", "Close", tooltip="Copy nothing."),
    ]
    BINDINGS = named("copy", BINDINGS)

    def __init__(self, there: Sequence[Copy], more: Callable[[], Awaitable[Sequence[Copy]]]) -> None:
        super().__init__()
        self._copies = {copy.kind: copy for copy in there}
        self._more = more

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines(id="copy-title")
            yield LiveTable(COLUMNS, id="copy-kinds")

    def on_mount(self) -> None:
        title = self.query_one(Lines)
        title.ascii_only = self._table.ascii_only = getattr(self.app, "ascii_only", False)
        title.show([(Cell("Copy", "strong"), Cell("   its key, or enter · esc closes · never a key", "dim"))])
        self._draw()
        self._table.focus()
        start_work(self, self._find, group="more")

    async def _find(self) -> None:
        self._copies |= {copy.kind: copy for copy in await self._more()}
        self._draw()

    def action_choose(self, kind: str) -> None:
        copy = self._copies.get(kind)
        if copy is not None and not copy.refusal:
            self.dismiss(copy)

    def action_leave(self) -> None:
        self.dismiss(None)

    def on_live_table_chosen(self, event: LiveTable.Chosen) -> None:
        self.action_choose(event.key)

    def _draw(self) -> None:
        self._table.set_rows([self._row(kind, key) for kind, key in KEYS.items()])

    def _row(self, kind: str, key: str) -> Row:
        copy = self._copies.get(kind)
        if copy is None:
            return Row(kind, (Cell(key, "dim"), Cell(kind, "dim"), LATER))
        if copy.refusal:
            return Row(kind, (Cell(key, "dim"), Cell(copy.title, "dim"), Cell(copy.refusal, "warn")))
        first = " ".join(copy.text.split())
        return Row(kind, (Cell(key, "accent"), Cell(copy.title), Cell(first[:200], "dim")))

    @property
    def _table(self) -> LiveTable:
        return self.query_one(LiveTable)
