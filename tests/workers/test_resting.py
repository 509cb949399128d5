"""While nobody looks the platforms are asked less often, and never less where something is under way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from peft_tui.backend import Backend
from peft_tui.domain.status import Condition, Status
from peft_tui.drivers.protocol import RemoteDeployment
from peft_tui.store import Store
from peft_tui.workers import crew
from peft_tui.workers.loop import JITTER, Loop
from tests.doubles import (
    AWAITED,
    PLATFORM,
    ScriptedDriver,
    VirtualClock,
    deployment,
    intend,
    remote,
    see,
    seen,
    until,
)
from tests.workers.test_loop import PERIOD, Work, running


async def test_a_turn_is_left_out_where_it_may_rest_and_not_when_it_is_woken(clock: VirtualClock) -> None:
    work = Work()

    async def rests(passed: float) -> bool:
        return passed < 30

    loop = Loop(work, PERIOD, clock, rests)
    async with running(loop):
        await clock.until_asleep()
        assert work.runs == 1, "the first one is not left out"
        await clock.advance(29)
        assert work.runs == 1
        await clock.advance(1 + PERIOD * (1 + JITTER))
        assert work.runs == 2
        loop.wake()
        await clock.advance(0.1)
        assert work.runs == 3


@pytest.mark.parametrize(
    ("status", "condition", "moves"),
    [
        (Status.PENDING, Condition.NONE, True),
        (Status.DEPLOYING, Condition.NONE, True),
        (Status.ACTIVE, Condition.SCALING, True),
        (Status.ACTIVE, Condition.STOPPING, True),
        (Status.ACTIVE, Condition.NONE, False),
        (Status.ACTIVE, Condition.ASLEEP, False),
        (Status.STOPPED, Condition.NONE, False),
        (Status.FAILED, Condition.NONE, False),
    ],
)
async def test_what_starts_scales_or_stops_is_on_its_way(
    store: Store, status: Status, condition: Condition, moves: bool
) -> None:
    made = deployment()
    async with store.database.transaction() as transaction:
        await store.deployments.insert(transaction, made)
    await see(store, made.id, seen(status, condition=condition))
    assert await store.deployments.any_moving(PLATFORM) is moves
    assert not await store.deployments.any_moving("another")


class Resting:
    """A backend on one scripted platform, and time that passes a turn of its refresh loop at a time."""

    def __init__(self, backend: Backend, driver: ScriptedDriver, clock: VirtualClock) -> None:
        self.backend = backend
        self.driver = driver
        self.clock = clock
        self.looks: list[float] = []
        """When the platform was asked for its list."""
        listing = driver.deployments

        async def noted() -> tuple[RemoteDeployment, ...]:
            self.looks.append(clock.monotonic())
            return await listing()

        driver.deployments = noted  # type: ignore[method-assign]

    def _wakes(self) -> list[float]:
        """When the refresh loop, which sleeps, wakes."""
        waiting = self.clock._waiting
        return [
            at
            for at, n, woken in waiting
            if not woken.done() and abs(self.clock.slept[n - 1] / PERIOD - 1) <= JITTER
        ]

    async def looked(self, times: int) -> None:
        """Wait for that many looks, and until the loop sleeps again."""
        await until(lambda: len(self.looks) >= times, f"{len(self.looks)} looks, not {times}")
        await until(lambda: bool(self._wakes()), "the loop does not sleep")

    async def pauses(self, turns: int) -> list[float]:
        """Seconds between the looks of so many turns, beginning with the last one before."""
        first = len(self.looks) - 1
        for _ in range(turns):
            await self.clock.advance(min(self._wakes()) - self.clock.monotonic())
            await until(lambda: bool(self._wakes()), "the loop does not sleep")
        return [later - at for at, later in pairwise(self.looks[first:])]


@pytest.fixture
async def resting(
    memory: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Resting]:
    driver = ScriptedDriver()
    driver.lists.append([remote("bot")])
    monkeypatch.setattr(crew, "PLATFORMS", (PLATFORM,))
    monkeypatch.setattr(crew, "open_driver", lambda *_: driver)
    backend = await Backend.open(memory, {}, clock)
    await backend.start()
    found = Resting(backend, driver, clock)
    await found.looked(1)
    yield found
    await backend.close()


async def test_at_rest_a_platform_is_asked_seldom_and_at_once_when_somebody_looks_again(
    resting: Resting,
) -> None:
    pauses = await resting.pauses(6)
    assert len(pauses) == 6 and max(pauses) < 6
    resting.backend.rest(True)
    pauses = await resting.pauses(20)
    assert len(pauses) >= 2 and 30 <= min(pauses) and max(pauses) < 36
    looks, now = len(resting.looks), resting.clock.monotonic()
    resting.backend.rest(False)
    await resting.looked(looks + 1)
    assert resting.looks[-1] == now
    assert len(await resting.pauses(3)) == 3


async def test_what_is_under_way_is_looked_at_as_ever(resting: Resting) -> None:
    resting.backend.rest(True)
    await intend(resting.backend.store, deployment("wanted"), AWAITED)
    assert len(await resting.pauses(4)) == 4


async def test_what_starts_at_the_platform_is_looked_at_as_ever(resting: Resting) -> None:
    resting.driver.lists[0] = [remote("bot", Status.DEPLOYING)]
    await resting.pauses(1)
    resting.backend.rest(True)
    assert len(await resting.pauses(4)) == 4


async def test_the_bill_of_a_rest_has_no_hole(resting: Resting) -> None:
    resting.backend.rest(True)
    await resting.pauses(16)
    resting.backend.rest(False)
    await resting.pauses(1)
    rows = await resting.backend.store.database.all("SELECT begin, until FROM watches")
    assert len(rows) == 1
    begin, end = (datetime.fromisoformat(at) for at in rows[0])
    assert end - begin > timedelta(seconds=60)
