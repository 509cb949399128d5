"""Whatever is sent, the answer is the platform's refusal and never a failure of the sandbox."""

from __future__ import annotations

import pytest

P = "/v2/projects/proj_acme"
JUNK = [
    None,
    [],
    5,
    {"name": 5},
    {"name": [], "type": 3, "baseModelId": {}},
    {"autoscaling": [], "name": "q q"},
    {"autoscaling": {"minReplicas": 1, "scaleUp": 5, "scalingMetrics": [5]}, "name": "q q"},
    {"trafficSplit": [5]},
    {"modelId": [], "remoteUrl": 5},
    {"objectId": "ID", "files": [5]},
    {"objectId": "ID", "files": [{"path": "a", "hash": "x", "uploadDetails": 5}]},
    {"objectId": "ID", "files": [{"path": "a", "hash": "x", "uploadDetails": {"parts": [{}]}}]},
    {"model": "acme/e", "messages": [5]},
    {"input": {"prompt": "x", "max_tokens": None}},
    {"input": {"prompt": "x"}, "webhook_events_filter": [5]},
    {"destination": "x", "input": {"hf_model_id": []}},
]


def filled(junk, id):
    return {**junk, "objectId": id} if isinstance(junk, dict) and "objectId" in junk else junk


@pytest.mark.parametrize("junk", JUNK, ids=str)
async def test_junk_is_refused(together, replicate, junk):
    model = await together.adapter()
    d = await together.deployment(profile=1)
    await replicate.deployment()
    ep = f"{P}/endpoints/{d['endpointId']}"
    for method, path in (
        ("POST", f"{P}/models"),
        ("PATCH", f"{P}/models/{model['id']}"),
        ("POST", f"{P}/models/uploads"),
        ("POST", f"{P}/models/upload/create"),
        ("POST", f"{P}/models/upload/complete"),
        ("POST", f"{P}/endpoints"),
        ("PATCH", ep),
        ("POST", f"{ep}/deployments"),
        ("PATCH", together.path(d)),
        ("POST", together.path(d) + "/adapters"),
        ("POST", "/v1/chat/completions"),
    ):
        answer = await together.http.request(method, path, json=filled(junk, model["id"]))
        assert 400 <= answer.status_code < 500, (method, path, answer.text)
    for method, path in (
        ("POST", "/models"),
        ("POST", "/deployments"),
        ("POST", "/predictions"),
        ("POST", "/files"),
        ("POST", f"/models/replicate/cog-vllm/versions/{await replicate.version()}/trainings"),
    ):
        answer = await replicate.http.request(method, path, json=junk)
        assert 400 <= answer.status_code < 500, (method, path, answer.text)
        assert answer.json()["status"] == answer.status_code


@pytest.mark.parametrize("query", ["limit=x", "after=zzz", "orderBy=x", "filter=%28", "limit=-1"])
async def test_junk_in_a_query_is_refused(together, query):
    answer = await together.http.get(f"{P}/endpoints?{query}")
    assert answer.status_code == 400, answer.text
