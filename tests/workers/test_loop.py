"""One thing done again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from peft_tui.workers.loop import JITTER, Loop
from tests.doubles import VirtualClock, until

PERIOD = 5.0


class Work:
    """A tick that can be held open, and counts how many of it run at once."""

    def __init__(self) -> None:
        self.runs = 0
        self.at_once = 0
        self.most_at_once = 0
        self.open = asyncio.Event()
        self.open.set()
        self.errors: list[Exception] = []

    async def __call__(self) -> None:
        self.runs += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.open.wait()
            if self.errors:
                raise self.errors.pop(0)
        finally:
            self.at_once -= 1


@asynccontextmanager
async def running(loop: Loop) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(loop.run())
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_it_runs_at_once_and_then_each_period_from_the_end_of_the_last_run(clock: VirtualClock) -> None:
    work = Work()
    async with running(Loop(work, PERIOD, clock)):
        await clock.until_asleep()
        assert work.runs == 1
        await clock.advance(PERIOD * (1 - JITTER) - 0.01)
        assert work.runs == 1
        work.open.clear()
        await clock.advance(PERIOD * 2 * JITTER + 0.02)
        assert work.runs == 2
        await clock.advance(60)
        work.open.set()
        await clock.until_asleep()
        assert work.runs == 2


async def test_two_runs_are_never_under_way_at_once(clock: VirtualClock) -> None:
    work = Work()
    loop = Loop(work, PERIOD, clock)
    async with running(loop):
        for _ in range(5):
            work.open.clear()
            loop.wake()
            await clock.advance(30)
            loop.wake()
            work.open.set()
            await clock.advance(30)
    assert work.most_at_once == 1 and work.runs > 10


async def test_it_is_woken_before_its_time(clock: VirtualClock) -> None:
    work = Work()
    loop = Loop(work, PERIOD, clock)
    async with running(loop):
        await clock.until_asleep()
        loop.wake()
        await until(lambda: work.runs == 2)


async def test_woken_during_a_run_it_runs_once_more_at_once(clock: VirtualClock) -> None:
    work = Work()
    loop = Loop(work, PERIOD, clock)
    work.open.clear()
    async with running(loop):
        await until(lambda: work.runs == 1)
        loop.wake()
        loop.wake()
        work.open.set()
        await until(lambda: work.runs == 2)
        await clock.until_asleep()
        await clock.advance(1)
        assert work.runs == 2


async def test_it_survives_a_bug(clock: VirtualClock) -> None:
    work = Work()
    work.errors = [RuntimeError("a bug"), ValueError("another")]
    async with running(Loop(work, PERIOD, clock)) as task:
        await clock.until_asleep()
        await clock.advance(20)
        assert work.runs >= 3 and not task.done()


async def test_its_pauses_are_not_all_alike(clock: VirtualClock) -> None:
    async with running(Loop(Work(), PERIOD, clock)):
        await clock.until_asleep()
        await clock.advance(200)
    assert len(set(clock.slept)) > 10
    assert all(PERIOD * (1 - JITTER) <= pause <= PERIOD * (1 + JITTER) for pause in clock.slept)


async def test_cancelled_it_ends_wherever_it_is(clock: VirtualClock) -> None:
    for held in (False, True):
        work = Work()
        if held:
            work.open.clear()
        async with running(Loop(work, PERIOD, clock)) as task:
            await until(lambda work=work: work.runs == 1)  # type: ignore[misc]
        assert task.cancelled() and work.at_once == 0
    await until(lambda: clock.sleepers == 0)


async def test_the_clock_wakes_sleepers_in_order_and_lets_them_run_between(clock: VirtualClock) -> None:
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, *pauses: float) -> None:
        for pause in pauses:
            await clock.sleep(pause)
            seen.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("a", 1, 1, 1))
        group.create_task(sleeper("b", 1.5, 1))
        await clock.until_asleep(2)
        await clock.advance(2.5)
        assert seen == [("a", 1), ("b", 1.5), ("a", 2), ("b", 2.5)]
        assert clock.monotonic() == 2.5 and (clock.now() - clock.begin).total_seconds() == 2.5
        await clock.advance(1)
