"""The figures of a deployment over a stretch of time, each with where it comes from.

success rate          successes of all that ended; what was cancelled is in neither
percentiles           nearest rank, of warm successes; cold ones stand apart
requests/min          sent in the last 60 seconds
busy, idle            of ready instances: while something was worked on, and the rest
cost per 1M tokens    busy: of what the work itself cost; effective: of everything, idle and start-up too
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from peft_tui.domain.billing import Bill
from peft_tui.domain.goodput import TARGETS, Target
from peft_tui.domain.money import Provenance
from peft_tui.domain.tally import Tally

SKEW = timedelta(seconds=30)
"""Clocks that differ by less are taken for the same."""
MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Told:
    """What the platform says of the same stretch."""

    source: str
    """For a person: `Together analytics`."""
    as_of: datetime
    requests: int | None = None
    failed: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: Decimal | None = None
    billed: tuple[datetime, datetime] | None = None
    """From when to when the platform has told what it cost: bills come late."""
    estimate_usd: Decimal | None = None
    """What was estimated here for that stretch."""
    newest: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    """Of what does not add up: value, and how many seconds it speaks of, by metric."""
    tally: Tally | None = None
    """Of the single requests that it told of."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything there is to say of one deployment from `begin` to `end`."""

    begin: datetime
    end: datetime
    tally: Tally = field(default_factory=Tally)
    """Measured here."""
    bill: Bill = Bill()
    per_minute: int = 0
    """Requests of the last 60 seconds."""
    usd_per_hour: Decimal | None = None
    """What it costs now."""
    told: Told | None = None
    by_source: Mapping[str, Tally] = field(default_factory=dict)
    """Of each part of the program that sent some, where the requests were read one by one."""
    ahead: timedelta | None = None
    """How far the platform's clock is ahead of ours, which the cost of time is measured by."""
    uncounted: int = 0
    """Requests, of whichever deployment, that are not in it yet: they are being counted."""
    exact: bool = False
    """Percentiles are of the samples themselves; otherwise of buckets, right to 1 %."""

    @property
    def cost_usd(self) -> Decimal | None:
        """What it came to, by tokens or by time; None where neither is known."""
        if not self.bill.known and not self.tally.priced:
            return None
        return self.bill.usd + self.tally.cost_usd

    @property
    def cost_is_complete(self) -> bool:
        """False: it is at least that much."""
        return self.bill.complete or (not self.bill.known and self.tally.priced > 0)

    @property
    def clocks_differ(self) -> bool:
        """Whether the platform may count other hours than were counted here."""
        return self.ahead is not None and self.bill.known and abs(self.ahead) > SKEW

    @property
    def cost_provenance(self) -> Provenance:
        return Provenance.ESTIMATED

    @property
    def busy_s(self) -> float:
        """Seconds of instances that worked: no more than there were, however much they did at once."""
        bill, tally = self.bill, self.tally
        if not bill.ready_s:
            return 0.0
        instances = bill.ready_instance_s / bill.ready_s
        return min(tally.busy_s, tally.occupied_s * instances, bill.ready_instance_s)

    @property
    def busy_usd(self) -> Decimal:
        """The part of the ready instances' cost in which they worked."""
        if not self.bill.ready_instance_s:
            return Decimal(0)
        return self.bill.ready_usd * _exact(self.busy_s) / _exact(self.bill.ready_instance_s)

    @property
    def idle_usd(self) -> Decimal:
        return self.bill.ready_usd - self.busy_usd

    @property
    def tokens(self) -> int:
        return self.tally.tokens_in + self.tally.tokens_out

    @property
    def usd_per_request(self) -> Decimal | None:
        """Of everything, by successes: what failed was paid for too."""
        cost = self.cost_usd
        return None if cost is None or not self.tally.succeeded else cost / self.tally.succeeded

    @property
    def usd_per_million_busy(self) -> Decimal | None:
        """Of the work alone."""
        if not self.tokens or self.cost_usd is None:
            return None
        return (self.busy_usd + self.tally.cost_usd) * MILLION / self.tokens

    @property
    def usd_per_million(self) -> Decimal | None:
        """Of everything."""
        cost = self.cost_usd
        return None if cost is None or not self.tokens else cost * MILLION / self.tokens

    def goodput(self, target: Target) -> float | None:
        """The share of those that ended which met the target; None before one ended."""
        tally = self.tally
        return tally.good[TARGETS.index(target)] / tally.judged if tally.judged else None


def _exact(seconds: float) -> Decimal:
    return Decimal(str(round(seconds, 3)))


@dataclass(frozen=True, slots=True)
class Point:
    """One step of a course over time."""

    at: datetime
    """Where it begins."""
    seconds: int
    tally: Tally
    usd: Decimal | None
    """What the step cost; None where that is not known."""
    seen: bool = True
    """Whether anybody looked at the platform in it."""


@dataclass(frozen=True, slots=True)
class Course:
    """Figures, and the steps that they are made of, oldest first and without holes."""

    figures: Figures
    points: tuple[Point, ...]
    step: int
    """Seconds."""


STEPS = (10, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)


def step_for(seconds: float, most: int) -> int:
    """The shortest step with which a span takes at most `most` of them."""
    for step in STEPS:
        if seconds / step <= most:
            return step
    return -int(-seconds // most // 86400) * 86400
