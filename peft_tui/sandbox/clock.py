"""The world clock: real time multiplied by a speed, or frozen and moved by hand."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class Clock:
    """World time in seconds since the epoch.

    At `speed` 1 the world runs as fast as the wall clock, at 60 an hour passes in a minute, and at
    0 the clock is frozen: it moves by `advance` only, so a test decides when something happens.

    Args:
        speed: World seconds per real second, not negative.
        start: World time to begin with; the wall clock's time if omitted.
    """

    def __init__(self, speed: float = 1.0, start: float | None = None) -> None:
        if speed < 0:
            raise ValueError("The speed of the world clock cannot be negative.")
        self._speed = speed
        self._base = time.time() if start is None else start
        self._anchor = time.monotonic()
        self._moved = asyncio.Event()

    @property
    def speed(self) -> float:
        """World seconds per real second; 0 when frozen."""
        return self._speed

    @property
    def frozen(self) -> bool:
        """Whether only `advance` moves the clock."""
        return self._speed == 0

    def now(self) -> float:
        """World time, seconds since the epoch."""
        return self._base + (time.monotonic() - self._anchor) * self._speed

    def set_now(self, now: float) -> None:
        """Jump to a world time, as after reading a saved world."""
        self._base, self._anchor = now, time.monotonic()
        self._wake()

    def set_speed(self, speed: float) -> None:
        """Change the speed without a jump in world time."""
        if speed < 0:
            raise ValueError("The speed of the world clock cannot be negative.")
        self._base, self._anchor = self.now(), time.monotonic()
        self._speed = speed
        self._wake()

    def advance(self, seconds: float) -> float:
        """Move the world forward; returns the new world time. Sleepers that are due wake up."""
        if seconds < 0:
            raise ValueError("World time runs forward only.")
        self._base += seconds
        self._wake()
        return self.now()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def sleep_until(self, when: float, *, real_timeout: float | None = None) -> bool:
        """Wait until the world reaches `when`.

        Args:
            when: World time to wait for.
            real_timeout: Give up after so many real seconds.

        Returns:
            Whether `when` has come.
        """
        deadline = None if real_timeout is None else time.monotonic() + real_timeout
        while (left := when - self.now()) > 0:
            waits = [] if self.frozen else [left / self._speed]
            if deadline is not None:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return False
                waits.append(remaining)
            moved = self._moved
            try:
                await asyncio.wait_for(moved.wait(), min(waits) if waits else None)
            except TimeoutError:
                continue
        return True

    async def pace(self, when: float) -> None:
        """Wait for `when` if time flows by itself; a frozen clock does not hold an answer back."""
        if not self.frozen:
            await self.sleep_until(when)


def iso(when: float, digits: int = 6) -> str:
    """RFC 3339 in UTC with `digits` fraction digits, for example `2026-11-23T10:00:00.000000Z`."""
    moment = datetime.fromtimestamp(when, UTC)
    fraction = f"{moment.microsecond:06d}".ljust(digits, "0")[:digits]
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}" if digits else "") + "Z"


def parse_iso(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; naive times count as UTC.

    Raises:
        ValueError: The text is not a time.
    """
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace(" ", "+"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
