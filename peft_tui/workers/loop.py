"""One thing done again and again: never two runs at once, woken at will, on a clock that is handed in."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from peft_tui.clock import Clock

log = logging.getLogger(__name__)

JITTER = 0.1
"""So that many programs started together do not ask together."""


class Loop:
    """Calls `tick` every `period` seconds, counted from the end of the last run."""

    def __init__(
        self,
        tick: Callable[[], Awaitable[None]],
        period: float,
        clock: Clock,
        rests: Callable[[float], Awaitable[bool]] | None = None,
    ) -> None:
        """
        Args:
            rests: whether a turn that nobody woke it for may be left out, so many seconds after the last run.
        """
        self.tick = tick
        """One run, to be awaited by hand in a test."""
        self._period = period
        self._clock = clock
        self._rests = rests
        self._ran: float | None = None
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Run now, or once more at once when a run is under way."""
        self._woken.set()

    async def run(self) -> None:
        """For ever; cancel to end."""
        while True:
            woken = self._woken.is_set()
            self._woken.clear()
            try:
                if woken or not await self._may_rest():
                    self._ran = self._clock.monotonic()
                    await self.tick()
            except Exception:
                # A bug, or a store that cannot be written: what is shown grows old and says so.
                log.exception("a tick failed")
            await self._pause(self._period * random.uniform(1 - JITTER, 1 + JITTER))

    async def _may_rest(self) -> bool:
        if self._rests is None or self._ran is None:
            return False
        return await self._rests(self._clock.monotonic() - self._ran)

    async def _pause(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        woken = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({sleeping, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            woken.cancel()
