"""Adapters attached to a running multi-LoRA deployment."""

from __future__ import annotations

from typing import Any

from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.together import catalog, life
from peft_tui.sandbox.together.access import Call
from peft_tui.sandbox.together.deployments import find_deployment
from peft_tui.sandbox.together.endpoints import bump, check_etag, find_endpoint
from peft_tui.sandbox.together.lists import page
from peft_tui.sandbox.together.models import base_of, find_model, status_of
from peft_tui.sandbox.together.state import Attachment, Deployment, Model


def attachment_json(call: Call, deployment: Deployment, attachment: Attachment) -> dict[str, Any]:
    """`Adapter…Response` of the SDK with its one cluster."""
    owner = call.state.models.get(attachment.adapter_model_id)
    project = owner.project_id if owner else deployment.project_id
    path = f"projects/{project}/models/{attachment.adapter_model_id}"
    loaded = attachment.realized_revision_id == attachment.revision_id
    if attachment.problem:
        state = "FAILED"
    elif loaded:
        state = "READY"
    elif deployment.ready:
        state = "LOADING"
    else:
        state = "PENDING"
    cluster: dict[str, Any] = {
        "adapterModelId": attachment.adapter_model_id,
        "adapterModel": path,
        "clusterId": f"c-{deployment.region}",
        "state": f"ADAPTER_LOAD_STATE_{state}",
        "readyPodCount": deployment.ready if loaded else 0,
        "failedPodCount": deployment.ready if attachment.problem else 0,
        "totalPodCount": max(deployment.ready, deployment.desired),
        "updatedAt": iso(attachment.ready_at if loaded else attachment.attached_at),
    }
    if loaded:
        cluster |= {
            "adapterValid": True,
            "loadedAt": iso(attachment.ready_at),
            "realizedRevisionId": attachment.revision_id,
            "realizedRevision": f"{path}/revisions/{attachment.revision_id}",
            "realizedEtag": attachment.etag,
        }
    return {
        "id": attachment.id,
        "adapterModelId": attachment.adapter_model_id,
        "adapterModel": path,
        "desiredRevisionId": attachment.revision_id,
        "desiredRevision": f"{path}/revisions/{attachment.revision_id}",
        "etag": attachment.etag,
        "perCluster": [cluster],
    }


def _deployment(call: Call) -> Deployment:
    deployment = find_deployment(call, find_endpoint(call, call.project()))
    if catalog.configs()[deployment.config_id].adapter_mode is None:
        raise call.refuse(
            400, "the deployment's config has no adapter mode; adapters need a config with adapter_mode "
                 "dynamic or fixed",
            "failed_precondition",
        )  # fmt: skip
    return deployment


def _find(call: Call, deployment: Deployment) -> Attachment:
    for attachment in deployment.attachments:
        if attachment.id == call.arg("adapter"):
            return attachment
    raise call.not_found("adapter", call.arg("adapter"))


def _revision(call: Call, model: Model, wanted: Any) -> str:
    if not model.revisions:
        raise call.refuse(400, f"model {model.id} has no revisions to deploy", "failed_precondition")
    chosen = [r for r in model.revisions if wanted in (None, "", r.id)]
    if not chosen:
        raise call.not_found("revision", str(wanted))
    if status_of(chosen[-1], call.now) != "SUCCESS":
        raise call.refuse(
            400, f"revision {chosen[-1].id} of model {model.id} is not validated", "failed_precondition"
        )
    return chosen[-1].id


async def create(call: Call) -> Any:
    """`POST …/adapters {adapterModelId, adapterRevisionId?, force?}`."""
    project = call.project()
    deployment = _deployment(call)
    body = await call.body()
    model = find_model(call, project, str(body.get("adapterModelId") or ""))
    if model.type != "adapter":
        raise call.refuse(400, f"Invalid Argument: model {model.id} is not an adapter")
    base = base_of(call.world, model)
    if base is None or base.id != catalog.configs()[deployment.config_id].base_id:
        raise call.refuse(
            400, f"adapter {model.id} was not trained on the base of this deployment", "failed_precondition"
        )
    if call.state.knobs.refuse_uploaded_adapters:
        raise call.refuse(
            400, "only adapters of post-training inference checkpoints can be attached; deploy the "
                 "adapter merged instead",
            "failed_precondition",
        )  # fmt: skip
    revision = _revision(call, model, body.get("adapterRevisionId"))
    if any(a.adapter_model_id == model.id for a in deployment.attachments):
        raise call.refuse(409, f"adapter {model.id} is already attached to this deployment", "already_exists")
    most = call.state.knobs.max_adapters
    if len(deployment.attachments) >= most:
        if body.get("force") is not True:
            raise call.refuse(
                400,
                f"the deployment is at adapter capacity ({most}); set force to evict the oldest",
                "failed_precondition",
            )
        deployment.attachments.pop(0)
    now = call.now
    attachment = Attachment(call.world.new_id("dad_", 20), model.id, revision, "W1", now, now + life.ATTACH)
    deployment.attachments.append(attachment)
    life.settle(call.world, deployment)
    life.report(call.world, deployment, now, "adapter.attached", subjectId=model.id)
    return attachment_json(call, deployment, attachment)


async def list_adapters(call: Call) -> Any:
    """`GET …/adapters`; an error where the config has no adapter mode."""
    deployment = _deployment(call)
    return page(call, deployment.attachments, lambda a: attachment_json(call, deployment, a), lambda a: a.id)


async def retrieve(call: Call) -> Any:
    """`GET …/adapters/{id}`."""
    deployment = _deployment(call)
    return attachment_json(call, deployment, _find(call, deployment))


async def update(call: Call) -> Any:
    """`PATCH …/adapters/{id} {adapterRevisionId, etag}`."""
    deployment = _deployment(call)
    attachment = _find(call, deployment)
    body = await call.body()
    if not body.get("etag") or not body.get("adapterRevisionId"):
        raise call.refuse(400, "Invalid Argument: adapterRevisionId and etag are required")
    check_etag(call, body["etag"], attachment.etag)
    model = find_model(call, call.project(), attachment.adapter_model_id)
    attachment.revision_id = _revision(call, model, body["adapterRevisionId"])
    attachment.etag = bump(attachment.etag)
    attachment.attached_at = call.now
    attachment.ready_at = call.now + life.ATTACH
    return attachment_json(call, deployment, attachment)


async def delete(call: Call) -> Any:
    """`DELETE …/adapters/{id}?etag=`; the etag is required."""
    deployment = _deployment(call)
    attachment = _find(call, deployment)
    if not call.query.get("etag"):
        raise call.refuse(400, "Invalid Argument: etag is required")
    check_etag(call, call.query["etag"], attachment.etag)
    deployment.attachments.remove(attachment)
    life.report(call.world, deployment, call.now, "adapter.removed", subjectId=attachment.adapter_model_id)
    return {}
