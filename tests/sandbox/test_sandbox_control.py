"""The control surface, faults, and a world that survives its program."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from peft_tui.sandbox import PortBusy, Sandbox, run_sandbox
from tests.doubles import until

P = "/v2/projects/proj_acme"
ENDPOINTS = f"POST {P.replace('proj_acme', '*')}/endpoints"


async def add(control, **fault):
    answer = await control.post("/faults", json=fault)
    assert answer.status_code == 201, answer.text


async def names(together):
    return [e["name"] for e in (await together.get(f"{P}/endpoints"))["data"]]


async def test_calls_are_listed_without_the_prefix_and_without_control(together, replicate, control):
    await together.get("/v3/whoami")
    await replicate.get("/nothing", 404)
    rows = (await control.get("/requests")).json()["requests"]
    assert [(r["platform"], r["method"], r["path"], r["status"]) for r in rows] == [
        ("together", "GET", "/v3/whoami", 200),
        ("replicate", "GET", "/v1/nothing", 404),
    ]
    await together.post(f"{P}/endpoints", {"name": "x"})
    last = (await control.get("/requests", params={"platform": "together"})).json()["requests"][-1]
    assert last["bytes_in"] == len('{"name":"x"}')
    assert last["at"].endswith("Z")


async def test_a_status_fault_hits_the_nth_matching_call(together, control):
    body = {"error": {"message": "busy"}}
    headers = {"Retry-After": "2"}
    await add(
        control,
        platform="together",
        match=ENDPOINTS,
        nth=2,
        times=2,
        action="status",
        code=503,
        body=body,
        headers=headers,
    )
    statuses = []
    for number in range(4):
        answer = await together.http.post(f"{P}/endpoints", json={"name": f"e{number}"})
        statuses.append(answer.status_code)
        if answer.status_code == 503:
            assert answer.json() == body
            assert answer.headers["Retry-After"] == "2"
    assert statuses == [200, 503, 503, 200]
    assert len(await names(together)) == 2
    (fault,) = (await control.get("/faults")).json()["faults"]
    assert (fault["seen"], fault["hits"]) == (4, 2)
    await control.delete("/faults")
    assert (await control.get("/faults")).json() == {"faults": []}


@pytest.mark.parametrize(("action", "made"), [("reset_before", False), ("reset_after", True)])
async def test_a_reset_loses_the_answer_with_or_without_the_work(together, control, action, made):
    await add(control, platform="together", match=ENDPOINTS, action=action)
    with pytest.raises(httpx.TransportError):
        await together.http.post(f"{P}/endpoints", json={"name": "lost"})
    assert ("acme/lost" in await names(together)) is made
    rows = (await control.get("/requests")).json()["requests"]
    assert next(r for r in rows if r["method"] == "POST")["status"] == 0


async def test_a_hanging_call_is_listed_without_a_status(together, control):
    await add(control, match=ENDPOINTS, action="hang")
    with pytest.raises(httpx.ReadTimeout):
        # It is not the connecting that takes too long.
        await together.http.post(f"{P}/endpoints", json={"name": "x"}, timeout=httpx.Timeout(60, read=0.2))
    assert await names(together) == []
    await until(lambda: any(r.method == "POST" for r in together.sb.world.data.requests))
    rows = (await control.get("/requests")).json()["requests"]
    assert next(r for r in rows if r["method"] == "POST")["status"] in (0, None)


async def test_a_delay_comes_before_the_answer(together, control):
    await add(control, match=ENDPOINTS, action="delay", seconds=0.15)
    began = time.monotonic()
    await together.post(f"{P}/endpoints", {"name": "x"})
    assert time.monotonic() - began >= 0.15


async def test_a_slow_body_arrives_whole_or_is_cut(together, control):
    await add(control, match="GET /v3/whoami", action="slow_body", seconds=0.05)
    assert (await together.get("/v3/whoami"))["project"]["slug"] == "acme"
    await add(control, match="GET /v3/whoami", action="slow_body", seconds=0.01, after_bytes=10)
    with pytest.raises(httpx.TransportError):
        await together.http.get("/v3/whoami")


async def test_a_stream_can_be_cut_in_the_middle(together, control):
    await together.deployment()
    await add(control, match="POST /v1/chat/*", action="slow_body", seconds=0, after_bytes=600)
    body = {"model": "acme/support", "messages": [{"role": "user", "content": "x"}], "stream": True}
    got = b""
    with pytest.raises(httpx.TransportError):
        async with together.http.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for piece in answer.aiter_raw():
                got += piece
    assert b"data: " in got


async def test_garbage_is_not_json(together, control):
    await add(control, match="GET /v3/whoami", action="garbage", times=1)
    answer = await together.http.get("/v3/whoami")
    assert answer.status_code == 200
    with pytest.raises(ValueError):
        answer.json()


async def test_faults_reach_the_stream_port(sb, replicate, control):
    await replicate.deployment()
    made = await replicate.predict()
    sb.clock.advance(5)
    await add(control, platform="replicate", match="GET /v1/files/*", action="status", code=500)
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(made["urls"]["stream"])).status_code == 500
        assert (await client.get(made["urls"]["stream"])).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/faults", {"action": "explode"}, "one of"),
        ("/faults", {"action": "delay", "seconds": -1}, "seconds"),
        ("/faults", {"action": "hang", "match": "GET"}, "match"),
        ("/faults", {"action": "hang", "nth": 0}, "nth"),
        ("/faults", {"action": "hang", "platform": "aws"}, "platform"),
        ("/faults", {"action": "hang", "colour": "red"}, "colour"),
        ("/faults", [], "object"),
        ("/clock", {}, "seconds"),
        ("/clock", {"seconds": "ten"}, "number"),
        ("/clock", {"seconds": -5}, "number"),
        ("/populate", {"platform": "together", "count": 0}, "count"),
        ("/populate", {"platform": "aws", "count": 1}, "platform"),
        ("/together/knobs", {"gravity": 1}, "Unknown knob"),
        ("/together/knobs", {"fail_next": "yes"}, "fail_next"),
        ("/aws/knobs", {}, "Knobs"),
        ("/together/capacity", {}, "instance_type"),
    ],
)
async def test_malformed_control_requests_get_a_sentence(control, path, body, word):
    answer = await control.post(path, json=body)
    assert answer.status_code == 400
    assert word in answer.json()["error"]["message"]
    broken = await control.post(path, content=b"{")
    assert broken.status_code == 400


async def test_the_index_lists_what_there_is(control):
    index = (await control.get("")).json()
    listed = {(r["method"], r["path"]) for r in index["routes"]}
    assert ("POST", "/_sandbox/faults") in listed
    assert all(r["does"] for r in index["routes"])


async def test_the_clock_moves_by_what_it_is_told(control, sb):
    before = sb.clock.now()
    answer = (await control.post("/clock", json={"seconds": 90})).json()
    assert answer["epoch"] == before + 90


async def test_reset_gives_the_same_world_again(sb, together, control):
    first = await together.post(f"{P}/endpoints", {"name": "x"})
    await control.post("/reset")
    assert await names(together) == []
    assert (await together.post(f"{P}/endpoints", {"name": "x"}))["id"] == first["id"]


async def test_populated_deployments_look_ready(together, control):
    await control.post("/populate", json={"platform": "together", "count": 600})
    page = await together.get(f"{P}/endpoints", limit=9999)
    assert len(page["data"]) == 500
    rest = await together.get(f"{P}/endpoints", limit=500, after=page["next_cursor"])
    assert len(rest["data"]) == 100
    states = {e["deployments"][0]["state"] for e in page["data"]}
    assert states == {"DEPLOYMENT_STATE_READY", "DEPLOYMENT_STATE_STOPPED"}


async def test_it_can_be_killed_and_revived_on_the_same_port(sb, together):
    await together.post(f"{P}/endpoints", {"name": "x"})
    url = sb.url
    await sb.stop()
    with pytest.raises(httpx.TransportError):
        await together.http.get("/v3/whoami")
    await sb.start()
    assert sb.url == url
    assert await names(together) == ["acme/x"]


async def test_a_busy_port_is_told(sb):
    with pytest.raises(PortBusy, match=str(sb.port)):
        await Sandbox(port=sb.port).start()


async def test_the_world_survives_in_its_file(tmp_path):
    state = tmp_path / "world.json"
    async with run_sandbox(seed=3, state=state) as sb:
        headers = {"Authorization": f"Bearer {sb.env['TOGETHER_API_KEY']}"}
        async with httpx.AsyncClient(base_url=sb.url, headers=headers, trust_env=False) as http:
            made = (await http.post(f"/together{P}/endpoints", json={"name": "kept"})).json()
            await http.post("/_sandbox/populate", json={"platform": "replicate", "count": 3})
            await http.post("/_sandbox/faults", json={"action": "hang", "match": "GET /never"})
            sb.clock.advance(500)
            now = sb.clock.now()
            before = (await http.get("/_sandbox/billing")).json()
        await until(state.exists, "it is written soon after a change, not only at the end")
    assert state.stat().st_mode & 0o777 == 0o600
    async with run_sandbox(seed=99, state=state) as sb:
        assert sb.world.data.seed == 3
        assert sb.clock.now() == now
        async with httpx.AsyncClient(base_url=sb.url, headers=headers, trust_env=False) as http:
            listed = (await http.get(f"/together{P}/endpoints")).json()["data"]
            assert [e["id"] for e in listed] == [made["id"]]
            assert (await http.get("/_sandbox/billing")).json() == before
            assert len((await http.get("/_sandbox/faults")).json()["faults"]) == 1
            another = (await http.post(f"/together{P}/endpoints", json={"name": "new"})).json()
            assert another["id"] != made["id"]


@pytest.mark.parametrize("cloud", ["together", "replicate", "modal", "predibase"])
async def test_a_world_of_a_version_without_a_cloud_has_it_from_now_on(tmp_path, cloud):
    state = tmp_path / "world.json"
    async with run_sandbox(seed=3, state=state) as sb:
        whole = dataclasses.asdict(getattr(sb.world.data, cloud))
    saved = json.loads(state.read_text())
    del saved[cloud]
    state.write_text(json.dumps(saved))
    async with run_sandbox(state=state) as sb:
        assert dataclasses.asdict(getattr(sb.world.data, cloud)) == whole


async def test_time_passes_while_it_is_down(tmp_path, monkeypatch):
    state = tmp_path / "world.json"
    async with run_sandbox(speed=60.0, state=state) as sb:
        before = sb.clock.now()
    saved = json.loads(state.read_text())
    saved["saved_at"] -= 10
    state.write_text(json.dumps(saved))
    async with run_sandbox(speed=60.0, state=state) as sb:
        assert 600 <= sb.clock.now() - before < 1200


async def test_an_unreadable_world_is_moved_aside(tmp_path, capsys):
    state = tmp_path / "world.json"
    state.write_text('{"seed": "x"')
    async with run_sandbox(state=state):
        pass
    assert "cannot be read" in capsys.readouterr().err
    aside = [p for p in tmp_path.iterdir() if "unreadable" in p.name]
    assert aside[0].read_text() == '{"seed": "x"'
    json.loads(state.read_text())


def program(*args, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-m", "peft_tui.sandbox", *args],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, **kwargs,
    )  # fmt: skip


def test_the_program_says_when_it_is_ready_and_ends_with_its_parent():
    child = program("--exit-with-stdin")
    ready = json.loads(child.stdout.readline())
    assert ready["ready"] is True
    assert ready["env"]["TOGETHER_BASE_URL"] == ready["url"] + "/together"
    whoami = httpx.get(
        ready["env"]["REPLICATE_BASE_URL"] + "/v1/account",
        headers={"Authorization": f"Bearer {ready['env']['REPLICATE_API_TOKEN']}"},
        trust_env=False,
    )
    assert whoami.json()["username"] == "acme"
    busy = program("--port", ready["url"].rpartition(":")[2])
    assert busy.wait(60) == 1
    assert "already in use" in busy.stderr.read()
    busy.communicate()
    out, err = child.communicate(timeout=60)  # closes its stdin
    assert child.returncode == 0
    assert (out, err) == ("", "")


def test_the_program_exports_and_ends_on_a_signal():
    child = program("--export")
    lines = [child.stdout.readline() for _ in range(7)]
    assert lines[0].startswith("export TOGETHER_BASE_URL=http://127.0.0.1:")
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == 0


@pytest.mark.parametrize(
    "body",
    [
        {"action": "status", "code": 418},
        {"action": "status", "status": 418},
        {"action": {"status": 418}},
        {"action": {"status": {"code": 418}}},
        {"action": {"type": "status", "code": 418}},
    ],
)
async def test_a_fault_may_be_spelled_in_several_ways(together, control, body):
    await add(control, match="GET /v3/whoami", **body)
    assert (await together.http.get("/v3/whoami")).status_code == 418
