"""The figures both faces show: of one deployment with its course, of all of them side by side, and briefly.

Up to some thousand requests they are those of the rows themselves; above, of the roll-ups.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from peft_tui.clock import Clock
from peft_tui.domain.billing import Bill, Ledger
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.metrics import Course, Figures, Point, Told, step_for
from peft_tui.domain.money import Price, Provenance
from peft_tui.domain.sample import Sample
from peft_tui.domain.tally import Tally
from peft_tui.services.lookups import Lookups, Question, Topic
from peft_tui.store import Store, StoreError
from peft_tui.store.folding import KEPT_DAYS, LEVELS

EXACT = 4000
"""So many requests are read one by one, and their percentiles are exact."""
AT_ONCE = 5000
"""So many requests are counted while one waits for the figures; more are counted in the background."""
SPANS: dict[str, float | None] = {
    "15m": 900.0,
    "1h": 3600.0,
    "24h": 86400.0,
    "7d": 7 * 86400.0,
    "all": None,
}
"""Seconds of each range that has a key; None reaches back to the first request."""
MINUTE = timedelta(seconds=60)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Window:
    """What is looked at."""

    begin: datetime
    end: datetime
    step: int
    """Seconds of one point of its course; `begin` is a multiple of it."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What the table of deployments shows of one: everything there ever was."""

    requests: int
    success_rate: float | None
    p50_s: float | None
    cost_usd: Decimal | None
    cost_is_complete: bool


class FiguresService:
    """Reads; the only writing is folding what is new into the roll-ups."""

    def __init__(self, store: Store, clock: Clock, lookups: Lookups) -> None:
        self._store = store
        self._clock = clock
        self._lookups = lookups
        self._counting: asyncio.Task[None] | None = None
        self.uncounted = 0
        """How many requests no figure but those of single requests has in it yet, when it was read last."""

    async def count_all(self) -> None:
        """Count whatever is not counted yet. For who needs all of it; a screen shows what there is."""
        await self._store.figures.fold(self._clock.now())

    async def close(self) -> None:
        """End the counting where it is; it goes on at the next start."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)

    async def _count(self) -> None:
        """Count what is new: now if that is little, else in the background."""
        self.uncounted = await self._store.figures.behind()
        if self.uncounted <= AT_ONCE:
            await self.count_all()
            self.uncounted = 0
        elif self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._count_on())

    async def _count_on(self) -> None:
        try:
            await self.count_all()
        except StoreError as error:
            log.warning("requests cannot be counted: %s", error)

    async def price(self, deployment: Deployment) -> Price | None:
        """What one instance of it costs an hour, by whom and since when; None before it was looked up."""
        seen = deployment.observation
        wanted = (seen.instance_type if seen else "") or deployment.spec.instance_type
        answer = await self._lookups.answer(Question(deployment.platform, Topic.INSTANCE_TYPES))
        offered = answer.value if answer else None
        return next((item.price for item in offered or () if wanted in (item.id, item.title)), None)

    def want_price(self, deployment: Deployment) -> None:
        self._lookups.want(Question(deployment.platform, Topic.INSTANCE_TYPES))

    async def window(
        self, deployment: Deployment, span: float | None, points: int, end: datetime | None = None
    ) -> Window:
        """The last `span` seconds before `end`, which is now when it is not given; None: all there is."""
        last = end or self._clock.now()
        if span is None:
            first = await self._store.figures.first(deployment.id)
            begun = min(first or deployment.created_at, deployment.created_at)
            span = max((last - begun).total_seconds(), 900.0)
        step = step_for(span, points)
        begin = (last.timestamp() - span) // step * step
        return Window(datetime.fromtimestamp(begin, UTC), last, step)

    async def course(self, deployment: Deployment, window: Window) -> Course:
        """Figures and their course; what was asked a moment ago is in it."""
        store, now = self._store, self._clock.now()
        await self._count()
        ledgers = await store.billing.ledgers([deployment.id], now)
        samples = await store.figures.samples(deployment.id, window.begin, window.end, EXACT)
        if samples is not None:
            tallies = await asyncio.to_thread(_grouped, samples, window.step)
        else:
            window = _stored(window, now)
            level = _level(window.step)
            cells = await store.figures.cells([deployment.id], level, window.begin, window.end)
            tallies = [(at, tally) for _, at, tally in cells]
        per_minute = await store.figures.sent_since(now - MINUTE, [deployment.id])
        ledger = ledgers.get(deployment.id)
        told = await self._told(deployment.id, window, ledger)
        health = (await store.platforms.all()).get(deployment.platform)
        ahead = health.ahead if health else None

        def work() -> Course:
            points = tuple(_points(window, tallies, ledger))
            whole = Tally()
            for point in points:
                whole.merge(point.tally)
            figures = self._figures(deployment, window.begin, window.end, whole, ledger)
            figures = replace(
                figures,
                per_minute=per_minute.get(deployment.id, 0),
                told=told,
                ahead=ahead,
                by_source=_by_source(samples or ()),
                exact=samples is not None,
                uncounted=self.uncounted if samples is None else 0,
            )
            return Course(figures, points, window.step)

        return await asyncio.to_thread(work)

    async def overview(
        self, deployments: Sequence[Deployment], span: float | None, points: int
    ) -> list[Course]:
        """Of each the figures over the same range; of its course only how many requests, all as successes."""
        store, now = self._store, self._clock.now()
        await self._count()
        ids = [deployment.id for deployment in deployments]
        ledgers = await store.billing.ledgers(ids, now)
        per_minute = await store.figures.sent_since(now - MINUTE, ids)
        begun = min((deployment.created_at for deployment in deployments), default=now)
        step = step_for(span or max((now - begun).total_seconds(), 900.0), points)
        step = max(step, 60)
        level = _level(step)
        begin = datetime.fromtimestamp(
            (now.timestamp() - (span or (now - begun).total_seconds())) // step * step, UTC
        )
        # Only what is shown is held: a tally for each step of fifty deployments is a hundred megabytes.
        tallies, counts = await store.figures.sums(ids, level, begin, now, whole=span is not None)
        if span is None:
            tallies = await store.figures.totals(ids)

        def work() -> list[Course]:
            window = Window(begin, now, step)
            courses = []
            for deployment in deployments:
                ledger = ledgers.get(deployment.id)
                figures = self._figures(deployment, begin, now, tallies.get(deployment.id, Tally()), ledger)
                figures = replace(
                    figures, per_minute=per_minute.get(deployment.id, 0), uncounted=self.uncounted
                )
                parts = [
                    (datetime.fromtimestamp(start, UTC), Tally(succeeded=count))
                    for start, count in counts.get(deployment.id, ())
                ]
                steps = _by_step(window, parts)
                points = tuple(Point(at, step, steps.get(at, Tally()), None) for at in _steps(window))
                courses.append(Course(figures, points, step))
            return courses

        return await asyncio.to_thread(work)

    async def briefs(self, deployments: Iterable[Deployment]) -> dict[str, Brief]:
        """By deployment; for the table and for `list`."""
        store, now = self._store, self._clock.now()
        await self._count()
        ids = [deployment.id for deployment in deployments]
        totals = await store.figures.totals(ids)
        ledgers = await store.billing.ledgers(ids, now)

        def work() -> dict[str, Brief]:
            return {id: _brief(totals.get(id), ledgers.get(id), now) for id in ids}

        return await asyncio.to_thread(work)

    async def _told(self, deployment_id: str, window: Window, ledger: Ledger | None) -> Told | None:
        store = self._store
        told = await store.reported.told(deployment_id, window.begin, window.end)
        if told is None:
            return None
        if told.billed is not None and ledger is not None:
            bill = ledger.bill(*told.billed)
            told = replace(told, estimate_usd=bill.usd if bill.known else None)
        cells = await store.figures.cells(
            [deployment_id], _level(window.step), window.begin, window.end, Provenance.REPORTED
        )
        if not cells:
            return told
        tally = Tally()
        for _, _, part in cells:
            tally.merge(part)
        return replace(told, tally=tally)

    def _figures(
        self, deployment: Deployment, begin: datetime, end: datetime, tally: Tally, ledger: Ledger | None
    ) -> Figures:
        return Figures(
            begin,
            end,
            tally,
            ledger.bill(begin, end) if ledger else Bill(),
            usd_per_hour=deployment.usd_per_hour if deployment.observation else None,
        )


def _brief(tally: Tally | None, ledger: Ledger | None, now: datetime) -> Brief:
    begin = datetime.fromtimestamp(0, UTC)
    figures = Figures(begin, now, tally or Tally(), ledger.bill(begin, now) if ledger else Bill())
    return Brief(
        figures.tally.total,
        figures.tally.success_rate,
        figures.tally.latency.value_at(0.5),
        figures.cost_usd,
        figures.cost_is_complete,
    )


def _stored(window: Window, now: datetime) -> Window:
    """The same with no finer steps than the roll-ups of that age have."""
    age = (now - window.begin).days
    step = max(window.step, next((seconds for seconds, days in KEPT_DAYS.items() if age < days), 86400))
    begin = window.begin.timestamp() // step * step
    return Window(datetime.fromtimestamp(begin, UTC), window.end, step)


def _level(step: int) -> int:
    """The coarsest cells that a step is made of."""
    return max((seconds for seconds in LEVELS if seconds and step % seconds == 0), default=60)


def _steps(window: Window) -> list[datetime]:
    length = timedelta(seconds=window.step)
    count = max(-int(-(window.end - window.begin) // length), 1)
    return [window.begin + length * number for number in range(count)]


def _by_step(window: Window, parts: Iterable[tuple[datetime, Tally]]) -> dict[datetime, Tally]:
    """The parts added up by the step that they fall into."""
    steps = _steps(window)
    found: dict[datetime, Tally] = {}
    for at, part in parts:
        place = bisect_right(steps, at) - 1
        if place >= 0:
            found.setdefault(steps[place], Tally()).merge(part)
    return found


def _grouped(samples: Sequence[Sample], step: int) -> list[tuple[datetime, Tally]]:
    groups: dict[float, tuple[Tally, set[int]]] = {}
    for sample in samples:
        begin = sample.at.timestamp()
        tally, seconds = groups.setdefault(begin // step * step, (Tally(), set()))
        tally.add(sample)
        if sample.latency_s and sample.busy_s > 0:
            end = begin + sample.latency_s
            seconds.update(range(int(end - sample.busy_s), int(-(-end // 1))))
    counted: set[int] = set()
    for _, (tally, seconds) in sorted(groups.items()):
        tally.occupied_s = len(seconds - counted)
        counted |= seconds
    return [(datetime.fromtimestamp(at, UTC), tally) for at, (tally, _) in sorted(groups.items())]


def _by_source(samples: Iterable[Sample]) -> dict[str, Tally]:
    found: dict[str, Tally] = {}
    for sample in samples:
        found.setdefault(sample.source, Tally()).add(sample)
    return dict(sorted(found.items()))


def _points(
    window: Window, tallies: Iterable[tuple[datetime, Tally]], ledger: Ledger | None
) -> Iterable[Point]:
    parts = _by_step(window, tallies)
    length = timedelta(seconds=window.step)
    for at in _steps(window):
        end = min(at + length, window.end)
        tally = parts.get(at, Tally())
        bill = ledger.bill(at, end) if ledger else Bill()
        known = bill.known and (bill.usd > 0 or bill.unknown_s < window.step / 2)
        usd = bill.usd + tally.cost_usd if known or tally.priced else None
        seen = ledger is None or bill.unwatched_s + bill.unknown_s < (end - at).total_seconds() / 2
        yield Point(at, window.step, tally, usd, seen)
