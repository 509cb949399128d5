"""What costs money happens exactly once: every call of a create is disturbed in turn, the world counted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_tui.domain.adapter import AdapterSource
from peft_tui.domain.operation import OperationState
from peft_tui.domain.status import Status
from tests.life import Life, at_platform, directory, hub, life

Scene = tuple[str, Callable[[Path], AdapterSource], dict[str, Any]]
H100 = {"instance_type": "1xnvidia-h100-80gb"}
L40S = {"instance_type": "gpu-l40s"}
A10G = {"instance_type": "a10_24gb_100"}
SCENES: dict[str, Scene] = {
    "together, directory": ("together", directory, H100),
    "together, hub": ("together", lambda _: hub("acme/support-r16"), H100),
    "together, attached": ("together", directory, {**H100, "serving": "attach"}),
    "replicate, model": ("replicate", lambda _: at_platform("acme/llm-support"), L40S),
    "replicate, import": ("replicate", lambda _: hub("acme/llm-support-merged"), L40S),
    "predibase, directory": ("predibase", directory, A10G),
}
IDS = re.compile(r"(ep|ml|dep|upl|proj|dad)_[a-z0-9]+|[0-9a-f]{64}|/_objects/.*|bot-[0-9a-f]{8}")


def shape(calls: list[str]) -> list[str]:
    """The calls without the ids in them, so that two runs can be compared."""
    return [IDS.sub("*", call) for call in calls]


async def play(lived: Life, tmp_path: Path, scene: Scene) -> None:
    """Deploy, whatever happens, and check that it came out once and true."""
    _, source, settings = scene
    deployment = await lived.intend(source(tmp_path), **settings)
    operation = await lived.run(deployment)
    await check(lived, deployment.id, operation.state, dict(operation.error or {}))


async def check(lived: Life, deployment_id: str, state: OperationState, error: dict[str, Any]) -> None:
    assert state is OperationState.DONE, error
    await lived.refresh.tick()
    rows = await lived.backend.store.deployments.all()
    assert [row.id for row in rows] == [deployment_id], "one row, and no orphan beside it"
    assert rows[0].status is Status.ACTIVE
    resources = await lived.resources()
    deployments = [row for row in resources if not row["name"].startswith("training")]
    assert len(deployments) == 1, f"exactly one thing can bill: {resources}"
    assert rows[0].remote_name in deployments[0]["name"]
    assert len(resources) - len(deployments) <= 1, f"one import at the most: {resources}"


@pytest.mark.parametrize("name", SCENES)
async def test_a_create_ends_active_and_bills_once(name: str, tmp_path: Path) -> None:
    async with life(tmp_path, SCENES[name][0]) as lived:
        await play(lived, tmp_path, SCENES[name])


@pytest.mark.parametrize("action", ["reset_before", "reset_after", "status", "garbage"])
@pytest.mark.parametrize("name", SCENES)
async def test_one_fault_at_each_call_in_turn_changes_nothing_in_the_end(
    name: str, action: str, tmp_path: Path
) -> None:
    async with life(tmp_path / "clean", SCENES[name][0]) as lived:
        await play(lived, tmp_path / "clean", SCENES[name])
        wanted = shape(lived.sent())
    for index in range(len(wanted)):
        where = tmp_path / str(index)
        async with life(where, SCENES[name][0]) as lived:
            method = wanted[index].partition(" ")[0]
            nth = sum(call.startswith(method) for call in wanted[: index + 1])
            await lived.fault(match=f"{method} *", nth=nth, times=1, action=action, code=503)
            await play(lived, where, SCENES[name])


@pytest.mark.parametrize("name", SCENES)
async def test_dropped_after_any_call_it_goes_on_and_makes_nothing_twice(name: str, tmp_path: Path) -> None:
    async with life(tmp_path / "clean", SCENES[name][0]) as lived:
        await play(lived, tmp_path / "clean", SCENES[name])
        wanted = shape(lived.sent())
        # After each call that changes something, and after the one before it.
        log = [r for r in lived.sandbox.world.data.requests]
        cuts = sorted({n + d for n, r in enumerate(log) if r.method != "GET" for d in (0, 1)} - {0})
    creating = [
        call for call in wanted if re.search(r"POST .*(endpoints|deployments|models|trainings)$", call)
    ]
    for count in cuts:
        where = tmp_path / str(count)
        async with life(where, SCENES[name][0]) as lived:
            _, source, settings = SCENES[name]
            deployment = await lived.intend(source(where), **settings)
            await lived.run(deployment, until_requests=count)
            operation = await lived.run(deployment)
            await check(lived, deployment.id, operation.state, dict(operation.error or {}))
            again = shape(lived.sent())
            for call in set(creating):
                # A dry run may be repeated: it makes nothing.
                spare = 1 if "deployments" in call and "together" in name else 0
                assert again.count(call) <= creating.count(call) + spare, (count, call)
