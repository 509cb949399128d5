"""What all callers of one host share: places, a budget for retries, and a circuit breaker."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import IntEnum

from peft_tui.clock import Clock
from peft_tui.domain.errors import ConnectionFailed


class Urgency(IntEnum):
    """Who asks. The lower never takes the last place, or the last retry, from the higher."""

    BACKGROUND = 0
    """A loop that will ask again anyway."""
    NORMAL = 1
    """Something that a person waits for."""
    STOP = 2
    """What ends billing. Nothing holds it back."""


PLACES = {Urgency.BACKGROUND: 4, Urgency.NORMAL: 8}
"""Requests at a time to one host. The connection pool is larger: STOP needs no place."""
RETRY_TOKENS = 100
RETRY_COST = 5
TRIP_AFTER = 5
"""Failures in a row that open the breaker."""
DATES = 9
"""Of so many answers the dates are remembered."""
OPEN_SECONDS, OPEN_SECONDS_MAX = 5.0, 30.0


class Host:
    """One origin: scheme, host and port."""

    def __init__(self, origin: str, clock: Clock) -> None:
        self.origin = origin
        self._clock = clock
        self._places = {urgency: asyncio.Semaphore(count) for urgency, count in PLACES.items()}
        self._tokens = RETRY_TOKENS
        self._failures = 0
        self._open_until = 0.0
        self._ahead: deque[timedelta] = deque(maxlen=DATES)

    def dated(self, headers: Mapping[str, str]) -> None:
        """Learn from an answer what time it is there."""
        if "age" in headers:
            # Out of a cache: it is as old as that.
            return
        try:
            there = parsedate_to_datetime(headers.get("date", ""))
            # Written in whole seconds, it is half a second late on the average.
            self._ahead.append(there - self._clock.now() + timedelta(seconds=0.5))
        except (ValueError, TypeError, OverflowError):
            # None, or one without a time zone.
            return

    @property
    def ahead(self) -> timedelta | None:
        """How far its clock is ahead of ours, the median of the last answers; None before there was one."""
        return sorted(self._ahead)[len(self._ahead) // 2] if self._ahead else None

    def now(self) -> datetime:
        """The time there, as its last answer told it; ours, when it told none."""
        ours = self._clock.now()
        return ours + self._ahead[-1] if self._ahead else ours

    @asynccontextmanager
    async def place(self, urgency: Urgency) -> AsyncIterator[None]:
        """Wait for a free place. A background request needs one of each kind: it is a normal one too."""
        async with AsyncExitStack() as held:
            for kind, places in self._places.items():
                if kind >= urgency:
                    await held.enter_async_context(places)
            yield

    def check(self, urgency: Urgency) -> None:
        """Refuse at once while the breaker is open. Only loops are refused: a person's request is the probe.

        Raises:
            ConnectionFailed: with `retry_after`, the seconds until the next probe.
        """
        left = self._open_until - self._clock.monotonic()
        if urgency is Urgency.BACKGROUND and left > 0:
            raise ConnectionFailed(
                f"{self.origin} failed {self._failures} times in a row; asking again in {left:.0f} s.",
                transient=True,
                retry_after=left,
            )

    def may_retry(self, urgency: Urgency) -> bool:
        """Take a retry from the shared budget, if there is one for this caller."""
        if urgency is Urgency.STOP:
            return True
        reserve = RETRY_TOKENS // 2 if urgency is Urgency.BACKGROUND else 0
        if self._tokens - RETRY_COST < reserve:
            return False
        self._tokens -= RETRY_COST
        return True

    def succeeded(self) -> None:
        """It answered, whatever it said."""
        self._tokens = min(RETRY_TOKENS, self._tokens + 1)
        self._failures = 0
        self._open_until = 0.0

    def failed(self) -> None:
        """It did not answer, or only to say that it is broken."""
        self._failures += 1
        over = self._failures - TRIP_AFTER
        if over >= 0:
            open_for = min(OPEN_SECONDS * 2.0 ** min(over, 10), OPEN_SECONDS_MAX)
            self._open_until = self._clock.monotonic() + open_for
