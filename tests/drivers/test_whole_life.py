"""A deployment's whole life against the sandbox: every verb, and the end of it at any point of a create."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_tui.cli.following import saying
from peft_tui.domain.adapter import AdapterSource
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import Conflict
from peft_tui.domain.operation import Operation, OperationKind, OperationState
from peft_tui.domain.status import Condition, Status
from tests.life import Life, at_platform, directory, hub, life

Scene = tuple[str, Callable[[Path], AdapterSource], dict[str, Any]]
SCENES: dict[str, Scene] = {
    "together, directory": ("together", directory, {"instance_type": "1xnvidia-h100-80gb"}),
    "together, hub": ("together", lambda _: hub("acme/support-r16"), {"instance_type": "1xnvidia-h100-80gb"}),
    "replicate, model": (
        "replicate",
        lambda _: at_platform("acme/llm-support"),
        {"instance_type": "gpu-l40s", "min_instances": 1},
    ),
    "replicate, import": (
        "replicate",
        lambda _: hub("acme/llm-support-merged"),
        {"instance_type": "gpu-l40s", "min_instances": 1},
    ),
    "predibase, directory": ("predibase", directory, {"instance_type": "a10_24gb_100", "min_instances": 1}),
}
SCENES["modal, directory"] = (
    "modal",
    directory,
    {"instance_type": "L40S", "hub_token": "yes", "min_instances": 1},
)
WHOLE = ("together, directory", "replicate, model", "modal, directory", "predibase, directory")
GIVEN_UP = [scene for scene in SCENES if not scene.startswith("modal")]
"""A create at Modal is sixty calls: `test_modal_disturbed.py` cuts it at some of them."""


async def intended(lived: Life, tmp_path: Path, scene: str) -> Deployment:
    _, source, settings = SCENES[scene]
    return await lived.intend(source(tmp_path), **settings)


async def read(lived: Life, deployment: Deployment) -> Deployment:
    found = await lived.backend.store.deployments.get(deployment.id)
    assert found is not None
    return found


async def done(lived: Life, deployment: Deployment) -> Operation:
    operation = await lived.run(deployment)
    assert operation.state is OperationState.DONE, operation.error
    return operation


async def bills(lived: Life) -> int:
    return sum(row["billing"] for row in await lived.resources())


@pytest.mark.parametrize("scene", WHOLE)
async def test_it_is_stopped_started_updated_and_deleted(scene: str, tmp_path: Path) -> None:
    async with life(tmp_path, SCENES[scene][0]) as lived:
        made = await intended(lived, tmp_path, scene)
        verbs = lived.backend.life
        await done(lived, made)
        assert await bills(lived) == 1

        await verbs.stop(made.id)
        await done(lived, made)
        row = await read(lived, made)
        assert (row.status, row.bounds_to_start) == (Status.STOPPED, (1, 1))
        assert await bills(lived) == 0

        # The bounds of what is stopped are those of its next start: nothing is sent for them.
        sent = len(lived.sent())
        await verbs.update(made.id, {"min_instances": "2", "max_instances": "3", "description": "two"})
        await done(lived, made)
        row = await read(lived, made)
        assert (row.bounds_to_start, row.spec.text("description")) == ((2, 3), "two")
        assert len(lived.sent()) == sent and await bills(lived) == 0

        await verbs.start(made.id)
        await done(lived, made)
        row = await read(lived, made)
        assert row.observation is not None and row.status is Status.ACTIVE
        assert (row.observation.min_instances, row.observation.max_instances) == (2, 3)

        await verbs.update(made.id, {"max_instances": "4"})
        await done(lived, made)
        await lived.refresh.tick()
        row = await read(lived, made)
        assert row.observation is not None and row.observation.max_instances == 4
        assert (row.spec.max_instances, row.spec.text("description")) == (4, "two")

        await verbs.delete(made.id)
        await done(lived, made)
        assert await lived.backend.store.deployments.all() == []
        assert await lived.resources() == []
        assert not await lived.backend.deployments.name_is_taken("bot")


@pytest.mark.parametrize(("repo", "stays"), [("acme/support-r16", False), ("acme/llm-support-merged", True)])
async def test_a_delete_takes_away_the_model_that_nothing_was_imported_into(
    repo: str, stays: bool, tmp_path: Path
) -> None:
    async with life(tmp_path, "replicate") as lived:
        made = await lived.intend(hub(repo), instance_type="gpu-l40s", min_instances=1)
        create = await lived.run(made)
        assert create.state is (OperationState.DONE if stays else OperationState.FAILED)
        assert f"acme/{made.remote_name}" in lived.sandbox.world.data.replicate.models
        await lived.backend.life.delete(made.id)
        await done(lived, made)
        assert (f"acme/{made.remote_name}" in lived.sandbox.world.data.replicate.models) is stays


@pytest.mark.parametrize("status", [403, 409])
async def test_a_delete_that_may_not_take_the_model_away_is_done_and_says_what_is_kept(
    status: int, tmp_path: Path
) -> None:
    async with life(tmp_path, "replicate") as lived:
        made = await lived.intend(hub("acme/support-r16"), instance_type="gpu-l40s", min_instances=1)
        assert (await lived.run(made)).state is OperationState.FAILED
        said = {"title": "Permission denied", "detail": "It is somebody's."}
        await lived.fault(match="DELETE /v1/models/*", action="status", code=status, body=said)
        await lived.backend.life.delete(made.id)
        deleted = await done(lived, made)
        assert deleted.outputs["kept"] == f"the model acme/{made.remote_name}: It is somebody's."
        assert saying(deleted) == f"delete: done. Kept there: {deleted.outputs['kept']}"


async def test_a_delete_with_a_key_that_is_not_taken_any_more_is_not_done(tmp_path: Path) -> None:
    async with life(tmp_path, "replicate") as lived:
        made = await lived.intend(hub("acme/support-r16"), instance_type="gpu-l40s", min_instances=1)
        await lived.run(made)
        await lived.fault(match="DELETE /v1/models/*", action="status", code=401)
        await lived.backend.life.delete(made.id)
        assert (await lived.run(made)).state is OperationState.FAILED


@pytest.mark.parametrize("kind", [OperationKind.STOP, OperationKind.DELETE])
@pytest.mark.parametrize("scene", GIVEN_UP)
async def test_given_up_after_any_call_of_its_create_it_does_not_bill(
    scene: str, kind: OperationKind, tmp_path: Path
) -> None:
    async with life(tmp_path / "clean", SCENES[scene][0]) as lived:
        await done(lived, await intended(lived, tmp_path / "clean", scene))
        log = lived.sandbox.world.data.requests
        cuts = [0, *(number + 1 for number, r in enumerate(log) if r.method != "GET")]
    # Every third, begun elsewhere for each kind: `python -m tests.proof` takes them all.
    for count in [0, *cuts[1 + list(OperationKind).index(kind) % 3 :: 3]]:
        where = tmp_path / str(count)
        async with life(where, SCENES[scene][0]) as lived:
            made = await intended(lived, where, scene)
            if count:
                await lived.run(made, until_requests=count)
            sent = len(lived.sandbox.world.data.requests)
            verb = lived.backend.life.stop if kind is OperationKind.STOP else lived.backend.life.delete
            asked = await verb(made.id)
            if count == 0:
                assert asked.state is OperationState.DONE
                assert len(lived.sandbox.world.data.requests) == sent, "nothing was made: nothing is asked"
            await done(lived, made)
            await lived.refresh.tick()
            assert await bills(lived) == 0, (count, await lived.resources())
            row = await read(lived, made)
            create = (await lived.backend.store.operations.of_deployment(made.id))[-1]
            assert create.state in (OperationState.CANCELLED, OperationState.DONE), count
            if row.condition is Condition.GONE:
                # A training that was cancelled stays in the platform's books.
                left = [r for r in await lived.resources() if not r["name"].startswith("training")]
                assert left == [], count
                assert lived.sandbox.world.data.together.endpoints == {} or all(
                    e.deleted_at for e in lived.sandbox.world.data.together.endpoints.values()
                ), count
            else:
                assert kind is OperationKind.STOP and row.status is Status.STOPPED, count


async def test_what_was_made_elsewhere_can_be_stopped_and_after_adoption_everything(tmp_path: Path) -> None:
    async with life(tmp_path, "together") as lived:
        made = await intended(lived, tmp_path, "together, directory")
        await done(lived, made)
        async with life(tmp_path / "other", "together") as other:
            other.sandbox, other.clock = lived.sandbox, lived.clock
            other.network.clock = lived.clock
            other._begin()
            await other.refresh.tick()
            orphan = (await other.backend.store.deployments.all())[0]
            with pytest.raises(Conflict, match="adopt it first"):
                await other.backend.life.delete(orphan.id)
            await other.backend.life.stop(orphan.id)
            await done(other, orphan)
            assert (await read(other, orphan)).status is Status.STOPPED
            adopted = await other.backend.life.adopt(orphan.id, "mine")
            assert (adopted.name, adopted.bounds_to_start) == ("mine", (1, 1))
            await other.backend.life.start(orphan.id)
            await done(other, orphan)
            await other.backend.life.delete(orphan.id)
            await done(other, orphan)
            assert await other.resources() == []
