"""Predibase: created, attached and asked, against the sandbox on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peft_tui.adapters import read_directory
from peft_tui.domain.deployment import Origin
from peft_tui.domain.errors import (
    ConfigurationInvalid,
    Effect,
    NotFound,
    TimedOut,
)
from peft_tui.domain.inference import Role, Wake
from peft_tui.domain.offers import Level
from peft_tui.domain.operation import OperationKind, OperationState
from peft_tui.domain.status import Condition, Status
from peft_tui.drivers.predibase import steps as steps_module
from peft_tui.drivers.predibase import upload as upload_module
from peft_tui.drivers.predibase.api import PredibaseApi
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.services.previews import preview
from peft_tui.services.reasons import why_not
from tests.drivers.test_inference import ask, served
from tests.life import Life, at_platform, directory, hub, life, write_adapter
from tests.predibase import A10G, Vendor, carry_out, context, row


@pytest.fixture
async def lived(tmp_path: Path) -> AsyncIterator[Life]:
    async with life(tmp_path, "predibase") as made:
        yield made


@pytest.fixture
def vendor(lived: Life) -> Vendor:
    return Vendor(lived)


# Creating


async def test_an_uploaded_adapter_is_served_and_loaded_at_the_start(
    lived: Life, vendor: Vendor, tmp_path: Path
) -> None:
    deployment = await served(lived, directory(tmp_path), instance_type=A10G, description="For support")
    seen = deployment.observation
    assert seen is not None and seen.status is Status.ACTIVE
    assert seen.model == f"{deployment.remote_name}/1"
    assert seen.endpoint_url.endswith(f"/acme01/deployments/v2/llms/{deployment.remote_name}")
    assert seen.usd_per_hour is not None and str(seen.usd_per_hour) == "1.82"
    there = (await vendor.call("GET", f"/v2/deployments/{deployment.remote_name}"))["data"]
    assert there["config"]["preloadedAdapters"] == [seen.model] and there["description"] == "For support"
    (upload,) = vendor.uploads
    assert not upload.bearer_seen and set(upload.files) == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


async def test_an_adapter_on_the_hub_stays_there_and_is_known_again(lived: Life, vendor: Vendor) -> None:
    deployment = await served(lived, hub("acme/support-r16"), instance_type=A10G, description="Ours")
    assert deployment.observation is not None and deployment.observation.model == "acme/support-r16"
    assert not vendor.uploads and not any("repos" in call for call in lived.sent())
    spoken = await ask(lived, deployment, max_tokens=5)
    base = await ask(lived, deployment, Role.BASE, max_tokens=5)
    assert spoken.text and spoken.text != base.text


async def test_an_adapter_that_lies_there_is_served(lived: Life, tmp_path: Path) -> None:
    first = await served(lived, directory(tmp_path), instance_type=A10G)
    assert first.observation is not None
    (model,) = await lived.driver.models()
    assert (model.reference, model.base_model) == (first.observation.model, "llama-3-1-8b-instruct")
    fit = await lived.driver.assess(at_platform(model.reference), None)
    assert not fit.blocked and fit.base_model == "llama-3-1-8b-instruct"
    # The deployment that was made for it is the first that it can be attached to.
    assert fit.instance_types[0].id == f"on:{first.remote_name}"


async def test_it_answers_as_base_and_as_adapter(lived: Life, tmp_path: Path) -> None:
    deployment = await served(lived, directory(tmp_path), instance_type=A10G)
    aim = await lived.driver.inference(deployment)
    assert [model.role for model in aim.models] == [Role.ADAPTER, Role.BASE]
    assert (aim.extra, aim.wake) == ({"adapter_source": "pbase"}, Wake.NOTHING)
    adapter, base = await ask(lived, deployment), await ask(lived, deployment, Role.BASE)
    assert adapter.text != base.text and adapter.usage and adapter.usage.tokens_out


async def test_an_upload_that_was_cut_is_begun_again_and_leaves_one_version(
    lived: Life, vendor: Vendor, tmp_path: Path
) -> None:
    await lived.fault(match="PUT /_objects/*safetensors", times=4, action="reset_before")
    deployment = await served(lived, directory(tmp_path), instance_type=A10G)
    repo = await vendor.call("GET", f"/v2/repos/{deployment.remote_name}")
    assert [version["tag"] for version in repo["versions"]] == [1]
    assert len(vendor.uploads) > 1 and not any(upload.bearer_seen for upload in vendor.uploads)


async def test_an_upload_address_that_has_expired_is_asked_for_again(
    lived: Life, vendor: Vendor, tmp_path: Path
) -> None:
    await lived.fault(match="PUT /_objects/*safetensors", times=1, action="status", code=403)
    await served(lived, directory(tmp_path), instance_type=A10G)
    assert len(vendor.uploads) == 2


async def test_fresh_upload_addresses_that_are_refused_too_end_in_words(
    lived: Life, vendor: Vendor, tmp_path: Path
) -> None:
    await lived.fault(match="PUT /_objects/*safetensors", times=99, action="status", code=403)
    operation = await lived.run(await lived.intend(directory(tmp_path), instance_type=A10G))
    assert operation.state is OperationState.FAILED and operation.error is not None
    assert operation.error["kind"] == "authentication"
    assert "a fresh address too" in operation.error["message"]
    assert "Nothing bills" in operation.error["hint"] and "proxy" in operation.error["hint"]
    assert len(vendor.uploads) == 2
    assert not any(resource["billing"] for resource in await lived.resources())


async def test_a_repository_that_is_deleted_meanwhile_ends_the_create_in_words(
    lived: Life, vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = steps_module.upload_directory

    async def cut(api: PredibaseApi, repo: str, context: StepContext) -> Outputs:
        """Somebody deletes it while the answer to the first completion is lost."""
        if vendor.uploads:
            return await whole(api, repo, context)
        await whole(api, repo, context)
        await vendor.call("DELETE", f"/v2/repos/{repo}")
        raise TimedOut("No answer.", effect=Effect.UNKNOWN, transient=True)

    monkeypatch.setattr(steps_module, "upload_directory", cut)
    deployment = await lived.intend(directory(tmp_path), instance_type=A10G)
    operation = await lived.run(deployment)
    assert operation.state is OperationState.FAILED and operation.error is not None
    assert operation.error["kind"] == "not_found"
    assert "repository" in operation.error["message"] and deployment.remote_name in operation.error["message"]
    assert "Nothing bills" in operation.error["hint"] and "Deploy again" in operation.error["hint"]
    assert not any(resource["billing"] for resource in await lived.resources())


async def test_progress_is_told_in_bytes(lived: Life, tmp_path: Path) -> None:
    source = directory(tmp_path)
    size = sum(size for _, size in read_directory(source.reference).files)
    told: list[tuple[int | None, int | None, str]] = []
    step = replace(context(lived, source), report=lambda *said: told.append(said))
    await lived.driver.act("repository", step)
    await lived.driver.act("upload", step)
    done = [count for count, total, _ in told if total == size and count is not None]
    assert done == sorted(done) and (done[0], done[-1]) == (0, size)


async def test_a_file_above_the_limit_is_refused_before_anything_is_sent(
    lived: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_module, "LARGEST_FILE", 1000)
    source = directory(tmp_path)
    fit = await lived.driver.assess(source, read_directory(source.reference))
    assert "in one piece" in fit.blocked
    deployment = await lived.intend(source, instance_type=A10G)
    operation = await lived.run(deployment)
    assert operation.error is not None and "in one piece" in operation.error["message"]
    assert not any("upload" in call for call in lived.sent()) and await lived.resources() == []


async def test_an_adapter_that_cannot_be_loaded_fails_in_words(
    lived: Life, vendor: Vendor, tmp_path: Path
) -> None:
    await vendor.knobs(fail_adapters=9)
    deployment = await lived.intend(hub("acme/support-r16"), instance_type=A10G)
    operation = await lived.run(deployment)
    assert operation.state is OperationState.FAILED and operation.error is not None
    assert (
        "cannot load the adapter" in operation.error["message"]
        and "out of memory" in operation.error["message"]
    )
    assert "stop it" in operation.error["hint"]


async def test_no_capacity_is_pending_with_a_reason_and_costs_nothing(lived: Life, vendor: Vendor) -> None:
    await vendor.knobs(no_capacity=["*"])
    await vendor.deployment()
    found = await row(lived, "llama-prod")
    assert found.status is Status.PENDING and found.observation is not None
    assert (found.observation.reason, found.observation.usd_per_hour) == ("waits for a GPU", 0)


async def test_a_failed_start_says_which_events_came(lived: Life, vendor: Vendor) -> None:
    await vendor.knobs(fail_next=1)
    deployment = await lived.intend(hub("acme/support-r16"), instance_type=A10G)
    operation = await lived.run(deployment)
    assert operation.state is OperationState.FAILED and operation.error is not None
    assert "BackOff, Failed" in operation.error["message"]
    assert not any(resource["billing"] for resource in await lived.resources())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"instance_type": "tpu_1"}, "unknown accelerator"),
        ({"preloaded_adapters": "nobody/1"}, "not found"),
        ({"max_instances": 50}, "replicas"),
    ],
    ids=str,
)
async def test_what_the_platform_refuses_is_told_and_bills_nothing(
    lived: Life, settings: dict[str, Any], words: str
) -> None:
    deployment = await lived.intend(hub("acme/support-r16"), **{"instance_type": A10G, **settings})
    operation = await lived.run(deployment)
    assert operation.state is OperationState.FAILED and operation.error is not None
    assert words in operation.error["message"] and await lived.resources() == []


async def test_a_gated_base_gets_the_token_only_when_asked_for(lived: Life) -> None:
    source, gated = hub("acme/triage-gemma12"), "google/gemma-3-12b-it"
    with pytest.raises(ConfigurationInvalid, match="gated"):
        await lived.driver.act("deployment", context(lived, source, base=gated, instance_type=A10G))
    asked = context(lived, source, base=gated, instance_type=A10G, hub_token="yes")
    assert await lived.driver.act("deployment", asked) == {"remote_id": "bot-1a"}


# Attaching


async def test_a_deployment_that_serves_the_base_is_the_first_choice_and_costs_nothing(
    lived: Life, vendor: Vendor, tmp_path: Path
) -> None:
    source = directory(tmp_path)
    before = await lived.driver.assess(source, read_directory(source.reference))
    assert before.instance_types[0].id == A10G and before.instance_types[0].availability.startswith(
        "recommended"
    )
    assert before.instance_types[-1].id == "on:llama-3-1-8b-instruct"
    await vendor.deployment()
    await vendor.deployment("qwen", baseModel="qwen3-8b")
    fit = await lived.driver.assess(source, read_directory(source.reference))
    first = fit.instance_types[0]
    assert first.id == "on:llama-prod" and first.price is not None and first.price.usd_per_hour == 0
    assert "on:qwen" not in [machine.id for machine in fit.instance_types]
    assert any("llama-prod" in finding.message for finding in fit.findings)
    plan = lived.driver.capabilities.plan((await lived.intend(source, instance_type="on:llama-prod")).spec)
    assert not any(step.bills for step in plan)


@pytest.mark.parametrize("kind", ["directory", "hub", "platform"])
async def test_attached_it_makes_no_deployment_and_is_what_its_carrier_is(
    lived: Life, vendor: Vendor, tmp_path: Path, kind: str
) -> None:
    await vendor.deployment()
    source = {"directory": directory(tmp_path), "hub": hub("acme/support-r16")}.get(kind)
    if source is None:
        for step in ("repository", "upload"):
            await lived.driver.act(step, context(lived, directory(tmp_path), "mine"))
        source = at_platform("mine/1")
    deployment = await served(lived, source, instance_type="on:llama-prod")
    assert deployment.remote_id == f"llama-prod/{deployment.remote_name}"
    assert [resource["name"] for resource in await lived.resources()] == ["llama-prod"]
    seen = deployment.observation
    assert seen is not None and (seen.status, seen.usd_per_hour, seen.ready_instances) == (
        Status.ACTIVE,
        0,
        1,
    )
    assert "llama-prod" in seen.reason and seen.endpoint_url.endswith("/llama-prod")
    adapter, base = await ask(lived, deployment), await ask(lived, deployment, Role.BASE)
    assert adapter.text != base.text
    # Asleep it is asleep, and looking at it does not boot its carrier.
    lived.sandbox.clock.advance(3700)
    deployment = await row(lived)
    assert deployment.condition is Condition.ASLEEP
    aim = await lived.driver.inference(deployment)
    assert aim.wake is Wake.WAKES and "llama-prod" in aim.wake_words
    await lived.driver.events(deployment.remote_id)
    assert not any(resource["billing"] for resource in await lived.resources())


async def test_one_that_sleeps_is_not_woken_to_prove_something(lived: Life, vendor: Vendor) -> None:
    await vendor.deployment(cooldownTime=600)
    lived.sandbox.clock.advance(700)
    deployment = await served(lived, hub("acme/support-r16"), instance_type="on:llama-prod")
    assert deployment.condition is Condition.ASLEEP
    assert not any(resource["billing"] for resource in await lived.resources())


async def test_what_is_done_to_an_attached_one_never_reaches_its_carrier(lived: Life, vendor: Vendor) -> None:
    await vendor.deployment()
    deployment = await served(lived, hub("acme/support-r16"), instance_type="on:llama-prod")
    # One whose settings are not known here is known by what is seen of it.
    orphan = replace(deployment, spec=replace(deployment.spec, settings={}), origin=Origin.ORPHAN)
    for row_ in (deployment, orphan):
        for kind in (OperationKind.STOP, OperationKind.START, OperationKind.UPDATE):
            refused = preview(row_, kind).refused
            assert "attached to llama-prod" in refused and refused == why_not(row_, kind)
            with pytest.raises(ConfigurationInvalid, match="was not touched"):
                await carry_out(lived, row_, kind)
    asked = preview(deployment, OperationKind.DELETE)
    assert not asked.refused and asked.stops.startswith("Nothing that bills")
    await carry_out(lived, deployment, OperationKind.DELETE)
    assert not await lived.driver.exists(deployment.remote_id)
    assert [(r["name"], r["billing"]) for r in await lived.resources()] == [("llama-prod", True)]


async def test_without_its_carrier_it_says_so(lived: Life, vendor: Vendor) -> None:
    await vendor.deployment()
    await served(lived, hub("acme/support-r16"), instance_type="on:llama-prod")
    await carry_out(lived, await row(lived, "llama-prod"), OperationKind.STOP)
    stopped = await row(lived)
    assert stopped.status is Status.STOPPED and stopped.observation is not None
    assert "start that one" in stopped.observation.reason
    await carry_out(lived, await row(lived, "llama-prod"), OperationKind.DELETE)
    deployment = await row(lived)
    assert deployment.status is Status.STOPPED and deployment.condition is not Condition.GONE
    assert deployment.observation is not None and "llama-prod" in deployment.observation.reason
    assert (await lived.driver.inference(deployment)).wake is Wake.REFUSED


async def test_a_carrier_that_is_gone_when_it_is_to_attach_is_not_replaced(lived: Life) -> None:
    deployment = await lived.intend(hub("acme/support-r16"), instance_type="on:nobody")
    operation = await lived.run(deployment)
    assert operation.error is not None and "no deployment nobody" in operation.error["message"]
    assert await lived.resources() == [] and lived.sent() == []


@pytest.mark.parametrize("action", ["reset_before", "reset_after", "status", "garbage"])
async def test_attaching_survives_a_fault_at_each_call_in_turn(tmp_path: Path, action: str) -> None:
    calls = 1
    for index in range(99):
        if index >= calls:
            break
        async with life(tmp_path / str(index), "predibase") as lived:
            await Vendor(lived).deployment()
            done = len(lived.sent())
            await lived.fault(match="P* *", nth=index + 1, times=1, action=action, code=503)
            deployment = await served(lived, directory(tmp_path / str(index)), instance_type="on:llama-prod")
            calls = 7
            assert deployment.status is Status.ACTIVE
            assert [r["name"] for r in await lived.resources()] == ["llama-prod"]
            assert len(lived.sent()) >= done + calls
            rows = await lived.backend.store.deployments.all()
            assert sorted(r.name for r in rows) == ["bot", "llama-prod"]


# How adapters fit


@pytest.mark.parametrize(
    ("reference", "facts", "words"),
    [
        ("acme/private-lora", {"gated": True}, "hand your token over"),
        ("acme/support-r16@main", {}, "revision"),
        ("acme/llm-support-merged", {"merged": True}, "merged checkpoint"),
        ("acme/x", {"base_model": ""}, "which base"),
    ],
    ids=str,
)
async def test_what_cannot_be_served_says_why(
    lived: Life, tmp_path: Path, reference: str, facts: dict[str, Any], words: str
) -> None:
    adapter = replace(read_directory(str(write_adapter(tmp_path / "a"))), **facts)
    assert words in (await lived.driver.assess(hub(reference), adapter)).blocked


async def test_a_base_that_is_not_known_is_a_doubt_and_not_a_refusal(lived: Life, tmp_path: Path) -> None:
    adapter = read_directory(str(write_adapter(tmp_path / "a", base="acme/unheard-of")))
    fit = await lived.driver.assess(adapter.source, adapter)
    assert not fit.blocked and any(
        "acme/unheard-of" in f.message for f in fit.findings if f.level is Level.WARNING
    )


@pytest.mark.parametrize("reference", ["support", "a/b", "a/1/2", "../1"])
async def test_what_is_no_adapter_is_refused_in_words(lived: Life, reference: str) -> None:
    with pytest.raises((ConfigurationInvalid, NotFound)):
        await lived.driver.assess(at_platform(reference), None)


async def test_an_adapter_that_is_put_away_is_not_served(lived: Life, vendor: Vendor, tmp_path: Path) -> None:
    deployment = await served(lived, directory(tmp_path), instance_type=A10G)
    path = f"/v2/repos/{deployment.remote_name}/version/1"
    await vendor.call("PUT", path, json={"archived": True})
    assert await lived.driver.models() == ()
    with pytest.raises(ConfigurationInvalid, match="archived"):
        await lived.driver.assess(at_platform(f"{deployment.remote_name}/1"), None)


async def test_a_machine_that_the_table_does_not_know_is_offered_when_it_is_in_use(
    lived: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = lived.sandbox.world.predibase.shared
    odd = replace(next(iter(shared.values())), name="odd", type="private", accelerator="b200_180gb_100")
    odd.tenant = "acme01"
    lived.sandbox.world.predibase.deployments["acme01/odd"] = odd
    ids = [machine.id for machine in await lived.driver.instance_types()]
    assert ids[-1] == "b200_180gb_100" and A10G in ids
