"""A clock that is set, and a laptop that slept, make nothing wait for ever and nothing look stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from peft_tui.domain.operation import AWAIT_ACTIVE, AWAIT_STOPPED, OperationState
from peft_tui.domain.status import Status
from tests.doubles import PATIENCE_SECONDS
from tests.life import Life, SandboxClock, at_platform, life


class Wrong:
    """The world's time on a wall clock that somebody sets; what passes is not touched by that."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self.off = timedelta()

    def now(self) -> datetime:
        return self._clock.now() + self.off

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


@pytest.fixture
async def lived(tmp_path: Path) -> AsyncIterator[Life]:
    async with life(tmp_path, "replicate") as begun:
        yield begun


async def at_step(lived: Life, deployment_id: str, key: str) -> bool:
    step = (await lived.backend.store.operations.of_deployment(deployment_id))[0].current
    return step is not None and step.key == key and step.started_at is not None


async def deployed(lived: Life) -> str:
    made = await lived.intend(at_platform("acme/llm-support"), instance_type="gpu-l40s", min_instances=1)
    assert (await lived.run(made)).state is OperationState.DONE
    return made.id


@pytest.mark.parametrize("hours", [-30, 30], ids=["back", "ahead"])
async def test_a_clock_that_is_set_while_a_stop_is_awaited(lived: Life, hours: int) -> None:
    clock = Wrong(SandboxClock(lived.sandbox))
    identity = await deployed(lived)
    lived.clock = clock  # type: ignore[assignment]
    lived._begin()
    await lived.backend.life.stop(identity)
    await until_step(lived, identity, AWAIT_STOPPED)
    clock.off = timedelta(hours=hours)
    row = await lived.backend.store.deployments.get(identity)
    assert row is not None
    assert (await lived.run(row)).state is OperationState.DONE
    assert [r["billing"] for r in await lived.resources()] == [False]
    await lived.refresh.tick()
    row = await lived.backend.store.deployments.get(identity)
    assert row is not None and row.status is Status.STOPPED


async def test_a_laptop_that_slept_a_night_in_a_create_goes_on_and_makes_nothing_twice(lived: Life) -> None:
    made = await lived.intend(at_platform("acme/llm-support"), instance_type="gpu-l40s", min_instances=1)
    await until_step(lived, made.id, AWAIT_ACTIVE)
    lived.sandbox.clock.advance(9 * 3600)
    assert (await lived.run(made)).state is OperationState.DONE
    assert len(await lived.resources()) == 1


async def test_what_was_seen_before_a_sleep_does_not_end_a_stop(lived: Life) -> None:
    """The list of yesterday evening says nothing about a stop of this morning."""
    identity = await deployed(lived)
    await lived.backend.life.stop(identity)
    await until_step(lived, identity, AWAIT_STOPPED)
    lived.sandbox.clock.advance(9 * 3600)
    operation = (await lived.backend.store.operations.of_deployment(identity))[0]
    assert not operation.state.ended, "nobody has looked since"
    row = await lived.backend.store.deployments.get(identity)
    assert row is not None and row.status is not Status.STOPPED
    assert (await lived.run(row)).state is OperationState.DONE


async def until_step(lived: Life, deployment_id: str, key: str) -> None:
    """Work, without a look at the platform, until the newest operation has come to `key`; then drop it."""
    running = asyncio.create_task(lived.runner.run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await at_step(lived, deployment_id, key):
                await asyncio.sleep(0.005)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        lived._begin()
