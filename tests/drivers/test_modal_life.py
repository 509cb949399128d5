"""A deployment's life at Modal, through its own SDK, against the sandbox on real sockets."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from peft_tui.adapters import read_directory
from peft_tui.credentials import Credentials, Place, Vault
from peft_tui.credentials.ring import Ring
from peft_tui.domain.adapter import AdapterSource
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import (
    AuthenticationFailed,
    ConfigurationInvalid,
    Effect,
    PeftTuiError,
    PlatformFailed,
    TimedOut,
)
from peft_tui.domain.inference import PromptRequest, Wake
from peft_tui.domain.offers import Level
from peft_tui.domain.operation import WATCHED, OperationKind, OperationState
from peft_tui.domain.spec import DeploymentSpec, Value
from peft_tui.domain.status import Condition, Status
from peft_tui.drivers import capabilities, open_driver
from peft_tui.drivers.modal import volumes
from peft_tui.drivers.modal.assessing import keeping
from peft_tui.drivers.modal.driver import ModalDriver
from peft_tui.drivers.protocol import StepContext
from peft_tui.services.copies import of_request
from peft_tui.services.prompts import Prompts, Question
from peft_tui.workers.inference import InferenceWorker
from tests.credentials.conftest import CHEAP
from tests.doubles import until
from tests.life import Life, at_platform, directory, hub, life, write_adapter

L40S: dict[str, Any] = {"instance_type": "L40S", "hub_token": "yes"}


def driver_of(lived: Life, **environ: str) -> ModalDriver:
    """One with other credentials than the sandbox's own."""
    given = Credentials({**lived.sandbox.env, **environ})
    driver = open_driver("modal", lived.network, given, lived.clock)
    assert isinstance(driver, ModalDriver)
    return driver


def ours(lived: Life) -> ModalDriver:
    assert isinstance(lived.driver, ModalDriver)
    return lived.driver


async def active(lived: Life, source: AdapterSource, **settings: Value) -> Deployment:
    deployment = await lived.intend(source, **{**L40S, **settings})
    operation = await lived.run(deployment)
    assert operation.state is OperationState.DONE, operation.error
    return await seen(lived, deployment)


async def seen(lived: Life, deployment: Deployment) -> Deployment:
    await lived.refresh.tick()
    found = await lived.backend.store.deployments.get(deployment.id)
    assert found is not None
    return found


async def carry_out(lived: Life, deployment: Deployment, kind: OperationKind, **changes: Value) -> list[str]:
    """The steps of a verb, one after the other, as the runner would; what is watched is left out."""
    spec = replace(deployment.spec, settings={**deployment.spec.settings, **changes})
    outputs: dict[str, Any] = {}
    done = []
    for step in capabilities("modal").verbs[kind](spec, changes):
        if step.key in WATCHED:
            continue
        context = StepContext(
            spec,
            deployment.remote_name,
            outputs,
            lived.clock.now(),
            lived.clock,
            lambda done, total, note: None,
            remote_id=deployment.remote_id,
            changes=changes,
        )
        outputs |= dict(await lived.driver.act(step.key, context))
        done.append(step.key)
    return done


def upload_of(lived: Life, source: AdapterSource, told: list[tuple[int | None, int | None]]) -> StepContext:
    """What an upload is given; what it reports is appended to `told`."""
    return StepContext(
        DeploymentSpec("bot", "modal", source, "", L40S),
        "bot-0123abcd",
        {},
        lived.clock.now(),
        lived.clock,
        lambda done, total, note: told.append((done, total)),
    )


def calls(lived: Life) -> list[str]:
    return [r.path for r in lived.sandbox.world.data.requests if r.platform == "modal" and r.method == "RPC"]


def asked(lived: Life) -> list[str]:
    """What was asked of the data plane."""
    rows = [r for r in lived.sandbox.world.data.requests if r.platform == "modal" and r.method == "GET"]
    return [row.path.rpartition("/")[2] for row in rows if "/app/" in row.path]


async def billing(lived: Life) -> list[str]:
    return [row["name"] for row in await lived.resources() if row["billing"]]


async def test_an_adapter_directory_becomes_a_server_that_serves_it(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        deployment = await active(lived, directory(tmp_path))
        observation = deployment.observation
        assert observation is not None and observation.status is Status.ACTIVE
        noted = {call.path: call for call in lived.network.calls if call.method == "RPC"}
        assert noted["AppPublish"].status == "OK" and noted["AppPublish"].seconds is not None
        assert observation.billed_instances == 1 and str(observation.usd_per_hour) == "1.95000"
        assert (
            observation.endpoint_url.startswith("http://127.0.0.1") and observation.model in observation.model
        )
        assert (observation.min_instances, observation.max_instances) == (0, 1)
        assert await billing(lived) == [f"acme/{deployment.remote_name}"]
        token = await ours(lived).api.doors.token("acme")
        assert deployment.remote_name in await ours(lived).api.plane.models(observation.endpoint_url, token)


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        (lambda _: hub("acme/support-r16"), {}),
        (lambda _: hub("acme/llm-support-merged"), {"hub_token": "no"}),
    ],
    ids=["adapter", "merged"],
)
async def test_what_is_on_the_hub_is_fetched_by_the_container(
    source: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    async with life(tmp_path, "modal") as lived:
        deployment = await active(lived, source(tmp_path), **settings)
        assert deployment.status is Status.ACTIVE
        assert ("SecretGetOrCreate" in calls(lived)) != bool(settings)


async def test_what_lies_on_the_volume_already_is_served_from_there(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        first = await active(lived, directory(tmp_path))
        assert [model.reference for model in await lived.driver.models()] == [first.remote_name]
        source = at_platform(first.remote_name)
        fit = await lived.driver.assess(source, None)
        assert not fit.blocked and fit.base_model
        spec = DeploymentSpec("again", "modal", source, "", {**first.spec.settings})
        second = await lived.backend.deployments.deploy(spec)
        operation = await lived.run(second)
        assert operation.state is OperationState.DONE, operation.error


async def test_a_secret_value_is_handed_over_and_written_nowhere(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        lived.driver = driver_of(lived, WIKI_KEY="s3cret-value")
        lived.runner._driver = lived.driver
        deployment = await active(lived, directory(tmp_path), environment="WIKI_KEY")
        [operation] = await lived.backend.store.operations.of_deployment(deployment.id)
        assert operation.outputs["secret_keys"] == ["HF_TOKEN", "WIKI_KEY"]
        for path in (tmp_path / "data").rglob("*"):
            assert not path.is_file() or b"s3cret-value" not in path.read_bytes()


async def test_a_proxy_token_is_made_once_and_kept_by_name(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        none = {"MODAL_PROXY_TOKEN_ID": "", "MODAL_PROXY_TOKEN_SECRET": ""}
        for _ in range(2):
            driver = driver_of(lived, **none)
            driver.api.credentials.vault = lived.backend.credentials.vault
            await driver.act("proxy_token", upload_of(lived, directory(tmp_path), []))
        assert calls(lived).count("WebhookTokenCreate") == 1
        assert lived.backend.credentials.vault.names("modal/") == ("modal/proxy-token/acme",)


def no_keyring() -> None:
    raise RuntimeError("no keyring here")


BARE = {"MODAL_PROXY_TOKEN_ID": "", "MODAL_PROXY_TOKEN_SECRET": ""}


def begin_bare(lived: Life) -> ModalDriver:
    """The next process, on a machine that keeps no secrets."""
    driver = driver_of(lived, **BARE)
    lived.driver = driver
    lived.refresh._driver = driver
    return driver


def prompts_of(lived: Life) -> Prompts:
    credentials = ours(lived).api.credentials
    prompts = lived.backend.prompts
    prompts.endpoints = InferenceWorker(lived.network, credentials, lambda _: lived.driver)
    return prompts


async def test_a_session_s_proxy_token_is_gone_after_it_and_another_takes_its_place(tmp_path: Path) -> None:
    """The row stayed “does not take the proxy token” while it billed, and nothing could ask it."""
    async with life(tmp_path, "modal") as lived:
        deployment = await active(lived, directory(tmp_path), min_instances=1)
        begin_bare(lived)
        lived.sandbox.clock.advance(60)
        row = await seen(lived, deployment)
        assert (row.status, row.condition) == (Status.ACTIVE, Condition.ASSUMED)
        assert row.observation is not None and row.observation.billed_instances == 1
        assert "testing it makes one" in row.observation.reason
        asked = calls(lived).count("WebhookTokenCreate")
        await seen(lived, deployment)
        assert calls(lived).count("WebhookTokenCreate") == asked, "looking makes none"
        await of_request(row, prompts_of(lived))
        target = await ours(lived).inference(row)
        assert calls(lived).count("WebhookTokenCreate") == asked, "nor does the copy menu, nor the console"
        assert target.auth[0].kept_as == "modal/proxy-token/acme"
        answer = await prompts_of(lived).ask(Question(row, target, target.models[0], PromptRequest("Hello")))
        assert answer.error is None and answer.measured.tokens_out
        assert calls(lived).count("WebhookTokenCreate") == asked + 1
        row = await seen(lived, deployment)
        assert (row.status, row.condition) == (Status.ACTIVE, Condition.NONE), "it was asked, and answered"


async def test_a_proxy_token_that_nothing_keeps_is_taken_back_when_the_program_ends(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        tokens = lived.sandbox.world.modal.proxy_tokens
        before = set(tokens)
        driver = begin_bare(lived)
        assert await driver.api.see_to_the_token() is Place.SESSION
        assert await driver.api.see_to_the_token() is None
        assert len(set(tokens) - before) == 1
        await lived.network.close()
        assert set(tokens) == before


async def test_a_new_proxy_token_is_kept_though_the_list_of_them_cannot_be_read(tmp_path: Path) -> None:
    """It was forgotten, and each attempt made another."""
    async with life(tmp_path, "modal") as lived:
        await lived.fault(
            platform="modal", match="WebhookTokenList", action="status", code="PERMISSION_DENIED", times=None
        )
        driver = begin_bare(lived)
        for _ in range(2):
            await driver.api.see_to_the_token()
        assert "WebhookTokenList" in "".join(calls(lived)) and calls(lived).count("WebhookTokenCreate") == 1
        assert await driver.api.doors.token("acme") is not None


async def test_a_new_proxy_token_that_is_not_listed_is_neither_kept_nor_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lists_none(token_id: str) -> bool:
        return False

    async with life(tmp_path, "modal") as lived:
        tokens = lived.sandbox.world.modal.proxy_tokens
        before = set(tokens)
        driver = begin_bare(lived)
        monkeypatch.setattr(driver.api.control, "lists_proxy_token", lists_none)
        with pytest.raises(PlatformFailed, match="does not list it"):
            await driver.api.see_to_the_token()
        assert await driver.api.doors.token("acme") is None and set(tokens) == before


async def test_one_that_is_kept_outlives_the_program(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        tokens = lived.sandbox.world.modal.proxy_tokens
        vault = Vault(tmp_path / "kept", Ring(no_keyring), passphrase="open sesame", cost=CHEAP)
        driver = begin_bare(lived)
        driver.api.credentials.vault = vault
        assert not await keeping(driver.api), "it will be kept: nothing to mind"
        assert await driver.api.see_to_the_token() is Place.FILE
        made = set(tokens)
        await lived.network.close()
        assert set(tokens) == made


async def test_the_review_says_that_this_machine_keeps_no_secrets(tmp_path: Path) -> None:
    source = directory(tmp_path, base="Qwen/Qwen3-8B")
    async with life(tmp_path, "modal") as lived:
        poor = await driver_of(lived, **BARE).assess(source, read_directory(source.reference))
        assert not poor.blocked
        (told,) = [f for f in poor.findings if "keeps no secrets" in f.message]
        assert told.level is Level.WARNING and "PEFT_TUI_PASSPHRASE" in told.hint
        rich = await ours(lived).assess(source, read_directory(source.reference))
        assert not any("keeps no secrets" in f.message for f in rich.findings)


async def test_a_public_server_is_asked_without_a_token_and_none_is_made(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        deployment = await active(lived, directory(tmp_path), visibility="public")
        begin_bare(lived)
        assert (await ours(lived).inference(deployment)).auth == ()
        assert "WebhookTokenCreate" not in calls(lived)


async def test_it_is_asked_with_the_proxy_token_by_name_and_says_what_sending_does(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        deployment = await active(lived, directory(tmp_path), idle_timeout=60)
        asked = await lived.driver.inference(deployment)
        assert asked.url.endswith(".modal.direct/v1") and asked.wake is Wake.NOTHING
        assert [model.name for model in asked.models] == [deployment.remote_name, deployment.spec.base_model]
        assert [(a.header, a.kept_as, a.part) for a in asked.auth] == [
            ("Modal-Key", "modal/proxy-token/acme", 0),
            ("Modal-Secret", "modal/proxy-token/acme", 1),
        ]
        assert "ws-" not in repr(asked)
        lived.sandbox.clock.advance(200)
        asked = await lived.driver.inference(await seen(lived, deployment))
        assert asked.wake is Wake.WAKES and "bills" in asked.wake_words


async def test_bounds_are_changed_without_a_deployment(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        deployment = await active(lived, directory(tmp_path))
        lived.sandbox.world.data.requests.clear()
        await carry_out(lived, deployment, OperationKind.UPDATE, min_instances=1, max_instances=3)
        made = set(calls(lived)) & {"FunctionCreate", "AppPublish", "AppCreate", "ImageGetOrCreate"}
        assert made == set() and "FunctionUpdateSchedulingParams" in calls(lived)
        observation = (await seen(lived, deployment)).observation
        assert observation is not None
        assert (observation.min_instances, observation.max_instances) == (1, 3)


async def test_another_gpu_is_a_new_version_of_the_same_app(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        deployment = await active(lived, directory(tmp_path))
        await carry_out(lived, deployment, OperationKind.UPDATE, instance_type="H100")
        changed = await seen(lived, deployment)
        assert changed.remote_id == deployment.remote_id
        events = await lived.driver.events(deployment.remote_id)
        assert [event.message.partition(" · ")[0] for event in events] == ["version 2", "version 1"]


async def test_stopped_it_starts_anew_under_its_name_without_the_local_directory(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        source = directory(tmp_path)
        deployment = await active(lived, source)
        url = deployment.observation.endpoint_url if deployment.observation else ""
        await carry_out(lived, deployment, OperationKind.STOP)
        lived.sandbox.clock.advance(60)
        stopped = await seen(lived, deployment)
        assert stopped.status is Status.STOPPED and not await billing(lived)
        for file in Path(source.reference).iterdir():
            file.unlink()
        await carry_out(lived, stopped, OperationKind.START)
        again = await seen(lived, deployment)
        assert again.status is not Status.STOPPED
        assert again.remote_id != deployment.remote_id, "an app that was stopped stays stopped"
        assert again.observation is not None and again.observation.endpoint_url == url


async def test_deleted_nothing_of_it_is_left_and_it_does_not_come_back(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        deployment = await active(lived, directory(tmp_path))
        await carry_out(lived, deployment, OperationKind.DELETE)
        lived.sandbox.clock.advance(60)
        for fresh in (False, True):
            if fresh:
                lived._begin()
            for _ in range(3):
                gone = await seen(lived, deployment)
            assert gone.condition is Condition.GONE
        assert await lived.driver.models() == ()
        assert not await billing(lived)


async def test_what_sleeps_is_not_woken_by_looking_at_it(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        deployment = await active(lived, directory(tmp_path), idle_timeout=60)
        lived.sandbox.world.data.requests.clear()
        for _ in range(5):
            await lived.refresh.tick()
            lived.sandbox.clock.advance(5)
        assert asked(lived) == [], "it has answered before: each question would keep it awake"
        lived.sandbox.clock.advance(120)
        asleep = await seen(lived, deployment)
        assert asleep.condition is Condition.ASLEEP and not await billing(lived)
        for _ in range(5):
            await lived.refresh.tick()
            lived.sandbox.clock.advance(60)
        assert asked(lived) == [] and not await billing(lived)


async def test_a_tick_asks_two_lists_however_many_deployments_there_are(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        await active(lived, directory(tmp_path))
        await lived.refresh.tick()
        lived.sandbox.world.data.requests.clear()
        await lived.refresh.tick()
        assert sorted(calls(lived)) == ["AppList", "TaskList"]


async def test_twelve_megabytes_go_up_with_a_moving_count(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        big = write_adapter(tmp_path / "big", rank=256, layers=100)
        size = sum(size for _, size in read_directory(str(big)).files)
        assert size > 12_000_000
        told: list[tuple[int | None, int | None]] = []
        context = upload_of(lived, replace(directory(tmp_path), reference=str(big)), told)
        outputs = dict(await lived.driver.act("upload", context))
        counts = [done for done, _ in told if done is not None]
        assert counts == sorted(counts) and counts[-1] == size
        assert len({done for done in counts if 0 < done < size}) > 3, "it moves"
        await lived.driver.act("verify", replace(context, outputs=outputs))


async def test_the_count_goes_up_with_the_line_and_does_not_run_ahead_of_it(tmp_path: Path) -> None:
    """Most of it lay in the buffers of both ends at once, and 99 % was told for as long as the line took."""
    async with life(tmp_path, "modal") as lived:
        lived.sandbox.world.modal.knobs.upload_bytes_per_second = 1e6
        # All but stopped: a clock that stands holds nothing back.
        lived.sandbox.clock.set_speed(1e-6)
        big = write_adapter(tmp_path / "big", rank=256, layers=100)
        size = sum(size for _, size in read_directory(str(big)).files)
        told: list[tuple[int | None, int | None]] = []
        context = upload_of(lived, replace(directory(tmp_path), reference=str(big)), told)
        upload = asyncio.create_task(lived.driver.act("upload", context))
        await until(lambda: len(told) > 3)
        before = -1
        while len(told) > before:
            before = len(told)
            await asyncio.sleep(0.1)
        assert (told[-1][0] or 0) < size / 2, "the world stands still"
        while not upload.done():
            lived.sandbox.clock.advance(1)
            await asyncio.sleep(0.01)
        await upload
        assert told[-1] == (size, size)


async def test_an_upload_that_is_cut_is_begun_again_and_half_of_it_is_never_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes, "STALL_SECONDS", 0.3)
    async with life(tmp_path, "modal") as lived:
        await lived.fault(match="PUT *", nth=1, times=1, action="reset_before")
        context = upload_of(lived, directory(tmp_path), [])
        with pytest.raises(TimedOut) as caught:
            await lived.driver.act("upload", context)
        assert caught.value.transient and caught.value.effect is Effect.NONE
        with pytest.raises(PeftTuiError, match="did not arrive whole"):
            sizes = {"files": {"adapter_model.safetensors": 17392}}
            await lived.driver.act("verify", replace(context, outputs=sizes))
        outputs = dict(await lived.driver.act("upload", context))
        await lived.driver.act("verify", replace(context, outputs=outputs))


async def test_half_an_adapter_is_refused_before_the_deploy(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        arrived = {"files": {"adapter_model.safetensors": 17392}}
        context = replace(upload_of(lived, directory(tmp_path), []), outputs=arrived)
        with pytest.raises(PeftTuiError, match="did not arrive whole: 0 of 17392"):
            await lived.driver.act("verify", context)


async def knob(lived: Life, **settings: Any) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{lived.sandbox.url}/_sandbox/modal/knobs", json=settings)
        assert answer.status_code == 200, answer.text


async def refused(lived: Life, source: AdapterSource, **settings: Value) -> dict[str, Any]:
    """How a create ended that cannot come to anything; nothing bills."""
    deployment = await lived.intend(source, **{**L40S, **settings})
    operation = await lived.run(deployment)
    assert operation.state is OperationState.FAILED
    assert not await billing(lived)
    error = dict(operation.error or {})
    assert error["hint"], "there is a next step"
    return error


async def test_an_unknown_gpu_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        error = await refused(lived, directory(tmp_path), instance_type="H1000")
        assert "Modal has no GPU" in error["message"] and "L40S" in error["hint"]
        assert not {"AppCreate", "VolumeGetOrCreate", "ImageGetOrCreate"} & set(calls(lived))


async def test_a_bad_token_is_said_and_nothing_is_sent_on(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        with pytest.raises(AuthenticationFailed, match="does not accept the token") as caught:
            await driver_of(lived, MODAL_TOKEN_SECRET="as-wrong").account()
        assert "MODAL_TOKEN_ID" in caught.value.hint
        assert not await billing(lived)


async def test_two_workspaces_are_two_accounts_and_so_are_two_environments(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        assert (await lived.driver.account()).id == "acme/main"
        with pytest.raises(ConfigurationInvalid, match="no environment “nowhere”"):
            await driver_of(lived, MODAL_ENVIRONMENT="nowhere").account()


async def test_the_driver_can_be_closed_and_asked_again(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        await lived.driver.account()
        await ours(lived).close()
        assert await lived.driver.deployments() == ()


async def test_a_call_that_is_given_up_leaves_the_next_one_alone(tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        await lived.driver.account()
        await lived.fault(match="RPC AppList", action="hang")
        hanging = asyncio.create_task(lived.driver.deployments())
        while "AppList" not in calls(lived):
            await asyncio.sleep(0.01)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert await lived.driver.deployments() == ()


async def test_the_checkout_around_it_is_nobody_s_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (
        ("init", "-q"),
        ("remote", "add", "origin", "https://user:token@git.example/a.git"),
        ("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"),
    ):
        subprocess.run(["git", *words], check=True, cwd=tmp_path)
    async with life(tmp_path, "modal") as lived:
        await active(lived, directory(tmp_path))
        apps = lived.sandbox.world.modal.apps.values()
        assert [release.commit for app in apps for release in app.releases if app.name] == [""]


async def test_a_gated_base_rules_out_to_go_without_a_token(tmp_path: Path) -> None:
    source = directory(tmp_path)
    adapter = read_directory(source.reference)
    async with life(tmp_path, "modal") as lived:
        found = await ours(lived).assess(source, adapter)
        assert not found.blocked and "is gated" in found.unsupported["hub_token=no"]
        poor = driver_of(lived, HF_TOKEN="")
        refused = (await poor.assess(source, adapter)).blocked
        assert "is gated" in refused and "there is none" in refused
        open_base = replace(adapter, base_model="Qwen/Qwen3-8B")
        assert not (await ours(lived).assess(source, open_base)).unsupported
