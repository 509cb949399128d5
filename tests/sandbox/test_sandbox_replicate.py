"""Replicate: deployments without a status, predictions by the clock, every answer as specified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from peft_tui.sandbox.hubrepos import HF_TOKEN

SPEC = Path(__file__).resolve().parents[3] / "shared" / "specs" / "replicate-openapi.json"


def plain_schema(node: Any) -> Any:
    """OpenAPI's `nullable` in words of JSON schema."""
    if isinstance(node, list):
        return [plain_schema(n) for n in node]
    if not isinstance(node, dict):
        return node
    out = {k: plain_schema(v) for k, v in node.items() if k not in ("nullable", "example", "examples")}
    if node.get("nullable") is True and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    return out


class Specified:
    """Checks answers against the vendor's specification."""

    def __init__(self) -> None:
        spec = json.loads(SPEC.read_text())
        self.paths = spec["paths"]
        self.components = plain_schema(spec["components"])
        self.seen: set[tuple[str, str, int]] = set()

    def check(self, response: httpx.Response) -> None:
        path = response.request.url.path.removeprefix("/replicate/v1")
        method = response.request.method.lower()
        if response.status_code >= 400 or response.status_code == 204:
            return
        for template, item in sorted(self.paths.items(), key=lambda pair: pair[0].count("{")):
            wanted, given = template.strip("/").split("/"), path.strip("/").split("/")
            fits = len(wanted) == len(given) and all(
                w == g or w.startswith("{") for w, g in zip(wanted, given, strict=True)
            )
            if fits and method in item:
                break
        else:
            raise AssertionError(f"{method} {path} is not specified")
        answers = item[method]["responses"]
        assert str(response.status_code) in answers, f"{method} {path} answers {response.status_code}"
        content = answers[str(response.status_code)].get("content", {})
        self.seen.add((method, template, response.status_code))
        if "application/json" in content:
            schema = {**plain_schema(content["application/json"]["schema"]), "components": self.components}
            checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
            jsonschema.Draft202012Validator(schema, format_checker=checker).validate(response.json())


@pytest.fixture
async def specified(replicate):
    """Every answer of the test is checked."""
    if not SPEC.exists():
        pytest.skip("the vendor's specification is not next to this checkout (../shared/specs)")
    checks = Specified()

    async def hook(response: httpx.Response) -> None:
        await response.aread()
        checks.check(response)

    replicate.http.event_hooks["response"].append(hook)
    return checks


async def test_every_answer_is_as_specified(sb, replicate, specified):
    r = replicate
    await r.get("/account")
    assert [h["sku"] for h in await r.get("/hardware")][:2] == ["cpu", "gpu-t4"]
    await r.get("/webhooks/default/secret")
    await r.get("/collections")
    await r.get("/collections/lora")
    await r.get("/models")
    await r.call("QUERY", "/models", content="llama", headers={"Content-Type": "text/plain"})
    await r.get("/search", query="llama")
    model = {"owner": "acme", "name": "fresh", "visibility": "private", "hardware": "cpu"}
    await r.post("/models", model)
    await r.call("PATCH", "/models/acme/fresh", json={"description": "x", "readme": "# y"})
    await r.http.get("/models/acme/fresh/readme")
    await r.get("/models/acme/llm-support")
    await r.get("/models/acme/llm-support/versions")
    await r.get(f"/models/acme/llm-support/versions/{await r.version()}")
    await r.get("/models/acme/llm-support/examples")
    await r.deployment()
    await r.call("PATCH", "/deployments/acme/bot", json={"max_instances": 2})
    await r.get("/deployments")
    await r.get("/deployments/acme/bot")
    made = await r.predict(headers={"Cancel-After": "5m"})
    await r.prediction(made)
    await r.predict(headers={"Prefer": "wait=1"}, status=202)
    sb.clock.advance(5)
    assert (await r.prediction(made))["status"] == "succeeded"
    await r.predict(headers={"Prefer": "wait"})
    await r.post("/models/meta/meta-llama-3-8b-instruct/predictions", {"input": {"prompt": "x"}})
    other = await r.post("/predictions", {"version": await r.version(0), "input": {"prompt": "x"}})
    await r.post(f"/predictions/{other['id']}/cancel", {}, 200)
    await r.get("/predictions")
    importer = (await r.get("/models/replicate/cog-vllm/versions"))["results"][0]["id"]
    body = {"destination": "acme/llm-router", "input": {"hf_model_id": "acme/llm-support-merged"}}
    training = await r.post(f"/models/replicate/cog-vllm/versions/{importer}/trainings", body)
    sb.clock.advance(120)
    await r.get(f"/trainings/{training['id']}")
    await r.get("/trainings")
    await r.post(f"/trainings/{training['id']}/cancel", {}, 200)
    file = await r.call("POST", "/files", 201, files={"content": ("a.txt", b"hello", "text/plain")})
    await r.get(f"/files/{file['id']}")
    await r.get("/files")
    sb.clock.advance(4000)
    gone = await r.prediction(made)
    assert (gone["data_removed"], gone["input"], gone["output"]) == (True, {}, None)
    assert len(specified.seen) >= 33


async def test_every_answer_carries_the_rate(replicate):
    for path in ("/account", "/nothing", "/deployments/acme/no"):
        answer = await replicate.http.get(path)
        assert int(answer.headers["ratelimit-remaining"]) > 0
        assert "ratelimit-reset" in answer.headers


@pytest.mark.parametrize("token", [None, "Bearer wrong", "Basic x"])
async def test_a_bad_token_is_told_in_known_words(replicate, token):
    headers = {"Authorization": token} if token else {}
    replicate.http.headers.pop("Authorization")
    answer = await replicate.http.get("/account", headers=headers)
    assert answer.json() == {
        "title": "Unauthenticated",
        "detail": "You did not pass a valid authentication token",
        "status": 401,
    }
    assert answer.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    ("change", "kind", "field"),
    [
        ({"min_instances": 6, "max_instances": 20}, "number_lte", "min_instances"),
        ({"max_instances": 21}, "number_lte", "max_instances"),
        ({"min_instances": 3, "max_instances": 2}, "number_lte", "min_instances"),
        ({"min_instances": "1"}, "invalid_type", "min_instances"),
        ({"hardware": "gpu-h100-2x"}, "enum", "hardware"),
        ({"surprise": 1}, "additional_property_not_allowed", ""),
        ({"name": "Not A Name"}, "pattern", "name"),
    ],
)
async def test_impossible_deployments_name_the_field(replicate, change, kind, field):
    body = {"low": 0, "high": 1} if "min_instances" not in change else {}
    answer = await replicate.deployment(status=422, **body, **change)
    assert (answer["invalid_fields"][0]["type"], answer["invalid_fields"][0]["field"]) == (kind, field)
    assert answer["detail"].startswith("- ")


async def test_missing_fields_and_versions(replicate):
    answer = await replicate.post("/deployments", {"name": "x"}, 422)
    assert {f["field"] for f in answer["invalid_fields"]} == {
        "model", "version", "hardware", "min_instances", "max_instances",
    }  # fmt: skip
    refused = await replicate.deployment(status=422, version="0" * 64)
    assert refused["title"] == "Invalid version or not permitted"
    await replicate.deployment(status=422, model="globex/secret-bot")


async def test_a_name_is_taken_once(replicate):
    first = await replicate.deployment()
    assert first["current_release"]["number"] == 1
    assert "bot" in (await replicate.deployment(status=409))["detail"]
    await replicate.get("/deployments/acme/other", 404)
    await replicate.get("/deployments/globex/bot", 404)


async def test_patch_makes_a_release(replicate):
    await replicate.deployment()
    old = await replicate.version(0)
    d = await replicate.call("PATCH", "/deployments/acme/bot", json={"version": old, "min_instances": 1})
    release = d["current_release"]
    assert (release["number"], release["version"]) == (2, old)
    await replicate.call("PATCH", "/deployments/acme/bot", 422, json={"model": "acme/x"})
    await replicate.call("PATCH", "/deployments/acme/bot", 422, json={"min_instances": 2})


async def test_a_cold_prediction_boots_and_a_warm_one_does_not(sb, replicate):
    await replicate.deployment()
    cold = await replicate.predict()
    assert cold["status"] == "starting"
    assert "started_at" not in cold
    assert cold["deployment"] == "acme/bot"
    sb.clock.advance(2)
    assert (await replicate.prediction(cold))["status"] == "starting"
    sb.clock.advance(1.5)
    done = await replicate.prediction(cold)
    assert done["status"] == "succeeded"
    assert "".join(done["output"])
    assert done["metrics"]["output_token_count"] == len(done["output"])
    warm = await replicate.predict()
    assert (await replicate.prediction(warm))["status"] == "succeeded"
    sb.clock.advance(200)
    assert (await replicate.predict())["status"] == "starting", "it went to sleep meanwhile"


async def test_instances_queue_and_scale(sb, replicate, control, money):
    await control.post("/replicate/knobs", json={"prediction_seconds": 10})
    await replicate.deployment(high=2)
    one, two, three = [await replicate.predict(prompt=p) for p in ("a", "b", "c")]
    sb.clock.advance(4)
    words = [(await replicate.prediction(p))["status"] for p in (one, two, three)]
    assert words == ["processing", "processing", "starting"]
    assert (await money.of("acme/bot"))["usd_per_hour"] == 7.02
    part = await replicate.prediction(one)
    assert part["output"] is None or 0 < len(part["output"])
    await replicate.post(f"/predictions/{one['id']}/cancel", {}, 200)
    assert (await replicate.prediction(one))["status"] == "canceled"
    assert (await replicate.prediction(three))["status"] == "processing", "it moved up"
    sb.clock.advance(10)
    assert (await replicate.prediction(three))["status"] == "succeeded"


async def test_a_deadline_aborts_or_cancels(sb, replicate, control):
    await control.post("/replicate/knobs", json={"prediction_seconds": 100, "boot_seconds": 10})
    await replicate.deployment()
    soon = await replicate.predict(headers={"Cancel-After": "5"})
    assert "deadline" in soon
    sb.clock.advance(6)
    assert (await replicate.prediction(soon))["status"] == "aborted"
    late = await replicate.predict(headers={"Cancel-After": "1m"})
    sb.clock.advance(61)
    assert (await replicate.prediction(late))["status"] == "canceled"
    await replicate.predict(status=400, headers={"Cancel-After": "2s"})


async def test_zero_zero_cancels_and_refuses(sb, replicate, control, money):
    await control.post("/replicate/knobs", json={"prediction_seconds": 60})
    await replicate.deployment(low=1, high=1)
    running = await replicate.predict()
    sb.clock.advance(10)
    assert (await money.of("acme/bot"))["billing"] is True
    await replicate.call("PATCH", "/deployments/acme/bot", json={"min_instances": 0, "max_instances": 0})
    assert (await replicate.prediction(running))["status"] == "canceled"
    assert "disabled" in (await replicate.predict(status=400))["detail"]
    before = await money.of("acme/bot")
    assert (before["billing"], before["state"]) == (False, "OFF")
    sb.clock.advance(3600)
    assert (await money.of("acme/bot"))["usd_total"] == before["usd_total"]


async def test_delete_wants_a_quiet_quarter_of_an_hour(sb, replicate, money):
    await replicate.deployment(low=1)
    assert "online" in (await replicate.call("DELETE", "/deployments/acme/bot", 400))["detail"]
    await replicate.call("PATCH", "/deployments/acme/bot", json={"min_instances": 0, "max_instances": 0})
    assert "15 minutes" in (await replicate.call("DELETE", "/deployments/acme/bot", 400))["detail"]
    sb.clock.advance(901)
    await replicate.call("DELETE", "/deployments/acme/bot", 204)
    assert (await money.of("acme/bot"))["deleted"] is True


async def test_a_minimum_is_billed_without_use_and_sleep_costs_nothing(sb, replicate, money):
    await replicate.deployment("warm", low=1, high=1)
    await replicate.deployment("sleepy", low=0, high=1)
    sb.clock.advance(3600)
    assert (await money.of("acme/warm"))["usd_total"] == pytest.approx(3.51)
    assert (await money.of("acme/sleepy"))["usd_total"] == 0
    await replicate.predict("sleepy")
    sb.clock.advance(3600)
    slept = (await money.of("acme/sleepy"))["usd_total"]
    assert slept == pytest.approx((3 + 120) * 0.000975, abs=1e-4), "setup and idle tail"


async def test_a_failing_setup_fails_its_predictions(sb, replicate, control):
    await control.post("/replicate/knobs", json={"fail_setup": 1})
    await replicate.deployment()
    made = await replicate.predict()
    sb.clock.advance(5)
    failed = await replicate.prediction(made)
    assert failed["status"] == "failed"
    assert "setup" in failed["error"]


async def test_a_release_keeps_serving_while_the_next_one_boots(sb, replicate, control):
    await replicate.deployment(low=1)
    sb.clock.advance(5)
    body = {"version": await replicate.version(0)}
    await replicate.call("PATCH", "/deployments/acme/bot", json=body)
    assert (await replicate.prediction(await replicate.predict()))["status"] == "succeeded"


async def test_input_is_checked_against_the_version(replicate):
    await replicate.deployment()
    path = "/deployments/acme/bot/predictions"
    answer = await replicate.post(path, {"input": {}}, 422)
    assert answer["detail"] == "- input: prompt is required\n"
    for body in ({}, {"input": {"prompt": "x"}, "extra": 1}, {"input": {"prompt": 5}}, {"input": "x"}):
        await replicate.post(path, body, 422)
    await replicate.post(path, {"input": {"prompt": "x"}, "webhook": "http://x"}, 422)
    await replicate.post("/models/acme/llm-support/predictions", {"input": {"prompt": "x"}}, 404)
    await replicate.post("/predictions", {"version": "acme/llm-support", "input": {"prompt": "x"}}, 422)


async def test_credit_and_throttling(replicate, control):
    await replicate.deployment()
    await control.post("/replicate/knobs", json={"throttled": True})
    answer = await replicate.http.post("/deployments/acme/bot/predictions", json={"input": {"prompt": "x"}})
    assert (answer.status_code, answer.headers["Retry-After"], answer.json()["retry_after"]) == (
        429,
        "30",
        30,
    )
    await control.post("/replicate/knobs", json={"throttled": False, "out_of_credit": True})
    assert (await replicate.predict(status=402))["title"] == "Insufficient credit"


async def train(replicate, repo, status=201, destination="acme/llm-router", **extra):
    importer = (await replicate.get("/models/replicate/cog-vllm/versions"))["results"][0]["id"]
    body = {"destination": destination, "input": {"hf_model_id": repo, **extra}}
    return await replicate.post(f"/models/replicate/cog-vllm/versions/{importer}/trainings", body, status)


async def test_an_import_makes_a_version_that_serves(sb, replicate):
    training = await train(replicate, "acme/llm-support-merged", hf_token=HF_TOKEN)
    assert training["input"]["hf_token"] == "[REDACTED]"
    seen = [training["status"]]
    for _ in range(12):
        sb.clock.advance(5)
        word = (await replicate.get(f"/trainings/{training['id']}"))["status"]
        if word != seen[-1]:
            seen.append(word)
    assert seen == ["starting", "processing", "succeeded"]
    done = await replicate.get(f"/trainings/{training['id']}")
    version = done["output"]["version"].rpartition(":")[2]
    model = await replicate.get("/models/acme/llm-router")
    assert model["latest_version"]["id"] == version
    await replicate.deployment("router", model="acme/llm-router", version=version)


@pytest.mark.parametrize("repo", ["acme/support-r16", "acme/missing", "acme/private-lora"])
async def test_an_import_that_cannot_work_says_why(sb, replicate, repo):
    training = await train(replicate, repo)
    sb.clock.advance(60)
    failed = await replicate.get(f"/trainings/{training['id']}")
    assert failed["status"] == "failed"
    assert failed["error"] in failed["logs"]
    if repo == "acme/support-r16":
        assert "Merge it into its base" in failed["error"]


async def test_trainings_need_a_destination_and_a_trainable_version(replicate):
    await train(replicate, "x", 404, destination="acme/nowhere")
    await train(replicate, "", 422)
    version = await replicate.version()
    body = {"destination": "acme/llm-router", "input": {}}
    await replicate.post(f"/models/acme/llm-support/versions/{version}/trainings", body, 422)


async def test_lists_are_paged_with_links_to_the_same_origin(sb, replicate, control):
    await control.post("/populate", json={"platform": "replicate", "count": 150})
    first = await replicate.get("/deployments")
    assert len(first["results"]) == 100
    assert first["next"].startswith(sb.env["REPLICATE_BASE_URL"] + "/v1/deployments?")
    second = (await replicate.http.get(first["next"])).json()
    assert len(second["results"]) == 50
    assert second["next"] is None
    back = (await replicate.http.get(second["previous"])).json()
    assert back["results"] == first["results"]


async def test_versions_and_models_are_deleted_only_when_free(replicate):
    version = await replicate.version()
    await replicate.deployment()
    path = f"/models/acme/llm-support/versions/{version}"
    await replicate.call("DELETE", path, 400)
    await replicate.call("DELETE", f"/models/acme/llm-support/versions/{await replicate.version(0)}", 202)
    await replicate.call("DELETE", "/models/acme/llm-support", 400)
    await replicate.call("DELETE", "/models/acme/llm-router", 204)
    await replicate.call("DELETE", "/models/replicate/cog-vllm", 403)
    await replicate.get("/models/globex/secret-bot", 404)


async def stream_of(prediction, **headers):
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(prediction["urls"]["stream"], headers=headers)).text


async def test_a_stream_has_its_own_port_and_can_be_resumed(sb, replicate):
    await replicate.deployment()
    made = await replicate.predict()
    assert made["urls"]["stream"].startswith(sb.stream_url)
    sb.clock.advance(4)
    text = await stream_of(made)
    assert text.startswith(": hi\n\nevent: output\n")
    events = [e.split("\n") for e in text.strip().split("\n\n")[1:]]
    assert events[-1][0] == "event: done"
    assert events[-1][2] == "data: {}"
    said = "".join(e[2].removeprefix("data: ") for e in events[:-1])
    assert said == "".join((await replicate.prediction(made))["output"])
    third = events[2][1].removeprefix("id: ")
    rest = await stream_of(made, **{"Last-Event-ID": third})
    assert [e.split("\n") for e in rest.strip().split("\n\n")[1:]][:-1] == events[3:-1]


async def test_a_stream_tells_how_it_ended(sb, replicate, control):
    await control.post("/replicate/knobs", json={"fail_predictions": 1})
    await replicate.deployment()
    failed, canceled = await replicate.predict(), await replicate.predict()
    await replicate.post(f"/predictions/{canceled['id']}/cancel", {}, 200)
    sb.clock.advance(4)
    assert "event: error\n" in (text := await stream_of(failed))
    assert '{"reason": "error"}' in text
    assert '{"reason": "canceled"}' in await stream_of(canceled)


async def test_a_silent_stream_ends_with_a_comment(replicate, monkeypatch):
    monkeypatch.setattr("peft_tui.sandbox.replicate.streams.SILENCE", 0.05)
    monkeypatch.setattr("peft_tui.sandbox.replicate.streams.LOOK", 0.02)
    await replicate.deployment()
    assert (await stream_of(await replicate.predict())).endswith(": 408 Request Timeout\n\n")
