"""Writes a step's progress now and then, however often it is told."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from peft_tui.clock import Clock
from peft_tui.domain.operation import Operation, OperationStep
from peft_tui.store import Store

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.25
"""Between two writes of a step's progress."""


@dataclass(slots=True)
class Progress:
    """Of one step, from its begin to its end."""

    store: Store
    operation: Operation
    step: OperationStep
    clock: Clock
    _latest: tuple[int | None, int | None, str] | None = None
    _writing: asyncio.Task[None] | None = None
    _over: bool = False

    def report(self, done: int | None, total: int | None, note: str) -> None:
        if self._over:
            # A thread that still sends tells of it after the program was left: the store is closed by then.
            return
        self._latest = (done, total, note)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def end(self) -> None:
        """Nothing is written after this: what the step ended with is written elsewhere."""
        self._over = True
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        written = None
        try:
            while self._latest is not None and self._latest != written:
                written = self._latest
                await self.store.operations.progress(self.operation, self.step, *written)
                await self.clock.sleep(PROGRESS_SECONDS)
        except Exception:
            # How far a step came is worth no more than this: it goes on without being told.
            log.exception("the progress of %s was not written down", self.step.key)
