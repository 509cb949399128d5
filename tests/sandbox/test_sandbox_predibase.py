"""The control plane of Predibase: who calls, repositories, uploads, and the life of a deployment."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.sandbox.conftest import Predibase

NULLS = {
    key: None
    for key in (
        *("computeSpec", "minReplicas", "maxReplicas", "cooldownTime", "scaleUpRequestThreshold", "hfToken"),
        *("customArgs", "maxTotalTokens", "loraxImageTag", "requestLoggingEnabled", "directIngress"),
        *("preloadedAdapters", "speculator", "prefixCaching", "backend", "disableAdapters"),
        *("usesGuaranteedCapacity", "chunkedPrefill", "speculationDisableByBatchSize"),
        *("maxNumBatchedTokens", "cacheModel", "mergeAdapter"),
    )
}


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_who_the_token_belongs_to(predibase: Predibase, prefix: str) -> None:
    who = await predibase.get(f"{prefix}/users/current")
    assert (who["tenant"]["shortCode"], who["tenant"]["subscription"]["tier"]) == ("acme01", "premium")
    assert who["tenant"]["subscription"]["daysRemainingInPlan"] is None


@pytest.mark.parametrize("header", [None, "Bearer pb_wrong", "Basic x"])
@pytest.mark.parametrize(
    "path", ["/users/current", "/v2/deployments", "/acme01/deployments/v2/llms/qwen3-8b/health"]
)
async def test_a_bad_token_is_refused_on_both_planes(sb, path: str, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    async with httpx.AsyncClient(base_url=sb.env["PREDIBASE_GATEWAY"], trust_env=False) as client:
        answer = await client.get(path, headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"error": "unauthorized"})


async def test_a_whole_life_in_the_platform_s_words(predibase: Predibase, money) -> None:
    made = await predibase.deployment(ready=False, **NULLS)
    assert made["data"]["status"] == "queued"
    seen = []
    for seconds in (0, 5, 41):
        predibase.sb.clock.advance(seconds)
        row = await predibase.read()
        seen.append((row["status"], row["currentReplicas"]))
    assert seen == [("queued", 0), ("initializing", 0), ("ready", 1)]
    assert row["config"] == {
        "baseModel": "llama-3-1-8b-instruct",
        "accelerator": "a10_24gb_100",
        "minReplicas": 0,
        "maxReplicas": 1,
        "cooldownTime": 3600,
        "scaleUpRequestThreshold": 1,
    }
    assert (row["model"], row["type"]) == (
        {"name": "llama-3-1-8b-instruct", "maxInputLength": 63999},
        "private",
    )
    feed = await predibase.get("/llms/bot/events", detailed="false")
    assert [e["eventType"] for e in feed["ComputeEvents"]] == ["Queued", "Scheduled", "Ready"]
    assert (feed["deploymentStatus"], feed["resourceActiveTime"]) == ("ready", 42)
    detailed = await predibase.get("/llms/bot/events", detailed="true")
    assert len(detailed["ComputeEvents"]) > len(feed["ComputeEvents"])
    # Idle for an hour it sleeps, and costs nothing more.
    predibase.sb.clock.advance(3600)
    row = await predibase.read()
    assert (row["status"], row["currentReplicas"]) == ("standby", 0)
    bill = await money.of("bot")
    assert not bill["billing"] and bill["usd_total"] == pytest.approx(2.0 * (41 + 3600) / 3600, abs=1e-4)
    await predibase.call("DELETE", "/v2/deployments/bot", 204)
    assert (await predibase.read(status=404)) == {"error": "deployment bot not found"}
    assert (await money.of("bot"))["deleted"]


@pytest.mark.parametrize("kind", ["private", "dedicated"])
async def test_lists_by_type(predibase: Predibase, kind: str) -> None:
    await predibase.deployment()
    assert [d["name"] for d in (await predibase.get("/v2/deployments", type=kind))["data"]] == ["bot"]
    shared = (await predibase.get("/v2/deployments", type="shared"))["data"]
    assert "llama-3-1-8b-instruct" in [d["name"] for d in shared] and {d["type"] for d in shared} == {
        "shared"
    }
    assert len((await predibase.get("/v2/deployments"))["data"]) == len(shared) + 1
    assert (await predibase.get("/v2/deployments", 400, type="other"))["error"]


async def test_an_update_rolls_out_and_null_leaves_alone(predibase: Predibase, money) -> None:
    await predibase.deployment(cooldownTime=700)
    answer = await predibase.put(minReplicas=2, maxReplicas=3, cooldownTime=None)
    assert answer["data"]["status"] == "updating" and answer["data"]["currentReplicas"] == 1
    assert answer["data"]["config"]["cooldownTime"] == 700
    assert (await money.of("bot"))["usd_per_hour"] == 4.0
    predibase.sb.clock.advance(16)
    row = await predibase.read()
    assert (row["status"], row["currentReplicas"]) == ("ready", 2)
    predibase.sb.clock.advance(7000)
    assert (await predibase.read())["currentReplicas"] == 2


@pytest.mark.parametrize("key", ["accelerator", "quantization", "computeSpec"])
async def test_what_is_fixed_cannot_be_updated(predibase: Predibase, key: str) -> None:
    await predibase.deployment()
    value = {} if key == "computeSpec" else "fp8"
    assert "cannot be changed" in (await predibase.put(status=400, **{key: value}))["error"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"baseModel": None}, "baseModel is required"),
        ({"baseModel": "acme/unheard-of"}, "not supported"),
        ({"accelerator": "tpu"}, "unknown accelerator"),
        ({"cooldownTime": 60}, "at least 600"),
        ({"minReplicas": 3, "maxReplicas": 2}, "minReplicas"),
        ({"maxReplicas": 9}, "maxReplicas"),
        ({"minReplicas": True}, "wrong type"),
        ({"quantization": "int3"}, "one of"),
        ({"customArgs": [1]}, "list of strings"),
        ({"novelty": 1}, "unknown field"),
        ({"baseModel": "google/gemma-3-12b-it"}, "gated"),
    ],
    ids=str,
)
async def test_what_cannot_be_is_refused_and_bills_nothing(
    predibase: Predibase, control, config, words
) -> None:
    answer = await predibase.deployment(status=400, **config)
    assert words in answer["error"]
    assert (await control.get("/billing")).json()["resources"] == []


async def test_a_name_is_taken_once(predibase: Predibase) -> None:
    await predibase.deployment()
    assert "already exists" in (await predibase.deployment(status=409))["error"]


async def test_without_capacity_it_waits_and_costs_nothing(predibase: Predibase, control, money) -> None:
    await control.post("/predibase/knobs", json={"no_capacity": ["a10_24gb_100"]})
    await predibase.deployment(ready=False)
    predibase.sb.clock.advance(500)
    assert (await predibase.read())["status"] == "queued"
    assert not (await money.of("bot"))["billing"]
    await control.post("/predibase/knobs", json={"no_capacity": []})
    predibase.sb.clock.advance(46)
    assert (await predibase.read())["status"] == "ready"


async def test_a_start_can_fail_and_says_so(predibase: Predibase, control, money) -> None:
    await control.post("/predibase/knobs", json={"fail_next": 1})
    await predibase.deployment()
    feed = await predibase.get("/llms/bot/events")
    assert feed["deploymentStatus"] == "failed"
    assert [e["eventType"] for e in feed["ComputeEvents"]][-2:] == ["BackOff", "Failed"]
    assert not (await money.of("bot"))["billing"]


async def test_a_token_that_was_handed_over_is_never_shown(predibase: Predibase) -> None:
    await predibase.deployment(baseModel="google/gemma-3-12b-it", hfToken="hf_secret")
    assert "hf_secret" not in json.dumps(await predibase.read())


async def test_a_recommended_configuration(predibase: Predibase) -> None:
    answer = await predibase.get("/v2/deployments/recommended-config", baseModel="qwen3-32b")
    assert answer["data"]["accelerator"] == "a100_80gb_100"
    assert (await predibase.get("/v2/deployments/recommended-config", 404, baseModel="x"))["error"]


async def test_an_upload_makes_the_next_version(predibase: Predibase) -> None:
    made = await predibase.adapter()
    assert (made["repo"], made["tag"], made["baseModel"], made["status"]) == (
        "support",
        1,
        "llama-3-1-8b-instruct",
        "completed",
    )
    assert (await predibase.adapter())["tag"] == 2
    repo = await predibase.get("/v2/repos/support")
    assert [v["tag"] for v in repo["versions"]] == [1, 2]
    listed = await predibase.get("/v2/repos", limit=1)
    assert listed == {"data": {"repos": [repo]}}
    await predibase.call("PUT", "/v2/repos/support/version/1", json={"archived": True})
    assert (await predibase.get(f"/v2/repos/{repo['uuid']}/version/1"))["archived"] is True
    await predibase.call("DELETE", "/v2/repos/support/version/1", 204)
    assert (await predibase.get("/v2/repos/support/version/1", 404))["error"]


async def test_a_repository_exists_once(predibase: Predibase) -> None:
    body = {"name": "support", "description": "ours", "existsOk": False}
    made = await predibase.post("/v2/repos", body)
    assert (await predibase.post("/v2/repos", {**body, "existsOk": True}))["uuid"] == made["uuid"]
    assert "already exists" in (await predibase.post("/v2/repos", body, 409))["error"]


async def test_a_presigned_address_has_s3_s_manners(predibase: Predibase) -> None:
    await predibase.post("/v2/repos", {"name": "r", "existsOk": True})
    ticket = await predibase.post("/v2/adapters/upload", {"repo": "r"})
    url, headers = ticket["presignedUrls"]["adapter_config.json"], ticket["requiredHeaders"]
    async with httpx.AsyncClient(trust_env=False) as store:
        answers = [
            await store.put(url, content=b"{}"),
            await store.put(url.partition("?")[0], content=b"{}", headers=headers),
            await store.put(url.replace("adapter_config", "other"), content=b"{}", headers=headers),
        ]
        assert [a.status_code for a in answers] == [403, 403, 404]
        assert all("<Code>" in a.text for a in answers)
        predibase.sb.clock.advance(3601)
        assert (await store.put(url, content=b"{}", headers=headers)).status_code == 403


async def test_half_an_upload_is_no_version(predibase: Predibase) -> None:
    await predibase.post("/v2/repos", {"name": "r", "existsOk": True})
    ticket = await predibase.post("/v2/adapters/upload", {"repo": "r"})
    token = {"uploadToken": ticket["uploadToken"]}
    missing = await predibase.call("PUT", "/v2/adapters/upload/", 400, json=token)
    assert "adapter_config.json" in missing["error"]
    url = ticket["presignedUrls"]["adapter_config.json"]
    async with httpx.AsyncClient(trust_env=False) as store:
        await store.put(url, content=b"{}", headers=ticket["requiredHeaders"])
    missing = await predibase.call("PUT", "/v2/adapters/upload/", 400, json=token)
    assert "weights" in missing["error"]
    assert (await predibase.get("/v2/repos/r"))["versions"] == []


async def test_one_tenant_does_not_see_another_s(sb, predibase: Predibase, control) -> None:
    await predibase.deployment()
    await predibase.adapter()
    token = (await control.get("")).json()["credentials"]["predibase"]["globex"]
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=sb.env["PREDIBASE_GATEWAY"], headers=headers, trust_env=False
    ) as http:
        other = Predibase(sb, http)
        assert (await other.get("/users/current"))["tenant"]["subscription"]["isTrial"] is True
        await other.read(status=404)
        await other.get("/v2/repos/support", 404)
        assert (await other.get("/v2/repos"))["data"]["repos"] == []
        assert (await other.prompt(status=403))["error"] == "forbidden"


@pytest.mark.parametrize(
    "junk", [None, [], 5, {"name": 5}, {"name": "q q"}, {"name": "q", "config": []}, {"repo": []}]
)
async def test_junk_is_refused(predibase: Predibase, junk) -> None:
    await predibase.deployment()
    for method, path in (
        ("POST", "/v2/deployments"),
        ("POST", "/v2/repos"),
        ("POST", "/v2/adapters/upload"),
        ("PUT", "/v2/adapters/upload/"),
        ("POST", predibase.serving()),
        ("POST", predibase.serving(path="/generate_stream")),
        ("POST", predibase.serving(path="/v1/chat/completions")),
        ("POST", predibase.serving(path="/v1/completions")),
    ):
        answer = await predibase.http.request(method, path, json=junk)
        fine = path == "/v2/repos" and isinstance(junk, dict) and junk.get("name") == "q"
        assert fine or 400 <= answer.status_code < 500, (method, path, answer.text)
        assert fine or answer.json()["error"]


async def look_often(sb, seconds, look):
    for _ in range(seconds):
        sb.clock.advance(1)
        await look()


async def look_once(sb, seconds, look):
    sb.clock.advance(seconds)
    await look()


@pytest.mark.parametrize("watch", [look_often, look_once])
async def test_it_costs_the_same_whether_watched_or_not(sb, predibase: Predibase, money, watch) -> None:
    await predibase.deployment(ready=False, cooldownTime=600, minReplicas=0)

    async def look():
        await predibase.read()

    await watch(sb, 700, look)
    bill = await money.of("bot")
    assert bill["state"] == "standby"
    assert bill["usd_total"] == pytest.approx(2.0 * (41 + 600) / 3600, abs=1e-5)


async def test_a_crowd_looks_as_if_it_had_long_been_there(predibase: Predibase, control) -> None:
    assert (await control.post("/populate", json={"platform": "predibase", "count": 30})).status_code == 201
    rows = (await predibase.get("/v2/deployments", type="private"))["data"]
    assert len(rows) == 30 and {r["status"] for r in rows} == {"ready", "standby"}
