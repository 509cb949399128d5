"""The Modal cloud, driven by the vendor's own SDK: deploying, living, ending, and what it costs."""

from __future__ import annotations

import json

import modal
import pytest
from modal_proto import api_pb2 as pb

from peft_tui.sandbox import Sandbox, run_sandbox
from peft_tui.sandbox.modal.state import TOKENS
from tests.sandbox.modal_client import BASE, KEYS, connected, write_adapter

UP = 45
L40S = 1.95 + 0.125 * 0.0473 + 0.125 * 0.008


@pytest.fixture
async def m(sb):
    async with connected(sb) as client:
        yield client


async def up(m, *flags, **settings):
    """A server with one container that answers."""
    await m.adapter()
    app = await m.deploy("bot", *flags, min_containers=1, **settings)
    m.sb.clock.advance(UP)
    return app


async def test_a_token_is_known_by_its_workspace(m):
    await m.client.hello.aio()
    workspace = await modal.Workspace.from_context(client=m.client).hydrate.aio()
    assert workspace.name == "acme"
    info = await m.rpc("TokenInfoGet", pb.TokenInfoGetRequest())
    assert (info.workspace_name, info.user_identity.username) == ("acme", "acme")
    assert info.token_id == m.sb.env["MODAL_TOKEN_ID"]
    assert info.workspace_id.startswith("ac-") and len(info.workspace_id) == 25


@pytest.mark.parametrize("secret", ["as-nobody", TOKENS["globex"][1]])
async def test_a_wrong_token_is_refused_in_every_call(sb, secret):
    async with connected(sb, (TOKENS["acme"][0], secret)) as nobody:
        with pytest.raises(modal.exception.AuthError):
            await nobody.client.hello.aio()
        with pytest.raises(modal.exception.AuthError):
            await nobody.listed()
        assert {status for _, _, status in await nobody.called()} == {401}


async def test_prices_are_those_of_the_price_list(m):
    workspace = modal.Workspace.from_context(client=m.client)
    rates = await workspace.billing.rates.aio()
    assert (str(rates["gpu_hour_cost_l40s"]), str(rates["cpu_hour_cost"])) == ("1.95000", "0.04730")


@pytest.mark.parametrize("version", [1, 2])
async def test_a_directory_with_a_large_file_is_uploaded_read_and_removed(m, version, tmp_path):
    write_adapter(tmp_path, 9 * 1024 * 1024)
    volume = await m.volume({}, version=version)
    async with volume.batch_upload(force=True) as batch:
        batch.put_directory(tmp_path, "/support")
    entries = {e.path: (e.size, e.type.name) for e in await volume.listdir.aio("/", recursive=True)}
    weights = (tmp_path / "adapter_model.safetensors").read_bytes()
    assert entries["support"][1] == "DIRECTORY"
    assert entries["support/adapter_model.safetensors"] == (len(weights), "FILE")
    read = [part async for part in volume.read_file.aio("/support/adapter_model.safetensors")]
    assert b"".join(read) == weights and len(read) == 2
    await volume.remove_file.aio("/support/adapter_model.safetensors")
    assert [e.path for e in await volume.listdir.aio("/support")] == ["support/adapter_config.json"]
    with pytest.raises(FileNotFoundError):
        await volume.remove_file.aio("/support/adapter_model.safetensors")
    # What is known already is not sent again.
    puts = [path for method, path, _ in await m.called() if method == "PUT"]
    async with volume.batch_upload(force=True) as batch:
        batch.put_directory(tmp_path, "/again")
    assert [path for method, path, _ in await m.called() if method == "PUT"] == puts


async def test_a_larger_blob_goes_up_in_parts(m, tmp_path):
    await m.knobs(multipart_over=5_000_000)
    write_adapter(tmp_path, 17 * 1024 * 1024)
    volume = await m.volume({})
    async with volume.batch_upload() as batch:
        batch.put_directory(tmp_path, "/big")
    called = [(method, path.rpartition("/")[2]) for method, path, _ in await m.called()]
    assert sorted(c for c in called if c[0] == "PUT") == [("PUT", "1"), ("PUT", "2")]
    assert ("POST", "complete") in called
    read = [part async for part in volume.read_file.aio("/big/adapter_model.safetensors")]
    assert b"".join(read) == (tmp_path / "adapter_model.safetensors").read_bytes()


async def test_nothing_is_overwritten_unless_asked(m):
    volume = await m.volume({"/a.txt": b"one"})
    with pytest.raises(FileExistsError):
        async with volume.batch_upload() as batch:
            batch.put_file(__file__, "/a.txt")
    assert b"".join([p async for p in volume.read_file.aio("/a.txt")]) == b"one"


async def test_a_server_is_deployed_from_an_image_and_comes_up(m):
    await m.adapter()
    m.sb.world.data.requests.clear()
    app = await m.deploy("bot", min_containers=1, tag="v1")
    names = [path for method, path, _ in await m.called() if method == "RPC"]
    # The order in which the vendor's SDK deploys; the image has two layers.
    once = [n for n in dict.fromkeys(names) if n not in ("AppHeartbeat", "EnvironmentGetOrCreate")]
    assert once[:3] == ["AppGetByDeploymentName", "AppCreate", "FunctionPrecreate"]
    assert set(once[3:-2]) == {
        "VolumeGetOrCreate",
        "ImageGetOrCreate",
        "ImageJoinStreaming",
        "FunctionCreate",
    }
    assert once[-2:] == ["AppPublish", "AppGetOrCreate"] and names.count("ImageGetOrCreate") == 2
    assert (await m.listed())["bot"].state == pb.APP_STATE_DEPLOYED
    info = await app.info.aio(refresh=True)
    assert list(info.servers) == ["Server"] and info.lifecycle.version == 1
    (waiting,) = await m.tasks()
    assert waiting.task_id.startswith("ta-") and waiting.enqueued_at and not waiting.started_at
    assert (await m.bill())["billing"] is False
    m.sb.clock.advance(5)
    (started,) = await m.tasks()
    assert started.started_at == pytest.approx(started.enqueued_at + 4)
    assert (await m.bill())["usd_per_hour"] == pytest.approx(L40S, abs=1e-5)
    task = await m.rpc("TaskGetInfo", pb.TaskGetInfoRequest(task_id=started.task_id))
    assert (task.info.gpu_config.gpu_type, task.info.gpu_config.count) == ("L40S", 1)
    assert (await m.ask("/health")).status_code == 503
    m.sb.clock.advance(UP)
    assert (await m.ask("/health")).status_code == 200
    assert (await m.listed())["bot"].n_running_tasks == 1
    models = (await m.ask("/v1/models")).json()["data"]
    assert [(x["id"], x["parent"]) for x in models] == [(BASE, None), ("support", BASE)]
    assert any("Application startup complete" in line for line in await m.log(app))


async def test_base_and_adapter_answer_each_in_their_own_way(m):
    await up(m)
    url = await m.url()
    base, tuned = (await m.chat(BASE, url)).json(), (await m.chat("support", url)).json()
    assert (base["model"], tuned["model"]) == (BASE, "support")
    assert base["choices"][0]["message"]["content"] != tuned["choices"][0]["message"]["content"]
    assert tuned["usage"]["completion_tokens"] > 10
    wrong = await m.chat("nobody", url)
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (404, "NotFoundError")
    body = {"model": "support", "prompt": "Refund", "max_tokens": 3}
    short = (await m.ask("/v1/completions", url, "POST", json=body)).json()
    assert (short["object"], short["choices"][0]["finish_reason"]) == ("text_completion", "length")
    long = await m.chat("support", url, max_tokens=100_000)
    assert long.status_code == 400 and "maximum context length" in long.json()["error"]["message"]
    assert (await m.ask("/v1/nothing", url)).json() == {"detail": "Not Found"}
    assert (await m.ask("/v1/models", url, "POST")).status_code == 405
    metrics = (await m.ask("/metrics", url)).text
    assert (
        'vllm:request_success_total{engine="0",model_name="Qwen/Qwen3-8B",finished_reason="length"} 1.0'
        in metrics
    )
    assert "vllm:time_to_first_token_seconds_count" in metrics


async def test_a_stream_has_usage_when_it_is_asked_for(m):
    await up(m)
    whole = (await m.chat("support")).json()
    answer = await m.chat("support", stream=True, stream_options={"include_usage": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [x.removeprefix("data: ") for x in answer.text.split("\n\n") if x]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(x) for x in lines]
    assert chunks[-1]["usage"] == whole["usage"] and chunks[-1]["choices"] == []
    said = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1])
    assert said == whole["choices"][0]["message"]["content"]
    plain = await m.chat("support", stream=True)
    assert '"usage"' not in plain.text


async def test_callers_need_a_proxy_token(m):
    await up(m)
    url = await m.url()
    id, secret = KEYS["Modal-Key"], KEYS["Modal-Secret"]
    for headers, status, text in [
        ({}, 401, "missing credentials for proxy authorization"),
        (
            {"Authorization": f"Bearer {m.sb.env['MODAL_TOKEN_ID']}"},
            401,
            "missing credentials for proxy authorization",
        ),
        ({"Modal-Key": id, "Modal-Secret": "ws-wrong"}, 401, "invalid credentials for proxy authorization"),
        ({"Authorization": f"Bearer {id}.{secret}"}, 200, ""),
        (KEYS, 200, ""),
    ]:
        answer = await m.ask("/health", url, headers=headers)
        assert (answer.status_code, answer.text) == (status, text and f"modal-http: {text}")
    assert (await m.ask("/health", url, "OPTIONS", headers={})).status_code == 401


async def test_proxy_tokens_are_made_listed_and_taken_back(m):
    await up(m)
    tokens = modal.Workspace.from_context(client=m.client).proxy_tokens
    made = await tokens.create.aio(name="peft-tui")
    assert made.token_id.startswith("wk-") and made.token_secret.startswith("ws-")
    assert [t.name for t in await tokens.list.aio()] == ["sandbox", "peft-tui"]
    headers = {"Authorization": f"Bearer {made.token_id}.{made.token_secret}"}
    assert (await m.ask("/health", headers=headers)).status_code == 200
    await tokens.delete.aio(made.token_id)
    assert (await m.ask("/health", headers=headers)).status_code == 401


async def test_a_public_server_asks_for_nothing(m):
    await up(m, unauthenticated=True)
    assert (await m.ask("/health", headers={})).status_code == 200


async def test_at_zero_a_request_wakes_it_and_silence_puts_it_to_sleep(m):
    await m.adapter()
    await m.deploy("bot", scaledown_window=120)
    m.sb.clock.advance(3600)
    assert await m.tasks() == [] and (await m.bill())["usd_total"] == 0
    assert (await m.chat("support")).status_code == 503
    assert len(await m.tasks()) == 1
    m.sb.clock.advance(UP)
    assert (await m.chat("support")).status_code == 200
    m.sb.clock.advance(119)
    assert len(await m.tasks()) == 1
    m.sb.clock.advance(2)
    assert await m.tasks() == []
    bill = await m.bill()
    # From its start to its end: coming up, working, and the idle window.
    assert bill["usd_total"] == pytest.approx(L40S * (40 + 1 + 120) / 3600, rel=0.01)
    assert (bill["billing"], bill["state"]) == (False, "DEPLOYED")


async def test_the_autoscaler_is_turned_without_a_deployment_and_the_next_one_resets_it(m):
    await m.adapter()
    app = await m.deploy("bot", tag="a", scaledown_window=60)
    server = await m.server()
    before = await server.autoscaler.settings.aio()
    assert (before.min_containers, before.max_containers, before.scaledown_window) == (0, 2, 60)
    m.sb.world.data.requests.clear()
    after = await server.autoscaler.update.aio(min_containers=2, max_containers=3, target_concurrency=4)
    assert (after.min_containers, after.max_containers, after.target_concurrency) == (2, 3, 4.0)
    assert [path for _, path, _ in await m.called()] == ["FunctionUpdateSchedulingParams"]
    m.sb.clock.advance(UP)
    assert len(await m.tasks()) == 2
    with pytest.raises(modal.exception.InvalidError, match="cannot be greater"):
        await server.autoscaler.update.aio(min_containers=9)
    await server.autoscaler.update.aio(min_containers=0)
    m.sb.clock.advance(61)
    assert await m.tasks() == []
    await m.deploy("bot", tag="b", scaledown_window=60)
    assert (await server.autoscaler.settings.aio()).max_containers == 2
    assert (await app.info.aio(refresh=True)).lifecycle.version == 2


async def test_a_redeployment_keeps_answering_and_can_be_rolled_back(m):
    app = await up(m, tag="one")
    url, first = await m.url(), (await m.tasks())[0].task_id
    again = await m.deploy(
        "bot", "--enable-lora", "--lora-modules", "renamed=/adapters/support", tag="two", min_containers=1
    )
    assert again.app_id == app.app_id and await m.url() == url
    assert first in {t.task_id for t in await m.tasks()}
    assert (await m.chat("support", url)).status_code == 200
    m.sb.clock.advance(UP)
    assert first not in {t.task_id for t in await m.tasks()}
    assert (await m.chat("support", url)).status_code == 404
    assert (await m.chat("renamed", url)).status_code == 200
    rolled = await m.rpc("AppRollback", pb.AppRollbackRequest(app_id=app.app_id, version=-1))
    assert rolled.deployed_at == m.sb.clock.now()
    m.sb.clock.advance(UP)
    assert (await m.chat("support", url)).status_code == 200
    history = await m.rpc("AppDeploymentHistory", pb.AppDeploymentHistoryRequest(app_id=app.app_id))
    rows = [(r.version, r.tag, r.rollback_version) for r in history.app_deployment_histories]
    assert rows == [(3, "one", 1), (2, "two", 0), (1, "one", 0)]
    assert history.production_app_version == 3


async def test_a_deployment_that_changes_nothing_makes_no_version(m):
    app = await up(m)
    (before,) = await m.tasks()
    await m.deploy("bot", min_containers=1)
    m.sb.clock.advance(UP)
    assert [t.task_id for t in await m.tasks()] == [before.task_id]
    assert (await app.info.aio(refresh=True)).lifecycle.version == 1
    await m.rpc("AppRollover", pb.AppRolloverRequest(app_id=app.app_id))
    m.sb.clock.advance(UP)
    assert [t.task_id for t in await m.tasks()] != [before.task_id]


async def test_recreate_ends_the_old_containers_first(m):
    await up(m, tag="one")
    (before,) = await m.tasks()
    app = modal.App("bot")
    image = modal.Image.from_registry("vllm/vllm-openai:v0.11.2").cmd(["--model", BASE])
    app.server(
        image=image, name="Server", include_source=False, gpu="L4", startup_timeout=900, min_containers=1
    )(modal._server._DirectServerCls)
    m.sb.clock.advance(1)
    await app.deploy.aio(client=m.client, strategy="recreate", tag="two")
    assert before.task_id not in {t.task_id for t in await m.tasks()}


async def test_a_stopped_app_answers_nothing_and_bills_nothing(m):
    app = await up(m)
    url = await m.url()
    await app.stop.aio()
    assert await m.tasks() == []
    assert (await m.listed())["bot"].state == pb.APP_STATE_STOPPED
    answer = await m.ask("/health", url)
    assert (answer.status_code, answer.text) == (404, "modal-http: app for invoked web endpoint is stopped")
    bill = await m.bill()
    assert (bill["billing"], bill["state"], bill["deleted"]) == (False, "STOPPED", True)
    m.sb.clock.advance(3600)
    assert (await m.bill())["usd_total"] == bill["usd_total"]
    with pytest.raises(modal.exception.NotFoundError):
        await modal.App.lookup.aio("bot", client=m.client)
    # The same name gives another app at the same address.
    other = await m.deploy("bot", tag="again")
    assert other.app_id != app.app_id and await m.url() == url
    assert (await m.ask("/health", f"{m.sb.url}/modal/app/nobody--x.modal.run")).text.endswith(
        "invalid function call"
    )


async def test_two_workspaces_do_not_see_each_other(m):
    app = await up(m)
    async with connected(m.sb, TOKENS["globex"]) as other:
        assert await other.listed() == {} and await other.tasks() == []
        with pytest.raises(modal.exception.NotFoundError):
            await other.rpc("AppStop", pb.AppStopRequest(app_id=app.app_id))


async def test_a_world_that_was_saved_goes_on(tmp_path):
    state = tmp_path / "world.json"
    async with run_sandbox(seed=3, state=state) as first:
        async with connected(first) as m:
            app = await up(m)
            spent = (await m.bill())["usd_total"]
    async with run_sandbox(seed=3, state=state) as second:
        async with connected(second) as m:
            assert (await m.listed())["bot"].app_id == app.app_id
            assert (await m.chat("support")).status_code == 200
            assert (await m.bill())["usd_total"] == pytest.approx(spent)
            volume = await m.volume({})
            parts = [p async for p in volume.read_file.aio("/support/adapter_model.safetensors")]
            assert b"".join(parts) == b"weights"
            await m.http.post(f"{second.url}/_sandbox/reset")
            assert await m.listed() == {}


async def test_it_starts_again_at_the_same_addresses():
    sandbox = Sandbox(speed=0)
    await sandbox.start()
    before = sandbox.env
    await sandbox.stop()
    await sandbox.start()
    async with connected(sandbox) as m:
        await m.client.hello.aio()
    assert sandbox.env == before
    await sandbox.stop()
