"""The official SDK (together 3.1.1) drives a whole life against the sandbox."""

from __future__ import annotations

import asyncio
import hashlib

import httpx
import pytest

together = pytest.importorskip("together")
from peft_tui.sandbox.hubrepos import repos  # noqa: E402


def client_of(sb, api_key=None):
    return together.Together(
        base_url=sb.env["TOGETHER_BASE_URL"],
        api_key=api_key or sb.env["TOGETHER_API_KEY"],
        project_id=sb.env["TOGETHER_PROJECT_ID"],
        max_retries=0,
    )


def upload(sb, client, model, files):
    """What the vendor's CLI does for a local directory."""
    body = [{"path": p, "hash": hashlib.md5(c).hexdigest(), "numParts": 1} for p, c in files.items()]
    base = "/v2/projects/proj_acme/models/upload"
    plan = client.post(f"{base}/create", cast_to=object, body={"objectId": model, "files": body})
    done = []
    for file in plan["files"]:
        (part,) = file["parts"]
        content = files[file["path"]]
        answer = httpx.put(part["url"], content=content, headers=part["headers"], trust_env=False)
        etag = answer.headers["ETag"].strip('"')
        parts = [{"partNumber": 1, "hash": etag}]
        done.append(
            {
                "path": file["path"],
                "hash": etag,
                "uploadDetails": {"uploadId": file["uploadId"], "parts": parts},
            }
        )
    return client.post(f"{base}/complete", cast_to=object, body={"objectId": model, "files": done})[
        "revisionId"
    ]


def whole_life(sb, client):
    advance = sb.clock.advance

    who = client.whoami()
    assert (who.type, who.project.slug, who.organization.name) == ("project_api_key", "acme", "Acme")
    assert [p.slug for p in client.projects.list()] == ["acme"]

    (base,) = client.models.list_supported(search="Llama-3.1-8B-Instruct").data
    assert base.context_length == "131072"
    assert {p.adapter_mode for p in base.deployment_profiles} == {
        "ADAPTER_MODE_DISABLED",
        "ADAPTER_MODE_DYNAMIC",
    }
    assert client.models.retrieve(base.id, project_id="proj_public").name == base.name

    model = client.models.create(name="support", type="adapter", base_model_id=base.id, description="tuned")
    assert (model.name, model.weights.type, model.base_model_id) == (
        "acme/support",
        "WEIGHTS_TYPE_ADAPTER",
        base.id,
    )
    files = {p: c for p, c in repos()["acme/support-r16"].files.items() if p != "README.md"}
    revision = upload(sb, client, model.id, files)
    advance(5)
    (row,) = client.models.list_revisions(model.id).data
    assert (row.revision_id, row.validation_status) == (revision, "REVISION_VALIDATION_STATUS_SUCCESS")
    assert client.models.list_files(model.id).total_size_bytes == str(sum(map(len, files.values())))

    configs = client.models.configs.list(reference_model_id=model.id).data
    config = next(c for c in configs if not any(s.key == "adapter_mode" for s in c.selectors))
    assert client.models.configs.retrieve(config.id, project_id=config.project_id).id == config.id
    instances = {i.name: i for i in client.endpoints.hardware.list().data}
    assert instances["1xnvidia-h100-80gb"].price_cents_per_hour == 549

    endpoint = client.endpoints.create(name="support")
    assert (endpoint.name, endpoint.deployments, endpoint.traffic_split) == ("acme/support", [], [])
    with pytest.raises(together.ConflictError):
        client.endpoints.create(name="support")
    made = client.endpoints.deployments.create(
        endpoint.id,
        name="main",
        model=f"projects/{model.project_id}/models/{model.id}",
        config=f"projects/{config.project_id}/configs/{config.id}",
        autoscaling={"min_replicas": 1, "max_replicas": 2, "scale_down_window": "600s"},
        inactive_timeout=60,
    )
    assert made.status.state == "DEPLOYMENT_STATE_PROVISIONING"
    assert made.model.endswith(f"/revisions/{revision}")
    assert (made.autoscaling.max_replicas, made.inactive_timeout) == (2, 60)
    # The etag from before the deployment still holds, as the vendor's CLI relies on.
    endpoint = client.endpoints.update(
        endpoint.id,
        traffic_split=[{"deployment_id": made.id, "weight": 1}],
        update_mask="trafficSplit",
        etag=endpoint.etag,
    )
    advance(46)
    made = client.endpoints.deployments.retrieve(made.id, endpoint_id=endpoint.id)
    assert (made.status.state, made.status.ready_replicas) == ("DEPLOYMENT_STATE_READY", 1)
    (listed,) = client.endpoints.list(filter='name = "support"')
    assert listed.deployments[0].estimated_effective_traffic_share == 1
    assert listed.deployments[0].ready_replicas == 1

    messages = [{"role": "user", "content": "Where is my refund?"}]
    answer = client.chat.completions.create(model=endpoint.name, messages=messages)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens > 10
    chunks = list(client.chat.completions.create(model=endpoint.name, messages=messages, stream=True))
    assert "".join(c.choices[0].delta.content for c in chunks) == answer.choices[0].message.content
    assert chunks[-1].usage.total_tokens == answer.usage.total_tokens
    pieces = list(client.completions.create(model=endpoint.name, prompt="Refund", stream=True, max_tokens=3))
    assert len(pieces) == 3

    advance(1)
    analytics = client.endpoints.analytics(endpoint.id)
    assert analytics.metrics.request_metrics.total_requests == "3"
    types = {e.type for e in client.endpoints.list_events(endpoint.id, deployment_ids=[made.id])}
    assert "deployment.created" in types

    stale = made.etag
    made = client.endpoints.deployments.update(
        made.id,
        endpoint_id=endpoint.id,
        autoscaling={"min_replicas": 0, "max_replicas": 0},
        update_mask="autoscaling",
        etag=made.etag,
    )
    assert made.status.state == "DEPLOYMENT_STATE_STOPPING"
    with pytest.raises(together.ConflictError):
        client.endpoints.deployments.update(
            made.id, endpoint_id=endpoint.id, inactive_timeout=0, update_mask="inactiveTimeout", etag=stale
        )
    with pytest.raises(together.BadRequestError):
        client.endpoints.deployments.delete(made.id, endpoint_id=endpoint.id)
    advance(9)
    made = client.endpoints.deployments.retrieve(made.id, endpoint_id=endpoint.id)
    assert made.status.state == "DEPLOYMENT_STATE_STOPPED"
    with pytest.raises(together.InternalServerError):
        client.chat.completions.create(model=endpoint.name, messages=messages)
    client.endpoints.update(endpoint.id, traffic_split=[], update_mask="trafficSplit")
    client.endpoints.deployments.delete(made.id, endpoint_id=endpoint.id, etag=made.etag)
    client.endpoints.delete(endpoint.id)
    client.models.delete(model.id)
    with pytest.raises(together.NotFoundError):
        client.endpoints.retrieve(endpoint.id)
    advance(86400)
    report = client.organization.usage.costs.list(granularity="hour")
    assert report.organization_id == "org_acme"


def multi_lora(sb, client):
    (base,) = client.models.list_supported(search="Qwen3-8B", adapter_mode="ADAPTER_MODE_DYNAMIC").data
    profile = next(p for p in base.deployment_profiles if p.adapter_mode == "ADAPTER_MODE_DYNAMIC")
    model = client.models.create(name="router", type="adapter", base_model_id=base.id)
    job = client.models.remote_uploads.create(
        model_id=model.id, remote_url="https://huggingface.co/acme/router-qwen3"
    )
    assert job.status == "REMOTE_UPLOAD_STATUS_PENDING"
    sb.clock.advance(20)
    assert client.models.remote_uploads.retrieve(job.id).status == "REMOTE_UPLOAD_STATUS_SUCCEEDED"
    assert [u.id for u in client.models.remote_uploads.list()] == [job.id]
    assert client.models.remote_uploads.events(job.id).data[-1].type == "upload.completed"
    endpoint = client.endpoints.create(name="multi")
    made = client.endpoints.deployments.create(
        endpoint.id, name="base", model=profile.model, config=profile.config, autoscaling={"min_replicas": 1}
    )
    sb.clock.advance(46)
    where = {"endpoint_id": endpoint.id, "deployment_id": made.id}
    attached = client.endpoints.adapters.create(adapter_model_id=model.id, **where)
    assert attached.per_cluster[0].state == "ADAPTER_LOAD_STATE_LOADING"
    sb.clock.advance(21)
    (attached,) = client.endpoints.adapters.list(**where)
    assert attached.per_cluster[0].state == "ADAPTER_LOAD_STATE_READY"
    name = f"{endpoint.name}/base:{model.name}"
    messages = [{"role": "user", "content": "hi"}]
    assert client.chat.completions.create(model=name, messages=messages).choices
    client.endpoints.adapters.delete(attached.id, etag=attached.etag, **where)
    assert list(client.endpoints.adapters.list(**where)) == []


@pytest.mark.parametrize("story", [whole_life, multi_lora])
async def test_the_official_client_lives_through(sb, story):
    with client_of(sb) as client:
        await asyncio.to_thread(story, sb, client)


async def test_the_official_client_sees_a_bad_key(sb):
    def ask():
        with client_of(sb, api_key="wrong") as client, pytest.raises(together.AuthenticationError):
            client.whoami()

    await asyncio.to_thread(ask)
