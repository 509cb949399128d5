"""Two windows on one store, each with the key of another account at the same platform: both work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.operation import AWAIT_ACTIVE, Operation, OperationState
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers import capabilities
from peft_tui.sandbox import Sandbox
from peft_tui.sandbox.together.state import ACME_KEY, GLOBEX_KEY
from peft_tui.store.database import Changes
from peft_tui.workers.duty import Duty
from tests.doubles import NOON, until_true
from tests.life import LLAMA, SandboxClock, hub

ACME, GLOBEX = "proj_acme", "proj_globex"


@pytest.fixture
def passing() -> asyncio.Event:
    """Set while time passes for those who sleep."""
    event = asyncio.Event()
    event.set()
    return event


@pytest.fixture
async def window(
    sandbox: Sandbox, memory: Path, passing: asyncio.Event
) -> AsyncIterator[Callable[[str], Awaitable[Backend]]]:
    class Clock(SandboxClock):
        async def sleep(self, seconds: float) -> None:
            await passing.wait()
            await super().sleep(seconds)

    opened: list[Backend] = []

    async def open_one(key: str) -> Backend:
        environ = {"TOGETHER_BASE_URL": sandbox.env["TOGETHER_BASE_URL"], "TOGETHER_API_KEY": key}
        backend = await Backend.open(memory, environ, Clock(sandbox))
        opened.append(backend)
        return backend

    yield open_one
    for backend in opened:
        await backend.close()


async def deploy(backend: Backend, name: str, account: str) -> Deployment:
    chosen = {**capabilities("together").defaults(), "instance_type": "1xnvidia-h100-80gb"}
    spec = DeploymentSpec(name, "together", hub("acme/support-r16"), LLAMA, chosen)
    return await backend.deployments.deploy(spec, account)


async def newest(backend: Backend, made: Deployment) -> Operation:
    return (await backend.store.operations.of_deployment(made.id))[0]


async def test_each_carries_out_what_is_its_own(
    window: Callable[[str], Awaitable[Backend]], sandbox: Sandbox
) -> None:
    first, second = await window(ACME_KEY), await window(GLOBEX_KEY)
    await first.start()
    mine = await deploy(first, "mine", ACME)
    theirs = await deploy(second, "theirs", GLOBEX)
    await second.start()

    async def done() -> bool:
        await second.store.database.notice_others()
        return {(await newest(first, one)).state for one in (mine, theirs)} == {OperationState.DONE}

    await until_true(done)
    endpoints = [(e.project_id, e.name) for e in sandbox.world.together.endpoints.values()]
    assert sorted(endpoints) == [(ACME, mine.remote_name), (GLOBEX, theirs.remote_name)]
    await second.life.stop(theirs.id)

    async def stopped() -> bool:
        return (await newest(second, theirs)).state is OperationState.DONE

    await until_true(stopped)
    rows = {row.id: row for row in await first.store.deployments.all()}
    assert (rows[mine.id].account, rows[theirs.id].account) == (ACME, GLOBEX)


async def test_what_no_window_has_the_key_of_waits_and_says_so(
    window: Callable[[str], Awaitable[Backend]], sandbox: Sandbox
) -> None:
    only = await window(ACME_KEY)
    theirs = await deploy(only, "theirs", GLOBEX)
    await only.start()

    async def said() -> bool:
        step = (await newest(only, theirs)).current
        return step is not None and f"belongs to the account {GLOBEX}" in step.note

    await until_true(said)
    assert (await newest(only, theirs)).state is OperationState.QUEUED
    assert sandbox.world.together.endpoints == {}


@pytest.mark.parametrize("given_up", [False, True])
async def test_what_waits_for_another_account_is_said_once(
    window: Callable[[str], Awaitable[Backend]], sandbox: Sandbox, given_up: bool
) -> None:
    only = await window(ACME_KEY)
    theirs = await deploy(only, "theirs", GLOBEX)
    if given_up:
        operation = await newest(only, theirs)
        for step in operation.steps:
            if step.key != AWAIT_ACTIVE:
                await only.store.operations.step_done(operation, step, {}, NOON)
        await only.life.cancel(operation.id)
    told = 0

    def count(changes: Changes) -> None:
        nonlocal told
        told += theirs.id in changes.deployments

    only.store.database.listen(count)
    await only.start()

    async def looked() -> bool:
        return len([r for r in sandbox.world.data.requests if r.path.endswith("/endpoints")]) > 0

    await until_true(looked)
    for _ in range(200):
        await asyncio.sleep(0.001)
    assert told <= 3


def test_one_account_s_duty_is_not_another_s(tmp_path: Path) -> None:
    mine, again, theirs = Duty(tmp_path, "x", ACME), Duty(tmp_path, "x", ACME), Duty(tmp_path, "x", GLOBEX)
    assert mine.take() and theirs.take() and not again.take()
    for duty in (mine, theirs):
        duty.leave()


async def test_two_windows_do_not_rewrite_each_other_s_rows(
    window: Callable[[str], Awaitable[Backend]], sandbox: Sandbox, passing: asyncio.Event
) -> None:
    first, second = await window(ACME_KEY), await window(GLOBEX_KEY)
    await first.start()
    await second.start()
    mine, theirs = await deploy(first, "mine", ACME), await deploy(second, "theirs", GLOBEX)

    async def both_are_listed() -> bool:
        rows = {row.id: row for row in await first.store.deployments.all()}
        done = [(await newest(first, one)).state is OperationState.DONE for one in (mine, theirs)]
        return all(done) and all(rows[one.id].listed for one in (mine, theirs))

    await until_true(both_are_listed)
    # Else the hours go by while the loops turn, and what is idle is scaled down, which is news.
    passing.clear()

    async def look(backend: Backend, account: str) -> None:
        """One that begins now, until it is written down."""

        async def seen() -> str:
            row = await first.store.database.one("SELECT max(until) FROM watches WHERE account = ?", account)
            assert row is not None
            return str(row[0])

        now = datetime.fromtimestamp(sandbox.clock.advance(1.0), UTC).isoformat()
        backend.refresh_now()

        async def written() -> bool:
            return await seen() >= now

        await until_true(written)

    async def revisions() -> dict[str, int]:
        rows = await first.store.database.all("SELECT id, revision FROM deployments")
        return {row["id"]: row["revision"] for row in rows}

    await look(first, ACME)
    await look(second, GLOBEX)
    before = await revisions()
    for _ in range(3):
        await look(first, ACME)
        await look(second, GLOBEX)
    assert await revisions() == before
