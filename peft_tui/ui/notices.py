"""From the store's notices to the screens that care: a burst of them is one signal."""

from __future__ import annotations

import asyncio
from typing import Any

from textual.app import App
from textual.signal import Signal

from peft_tui.store import Changes
from peft_tui.store.database import Database

BURST_SECONDS = 0.05


class Notices:
    """Subscribe a screen to `changed`; it is told at most every `BURST_SECONDS`."""

    def __init__(self, app: App[Any], database: Database) -> None:
        self.changed: Signal[Changes] = Signal(app, "store changed")
        self._gathered = Changes()
        self._timer: asyncio.TimerHandle | None = None
        self._forget = database.listen(self._heard)

    def close(self) -> None:
        """Hear nothing more."""
        self._forget()
        if self._timer is not None:
            self._timer.cancel()

    def _heard(self, changes: Changes) -> None:
        self._gathered = Changes(
            self._gathered.deployments | changes.deployments,
            self._gathered.platforms | changes.platforms,
            self._gathered.catalog | changes.catalog,
            self._gathered.requests | changes.requests,
        )
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BURST_SECONDS, self._tell)

    def _tell(self) -> None:
        gathered, self._gathered, self._timer = self._gathered, Changes(), None
        self.changed.publish(gathered)
