"""Requests become cells, once each, however and whenever they come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.goodput import TARGETS
from peft_tui.domain.measure import Outcome
from peft_tui.domain.money import Provenance
from peft_tui.domain.request import Exchange
from peft_tui.domain.tally import Tally
from peft_tui.services.figures import EXACT, SPANS, FiguresService
from peft_tui.services.lookups import Lookups
from peft_tui.store import Store
from peft_tui.store.folding import LEVELS
from tests.figures.loads import exchange, failed, load, record
from tests.seeds import NOON, FrozenClock, made, put

DAY = timedelta(days=1)


def service(store: Store, clock: FrozenClock | None = None) -> FiguresService:
    return FiguresService(store, clock or FrozenClock(), Lookups(store))


async def bot(store: Store, name: str = "bot", **more: float) -> Deployment:
    return await put(store, made(name, **more))


def percentile(exchanges: Iterable[Exchange], q: float) -> float:
    values = [e.measured.total_s for e in exchanges if e.outcome is Outcome.OK and not e.measured.cold]
    return float(np.quantile(np.array(values), q, method="inverted_cdf"))


async def test_every_level_holds_every_request_once(store: Store) -> None:
    deployment = await bot(store)
    sent = load(deployment.id, 500, hours=30, failing=0.1, cold=0.05)
    await record(store, sent)
    assert await store.figures.fold() == 500
    assert await store.figures.fold() == 0
    for seconds in LEVELS:
        whole = Tally()
        for _, _, tally in await store.figures.cells([deployment.id], seconds, NOON - 60 * DAY, NOON):
            whole.merge(tally)
        if not seconds:
            whole = (await store.figures.totals([deployment.id]))[deployment.id]
        assert whole.total == 500
        assert whole.failed == sum(e.outcome is Outcome.FAILED for e in sent) == sum(whole.errors.values())
        assert whole.cold == sum(bool(e.measured.cold) for e in sent)
        assert whole.tokens_out == sum(e.measured.tokens_out or 0 for e in sent)
        assert whole.latency.value_at(0.95) == pytest.approx(percentile(sent, 0.95), rel=0.01)


async def test_goodput_is_the_same_from_rows_and_from_roll_ups(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = await bot(store)
    await record(store, load(deployment.id, 600, hours=0.9, failing=0.1, cold=0.02))
    figures = service(store)
    window = await figures.window(deployment, SPANS["1h"], 60)
    exact = (await figures.course(deployment, window)).figures
    monkeypatch.setattr("peft_tui.services.figures.EXACT", 10)
    folded = (await figures.course(deployment, window)).figures
    assert exact.exact and not folded.exact
    assert exact.tally.judged == folded.tally.judged == exact.tally.succeeded + exact.tally.failed
    assert exact.tally.good == folded.tally.good
    for target in TARGETS:
        assert exact.goodput(target) == folded.goodput(target)
    assert 0 < (exact.goodput(TARGETS[0]) or 0) < (exact.goodput(TARGETS[2]) or 0) < 1


async def test_a_row_that_comes_late_is_added_to_its_own_minute(store: Store) -> None:
    deployment = await bot(store)
    await record(store, [exchange(deployment.id, NOON - timedelta(minutes=5))])
    await store.figures.fold()
    await record(
        store, [exchange(deployment.id, NOON - timedelta(minutes=5), 0.8), exchange(deployment.id, NOON)]
    )
    await store.figures.fold()
    cells = await store.figures.cells([deployment.id], 60, NOON - DAY, NOON + DAY)
    assert [(at, tally.total) for _, at, tally in cells] == [(NOON - timedelta(minutes=5), 2), (NOON, 1)]
    assert cells[0][2].latency.highest == 0.8


async def test_two_processes_fold_the_same_rows_once(memory: Path) -> None:
    first, second = await Store.open(memory), await Store.open(memory)
    try:
        deployment = await bot(first)
        await record(first, load(deployment.id, 5000, hours=3, failing=0))
        await asyncio.gather(first.figures.fold(), second.figures.fold(), first.figures.fold())
        assert (await second.figures.totals([deployment.id]))[deployment.id].total == 5000
    finally:
        await first.close()
        await second.close()


async def test_seconds_at_work_are_counted_once_however_many_requests_share_them(store: Store) -> None:
    deployment = await bot(store)
    at = NOON - timedelta(minutes=5)
    for _ in range(3):
        await record(store, [exchange(deployment.id, at, 10.0)])
        await store.figures.fold()
    tally = (await store.figures.totals([deployment.id]))[deployment.id]
    assert tally.occupied_s == 10
    assert tally.busy_s == pytest.approx(30)


async def test_of_a_cold_start_only_what_came_after_the_boot_is_work(store: Store) -> None:
    deployment = await bot(store)
    await record(
        store, [exchange(deployment.id, NOON - timedelta(minutes=5), 62.0, first_text_s=60.0, cold=True)]
    )
    await store.figures.fold()
    tally = (await store.figures.totals([deployment.id]))[deployment.id]
    assert (tally.busy_s, tally.occupied_s) == (2.0, 2)
    assert tally.latency.count == 0 and tally.cold_latency.count == 1


@pytest.mark.parametrize("name", SPANS)
async def test_every_range_says_the_same_as_its_rows(store: Store, name: str) -> None:
    deployment = await bot(store, minutes_ago=9 * 24 * 60)
    sent = load(deployment.id, 1500, hours=8 * 24, end=NOON)
    await record(store, sent)
    figures = service(store)
    window = await figures.window(deployment, SPANS[name], 100)
    course = await figures.course(deployment, window)
    inside = [e for e in sent if window.begin <= e.at < window.end]
    assert course.figures.tally.total == len(inside) > 0
    assert sum(point.tally.total for point in course.points) == len(inside)
    assert len(course.points) <= 101
    assert course.points[0].at == window.begin
    span = SPANS[name]
    assert span is None or (NOON - window.begin).total_seconds() >= span


async def test_many_requests_are_read_from_roll_ups_and_say_the_same_to_one_percent(store: Store) -> None:
    deployment = await bot(store, minutes_ago=26 * 60)
    sent = load(deployment.id, EXACT + 500, hours=24)
    await record(store, sent)
    figures = service(store)
    course = await figures.course(deployment, await figures.window(deployment, SPANS["24h"], 150))
    assert not course.figures.exact
    assert course.figures.tally.total == len(sent)
    for q in (0.5, 0.95, 0.99):
        assert course.figures.tally.latency.value_at(q) == pytest.approx(percentile(sent, q), rel=0.01)


async def test_a_short_range_with_many_requests_has_steps_of_a_minute(store: Store) -> None:
    deployment = await bot(store)
    sent = load(deployment.id, EXACT + 100, hours=0.2)
    await record(store, sent)
    figures = service(store)
    course = await figures.course(deployment, await figures.window(deployment, SPANS["15m"], 150))
    assert course.step == 60
    assert course.figures.tally.total == len(sent)


async def test_what_is_old_is_pruned_and_its_figures_stay(store: Store) -> None:
    deployment = await bot(store, minutes_ago=60 * 24 * 60)
    sent = load(deployment.id, 400, hours=50 * 24)
    await record(store, sent)
    await store.figures.prune(NOON, keep_days=10)
    figures = service(store)
    kept = await store.figures.samples(deployment.id, NOON - 9 * DAY, NOON, 1000)
    assert kept is not None and len(kept) == sum(e.at >= NOON - 9 * DAY for e in sent)
    assert await store.figures.samples(deployment.id, NOON - 50 * DAY, NOON, 1000) is None
    course = await figures.course(deployment, await figures.window(deployment, None, 100))
    assert course.figures.tally.total == 400
    # Looked at closely, it has no finer steps than what was kept.
    month_ago = await figures.window(deployment, 3600.0, 100, NOON - 30 * DAY)
    course = await figures.course(deployment, month_ago)
    assert course.step == 600
    await store.figures.prune(NOON, keep_days=10)
    assert (await figures.briefs([deployment]))[deployment.id].requests == 400


async def test_requests_a_minute_are_those_of_the_last_sixty_seconds(store: Store) -> None:
    deployment = await bot(store)
    clock = FrozenClock(NOON)
    await record(store, [exchange(deployment.id, NOON - timedelta(seconds=s)) for s in (1, 30, 59, 61, 300)])
    figures = service(store, clock)
    window = await figures.window(deployment, 900.0, 50)
    assert (await figures.course(deployment, window)).figures.per_minute == 3
    clock.turn(30)
    assert (await figures.course(deployment, window)).figures.per_minute == 2


async def test_what_the_platform_reports_is_never_mixed_with_what_was_measured(store: Store) -> None:
    deployment = await bot(store)
    await record(store, load(deployment.id, 20, failing=0))
    await store.figures.fold()
    assert await store.figures.totals([deployment.id], Provenance.REPORTED) == {}
    assert (await store.figures.totals([deployment.id]))[deployment.id].total == 20


async def test_briefs_are_of_all_time_and_unknown_stays_unknown(store: Store) -> None:
    asked, silent = await bot(store, "asked"), await bot(store, "silent")
    await record(
        store,
        [*load(asked.id, 3, failing=0), failed(asked.id, NOON - DAY),
         exchange(asked.id, NOON - DAY, outcome=Outcome.CANCELLED)],
    )  # fmt: skip
    briefs = await service(store).briefs([asked, silent])
    assert briefs[asked.id].requests == 5
    assert briefs[asked.id].success_rate == 0.75
    assert briefs[silent.id].requests == 0
    assert briefs[silent.id].success_rate is None
    assert briefs[silent.id].p50_s is None
    assert briefs[silent.id].cost_usd is None


async def test_the_overview_says_of_each_what_its_own_screen_says(store: Store) -> None:
    deployments = [await bot(store, f"bot-{n}", minutes_ago=30 * 60) for n in range(3)]
    for n, deployment in enumerate(deployments):
        await record(store, load(deployment.id, 50 * (n + 1), hours=20, seed=n))
    figures = service(store)
    courses = await figures.overview(deployments, SPANS["24h"], 24)
    for deployment, course in zip(deployments, courses, strict=True):
        alone = await figures.course(deployment, await figures.window(deployment, SPANS["24h"], 24))
        assert course.figures.tally.total == alone.figures.tally.total
        assert sum(point.tally.total for point in course.points) == alone.figures.tally.total
        assert course.figures.tally.latency.value_at(0.5) == pytest.approx(
            alone.figures.tally.latency.value_at(0.5)
        )


async def test_many_old_requests_are_counted_in_the_background_and_said_to_be(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peft_tui.services.figures.AT_ONCE", 10)
    monkeypatch.setattr("peft_tui.services.figures.EXACT", 10)
    deployment = await bot(store, minutes_ago=26 * 60)
    await record(store, load(deployment.id, 300, hours=24))
    figures = service(store)
    window = await figures.window(deployment, SPANS["24h"], 100)
    first = await figures.course(deployment, window)
    # What is shown at once says of itself what is missing.
    assert first.figures.uncounted == 300 and first.figures.tally.total < 300
    await figures.count_all()
    course = await figures.course(deployment, window)
    assert (course.figures.tally.total, course.figures.uncounted) == (300, 0)
    await figures.close()


async def test_old_requests_get_no_cells_that_are_too_fine_for_their_age(store: Store) -> None:
    deployment = await bot(store, minutes_ago=60 * 24 * 60)
    sent = load(deployment.id, 500, hours=50 * 24, failing=0.1, cold=0.05)
    await record(store, sent)
    await store.figures.fold(NOON)
    for seconds, days in ((60, 8), (600, 40), (3600, 400), (86400, 60)):
        cells = await store.figures.cells([deployment.id], seconds, NOON - 60 * DAY, NOON)
        assert sum(tally.total for _, _, tally in cells) == sum(e.at >= NOON - days * DAY for e in sent)
        if seconds == 86400:
            busy = sum(tally.occupied_s for _, _, tally in cells)
    total = (await store.figures.totals([deployment.id]))[deployment.id]
    assert (total.total, total.occupied_s) == (500, busy)


async def test_a_deployment_forgotten_while_its_requests_are_counted_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, forgotten = await bot(store, "kept"), await bot(store, "forgotten")
    await record(store, [*load(kept.id, 5, failing=0), *load(forgotten.id, 5, failing=0)])
    read = store.figures.folding._read

    async def forget(source: Provenance, wanted: str) -> object:
        async with store.database.transaction() as transaction:
            await transaction.connection.execute("DELETE FROM deployments WHERE id = ?", (forgotten.id,))
        return await read(source, wanted)

    monkeypatch.setattr(store.figures.folding, "_read", forget)
    await store.figures.fold()
    assert set(await store.figures.totals([kept.id, forgotten.id])) == {kept.id}
