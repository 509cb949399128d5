"""What ends a wait, and what does not: only what was observed after the step began."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from peft_tui.domain.errors import PlatformFailed
from peft_tui.domain.operation import AWAIT_ACTIVE, AWAIT_GONE, AWAIT_STOPPED, OperationKind
from peft_tui.domain.status import Condition, Observation, Status, gone
from peft_tui.drivers.protocol import StepContext
from peft_tui.store import Store
from peft_tui.workers.refresh import Refresh
from peft_tui.workers.watching import AGAIN_SECONDS, LAG_SECONDS, AskAgain, Watch, ends_billing
from tests.doubles import (
    NOON,
    PLATFORM,
    ScriptedDriver,
    VirtualClock,
    deployment,
    finished,
    intend,
    remote,
    see,
    seen,
)


class Wait:
    """One watched step that began at noon, and a world that is seen as a test says."""

    def __init__(self, store: Store, clock: VirtualClock) -> None:
        self.store, self.clock = store, clock
        self.wanted = deployment()
        self.notes: list[str] = []
        self.task: asyncio.Task[Any]

    async def begin(self, key: str, patience: float = 300.0, **outputs: Any) -> None:
        asked = await intend(self.store, self.wanted)
        context = StepContext(
            self.wanted.spec, self.wanted.remote_name, outputs, NOON, self.clock,
            lambda done, total, note: self.notes.append(note),
        )  # fmt: skip
        operation = replace(asked, kind=OperationKind.STOP)
        watch = Watch(self.store, self.clock, operation, context, patience)
        self.task = asyncio.create_task(watch.until(key))

    async def sees(self, status: Status, after: float, **more: Any) -> bool:
        """Have it observed `after` seconds; whether that ended the wait."""
        await self.clock.advance(max(0.0, after - self.clock.monotonic()))
        await see(self.store, self.wanted.id, seen(status, NOON + timedelta(seconds=after), **more))
        return await self.over()

    async def listed(self, after: float) -> bool:
        """Have the platform's list read."""
        await self.clock.advance(max(0.0, after - self.clock.monotonic()))
        async with self.store.database.transaction() as transaction:
            await self.store.platforms.listed(transaction, PLATFORM, NOON + timedelta(seconds=after))
        return await self.over()

    async def over(self) -> bool:
        for _ in range(30):
            await self.store.database.one("SELECT 1")
            await asyncio.sleep(0)
        return self.task.done()


@pytest.fixture
async def wait(store: Store, clock: VirtualClock) -> Any:
    waiting = Wait(store, clock)
    yield waiting
    waiting.task.cancel()
    await asyncio.gather(waiting.task, return_exceptions=True)


class TestStopped:
    async def test_stopped_is_what_was_read_back_after_it_was_asked(self, wait: Wait) -> None:
        await wait.begin(AWAIT_STOPPED)
        await see(wait.store, wait.wanted.id, seen(Status.STOPPED, NOON - timedelta(seconds=1)))
        assert not await wait.over()
        assert not await wait.sees(Status.ACTIVE, 5)
        assert not await wait.sees(Status.ACTIVE, 10, condition=Condition.STOPPING)
        assert await wait.sees(Status.STOPPED, 15)

    async def test_what_still_has_instances_is_not_stopped(self, wait: Wait) -> None:
        await wait.begin(AWAIT_STOPPED)
        assert not await wait.sees(Status.STOPPED, 5, billed_instances=1)
        assert await wait.sees(Status.STOPPED, 10, billed_instances=0)

    async def test_what_has_failed_for_good_and_bills_nothing_is_stopped_enough(self, wait: Wait) -> None:
        await wait.begin(AWAIT_STOPPED)
        assert not await wait.sees(Status.FAILED, 5)
        assert await wait.sees(Status.FAILED, 10, billed_instances=0)

    async def test_what_the_platform_never_had_is_not_waited_for(self, wait: Wait) -> None:
        await wait.begin(AWAIT_STOPPED, absent=True)
        assert not await wait.over(), "one answer is not believed before a list says the same"
        assert await wait.listed(5)
        assert await finished(wait.task) == {}

    async def test_what_is_said_not_to_be_there_and_is_listed_is_stopped_again(self, wait: Wait) -> None:
        await wait.begin(AWAIT_STOPPED, absent=True)
        assert await wait.sees(Status.ACTIVE, 5)
        with pytest.raises(AskAgain) as again:
            await wait.task
        assert again.value.key == "stop"

    async def test_what_goes_on_as_if_nothing_had_been_asked_is_asked_again(self, wait: Wait) -> None:
        await wait.begin(AWAIT_STOPPED)
        assert not await wait.sees(Status.ACTIVE, AGAIN_SECONDS, max_instances=2)
        assert not await wait.sees(
            Status.ACTIVE, AGAIN_SECONDS + 5, max_instances=2, condition=Condition.STOPPING
        )
        assert await wait.sees(Status.ACTIVE, AGAIN_SECONDS + 10, max_instances=2)
        with pytest.raises(AskAgain):
            await wait.task

    async def test_a_long_wait_says_so(self, wait: Wait) -> None:
        await wait.begin(AWAIT_STOPPED, patience=60.0)
        await wait.sees(Status.ACTIVE, 5, condition=Condition.STOPPING)
        assert wait.notes[-1] == "still billing until the platform says stopped"
        await wait.sees(Status.ACTIVE, 65, condition=Condition.STOPPING)
        assert wait.notes[-1].startswith("This takes longer than 1m: the platform says ACTIVE. It bills")

    async def test_a_clock_that_was_set_back_does_not_make_it_wait_for_ever(self, wait: Wait) -> None:
        await wait.begin(AWAIT_STOPPED)
        await wait.over()
        wait.clock.begin -= timedelta(hours=1)
        before = NOON - timedelta(hours=1)
        await see(wait.store, wait.wanted.id, seen(Status.ACTIVE, before))
        await wait.over()
        await wait.clock.advance(5)
        await see(wait.store, wait.wanted.id, seen(Status.STOPPED, before + timedelta(seconds=5)))
        assert await wait.over()

    async def test_a_look_from_the_future_proves_nothing(self, wait: Wait) -> None:
        await wait.begin(AWAIT_STOPPED)
        await see(wait.store, wait.wanted.id, seen(Status.STOPPED, NOON + timedelta(days=1)))
        assert not await wait.over()


class TestActive:
    async def test_a_list_may_lag_behind_a_start(self, wait: Wait) -> None:
        await wait.begin(AWAIT_ACTIVE)
        await see(wait.store, wait.wanted.id, seen(Status.STOPPED, NOON - timedelta(seconds=60)))
        assert not await wait.sees(Status.STOPPED, 5)
        assert await wait.sees(Status.ACTIVE, 10)
        assert await finished(wait.task) == {}

    async def test_but_not_for_ever(self, wait: Wait) -> None:
        await wait.begin(AWAIT_ACTIVE)
        await see(wait.store, wait.wanted.id, seen(Status.STOPPED, NOON - timedelta(seconds=60)))
        assert await wait.sees(Status.STOPPED, LAG_SECONDS + 5)
        with pytest.raises(PlatformFailed, match="stopped, not active"):
            await wait.task

    async def test_what_is_gone_will_not_be_active(self, wait: Wait) -> None:
        await wait.begin(AWAIT_ACTIVE)
        await wait.clock.advance(5)
        await see(wait.store, wait.wanted.id, gone(NOON + timedelta(seconds=5), "deleted"))
        assert await wait.over()
        with pytest.raises(PlatformFailed):
            await wait.task


class TestGone:
    async def test_what_was_seen_is_gone_when_that_is_written_and_a_list_is_younger(self, wait: Wait) -> None:
        await wait.begin(AWAIT_GONE)
        assert not await wait.sees(Status.STOPPED, 5)
        await see(wait.store, wait.wanted.id, gone(NOON, "deleted"), listed=False)
        assert not await wait.over()
        assert await wait.listed(10)

    async def test_what_was_never_seen_is_gone_when_a_list_leaves_it_out(self, wait: Wait) -> None:
        await wait.begin(AWAIT_GONE)
        assert not await wait.listed(0)
        assert await wait.listed(5)


@pytest.mark.parametrize(
    ("observation", "ends"),
    [
        (Observation(Status.STOPPED, NOON), True),
        (Observation(Status.STOPPED, NOON, billed_instances=2), False),
        (Observation(Status.FAILED, NOON), False),
        (Observation(Status.FAILED, NOON, billed_instances=0), True),
        (Observation(Status.ACTIVE, NOON, billed_instances=0), False),
        (Observation(Status.STOPPED, NOON, condition=Condition.STOPPING), False),
    ],
)
def test_what_ends_the_billing(observation: Observation, ends: bool) -> None:
    assert ends_billing(observation) is ends


@pytest.mark.parametrize("key", [AWAIT_STOPPED, AWAIT_ACTIVE])
async def test_the_list_of_another_account_ends_no_wait(store: Store, clock: VirtualClock, key: str) -> None:
    """Last seen stopped, before it was asked; then its own account cannot be listed any more."""
    mine, other = ScriptedDriver(account="acme"), ScriptedDriver(account="other")
    bench = Wait(store, clock)
    nothing = {"billed_instances": 0, "usd_per_hour": Decimal(0)}
    mine.lists = deque([[remote(bench.wanted.remote_name, Status.STOPPED, NOON, **nothing)]])
    asked = await intend(store, bench.wanted)
    await Refresh(PLATFORM, mine, store, clock).tick()
    await clock.advance(5)
    context = StepContext(
        bench.wanted.spec, bench.wanted.remote_name, {}, clock.now(), clock, lambda *_: None
    )
    bench.task = asyncio.create_task(Watch(store, clock, asked, context, 300.0).until(key))
    others = Refresh(PLATFORM, other, store, clock, lambda account: nullcontext(False))
    for _ in range(16):
        await clock.advance(5)
        await others.tick()
        assert not await bench.over()
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)
