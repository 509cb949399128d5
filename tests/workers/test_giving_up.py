"""A stop or a delete ends what is under way: what was sent is looked up, and nothing more of it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from peft_tui.domain.errors import Conflict, ResourceUnavailable
from peft_tui.domain.offers import PlannedStep, planned
from peft_tui.domain.operation import (
    AWAIT_STOPPED,
    Operation,
    OperationKind,
    OperationState,
    StepState,
)
from peft_tui.domain.status import Condition, Status
from peft_tui.drivers.protocol import StepContext
from peft_tui.store import Store
from peft_tui.workers.operations import OperationRunner
from tests.doubles import (
    NOON,
    PATIENCE_SECONDS,
    PLATFORM,
    Lost,
    ScriptedDriver,
    VirtualClock,
    broken,
    capabilities,
    deployment,
    intend,
    see,
    seen,
)

STOP = (PlannedStep("stop", "stop it"), PlannedStep(AWAIT_STOPPED, "wait until it is"))
DELETE = (PlannedStep("stop", "stop it"), PlannedStep("delete", "delete it"))
KIND = {OperationKind.STOP: STOP, OperationKind.DELETE: DELETE}


class Bench:
    """A create that is given up for a stop."""

    def __init__(self, store: Store, clock: VirtualClock) -> None:
        self.store, self.clock = store, clock
        self.driver = ScriptedDriver(repeatable=["check", "stop", "delete"])
        self.driver.capabilities = capabilities(
            verbs={kind: lambda spec, changes, plan=plan: plan for kind, plan in KIND.items()}
        )
        self.wanted = deployment()
        self.create: Operation
        self.stop: Operation

    async def asked(self, kind: OperationKind = OperationKind.STOP) -> None:
        """The intent of a stop, with the create given up for it."""
        steps = planned(KIND[kind])
        self.stop = Operation("the-stop", self.wanted.id, kind, OperationState.QUEUED, NOON, NOON, steps)
        async with self.store.database.transaction() as transaction:
            await self.store.operations.give_up(transaction, self.create)
            await self.store.operations.insert(transaction, self.stop)

    async def read(self, one: Operation) -> Operation:
        found = await self.store.operations.get(one.id)
        assert found is not None
        return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        runner = asyncio.create_task(OperationRunner(PLATFORM, self.driver, self.store, self.clock).run())
        try:
            yield
        finally:
            runner.cancel()
            await asyncio.gather(runner, return_exceptions=True)

    async def until_ended(self, one: Operation) -> Operation:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (found := await self.read(one)).state.ended:
                await asyncio.sleep(0)
        return found

    def sent(self) -> list[str]:
        return [call for call in self.driver.calls if call.startswith(("act", "find"))]


@pytest.fixture
async def bench(store: Store) -> Bench:
    made = Bench(store, VirtualClock(leaps=True))
    made.create = await intend(store, made.wanted)
    return made


async def begun(bench: Bench, sent: str | None = None) -> None:
    """The create as it stands when `sent` is not answered, or just begun."""
    journal = bench.store.operations
    for step in bench.create.steps:
        if step.key == sent:
            await journal.step_sent(bench.create, step, NOON)
            return
        await journal.step_done(bench.create, step, {f"{step.key}_id": step.key}, NOON)
        if sent is None:
            return


async def test_what_was_sent_and_not_answered_is_looked_up_and_then_stopped(bench: Bench) -> None:
    await begun(bench, "machine")
    bench.driver.world[("machine", bench.wanted.remote_name)] = 1
    outputs = bench.driver.outputs
    bench.driver.outputs = lambda step, context: {**outputs(step, context), "remote_id": "id-1"}  # type: ignore[method-assign]
    await bench.asked()
    async with bench.running():
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await bench.read(bench.stop)).steps[0].state is not StepState.DONE:
                await asyncio.sleep(0)
        assert bench.sent() == ["find machine", "act stop"]
        create = await bench.read(bench.create)
        assert create.state is OperationState.CANCELLED and create.steps[2].state is StepState.DONE
        row = await bench.store.deployments.get(bench.wanted.id)
        assert row is not None and row.remote_id == "id-1"
        await see(
            bench.store, bench.wanted.id, seen(Status.STOPPED, bench.clock.now() - timedelta(seconds=9))
        )
        assert not (await bench.read(bench.stop)).state.ended, "an older look proves nothing"
        bench.clock._elapsed += 60
        await see(bench.store, bench.wanted.id, seen(Status.STOPPED, bench.clock.now()))
        assert (await bench.until_ended(bench.stop)).state is OperationState.DONE


async def test_where_nothing_was_made_that_can_be_stopped_the_rest_is_cleaned_up(bench: Bench) -> None:
    await begun(bench, "machine")
    await bench.asked()
    async with bench.running():
        ended = await bench.until_ended(bench.stop)
    assert (ended.kind, ended.state) == (OperationKind.DELETE, OperationState.DONE)
    assert bench.sent() == ["find machine"] * 3 + ["act stop", "act delete"]
    row = await bench.store.deployments.get(bench.wanted.id)
    assert row is not None and row.condition is Condition.GONE
    assert await bench.store.deployments.all() == []


async def test_a_look_that_fails_is_repeated_before_anything_is_stopped(bench: Bench) -> None:
    await begun(bench, "machine")
    bench.driver.will_look("machine", broken())
    await bench.asked()
    async with bench.running():
        await bench.until_ended(bench.stop)
    assert bench.sent()[:2] == ["find machine", "find machine"]
    assert (await bench.read(bench.create)).state is OperationState.CANCELLED


async def test_a_request_that_is_out_is_awaited_and_nothing_follows_it(bench: Bench) -> None:
    out, answer = asyncio.Event(), asyncio.Event()

    async def held(context: StepContext) -> None:
        out.set()
        await answer.wait()

    bench.driver.will("machine", held)
    async with bench.running():
        await asyncio.wait_for(out.wait(), PATIENCE_SECONDS)
        await bench.asked(OperationKind.DELETE)
        for _ in range(50):
            await bench.store.database.one("SELECT 1")
        assert (await bench.read(bench.create)).state is OperationState.RUNNING
        answer.set()
        await bench.until_ended(bench.stop)
    assert bench.driver.made("machine") == 1 and bench.driver.made("traffic") == 0
    assert "act traffic" not in bench.driver.calls


async def test_a_pause_between_two_tries_is_broken_off(store: Store, clock: VirtualClock) -> None:
    bench = Bench(store, clock)
    bench.create = await intend(store, bench.wanted)
    bench.driver.will("model", ResourceUnavailable("Later.", transient=True, retry_after=3600.0))
    async with bench.running():
        await clock.until_asleep()
        await bench.asked(OperationKind.DELETE)
        await bench.until_ended(bench.create)
        assert (await bench.until_ended(bench.stop)).state is OperationState.DONE
    assert clock.now() == NOON, "nobody waited"


async def test_a_stop_waits_seconds_however_long_the_platform_asks_us_to_stay_away(bench: Bench) -> None:
    await begun(bench)
    bench.driver.will("stop", ResourceUnavailable("Later.", transient=True, retry_after=86_400.0))
    await bench.asked(OperationKind.DELETE)
    async with bench.running():
        await bench.until_ended(bench.stop)
    assert max(bench.clock.slept) <= 15


async def test_of_one_deployment_one_operation_is_carried_out_at_a_time(bench: Bench) -> None:
    out, answer = asyncio.Event(), asyncio.Event()

    async def held(context: StepContext) -> None:
        out.set()
        await answer.wait()

    bench.driver.will("machine", held)
    after = Operation(
        "after", bench.wanted.id, OperationKind.UPDATE, OperationState.QUEUED, NOON, NOON,
        planned((PlannedStep("update", "change it"),)), None, {"colour": "red"},
    )  # fmt: skip
    async with bench.store.database.transaction() as transaction:
        await bench.store.operations.insert(transaction, after)
    async with bench.running():
        await asyncio.wait_for(out.wait(), PATIENCE_SECONDS)
        for _ in range(50):
            await bench.store.database.one("SELECT 1")
        row = await bench.store.deployments.get(bench.wanted.id)
        assert "act update" not in bench.driver.calls
        assert row is not None and "colour" not in row.spec.settings, "it is so when it is done"
        answer.set()
        await bench.until_ended(after)
    row = await bench.store.deployments.get(bench.wanted.id)
    assert row is not None and row.spec.settings["colour"] == "red"
    assert bench.driver.calls.index("act update") > bench.driver.calls.index("act traffic")


async def test_a_platform_that_denies_what_it_then_lists_is_asked_again(bench: Bench) -> None:
    await begun(bench)
    outputs = bench.driver.outputs
    bench.driver.outputs = lambda step, context: (  # type: ignore[method-assign]
        {"absent": True} if bench.driver.calls.count("act stop") == 1 else outputs(step, context)
    )
    await bench.asked(OperationKind.STOP)
    await see(bench.store, bench.wanted.id, seen(Status.ACTIVE, NOON), remote_id="id-1")
    async with bench.running():
        async with asyncio.timeout(PATIENCE_SECONDS):
            while bench.driver.calls.count("act stop") < 2:
                bench.clock._elapsed += 5
                await see(bench.store, bench.wanted.id, seen(Status.ACTIVE, bench.clock.now()))
            while not (await bench.read(bench.stop)).state.ended:
                bench.clock._elapsed += 5
                await see(bench.store, bench.wanted.id, seen(Status.STOPPED, bench.clock.now()))
    assert bench.driver.calls.count("act stop") == 2


async def test_a_lost_answer_of_a_stop_is_asked_for_again(bench: Bench) -> None:
    await begun(bench)
    bench.driver.will("stop", Lost(), broken())
    await bench.asked(OperationKind.DELETE)
    async with bench.running():
        ended = await bench.until_ended(bench.stop)
    assert ended.state is OperationState.DONE and bench.driver.calls.count("act stop") == 3


async def test_a_refused_delete_says_what_may_bill(bench: Bench) -> None:
    await begun(bench)
    bench.driver.will("delete", Conflict("Somebody else is at it."))
    await bench.asked(OperationKind.DELETE)
    async with bench.running():
        ended = await bench.until_ended(bench.stop)
    assert ended.state is OperationState.FAILED and "may bill" in (ended.error or {})["hint"]


async def test_what_a_stop_writes_down_is_finished_before_the_delete(bench: Bench) -> None:
    out, answer = asyncio.Event(), asyncio.Event()

    async def held(context: StepContext) -> None:
        out.set()
        await answer.wait()

    bench.driver.will("check", held)
    await bench.store.operations.set_state(bench.create, OperationState.DONE, NOON)
    noting = planned((PlannedStep("check", "note it down"), *STOP))
    stop = Operation("noting", bench.wanted.id, OperationKind.STOP, OperationState.QUEUED, NOON, NOON, noting)
    bench.stop = replace(stop, id="delete", kind=OperationKind.DELETE, steps=planned(DELETE))
    async with bench.store.database.transaction() as transaction:
        await bench.store.operations.insert(transaction, stop)
    async with bench.running():
        await asyncio.wait_for(out.wait(), PATIENCE_SECONDS)
        async with bench.store.database.transaction() as transaction:
            await bench.store.operations.give_up(transaction, stop, "for the delete")
            await bench.store.operations.insert(transaction, bench.stop)
        for _ in range(50):
            await bench.store.database.one("SELECT 1")
        assert (await bench.read(stop)).state is OperationState.RUNNING
        answer.set()
        await bench.until_ended(bench.stop)
    assert (await bench.read(stop)).steps[0].state is StepState.DONE
    assert bench.sent() == ["act check", "act stop", "act delete"]


async def test_a_stop_that_is_never_read_back_gives_way_to_the_delete(bench: Bench) -> None:
    await begun(bench)
    await bench.asked()
    waiting = bench.stop
    await see(bench.store, bench.wanted.id, seen(Status.ACTIVE, NOON), remote_id="id-1")
    async with bench.running():
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await bench.read(waiting)).steps[1].state is not StepState.SENT:
                await asyncio.sleep(0)
        steps = planned(DELETE)
        delete = Operation(
            "delete", bench.wanted.id, OperationKind.DELETE, OperationState.QUEUED, NOON, NOON, steps
        )
        async with bench.store.database.transaction() as transaction:
            await bench.store.operations.give_up(transaction, waiting, "for the delete")
            await bench.store.operations.insert(transaction, delete)
        assert (await bench.until_ended(delete)).state is OperationState.DONE
    ended = await bench.read(waiting)
    assert ended.state is OperationState.CANCELLED and ended.steps[1].note == "for the delete"
    assert bench.driver.calls.count("act stop") == 2, "the delete stops it itself"
    lines = await bench.store.deployments.history(bench.wanted.id)
    assert all(line.status is not Status.STOPPED or line.condition is Condition.GONE for line in lines)
