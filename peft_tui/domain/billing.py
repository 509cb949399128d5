"""What time cost: instances that were seen to bill, at their price, for as long as somebody was looking.

A mark says from when on something bills, and how. A watch is a stretch of time in which the platform was
asked again and again. Between two watches nobody looked: what lies there is not zero. Where it was the same
before and after, that is taken for what it was meanwhile, and said to be; where it was not, it is not known.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

HOUR = Decimal(3600)
GAP = timedelta(seconds=15)
"""Three periods of the refresh loop as it is by default: after a longer silence nobody was looking."""


class Phase(StrEnum):
    """What a billed instance was doing."""

    STARTING = "starting"
    READY = "ready"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Mark:
    """From this moment on it bills like this, until the next mark."""

    at: datetime
    phase: Phase
    instances: int | None
    """That are billed; None: the platform does not say."""
    usd_per_hour: Decimal | None
    """Of all of them together."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Somebody was looking from `begin` to `end`."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of time in which nothing changed."""

    begin: datetime
    end: datetime
    mark: Mark
    watched: bool
    certain: bool = True
    """False: not watched, and another state was found afterwards."""

    @property
    def seconds(self) -> float:
        return (self.end - self.begin).total_seconds()

    @property
    def usd(self) -> Decimal | None:
        return cost(self.mark.usd_per_hour, self.seconds)


@dataclass(frozen=True, slots=True)
class Bill:
    """What a stretch of time came to."""

    starting_usd: Decimal = Decimal(0)
    ready_usd: Decimal = Decimal(0)
    unwatched_usd: Decimal = Decimal(0)
    """Of the two before, what is taken for granted because it was the same before and after."""
    ready_instance_s: float = 0.0
    """Seconds of ready instances, each counted."""
    ready_s: float = 0.0
    """Seconds in which any was ready."""
    starting_s: float = 0.0
    unwatched_s: float = 0.0
    """Of what is counted, how long nobody looked."""
    unknown_s: float = 0.0
    """Not counted: nobody looked and it changed meanwhile, or the platform does not say what bills."""
    known: bool = False
    """Whether it was ever seen at all."""

    @property
    def usd(self) -> Decimal:
        return self.starting_usd + self.ready_usd

    @property
    def complete(self) -> bool:
        """Whether it is all; otherwise it is the least that it was."""
        return self.known and self.unknown_s < GAP.total_seconds()


def cost(usd_per_hour: Decimal | None, seconds: float) -> Decimal | None:
    return None if usd_per_hour is None else usd_per_hour * Decimal(str(round(seconds, 3))) / HOUR


class Ledger:
    """The marks and watches of one deployment, made to be asked for any window."""

    def __init__(
        self, marks: Sequence[Mark], watches: Iterable[Watch], now: datetime, gap: timedelta = GAP
    ) -> None:
        self._pieces = tuple(_pieces(sorted(marks, key=lambda m: m.at), _joined(watches, gap), now, gap))
        self._ends = [piece.end for piece in self._pieces]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return self._pieces

    def bill(self, begin: datetime, end: datetime) -> Bill:
        """What was billed from `begin` until `end`."""
        starting = ready = assumed = Decimal(0)
        instance_s = ready_s = starting_s = unwatched = unknown = 0.0
        for index in range(bisect_right(self._ends, begin), len(self._pieces)):
            piece = self._pieces[index]
            if piece.begin >= end:
                break
            seconds = (min(piece.end, end) - max(piece.begin, begin)).total_seconds()
            mark = piece.mark
            usd = cost(mark.usd_per_hour, seconds)
            if usd is None or not piece.certain or mark.instances is None:
                unknown += seconds
                continue
            if mark.phase is Phase.STARTING:
                starting += usd
                starting_s += seconds * mark.instances
            else:
                ready += usd
                instance_s += seconds * mark.instances
                ready_s += seconds if mark.instances else 0.0
            if not piece.watched:
                assumed += usd
                unwatched += seconds
        known = bool(self._pieces)
        return Bill(starting, ready, assumed, instance_s, ready_s, starting_s, unwatched, unknown, known)


def _joined(watches: Iterable[Watch], gap: timedelta) -> list[Watch]:
    """In order, those that touch made one: several processes may have looked at once."""
    joined: list[Watch] = []
    for watch in sorted(watches, key=lambda w: w.begin):
        if joined and watch.begin <= joined[-1].end + gap:
            joined[-1] = Watch(joined[-1].begin, max(joined[-1].end, watch.end))
        else:
            joined.append(watch)
    return joined


def _pieces(
    marks: Sequence[Mark], watches: Sequence[Watch], now: datetime, gap: timedelta
) -> Iterable[Piece]:
    ends = [watch.end for watch in watches]
    for index, mark in enumerate(marks):
        last = index + 1 == len(marks)
        end = now if last else marks[index + 1].at
        at = mark.at
        for watch in watches[bisect_right(ends, at) :]:
            if watch.begin >= end:
                break
            if watch.begin - at > gap:
                yield Piece(at, watch.begin, mark, watched=False)
                at = watch.begin
            yield Piece(at, min(watch.end, end), mark, watched=True)
            at = min(watch.end, end)
        if at < end:
            # Up to the next change, or to now: a short rest belongs to the watch before it.
            short = end - at <= gap
            yield Piece(at, end, mark, watched=short, certain=short or mark.phase is Phase.OFF and last)


def phase_of(status: str, billed: int | None) -> Phase:
    """What an observed status means for the bill."""
    if billed == 0:
        return Phase.OFF
    return Phase.STARTING if status in ("pending", "deploying") else Phase.READY
