"""Looks whether the store is sound, and keeps a backup of it: after the first frame, then now and then."""

from __future__ import annotations

import asyncio
import logging

from peft_tui.store import StoreError
from peft_tui.store.care import back_up, backup_is_due, quick_check
from peft_tui.store.database import Database
from peft_tui.workers.duty import Duty

PERIOD_SECONDS = 3600.0
"""Between two looks at how old the backup is."""

log = logging.getLogger(__name__)


class Keeper:
    """The loop body. All that reads the whole file happens in a thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looked = False

    async def tick(self) -> None:
        """Check the file at the start and before each backup: a damaged one must not replace a sound one."""
        path = self._database.path
        duty = Duty(path.parent, "backup")
        try:
            # Another window does the same: its damage is found by both, its backup is for both.
            mine = duty.take()
            due = mine and await asyncio.to_thread(backup_is_due, path)
            if not due and self._looked:
                return
            if problem := await asyncio.to_thread(quick_check, path):
                self._database.is_damaged(problem)
                return
            self._looked = True
            if due and not await asyncio.to_thread(back_up, path):
                log.warning("no backup of the store: the disk has no room for one")
        except (OSError, StoreError):
            # Locked, or a disk that is full: tried again at the next look.
            log.exception("the store could not be backed up")
        finally:
            duty.leave()
