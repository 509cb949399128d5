"""When the screens of figures read: what both of them do alike."""

from __future__ import annotations

from textual.screen import Screen

from peft_tui.store import Changes, StoreError
from peft_tui.ui.application import Application
from peft_tui.ui.work import start_work

PERIOD_SECONDS = 30.0
COUNTING_SECONDS = 1.0
"""While older requests are being counted."""


class FiguresScreen(Screen[None]):
    """Reads every 30 seconds while somebody looks, when a request was recorded, and when it is asked to."""

    app: Application
    _reading = False
    _unread = False

    def on_mount(self) -> None:
        self.app.notices.changed.subscribe(self, self._store_changed)
        self.set_interval(PERIOD_SECONDS, self._read_on)
        self.watch(self.app, "resting", self._rested, init=False)
        self.read()

    def _concern(self, changes: Changes) -> bool:
        """Whether it shows anything of what was written."""
        raise NotImplementedError

    async def _read_once(self) -> None:
        """Read, and draw what differs."""
        raise NotImplementedError

    def _not_read(self, error: StoreError) -> None:
        """Say it."""
        raise NotImplementedError

    def _draw(self) -> None:
        raise NotImplementedError

    def _store_changed(self, changes: Changes) -> None:
        if self._concern(changes):
            self.read()

    def _read_on(self) -> None:
        if not self.app.resting:
            self.read()

    def _rested(self, before: bool, rests: bool) -> None:
        if rests:
            self._draw()
        elif before:
            self.read()

    def read(self) -> None:
        """Read again, soon; once more when something came meanwhile, never twice at once."""
        self._unread = True
        if not self._reading:
            start_work(self, self._read, group="read")

    async def _read(self) -> None:
        self._reading = True
        try:
            while self._unread:
                self._unread = False
                await self._read_once()
        except StoreError as error:
            self._not_read(error)
        finally:
            self._reading = False
