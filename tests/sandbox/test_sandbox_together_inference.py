"""Together: who answers, in which voice, and what is left of V1."""

from __future__ import annotations

import json

import pytest

from tests.sandbox.conftest import to_mid_month

P = "/v2/projects/proj_acme"


async def test_ready_without_weight_answers_nothing(together):
    d = await together.deployment(routed=False)
    assert d["status"]["state"] == "DEPLOYMENT_STATE_READY"
    refused = await together.chat("acme/support", status=400)
    assert refused["error"]["code"] == "endpoint_not_configured"
    await together.chat("acme/support/main")


async def test_a_starting_deployment_does_not_queue(sb, together):
    await together.deployment(ready=False)
    assert (await together.chat("acme/support", status=503))["error"]["code"] == "endpoint_not_ready"
    sb.clock.advance(46)
    await together.chat("acme/support")


async def test_unknown_and_serverless_names(together):
    assert (await together.chat("acme/nothing", status=404))["error"]["code"] == "model_not_available"
    refused = await together.chat("Qwen/Qwen3-8B", status=400)
    assert "non-serverless" in refused["error"]["message"]
    assert (await together.chat("Qwen/Qwen3.5-9B"))["usage"]["total_tokens"] > 0


async def test_a_merged_adapter_speaks_differently_and_the_same_each_time(together):
    adapter = await together.adapter()
    await together.deployment("base")
    await together.deployment("tuned", model=f"projects/proj_acme/models/{adapter['id']}")
    plain = (await together.chat("acme/base"))["choices"][0]["message"]["content"]
    tuned = (await together.chat("acme/tuned"))["choices"][0]["message"]["content"]
    assert plain != tuned
    assert (await together.chat("acme/tuned"))["choices"][0]["message"]["content"] == tuned
    assert (await together.chat("acme/tuned", seed=5))["choices"][0]["message"]["content"] != tuned


async def test_a_stream_ends_with_usage_and_done(together):
    await together.deployment()
    body = {
        "model": "acme/support",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "max_tokens": 6,
    }
    async with together.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-ratelimit-limit"] == "600"
        lines = [line async for line in answer.aiter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert [c["object"] for c in chunks] == ["chat.completion.chunk"] * 6
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None] * 5 + ["length"]
    assert chunks[-1]["usage"]["completion_tokens"] == 6
    assert all(c["usage"] is None for c in chunks[:-1])


async def test_a_stream_may_come_without_usage(together, control):
    await control.post("/together/knobs", json={"stream_usage": False})
    await together.deployment()
    body = {"model": "acme/support", "prompt": "hi", "stream": True, "max_tokens": 2}
    answer = await together.http.post("/v1/completions", json=body)
    assert '"usage": null' in answer.text
    assert '"completion_tokens"' not in answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"messages": []}, 400),
        ({"temperature": 9}, 400),
        ({"max_tokens": 0}, 400),
        ({"max_tokens": 900_000}, 403),
        ({"stop": None, "top_p": 3}, 400),
    ],
)
async def test_bad_requests_are_refused(together, body, status):
    await together.deployment()
    await together.chat("acme/support", status=status, **body)


async def test_without_credit_nothing_new_runs(together, control):
    await together.deployment()
    await control.post("/together/knobs", json={"out_of_credit": True})
    assert (await together.chat("acme/support", status=402))["error"]["code"] == "insufficient_balance"
    await together.deployment("other", status=402)


async def test_traffic_is_shared_by_weight(together):
    d = await together.deployment()
    ep = await together.get(f"{P}/endpoints/{d['endpointId']}")
    assert ep["deployments"][0]["estimatedEffectiveTrafficShare"] == 1
    bad = [{"deploymentId": "dep_no", "weight": 1}]
    await together.patch(f"{P}/endpoints/{ep['id']}", {"trafficSplit": bad}, 400, updateMask="trafficSplit")
    off = [{"deploymentId": d["id"], "weight": 0}]
    off_ep = await together.patch(
        f"{P}/endpoints/{ep['id']}", {"trafficSplit": off}, updateMask="trafficSplit"
    )
    assert off_ep["deployments"][0]["estimatedEffectiveTrafficShare"] == 0
    await together.chat("acme/support", status=400)


async def test_adapters_attach_load_and_answer(sb, together, control):
    adapter = await together.adapter()
    d = await together.deployment(profile=1)
    path = together.path(d) + "/adapters"
    made = await together.post(path, {"adapterModelId": adapter["id"]})
    assert made["perCluster"][0]["state"] == "ADAPTER_LOAD_STATE_LOADING"
    assert (await together.chat("acme/support:support-r16", status=503))["error"][
        "code"
    ] == "adapter_not_ready"
    sb.clock.advance(21)
    loaded = await together.get(f"{path}/{made['id']}")
    assert loaded["perCluster"][0]["state"] == "ADAPTER_LOAD_STATE_READY"
    assert loaded["perCluster"][0]["realizedRevisionId"] == loaded["desiredRevisionId"]
    plain = (await together.chat("acme/support"))["choices"][0]["message"]["content"]
    tuned = [
        (await together.chat(name))["choices"][0]["message"]["content"]
        for name in ("acme/support:support-r16", "acme/support/main:support-r16", "acme/support-r16")
    ]
    assert len(set(tuned)) == 1
    assert plain not in tuned
    await together.delete(f"{path}/{made['id']}", 400)
    await together.delete(f"{path}/{made['id']}", 409, etag="W9")
    await together.delete(f"{path}/{made['id']}", etag=made["etag"])
    assert (await together.get(path))["data"] == []


async def test_a_full_deployment_evicts_only_by_force(together, control):
    await control.post("/together/knobs", json={"max_adapters": 1})
    first = await together.adapter(name="one")
    second = await together.adapter(name="two")
    d = await together.deployment(profile=1)
    path = together.path(d) + "/adapters"
    await together.post(path, {"adapterModelId": first["id"]})
    await together.post(path, {"adapterModelId": first["id"]}, 409)
    assert (
        "capacity" in (await together.post(path, {"adapterModelId": second["id"]}, 400))["error"]["message"]
    )
    await together.post(path, {"adapterModelId": second["id"], "force": True})
    assert [a["adapterModelId"] for a in (await together.get(path))["data"]] == [second["id"]]


async def test_adapters_need_a_mode_and_the_right_base(together, control):
    adapter = await together.adapter()
    other = await together.adapter("acme/router-qwen3")
    plain = await together.deployment("plain")
    await together.get(together.path(plain) + "/adapters", 400)
    multi = await together.deployment("multi", profile=1)
    path = together.path(multi) + "/adapters"
    await together.post(path, {"adapterModelId": other["id"]}, 400)
    await control.post("/together/knobs", json={"refuse_uploaded_adapters": True})
    refused = await together.post(path, {"adapterModelId": adapter["id"]}, 400)
    assert "post-training" in refused["error"]["message"]


async def test_analytics_count_what_was_asked(together):
    d = await together.deployment()
    for _ in range(4):
        await together.chat("acme/support")
    path = f"{P}/endpoints/{d['endpointId']}/analytics"
    together.sb.clock.advance(1)
    seen = await together.get(path, includeTimeSeries="true", granularity="1h")
    assert seen["metrics"]["requestMetrics"]["totalRequests"] == "4"
    latency = seen["metrics"]["latencyMetrics"]
    assert 0 < latency["ttftP50Ms"] <= latency["latencyP50Ms"] <= latency["latencyP99Ms"]
    assert seen["deploymentAnalytics"][0]["deploymentId"] == d["id"]
    assert sum(p["values"]["total_requests"] for p in seen["timeSeries"]) == 4


async def test_the_billing_report_agrees_with_the_truth(sb, together, money):
    to_mid_month(sb)
    await together.deployment()
    sb.clock.advance(3 * 86400)
    month = (await together.get("/v1/billing/usage", granularity="hour"))["billing_period"]
    report = await together.get("/v1/billing/usage", granularity="hour", month=month)
    costs = [float(line["cost"]) for row in report["data"] for line in row["line_items"]]
    assert max(costs) == pytest.approx(5.49)
    truth = (await money.of("acme/support/main"))["usd_total"]
    assert sum(costs) == pytest.approx(truth, abs=5.5)


async def test_version_one_is_closed_but_listed(together, control, money):
    assert (await together.get("/v1/endpoints", type="dedicated"))["data"] == []
    await control.post("/together/knobs", json={"legacy": "STARTED"})
    refused = await together.post("/v1/endpoints", {"model": "x", "hardware": "y"}, 403)
    assert refused["error"]["code"] == "endpoints_v1_create_access_disabled"
    listed = await together.get("/v1/endpoints", type="dedicated")
    (old,) = listed["data"]
    assert (await money.of("acme/legacy-chat"))["billing"]
    await together.patch(f"/v1/endpoints/{old['id']}", {"state": "STARTED"}, 403)
    await together.patch(f"/v1/endpoints/{old['id']}", {"state": "STOPPED"})
    assert not (await money.of("acme/legacy-chat"))["billing"]
    assert isinstance(await together.get("/v1/models"), list)
    assert (await together.get("/v1/projects/proj_acme/endpoints"))["object"] == "list"


@pytest.mark.parametrize(
    ("shape", "reads"),
    [
        ("openai", lambda b: b["error"]["message"]),
        ("grpc", lambda b: b["message"] if b["code"] == 5 else ""),
        ("string", lambda b: b["error"]),
    ],
)
async def test_errors_come_in_three_spellings(together, control, shape, reads):
    await control.post("/together/knobs", json={"error_shape": shape})
    body = await together.get(f"{P}/endpoints/ep_no", 404)
    assert "ep_no" in reads(body)


async def test_a_stream_may_break_off_with_an_error(together, control):
    await control.post("/together/knobs", json={"stream_error_after": 2})
    await together.deployment()
    body = {"model": "acme/support", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    answer = await together.http.post("/v1/chat/completions", json=body)
    lines = [line for line in answer.text.splitlines() if line]
    assert len(lines) == 3
    assert "engine stopped" in json.loads(lines[-1].removeprefix("data: "))["error"]["message"]
