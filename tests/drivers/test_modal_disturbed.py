"""What costs money at Modal happens exactly once, whatever becomes of a call; the rest ends in words."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from peft_tui.adapters import read_directory
from peft_tui.cli.output import deployment_table
from peft_tui.credentials import Secret
from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.offers import Level
from peft_tui.domain.operation import OperationState
from peft_tui.domain.status import Status
from peft_tui.drivers.modal.driver import ModalDriver
from peft_tui.services.deployments import summarize
from tests.doubles import until
from tests.life import Life, directory, life

L40S = {"instance_type": "L40S", "hub_token": "yes"}
WRITING = ("AppCreate", "AppPublish", "FunctionCreate", "VolumePutFiles2", "SecretGetOrCreate")
"""Calls of a create that make something."""
AGAIN = 4
"""The SDK repeats a lost call three times by itself, with the same key: then it is our turn."""


async def once(lived: Life, tmp_path: Path) -> None:
    """Deploy, and see that it came out once."""
    deployment = await lived.intend(directory(tmp_path), **L40S)
    operation = await lived.run(deployment)
    assert operation.state is OperationState.DONE, operation.error
    await lived.refresh.tick()
    rows = await lived.backend.store.deployments.all()
    assert [row.id for row in rows] == [deployment.id], "one row, and no orphan beside it"
    assert rows[0].status is Status.ACTIVE
    bills = [row["name"] for row in await lived.resources() if row["billing"]]
    assert bills == [f"acme/{deployment.remote_name}"]
    living = [r["name"] for r in await lived.resources() if not r["deleted"]]
    assert living.count(f"acme/{deployment.remote_name}") == 1, living


@pytest.mark.parametrize("call", WRITING)
async def test_a_call_that_is_carried_out_and_never_answered_makes_nothing_twice(
    call: str, tmp_path: Path
) -> None:
    async with life(tmp_path, "modal") as lived:
        await lived.fault(match=f"RPC {call}", nth=1, times=AGAIN, action="reset_after")
        await once(lived, tmp_path)


@pytest.mark.parametrize(("action", "times"), [("status", AGAIN), ("garbage", 1), ("reset_before", AGAIN)])
async def test_a_deploy_that_is_not_carried_out_is_sent_again(
    action: str, times: int, tmp_path: Path
) -> None:
    async with life(tmp_path, "modal") as lived:
        await lived.fault(match="RPC AppPublish", nth=2, times=times, action=action, code=503)
        await once(lived, tmp_path)


@pytest.mark.parametrize("call", ["AppPublish", "FunctionCreate"])
async def test_dropped_at_a_call_it_goes_on_and_makes_nothing_twice(call: str, tmp_path: Path) -> None:
    async with life(tmp_path / "clean", "modal") as lived:
        await once(lived, tmp_path / "clean")
        paths = [r.path for r in lived.sandbox.world.data.requests]
    count = len(paths) - 1 - paths[::-1].index(call)
    for cut in (count, count + 1):
        async with life(tmp_path / str(cut), "modal") as lived:
            deployment = await lived.intend(directory(tmp_path / str(cut)), **L40S)
            await lived.run(deployment, until_requests=cut)
            operation = await lived.run(deployment)
            assert operation.state is OperationState.DONE, operation.error
            bills = [row["name"] for row in await lived.resources() if row["billing"]]
            assert bills == [f"acme/{deployment.remote_name}"]


@pytest.mark.parametrize("call", ["VolumePutFiles2", "ImageGetOrCreate", "FunctionCreate", "AppPublish"])
async def test_given_up_at_a_call_it_does_not_bill_and_nothing_is_left(call: str, tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        deployment = await lived.intend(directory(tmp_path), **L40S)
        running = asyncio.create_task(lived.run(deployment))
        requests = lived.sandbox.world.data.requests
        await until(lambda: running.done() or any(r.path == call for r in requests))
        await lived.backend.life.delete(deployment.id)
        await running
        operation = await lived.run(deployment)
        assert operation.state is OperationState.DONE, operation.error
        await lived.refresh.tick()
        assert not any(row["billing"] for row in await lived.resources())
        assert await lived.backend.store.deployments.all() == []
        assert await lived.driver.models() == ()


async def knob(lived: Life, **settings: Any) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{lived.sandbox.url}/_sandbox/modal/knobs", json=settings)
        assert answer.status_code == 200, answer.text


async def refused(lived: Life, tmp_path: Path, **settings: Any) -> dict[str, Any]:
    """How a create ended that cannot come to anything: nothing bills, and there is a next step."""
    deployment = await lived.intend(directory(tmp_path), **{**L40S, **settings})
    operation = await lived.run(deployment)
    assert operation.state is OperationState.FAILED
    assert not any(row["billing"] for row in await lived.resources())
    error = dict(operation.error or {})
    assert error["hint"]
    return error


async def test_an_image_that_cannot_be_built_shows_the_end_of_its_log(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        await knob(lived, fail_builds=1)
        error = await refused(lived, tmp_path)
        assert "could not build the image" in error["message"]
        assert "\n" in error["detail"], "more than one line of what it printed"
        assert "nothing bills that did not before" in error["hint"]
        assert "What was created before may bill" not in error["hint"]


async def test_an_exhausted_budget_is_said_before_anything_is_sent_and_in_the_wizard(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        await knob(lived, spend_limit=True)
        fit = await lived.driver.assess(directory(tmp_path), None)
        assert "budget" in fit.blocked and any(finding.hint for finding in fit.findings)
        error = await refused(lived, tmp_path)
        assert error["kind"] == "resource" and "budget" in error["message"]
        made = {"AppCreate", "VolumeGetOrCreate", "ImageGetOrCreate"}
        assert not made & {request.path for request in lived.sandbox.world.data.requests}


async def test_a_gated_base_without_a_token_is_refused_before_the_image(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        source = AdapterSource(SourceKind.HUGGING_FACE, "acme/gated-lora")
        deployment = await lived.intend(source, instance_type="L40S")
        operation = await lived.run(deployment)
        error = dict(operation.error or {})
        assert "is gated" in error["message"] and "Hugging Face token" in error["hint"]
        assert not await lived.resources()


async def test_containers_that_end_before_they_answer_are_given_up_with_what_they_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with life(tmp_path, "modal") as lived:
        await knob(lived, crash_next=50)
        deployment = await lived.intend(directory(tmp_path), **L40S)
        operation = await lived.run(deployment)
        assert operation.state is OperationState.FAILED
        error = dict(operation.error or {})
        assert "end before they answer" in error["message"] and error["detail"]
        assert "may bill" in error["hint"] and "each try bills" in error["hint"]
        # It is deployed all the same, and was shown as asleep and well. The next process knows the list only.
        lived.sandbox.clock.advance(60)
        await lived.refresh.tick()
        [row] = await lived.backend.store.deployments.all()
        assert (row.half_made, row.standing) == (True, Status.FAILED)
        assert row.observation is not None and row.observation.usd_per_hour == 0
        assert summarize([row]).active == 0 and summarize([row]).failed == 1
        deployment_table([row], lived.clock.now())
        assert "✖ failed, asleep" in capsys.readouterr().out
        # The process that saw it end knows more.
        assert isinstance(lived.driver, ModalDriver)
        lived.driver.api.watch.crashed(row.remote_id, 3, "RuntimeError")
        await lived.refresh.tick()
        [row] = await lived.backend.store.deployments.all()
        assert row.status is Status.FAILED and row.observation is not None
        assert row.observation.reason == "its containers end before they answer: RuntimeError"


async def test_a_base_that_is_nowhere_is_said_by_the_wizard_and_never_deployed(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        source = directory(tmp_path, base="no/such-model")
        fit = await lived.driver.assess(source, read_directory(source.reference))
        (told,) = [finding for finding in fit.findings if "no model no/such-model" in finding.message]
        assert told.level is Level.WARNING and not fit.blocked, "the container may have another token"
        local = replace(read_directory(source.reference), base_model="/home/ada/models/llama")
        assert "no model /home/ada/models/llama" in (await lived.driver.assess(source, local)).blocked
        operation = await lived.run(await lived.intend(source, **L40S))
        assert "no model no/such-model" in dict(operation.error or {})["message"]
        assert "FunctionCreate" not in {r.path for r in lived.sandbox.world.data.requests}


async def test_a_base_that_only_the_container_s_own_token_sees_is_deployed(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        await lived.fault(platform="huggingface", match="GET *", times=None, action="status", code=404)
        own = {"instance_type": "L40S", "environment": "HF_TOKEN"}
        source = directory(tmp_path)
        deployment = await lived.intend(source, **own)
        await lived.driver.api.credentials.vault.put(  # type: ignore[attr-defined]
            f"deployment/{deployment.id}/env/HF_TOKEN", Secret("hf_another")
        )
        operation = await lived.run(deployment)
        assert operation.state is OperationState.DONE, operation.error


async def test_a_hub_that_does_not_answer_leaves_the_base_unchecked_and_says_so(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        await lived.fault(platform="huggingface", match="GET *", times=None, action="status", code=500)
        source = directory(tmp_path)
        fit = await lived.driver.assess(source, read_directory(source.reference))
        assert not fit.blocked
        assert any("cannot be checked" in finding.message for finding in fit.findings)


async def test_a_workspace_that_is_disabled_is_not_active_though_the_list_says_deployed(
    tmp_path: Path,
) -> None:
    async with life(tmp_path, "modal") as lived:
        await once(lived, tmp_path)
        await knob(lived, workspace_disabled=True, spend_limit=True)
        lived.sandbox.clock.advance(120)
        await lived.refresh.tick()
        [row] = await lived.backend.store.deployments.all()
        assert row.status is Status.FAILED and row.observation is not None
        assert "limit" in row.observation.reason or "disabled" in row.observation.reason
