"""Predibase: what can be done to a deployment that exists, against the sandbox on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from peft_tui.domain.errors import (
    ConfigurationInvalid,
)
from peft_tui.domain.operation import OperationKind
from peft_tui.domain.status import Condition, Status
from tests.drivers.test_inference import served
from tests.life import Life, directory, hub, life
from tests.predibase import A10G, Vendor, carry_out, context, row


@pytest.fixture
async def lived(tmp_path: Path) -> AsyncIterator[Life]:
    async with life(tmp_path, "predibase") as made:
        yield made


@pytest.fixture
def vendor(lived: Life) -> Vendor:
    return Vendor(lived)


# What can be done to one that exists


async def test_a_stop_ends_the_billing_and_a_start_makes_it_as_it_was(
    lived: Life, vendor: Vendor, tmp_path: Path
) -> None:
    deployment = await served(
        lived, directory(tmp_path), instance_type=A10G, custom_args="--max-loras 8", description="Ours"
    )
    before = (await vendor.call("GET", f"/v2/deployments/{deployment.remote_name}"))["data"]
    await carry_out(lived, deployment, OperationKind.STOP)
    assert await lived.resources() == []
    stopped = await row(lived)
    assert (stopped.status, stopped.condition) == (Status.STOPPED, Condition.NONE)
    assert stopped.observation is not None and "start creates it again" in stopped.observation.reason
    assert (stopped.observation.usd_per_hour, stopped.remote_id) == (0, deployment.remote_id)
    assert await lived.driver.exists(deployment.remote_id)
    assert await lived.driver.events(deployment.remote_id) == ()
    assert await carry_out(lived, stopped, OperationKind.UPDATE, idle_timeout=20) == {}
    with pytest.raises(ConfigurationInvalid, match="stopped"):
        await carry_out(lived, stopped, OperationKind.UPDATE, custom_args="")
    await carry_out(lived, stopped, OperationKind.START, min_instances=1, max_instances=2)
    lived.sandbox.clock.advance(60)
    started = await row(lived)
    assert started.status is Status.ACTIVE
    after = (await vendor.call("GET", f"/v2/deployments/{deployment.remote_name}"))["data"]
    same = ("customArgs", "preloadedAdapters", "cooldownTime", "baseModel")
    assert {key: after["config"][key] for key in same} == {key: before["config"][key] for key in same}
    assert (after["config"]["minReplicas"], after["config"]["maxReplicas"]) == (1, 2)
    assert (after["accelerator"], after["description"]) == (before["accelerator"], "Ours")
    assert not any(r.name.endswith("-note") for r in lived.sandbox.world.predibase.repos.values())


async def test_one_made_elsewhere_is_stopped_and_started_as_it_was(lived: Life, vendor: Vendor) -> None:
    await vendor.deployment(maxReplicas=3, cooldownTime=900, customArgs=["--x"], hfToken="hf_secret")
    found = await row(lived, "llama-prod")
    await carry_out(lived, found, OperationKind.STOP)
    stopped = await row(lived, "llama-prod")
    assert stopped.status is Status.STOPPED and await lived.resources() == []
    assert "hf_secret" not in str(lived.sandbox.world.predibase.repos)
    await carry_out(lived, stopped, OperationKind.START)
    config = (await vendor.call("GET", "/v2/deployments/llama-prod"))["data"]["config"]
    assert (config["maxReplicas"], config["cooldownTime"], config["customArgs"]) == (3, 900, ["--x"])


async def test_a_stop_does_not_wait_for_a_note_that_cannot_be_written(lived: Life, vendor: Vendor) -> None:
    await vendor.deployment()
    found = await row(lived, "llama-prod")
    await lived.fault(match="POST /v2/repos", times=None, action="status", code=400, body={"error": "no"})
    outputs = await carry_out(lived, found, OperationKind.STOP)
    assert "no" in outputs["not_noted"] and await lived.resources() == []


async def test_a_second_stop_notes_what_it_is_then(lived: Life, vendor: Vendor) -> None:
    await vendor.deployment()
    found = await row(lived, "llama-prod")
    await carry_out(lived, found, OperationKind.STOP)
    # Started by somebody else, who knows nothing of notes.
    await vendor.deployment(maxReplicas=5)
    assert (await row(lived, "llama-prod")).status is Status.ACTIVE
    await carry_out(lived, found, OperationKind.STOP)
    await carry_out(lived, await row(lived, "llama-prod"), OperationKind.START)
    seen = (await row(lived, "llama-prod")).observation
    assert seen is not None and seen.max_instances == 5


async def test_an_update_is_one_put_of_what_changes(lived: Life, vendor: Vendor, tmp_path: Path) -> None:
    deployment = await served(lived, hub("acme/support-r16"), instance_type=A10G, description="Old")
    await carry_out(
        lived, deployment, OperationKind.UPDATE, idle_timeout=20, max_instances=2, description="New"
    )
    there = (await vendor.call("GET", f"/v2/deployments/{deployment.remote_name}"))["data"]
    assert (there["config"]["cooldownTime"], there["config"]["maxReplicas"]) == (1200, 2)
    assert there["config"]["minReplicas"] == 0 and there["status"] == "updating"
    # Whom it serves stands beside the new words.
    assert (
        there["description"].startswith("New") and (await row(lived)).observation.model == "acme/support-r16"
    )  # type: ignore[union-attr]
    seen = (await row(lived)).observation
    assert seen is not None and seen.model == "acme/support-r16"
    assert lived.sent()[-1] == f"PUT /v2/deployments/{deployment.remote_name}"


@pytest.mark.parametrize("keep", [False, True])
async def test_a_delete_leaves_nothing_of_ours_and_everything_of_others(
    lived: Life, vendor: Vendor, tmp_path: Path, keep: bool
) -> None:
    deployment = await served(lived, directory(tmp_path), instance_type=A10G)
    await vendor.call("POST", "/v2/repos", json={"name": "others", "existsOk": True})
    await carry_out(lived, deployment, OperationKind.DELETE, **({"keep_adapter": "yes"} if keep else {}))
    assert await lived.resources() == [] and not await lived.driver.exists(deployment.remote_id)
    repos = {repo.name for repo in lived.sandbox.world.predibase.repos.values()}
    assert repos == {"others", *([deployment.remote_name] if keep else [])}


async def test_a_repository_without_our_mark_is_not_deleted(lived: Life, vendor: Vendor) -> None:
    await vendor.call("POST", "/v2/repos", json={"name": "bot-1a", "description": "mine", "existsOk": True})
    await lived.driver.act("delete_adapter", context(lived, hub("acme/support-r16")))
    assert await vendor.call("GET", "/v2/repos/bot-1a")


async def test_a_delete_of_a_stopped_one_takes_its_note_too(lived: Life, vendor: Vendor) -> None:
    await vendor.deployment()
    found = await row(lived, "llama-prod")
    await carry_out(lived, found, OperationKind.STOP)
    await carry_out(lived, await row(lived, "llama-prod"), OperationKind.DELETE)
    assert not lived.sandbox.world.predibase.repos


async def test_events_are_told_newest_first(lived: Life, vendor: Vendor) -> None:
    await vendor.knobs(fail_next=1)
    await vendor.deployment()
    events = await lived.driver.events("llama-prod")
    assert [event.kind for event in events] == ["Failed", "BackOff", "Scheduled", "Queued"]
    assert [event.level for event in events][:3] == ["error", "warning", "info"]
    assert events[1].message == "back off" and events[0].at > events[1].at
    assert await lived.driver.events("nobody") == ()
