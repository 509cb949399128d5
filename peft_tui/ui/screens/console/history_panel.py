"""What was asked before: the last ten, older ones by their words, two of them marked, one deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input

from peft_tui.clock import Clock
from peft_tui.domain.measure import Outcome
from peft_tui.domain.request import Exchange
from peft_tui.ui.screens.console.history import COLUMNS, SHOWN, HistoryTable, history_row
from peft_tui.ui.screens.console.parameters import Small
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.lines import Line
from peft_tui.ui.widgets.live_table import Cell, LiveTable
from peft_tui.ui.work import start_work

if TYPE_CHECKING:
    from peft_tui.store.requests import Requests

LAST = 10
FOUND = 200
"""How many a search shows."""


class HistoryPanel(Vertical):
    """Reads the store when it is told that there is something new in it."""

    class Chosen(Message):
        """One is to be shown again."""

        def __init__(self, exchange: Exchange) -> None:
            super().__init__()
            self.exchange = exchange

    class Pair(Message):
        """Two were marked."""

        def __init__(self, first: Exchange, second: Exchange) -> None:
            super().__init__()
            self.first, self.second = first, second

    class Left(Message):
        """The search was left, and nothing is here to stay for."""

    def __init__(self, requests: Requests, deployment_id: str, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._requests = requests
        self._deployment_id = deployment_id
        self._shown: dict[int, Exchange] = {}
        self._marked: list[int] = []
        self._sought = ""
        self._reading = False
        self._unread = True

    def compose(self) -> ComposeResult:
        with Horizontal(id="history-head"):
            yield Block(self._title, id="history-title")
            yield Small("", None, id="search", placeholder="words in prompt or answer")
        yield HistoryTable(COLUMNS)

    def on_mount(self) -> None:
        self.read()

    def read(self) -> None:
        """Soon; what comes meanwhile is read in the same go."""
        self._unread = True
        if not self._reading:
            start_work(self, self._read, group="history")

    async def _read(self) -> None:
        self._reading = True
        try:
            while self._unread:
                self._unread = False
                found = await self._requests.history(
                    self._deployment_id, FOUND if self._sought else LAST, self._sought, SHOWN
                )
                self._shown = {exchange.id: exchange for exchange in found}
                self._marked = [key for key in self._marked if key in self._shown]
        finally:
            self._reading = False
        if self.is_attached:
            self._show()

    def _show(self) -> None:
        now = self._clock.now()
        self.table.set_rows([history_row(e, e.id in self._marked, now) for e in self._shown.values()])
        if not self.table.has_focus:
            # Nobody is on a row: the newest is what there is to see.
            self.table.action_first()
        self.table.can_focus = bool(self._shown)
        self.query_one("#history-title", Block).redraw()
        self.screen.refresh_bindings()

    @property
    def under_cursor(self) -> Exchange | None:
        key = self.table.cursor_key
        return self._shown.get(int(key)) if key else None

    @property
    def typical_seconds(self) -> float | None:
        """How long one took lately, in the middle."""
        known = sorted(
            e.measured.total_s
            for e in self._shown.values()
            if e.outcome is Outcome.OK and e.measured.total_s is not None
        )
        return known[len(known) // 2] if known else None

    @on(LiveTable.Chosen)
    def _chosen(self, event: LiveTable.Chosen) -> None:
        event.stop()
        if (exchange := self.under_cursor) is not None:
            self.post_message(self.Chosen(exchange))

    def mark(self) -> None:
        """The one under the cursor; the second one makes a pair."""
        exchange = self.under_cursor
        if exchange is None:
            return
        if exchange.id in self._marked:
            self._marked.remove(exchange.id)
        else:
            self._marked = [*self._marked, exchange.id][-2:]
        if len(self._marked) == 2:
            first, second = (self._shown[key] for key in self._marked)
            self._marked = []
            self.post_message(self.Pair(first, second))
        self._show()

    # Search

    @property
    def is_searching(self) -> bool:
        return self.has_class("-searching")

    def search(self) -> None:
        self.add_class("-searching")
        self.query_one("#search", Small).focus()

    def stop_search(self) -> None:
        self.remove_class("-searching")
        self._sought = self.query_one("#search", Small).value = ""
        self.read()
        if self._shown:
            self.table.focus()
        else:
            self.post_message(self.Left())

    @on(Input.Changed, "#search")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._sought = event.value.strip()
        self.read()

    @on(Input.Submitted, "#search")
    def _done(self, event: Input.Submitted) -> None:
        event.stop()
        if self._shown:
            self.table.focus()

    def _title(self, width: int) -> list[Line]:
        words = f"found: {len(self._shown)}" if self._sought else "history"
        if not self._shown and not self._sought:
            words = "history: nothing was asked yet"
        return [(Cell(f" {words}", "dim"),)]

    @property
    def table(self) -> HistoryTable:
        return self.query_one(HistoryTable)
