"""Every call that a verb makes at Modal is disturbed; and what a server does not know is not known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from modal._utils import grpc_utils

from peft_tui.adapters import read_directory
from peft_tui.domain.operation import OperationKind, OperationState
from peft_tui.domain.status import Condition, Status
from tests.life import directory, life
from tests.proof.bench import Bench, bench
from tests.proof.scenes import SCENES

AGAIN = 4
"""The SDK repeats a lost call three times by itself, with the same key: then it is our turn."""
FAULTS = ({"action": "status", "code": "UNAVAILABLE"}, {"action": "reset_after"})
KINDS = (OperationKind.STOP, OperationKind.UPDATE, OperationKind.DELETE)
OPTIONAL = (
    "TokenInfoGet",
    "EnvironmentGetBudget",
    "WorkspaceBillingRates",
    "TaskList",
    "TaskGetInfo",
    "FunctionGetSchedulingParams",
    "AppDeploymentHistory",
    "AppFetchLogs",
    "ServerGetTimeRangeStats",
    "WebhookTokenList",
)
"""What a deployment can do without."""


class _Hurried:
    """asyncio as the SDK sees it: between its own repetitions of a call nothing is waited for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.001))


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_utils, "asyncio", _Hurried())


@pytest.fixture
async def room() -> AsyncIterator[Bench]:
    async with bench(SCENES["modal"]) as room:
        yield room


async def named(room: Bench, kind: OperationKind) -> list[str]:
    """The calls of `kind`, each once."""
    async with room.case(kind) as case:
        operation = await case.work()
        assert operation.state is OperationState.DONE, operation.error
        log = case.lived.sandbox.world.data.requests[case.asked_for :]
        return list(dict.fromkeys(request.path for request in log if request.method == "RPC"))


@pytest.mark.parametrize("kind", KINDS)
async def test_each_call_fails_and_each_answer_is_lost(room: Bench, kind: OperationKind) -> None:
    wrong: list[str] = []
    names = await named(room, kind)
    assert len(names) > 4, names
    # Every third, begun elsewhere for each verb; `python -m tests.proof --scene modal` takes them all.
    for number, name in enumerate(names[KINDS.index(kind) :: 3]):
        fault = FAULTS[(number + KINDS.index(kind)) % 2]
        async with room.case(kind) as case:
            await case.lived.fault(match=f"RPC {name}", nth=1, times=AGAIN, **fault)
            operation = await case.work()
            said = f"{kind}, {name}, {fault['action']}"
            if operation.state is not OperationState.DONE:
                wrong.append(f"{said}: {operation.state}: {dict(operation.error or {}).get('message')}")
            wrong += [f"{said}: {it}" for it in await case.check()]
    assert wrong == []


async def test_what_the_server_does_not_know_is_not_known_and_nothing_fails(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        for name in OPTIONAL:
            await lived.fault(match=f"RPC {name}", times=None, action="status", code="UNIMPLEMENTED")
        source = directory(tmp_path)
        fit = await lived.driver.assess(source, read_directory(source.reference))
        assert not fit.blocked and fit.instance_types
        assert {machine.price for machine in fit.instance_types} == {None}, "no price is made up"
        deployment = await lived.intend(source, instance_type="L40S", hub_token="yes", min_instances=1)
        operation = await lived.run(deployment)
        assert operation.state is OperationState.DONE, operation.error
        await lived.refresh.tick()
        [row] = await lived.backend.store.deployments.all()
        assert row.observation is not None
        seen = row.observation
        assert (seen.status, seen.condition) == (Status.ACTIVE, Condition.ASSUMED)
        assert (seen.usd_per_hour, seen.ready_instances) == (None, None), "unknown, and not nothing"
        assert seen.billed_instances == 1, "the list of apps counts them"
        assert await lived.driver.logs(row.remote_id, 10) == ()
        assert await lived.driver.events(row.remote_id) == ()
        await lived.backend.life.stop(row.id)
        operation = await lived.run(row)
        assert operation.state is OperationState.DONE, operation.error
