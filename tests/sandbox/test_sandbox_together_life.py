"""Together: the life of a deployment on a frozen clock, and what it costs."""

from __future__ import annotations

import pytest

P = "/v2/projects/proj_acme"


def state(deployment):
    return deployment["status"]["state"].removeprefix("DEPLOYMENT_STATE_")


async def test_a_deployment_goes_through_its_stages_to_ready(sb, together):
    made = await together.deployment(ready=False)
    assert state(made) == "PROVISIONING"
    assert made["status"]["message"] == "Scheduling replicas"
    assert "scheduledReplicas" not in made["status"], "zero counts are left out"
    assert made["name"] == "acme/support/main"
    assert made["hardware"] == "1xnvidia-h100-80gb"
    assert made["maxConcurrentRequestsPerReplica"] == "127"
    seen = []
    for _ in range(46):
        sb.clock.advance(1)
        now = await together.read(made)
        step = (state(now), now["status"].get("scheduledReplicas", 0), now["status"].get("readyReplicas", 0))
        if not seen or seen[-1] != step:
            seen.append(step)
    assert seen == [("PROVISIONING", 0, 0), ("PROVISIONING", 1, 0), ("SCALING", 1, 0), ("READY", 1, 1)]


async def test_stopping_takes_a_moment_and_start_brings_it_back(sb, together):
    d = await together.deployment()
    assert state(await together.scale(d, 0, 0)) == "STOPPING"
    refused = await together.scale(d, 1, 1, 400)
    assert "must be stopped" in refused["error"]["message"]
    sb.clock.advance(9)
    assert state(await together.read(d)) == "STOPPED"
    assert state(await together.scale(d, 1, 1)) == "PROVISIONING"
    sb.clock.advance(46)
    assert state(await together.read(d)) == "READY"


async def test_billing_runs_from_scheduled_to_stopped(sb, together, money):
    d = await together.deployment(ready=False, replicas=2)
    sb.clock.advance(4)
    assert (await money.of("acme/support/main"))["billing"] is False
    sb.clock.advance(1 + 3600)
    bill = await money.of("acme/support/main")
    assert bill["billing"] is True
    assert bill["usd_per_hour"] == 10.98
    assert bill["usd_total"] == pytest.approx(10.98, abs=1e-4)
    await together.scale(d, 0, 0)
    sb.clock.advance(4)
    assert (await money.of("acme/support/main"))["billing"] is True, "STOPPING still costs"
    sb.clock.advance(3600)
    bill = await money.of("acme/support/main")
    assert bill["state"] == "STOPPED"
    assert bill["usd_per_hour"] == 0
    assert bill["usd_total"] == pytest.approx(10.98 * 3608 / 3600, abs=1e-4)


async def test_a_deleted_deployment_keeps_its_bill(sb, together, money):
    d = await together.deployment(routed=False)
    await together.scale(d, 0, 0)
    sb.clock.advance(9)
    await together.delete(together.path(d))
    bill = await money.of("acme/support/main")
    assert bill["deleted"] is True
    assert bill["usd_total"] > 0
    await together.get(together.path(d), 404)


async def test_without_capacity_it_is_degraded_and_recovers(sb, together, control, money):
    body = {"instance_type": "1xnvidia-h100-80gb", "available": False}
    await control.post("/together/capacity", json=body)
    d = await together.deployment()
    assert state(d) == "DEGRADED"
    assert "insufficient GPU capacity" in d["status"]["message"]
    assert (await money.of("acme/support/main"))["billing"] is False
    types = await together.get("/v2/public/inference-instance-types")
    h100 = next(t for t in types["data"] if t["name"] == "1xnvidia-h100-80gb")
    assert all("value" not in r["headroom"] for r in h100["regions"])
    await control.post("/together/capacity", json={**body, "available": True})
    sb.clock.advance(46)
    assert state(await together.read(d)) == "READY"


async def test_a_doomed_start_ends_failed_and_stays_so(sb, together, control):
    await control.post("/together/knobs", json={"fail_next": 1})
    d = await together.deployment()
    sb.clock.advance(30)
    d = await together.read(d)
    assert state(d) == "FAILED"
    refused = await together.scale(d, 1, 1, 400)
    assert "terminal" in refused["error"]["message"]
    events = await together.get(f"{P}/endpoints/{d['endpointId']}/events", minLevel="LEVEL_ERROR")
    assert any("OutOfMemory" in e.get("logExcerpt", "") for e in events["data"])


@pytest.mark.parametrize(
    "settings",
    [
        {"inactiveTimeout": 30},
        {"autoscaling": {"minReplicas": 1, "maxReplicas": 1, "scaleToZeroWindow": "30m"}},
    ],
)
async def test_an_idle_deployment_stops_by_itself(sb, together, money, settings):
    d = await together.deployment(**settings)
    sb.clock.advance(20 * 60)
    await together.chat("acme/support")
    sb.clock.advance(20 * 60)
    assert state(await together.read(d)) == "READY", "the request began a new idle time"
    sb.clock.advance(3600)
    d = await together.read(d)
    assert state(d) == "STOPPED"
    assert d["autoscaling"]["maxReplicas"] == 0
    bill = await money.of("acme/support/main")
    billed = bill["usd_total"] / 5.49 * 3600
    assert billed == pytest.approx(41 + 20 * 60 + 30 * 60 + 8, abs=2)


async def test_bounds_change_while_it_serves(sb, together, money):
    d = await together.deployment()
    d = await together.scale(d, 3, 3)
    assert (state(d), d["status"]["readyReplicas"], d["desiredReplicas"]) == ("SCALING", 1, 3)
    await together.chat("acme/support")
    sb.clock.advance(31)
    d = await together.read(d)
    assert (state(d), d["status"]["readyReplicas"]) == ("READY", 3)
    assert (await money.of("acme/support/main"))["usd_per_hour"] == 16.47
    await together.scale(d, 1, 2)
    sb.clock.advance(10)
    d = await together.read(d)
    assert d["status"]["readyReplicas"] == 2


async def test_a_dry_run_creates_nothing(together):
    base = await together.base()
    profile = base["deploymentProfiles"][0]
    ep = await together.post(f"{P}/endpoints", {"name": "dry"})
    body = {
        "name": "main",
        "model": profile["model"],
        "config": profile["config"],
        "autoscaling": {"minReplicas": 1},
    }
    path = f"{P}/endpoints/{ep['id']}/deployments"
    await together.post(path, body, validateOnly="true")
    assert (await together.get(path))["data"] == []
    await together.post(path, {**body, "config": "nonsense"}, 400, validateOnly="true")


async def test_delete_wants_stopped_and_out_of_the_split(sb, together):
    d = await together.deployment()
    path = f"{P}/endpoints/{d['endpointId']}"
    assert "stopped" in (await together.delete(together.path(d), 400))["error"]["message"]
    assert "delete its deployments" in (await together.delete(path, 400))["error"]["message"]
    await together.scale(d, 0, 0)
    sb.clock.advance(9)
    assert "traffic split" in (await together.delete(together.path(d), 400))["error"]["message"]
    empty = await together.patch(path, {"trafficSplit": []}, 400)
    assert "no fields to update" in empty["error"]["message"]
    await together.patch(path, {"trafficSplit": []}, updateMask="trafficSplit")
    await together.delete(together.path(d))
    await together.delete(path)
    await together.get(path, 404)
    assert await together.post(f"{P}/endpoints", {"name": "support"}), "the name is free again"


async def test_stale_etags_and_taken_names_conflict(together):
    d = await together.deployment(ready=False)
    path = f"{P}/endpoints/{d['endpointId']}"
    answer = await together.patch(
        together.path(d), {"inactiveTimeout": 60, "etag": "W99"}, 409, updateMask="inactiveTimeout"
    )
    assert "ABORTED" in answer["error"]["message"]
    fresh = await together.patch(together.path(d), {"inactiveTimeout": 60, "etag": d["etag"]})
    assert fresh["inactiveTimeout"] == 60
    assert fresh["etag"] != d["etag"]
    await together.delete(together.path(d), 409, etag=d["etag"])
    await together.patch(path, {"visibility": "VISIBILITY_INTERNAL", "etag": "W99"}, 409)
    await together.post(f"{P}/endpoints", {"name": "support"}, 409)
    await together.post(f"{P}/endpoints", {"name": "acme/support"}, 409)
    await together.post(f"{P}/endpoints", {"name": "globex/support"}, 400)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"autoscaling": {"minReplicas": 0, "maxReplicas": 2}}, "minReplicas"),
        ({"autoscaling": {"minReplicas": 2, "maxReplicas": 1}}, "greater"),
        ({"autoscaling": {}}, "minReplicas"),
        ({"autoscaling": {"minReplicas": 1, "scaleDownWindow": "soon"}}, "duration"),
        ({"inactiveTimeout": 10}, "inactiveTimeout"),
        ({"config": None}, "config"),
        ({"model": "ml_123"}, "projects/{projectId}"),
        ({"name": "two words"}, "letters"),
        ({"maxConcurrentRequestsPerReplica": "many"}, "maxConcurrent"),
        ({"placement": {"inline": {"regions": ["mars"], "constraint": "ENFORCEMENT_REQUIRED"}}}, "mars"),
    ],
)
async def test_impossible_deployments_are_refused(together, change, word):
    answer = await together.deployment(status=400, **change)
    assert word in answer["error"]["message"]


async def test_a_base_without_configs_cannot_be_deployed(together):
    gemma = await together.base("google/gemma-3-27b-it")
    assert gemma["deploymentProfiles"] == []
    assert (await together.get(f"{P}/configs", referenceModelId=gemma["id"]))["data"] == []


async def test_an_adapter_yields_the_configs_of_its_base(together):
    adapter = await together.adapter()
    by_id = await together.get(f"{P}/configs", referenceModelId=adapter["id"])
    by_path = await together.get(f"{P}/configs", referenceModel=adapter["baseModel"])
    assert by_id["data"] == by_path["data"] != []
    assert {c["projectId"] for c in by_id["data"]} == {"proj_public"}
    selectors = {s["key"]: s["value"] for s in by_id["data"][1]["selectors"]}
    assert selectors["adapter_mode"] == "dynamic"
    assert f"{selectors['accelerator_count']}x{selectors['accelerator_type']}" == "1xnvidia-h100-80gb"


async def test_endpoint_summaries_show_the_newest_ten(sb, together):
    base = await together.base()
    profile = base["deploymentProfiles"][0]
    ep = await together.post(f"{P}/endpoints", {"name": "many"})
    for number in range(12):
        body = {
            "name": f"d{number}",
            "model": profile["model"],
            "config": profile["config"],
            "autoscaling": {"minReplicas": 0, "maxReplicas": 0},
        }
        await together.post(f"{P}/endpoints/{ep['id']}/deployments", body)
        sb.clock.advance(1)
    shown = await together.get(f"{P}/endpoints/{ep['id']}")
    assert [d["name"] for d in shown["deployments"]] == [f"acme/many/d{n}" for n in range(11, 1, -1)]
    assert shown["deployments"][0]["state"] == "DEPLOYMENT_STATE_STOPPED"
    path = f"{P}/endpoints/{ep['id']}/deployments"
    first = await together.get(path, limit=5)
    assert len(first["data"]) == 5
    rest = await together.get(path, limit=500, after=first["next_cursor"])
    assert len(rest["data"]) == 7
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('name = "d1"', ["d1"]),
        ('name = "acme/many/d1"', ["d1"]),
        ('name : "D" AND NOT name = "d0"', ["d2", "d1"]),
        ('name = "d*" AND (name = "d0" OR name = "d2")', ["d2", "d0"]),
        ('state = "DEPLOYMENT_STATE_STOPPED" AND name != "d0"', ["d2", "d1"]),
        ('created_at < "2000-01-01T00:00:00Z"', []),
    ],
)
async def test_deployments_can_be_filtered(sb, together, text, names):
    profile = (await together.base())["deploymentProfiles"][0]
    ep = await together.post(f"{P}/endpoints", {"name": "many"})
    path = f"{P}/endpoints/{ep['id']}/deployments"
    for number in range(3):
        bounds = {"minReplicas": 0, "maxReplicas": 0}
        body = {"model": profile["model"], "config": profile["config"], "autoscaling": bounds}
        await together.post(path, {"name": f"d{number}", **body})
        sb.clock.advance(1)
    found = await together.get(path, filter=text)
    assert [d["name"].rpartition("/")[2] for d in found["data"]] == names
    broken = await together.get(path, 400, filter="name ~ x")
    assert "invalid filter expression" in broken["error"]["message"]


async def test_events_tell_the_story_newest_first(sb, together):
    d = await together.deployment()
    path = f"{P}/endpoints/{d['endpointId']}/events"
    events = (await together.get(path))["data"]
    assert [e["createdAt"] for e in events] == sorted((e["createdAt"] for e in events), reverse=True)
    types = {e["type"] for e in events}
    assert {
        "endpoint.created",
        "endpoint.updated",
        "deployment.created",
        "deployment.status_updated",
    } <= types
    only = (await together.get(path, sourceKinds="SOURCE_KIND_ENDPOINT"))["data"]
    assert {e["type"] for e in only} == {"endpoint.created", "endpoint.updated"}
    mine = (await together.get(path, deploymentIds=d["id"], types="deployment.status_updated"))["data"]
    assert mine[0]["status"] == "DEPLOYMENT_STATE_READY"
