"""What goes wrong at Modal: builds, starts, GPUs, money, lost answers."""

from __future__ import annotations

import asyncio

import httpx
import modal
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from grpclib.exceptions import StreamTerminatedError
from modal_proto import api_pb2 as pb

from peft_tui.sandbox import run_sandbox
from tests.sandbox.conftest import to_mid_month
from tests.sandbox.modal_client import BASE, KEYS, connected

UP = 45


@pytest.fixture
async def m(sb):
    async with connected(sb) as client:
        yield client


async def test_a_failed_build_names_the_image_whose_log_tells_why(m):
    await m.adapter()
    with pytest.raises(modal.exception.RemoteError, match="Image build for im-") as caught:
        await m.deploy("bot", image="vllm/vllm-openai:no-such-tag")
    id = next(word for word in str(caught.value).split() if word.startswith("im-"))
    request = pb.ImageJoinStreamingRequest(image_id=id, timeout=1, include_logs_for_finished=True)
    answers = await m.stream("ImageJoinStreaming", request)
    lines = [log.data for answer in answers for log in answer.task_logs]
    assert "manifest unknown" in lines[-1]
    assert answers[-1].eof and answers[-1].result.status == pb.GenericResult.GENERIC_STATUS_FAILURE
    assert (await m.listed())["bot"].state == pb.APP_STATE_STOPPED
    assert await m.tasks() == [] and (await m.bill())["usd_total"] == 0
    await m.knobs(fail_builds=1)
    with pytest.raises(modal.exception.RemoteError):
        await m.deploy("bot")
    await m.deploy("bot")
    assert (await m.listed())["bot"].state == pb.APP_STATE_DEPLOYED


async def test_a_build_takes_its_time_on_a_clock_that_runs(m):
    await m.adapter()
    m.sb.clock.set_speed(60)
    began = m.sb.clock.now()
    await m.deploy("bot")
    assert m.sb.clock.now() - began >= 11
    m.sb.clock.set_speed(0)
    m.sb.world.data.requests.clear()
    await m.deploy("bot", tag="again")
    # What was built before comes from the cache.
    assert "ImageJoinStreaming" not in [path for _, path, _ in await m.called()]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"gpu": "V100"}, "Unknown GPU type"),
        ({"gpu": "A10:8"}, "maximum is 4"),
        ({"gpu": "L40S", "min_containers": 3}, "max_containers"),
    ],
)
async def test_what_the_platform_does_not_have_is_refused(m, settings, words):
    await m.adapter()
    with pytest.raises(modal.exception.InvalidError, match=words):
        await m.deploy("bot", **settings)
    assert await m.tasks() == []


@pytest.mark.parametrize(
    ("deployment", "words"),
    [
        ({"flags": ("--enable-lora", "--lora-modules", "support=/adapters/nothing")}, "No adapter found"),
        ({"flags": ("--lora-modules", "support=/adapters/support")}, "LoRA is not enabled"),
        ({"rank": 64}, "LoRA rank 64 is greater than max_lora_rank 16"),
        ({"base": "Qwen/Qwen3-32B"}, "CUDA out of memory"),
        ({"base": "meta-llama/Llama-3.1-8B-Instruct"}, "gated repo"),
        ({"flags": ("--tensor-parallel-size", "2")}, "tensor parallel size 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_program_that_cannot_start_ends_again_and_again(m, deployment, words):
    await m.adapter(deployment.pop("rank", 16))
    app = await m.deploy("bot", *deployment.pop("flags", ()), min_containers=1, **deployment)
    m.sb.clock.advance(30)
    lines = await m.log(app)
    assert any(words in line for line in lines) and "Container exited with code 1.\n" in lines
    m.sb.clock.advance(300)
    assert (await m.ask("/health")).status_code == 503
    stats = await (await m.server()).stats.aio()
    assert stats.container_error_count >= 3
    spent = (await m.bill())["usd_total"]
    assert 0 < spent < 0.2


async def test_a_gated_base_starts_with_a_token(m):
    await m.adapter()
    token = {"HF_TOKEN": m.sb.env["HF_TOKEN"]}
    await m.deploy("bot", base="meta-llama/Llama-3.1-8B-Instruct", env=token, min_containers=1)
    m.sb.clock.advance(UP)
    assert (await m.ask("/health")).status_code == 200


async def test_who_is_not_up_in_time_is_ended(m):
    await m.adapter()
    app = await m.deploy("bot", min_containers=1, startup_timeout=30)
    m.sb.clock.advance(35)
    assert any("within its startup timeout of 30 s" in line for line in await m.log(app))
    other = await m.deploy("deaf", "--port", "9000", min_containers=1, startup_timeout=100)
    m.sb.clock.advance(110)
    assert any("did not accept connections on port 8000" in line for line in await m.log(other))


async def test_without_a_free_gpu_a_container_waits_and_costs_nothing(m):
    await m.adapter()
    await m.knobs(no_capacity=["L40S"])
    app = await m.deploy("bot", min_containers=1)
    m.sb.clock.advance(600)
    (task,) = await m.tasks()
    assert task.enqueued_at and not task.started_at
    assert (await m.bill())["usd_total"] == 0
    assert "Waiting for GPU capacity.\n" in await m.log(app)
    await m.knobs(no_capacity=[])
    m.sb.clock.advance(UP)
    assert (await m.ask("/health")).status_code == 200


async def test_the_next_gpu_of_the_list_is_taken(m):
    await m.adapter()
    await m.knobs(no_capacity=["L40S"])
    await m.deploy("bot", gpu=["L40S", "A100-80GB"], min_containers=1)
    m.sb.clock.advance(UP)
    (task,) = await m.tasks()
    info = (await m.rpc("TaskGetInfo", pb.TaskGetInfoRequest(task_id=task.task_id))).info
    assert info.gpu_config.gpu_type == "A100-80GB"
    assert (await m.bill())["usd_per_hour"] == pytest.approx(2.5, abs=0.01)


async def test_over_the_spend_limit_nothing_new_starts(m):
    await m.adapter()
    await m.deploy("bot")
    await m.knobs(spend_limit=True)
    with pytest.raises(modal.exception.ResourceExhaustedError, match="exceeded its spend limit"):
        await m.deploy("other")
    assert (await m.ask("/health")).status_code == 503
    m.sb.clock.advance(UP)
    assert await m.tasks() == [] and (await m.bill())["usd_total"] == 0


async def test_a_budget_that_is_used_up_refuses_by_itself(m):
    to_mid_month(m.sb)
    await m.adapter()
    await m.deploy("bot", min_containers=1)
    environment = await m.rpc("EnvironmentGetOrCreate", pb.EnvironmentGetOrCreateRequest())
    id = environment.environment_id
    await m.rpc(
        "EnvironmentSetBudget", pb.EnvironmentSetBudgetRequest(environment_id=id, cycle_budget_dollars=1)
    )
    m.sb.clock.advance(600)
    budget = await m.rpc("EnvironmentGetBudget", pb.EnvironmentGetBudgetRequest(environment_id=id))
    assert budget.effective_cycle_spend_limit == 1 and not budget.spend_limit_reached
    assert budget.current_cycle_usage == pytest.approx((await m.bill())["usd_total"], abs=1e-4)
    m.sb.clock.advance(3600)
    (item,) = (await m.rpc("EnvironmentList", Empty())).items
    assert item.spend_limit_reached and item.current_concurrent_gpus == 1
    with pytest.raises(modal.exception.ResourceExhaustedError):
        await m.deploy("other")


async def test_a_disabled_workspace_still_lists_what_no_longer_answers(m):
    await m.adapter()
    await m.deploy("bot", min_containers=1)
    m.sb.clock.advance(UP)
    await m.knobs(workspace_disabled=True)
    assert (await m.listed())["bot"].state == pb.APP_STATE_DEPLOYED
    answer = await m.ask("/health")
    assert answer.status_code == 404 and answer.text.endswith("is disabled")
    assert await m.tasks() == [] and (await m.bill())["billing"] is False
    with pytest.raises(modal.exception.ConflictError, match="is disabled"):
        await m.deploy("other")
    assert len(await (await m.volume({})).listdir.aio("/support")) == 2


async def test_more_callers_than_it_takes_are_told_so(m):
    await m.adapter()
    await m.deploy("bot", min_containers=1, max_containers=1, max_concurrency=1)
    m.sb.clock.advance(UP)
    url = await m.url()
    m.sb.clock.set_speed(0.001)
    first = asyncio.create_task(m.chat(BASE, url))
    while not any(m.sb.world.in_flight.values()):
        await asyncio.sleep(0.005)
    assert (await m.chat(BASE, url)).status_code == 429
    first.cancel()


async def test_callers_above_the_target_bring_another_container(m):
    await m.adapter()
    await m.deploy("bot", min_containers=1, max_containers=3, target_concurrency=1)
    m.sb.clock.advance(UP)
    url = await m.url()
    m.sb.clock.set_speed(0.001)
    waiting = [asyncio.create_task(m.chat(BASE, url)) for _ in range(4)]
    while sum(m.sb.world.in_flight.values()) < 4:
        await asyncio.sleep(0.005)
    assert len(await m.tasks()) == 3
    stats = await m.rpc(
        "FunctionGetCurrentStats",
        pb.FunctionGetCurrentStatsRequest(function_id=(await m.server())._get_service_function().object_id),
    )
    assert stats.num_running_inputs == 4
    for task in waiting:
        task.cancel()


async def test_an_adapter_is_loaded_and_unloaded_while_it_runs(m):
    await m.adapter()
    env = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
    await m.deploy("bot", "--enable-lora", min_containers=1, env=env)
    m.sb.clock.advance(UP)
    url = await m.url()
    assert (await m.chat("late", url)).status_code == 404
    body = {"lora_name": "late", "lora_path": "/adapters/support"}
    loaded = await m.ask("/v1/load_lora_adapter", url, "POST", json=body)
    assert (loaded.status_code, loaded.text) == (200, "Success: LoRA adapter 'late' added successfully.")
    again = await m.ask("/v1/load_lora_adapter", url, "POST", json=body)
    assert (again.status_code, again.json()["error"]["type"]) == (400, "InvalidUserInput")
    missing = {"lora_name": "x", "lora_path": "/adapters/x"}
    assert (await m.ask("/v1/load_lora_adapter", url, "POST", json=missing)).status_code == 404
    assert (await m.chat("late", url)).status_code == 200
    await m.ask("/v1/unload_lora_adapter", url, "POST", json={"lora_name": "late"})
    assert (await m.chat("late", url)).status_code == 404


async def test_a_stop_takes_an_open_stream_along(m):
    await m.adapter()
    app = await m.deploy("bot", min_containers=1)
    m.sb.clock.advance(UP)
    url = await m.url()
    m.sb.clock.set_speed(0.5)
    body = {"model": BASE, "messages": [{"role": "user", "content": "500 words"}], "stream": True}
    with pytest.raises(httpx.TransportError):
        async with m.http.stream("POST", f"{url}/v1/chat/completions", json=body, headers=KEYS) as answer:
            async for _ in answer.aiter_raw():
                await app.stop.aio()


async def test_a_container_is_not_idle_while_it_answers(m):
    await m.adapter()
    await m.deploy("bot", scaledown_window=2)
    await m.ask("/health")
    m.sb.clock.advance(44.5)
    url = await m.url()
    m.sb.clock.set_speed(0.001)
    # About seven seconds of talk, with a window of two.
    messages = [{"role": "user", "content": "Tell me 500 words."}]
    body = {"model": BASE, "messages": messages, "max_tokens": 600}
    asked = asyncio.create_task(m.ask("/v1/chat/completions", url, "POST", json=body))
    while not any(m.sb.world.in_flight.values()):
        await asyncio.sleep(0.005)
    m.sb.clock.advance(4)
    assert len(await m.tasks()) == 1 and not asked.done()
    m.sb.clock.advance(60)
    assert (await asked).status_code == 200
    assert len(await m.tasks()) == 1
    m.sb.clock.advance(3)
    assert await m.tasks() == []


async def test_it_costs_the_same_whether_watched_or_not():
    """Starts, crashes, a wake-up and an idle end, looked at once or all the time."""
    costs = []
    for steps in (1, 60):
        async with run_sandbox(seed=5) as sandbox, connected(sandbox) as m:
            await m.adapter()
            await m.deploy("crashes", "--lora-modules", "x=/adapters/none", min_containers=1)
            await m.deploy("sleeps", scaledown_window=60)
            await m.ask("/health", await m.url("sleeps"))
            for _ in range(steps):
                sandbox.clock.advance(600 / steps)
                if steps > 1:
                    await m.tasks()
            costs.append([(await m.bill(name))["usd_total"] for name in ("crashes", "sleeps")])
    assert costs[0] == pytest.approx(costs[1], abs=1e-5) and min(costs[0]) > 0


# Web functions


async def web_function(m, **web):
    app = modal.App("web")

    def serve():
        pass

    wrapped = modal.web_server(8000, startup_timeout=600, **web)(serve)
    app.function(
        image=modal.Image.from_registry("vllm/vllm-openai:v0.11.2", add_python="3.11"),
        gpu="L40S",
        volumes={"/adapters": modal.Volume.from_name("adapters")},
        serialized=True,
        name="serve",
    )(wrapped)
    await app.deploy.aio(client=m.client)
    function = modal.Function.from_name("web", "serve", client=m.client)
    return str(await function.get_web_url.aio())


async def test_a_web_function_waits_for_its_container(m):
    await m.adapter()
    url = await web_function(m)
    assert url.endswith("acme--web-serve.modal.run")
    asked = asyncio.create_task(m.ask("/v1/models", url, headers={}))
    while not await m.tasks():
        await asyncio.sleep(0.005)
    m.sb.clock.advance(UP)
    answer = await asked
    assert answer.status_code == 200
    assert "support" in [x["id"] for x in answer.json()["data"]]


async def test_a_slow_web_function_sends_its_caller_to_fetch_the_answer(m):
    await m.adapter()
    await m.knobs(ready_seconds=400)
    url = await web_function(m, requires_proxy_auth=True)
    assert (await m.ask("/health", url, headers={})).status_code == 401
    asked = asyncio.create_task(m.chat("support", url))
    while not await m.tasks():
        await asyncio.sleep(0.005)
    m.sb.clock.advance(151)
    sent = await asked
    assert sent.status_code == 303
    location = sent.headers["Location"]
    assert location.startswith(f"{url}/v1/chat/completions?__modal_function_call_id=fc-")
    again = await m.http.post(location, headers=KEYS, json={})
    assert (again.status_code, again.text) == (400, "modal-http: bad redirect method")
    fetched = asyncio.create_task(m.http.get(location, headers=KEYS))
    await m.has_heard("GET", httpx.URL(location).path.removeprefix("/modal"))
    m.sb.clock.advance(151)
    assert (await fetched).status_code == 303
    m.sb.clock.advance(200)
    answer = await m.http.get(location, headers=KEYS)
    assert answer.status_code == 200 and answer.json()["model"] == "support"


# Faults


async def test_a_status_comes_by_the_name_of_the_call(m):
    await m.fault(match="AppList", action="status", code="PERMISSION_DENIED", body="not you")
    with pytest.raises(modal.exception.PermissionDeniedError, match="not you"):
        await m.listed()
    assert await m.listed() == {}
    assert (await m.called())[0] == ("RPC", "AppList", 403)


async def test_an_overloaded_server_is_asked_again_by_the_sdk(m):
    await m.fault(match="RPC AppL*", action="status", code=503, times=2)
    assert await m.listed() == {}
    assert [status for _, _, status in await m.called()] == [503, 503, 200]


@pytest.mark.parametrize("action", ["reset_before", "reset_after"])
async def test_a_lost_answer_is_asked_for_again_and_nothing_happens_twice(m, action):
    await m.adapter()
    await m.fault(match="AppPublish", action=action)
    app = await m.deploy("bot", tag="once")
    history = await m.rpc("AppDeploymentHistory", pb.AppDeploymentHistoryRequest(app_id=app.app_id))
    assert [r.version for r in history.app_deployment_histories] == [1]
    assert [s for _, path, s in await m.called() if path == "AppPublish"] == [0, 200]


async def test_an_answer_that_stays_lost_has_done_its_work(m):
    await m.adapter()
    await m.fault(match="AppPublish", action="reset_after", times=None)
    with pytest.raises(StreamTerminatedError):
        await m.deploy("bot")
    assert (await m.listed())["bot"].state == pb.APP_STATE_DEPLOYED


async def test_garbage_delay_and_silence(m):
    await m.fault(match="AppList", action="garbage", times=None)
    with pytest.raises(DecodeError):
        await m.listed()
    await m.http.delete(f"{m.sb.url}/_sandbox/faults")
    await m.fault(match="AppList", action="delay", seconds=0.05)
    assert await m.listed() == {}
    await m.fault(match="AppList", action="hang")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(m.listed(), 0.2)


async def test_what_the_sandbox_does_not_have_is_unimplemented(m):
    with pytest.raises(modal.exception.UnimplementedError):
        await m.rpc("EndpointList", pb.EndpointListRequest())
