"""The truth about money: what ran, from when to when, at which price."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

HOUR = Decimal(3600)


@dataclass
class Stretch:
    """A stretch of time in which so many units were billed.

    Attributes:
        start: World time, seconds.
        end: World time, or None while it runs.
        units: Replicas or instances.
        usd_per_hour: Price of one unit.
    """

    start: float
    end: float | None
    units: int
    usd_per_hour: Decimal

    def seconds(self, now: float) -> float:
        """Length until `now`; a stretch planned for the future has none yet."""
        end = now if self.end is None else min(self.end, now)
        return max(0.0, end - self.start)

    def usd(self, now: float) -> Decimal:
        """Cost until `now`."""
        return Decimal(str(self.seconds(now))) * self.units * self.usd_per_hour / HOUR


@dataclass
class Meter:
    """What one resource has cost. It outlives the resource: deleted things were paid for too."""

    stretches: list[Stretch] = field(default_factory=list)

    @property
    def open(self) -> Stretch | None:
        """The stretch that is running, if any."""
        last = self.stretches[-1] if self.stretches else None
        return last if last is not None and last.end is None else None

    def set(self, units: int, usd_per_hour: Decimal, when: float) -> None:
        """From `when` on so many units are billed; 0 stops the meter."""
        running = self.open
        if running is not None:
            if running.units == units and running.usd_per_hour == usd_per_hour:
                return
            running.end = when
        if units > 0:
            self.stretches.append(Stretch(when, None, units, usd_per_hour))

    def usd_per_hour(self, now: float) -> Decimal:
        """What is burnt per hour at this moment."""
        return sum(
            (
                s.usd_per_hour * s.units
                for s in self.stretches
                if s.start <= now and (s.end is None or s.end > now)
            ),
            Decimal(0),
        )

    def usd(self, now: float) -> Decimal:
        """Everything billed until `now`."""
        return sum((s.usd(now) for s in self.stretches), Decimal(0))

    def usd_between(self, start: float, end: float) -> Decimal:
        """What was billed inside a window."""
        return self.usd(end) - self.usd(start)


@dataclass(frozen=True)
class Bill:
    """One line of `GET /_sandbox/billing`."""

    platform: str
    id: str
    name: str
    state: str
    billing: bool
    usd_per_hour: Decimal
    usd_total: Decimal
    deleted: bool = False
