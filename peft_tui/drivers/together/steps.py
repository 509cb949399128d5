"""The steps at Together, each with the look-up for what a lost answer left behind; those on a deployment that
exists are in `verbs.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.errors import ConfigurationInvalid, Conflict, PlatformFailed
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers.hugging_face import hub_token
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.drivers.steps import Step
from peft_tui.drivers.together import catalog, upload
from peft_tui.drivers.together.api import TogetherApi
from peft_tui.drivers.together.declaration import ATTACH, MERGE
from peft_tui.drivers.together.wire import (
    AttachedAdapter,
    Deployment,
    Endpoint,
    Model,
    RemoteUpload,
    Revision,
)
from peft_tui.drivers.wire import made, parse

DEPLOYMENT_NAME = "main"
"""Of the one deployment inside an endpoint of ours. The endpoint carries the name that tells ours apart."""
POLL_SECONDS = 3.0
ETAG_ATTEMPTS = 4
HUB = "https://huggingface.co"


Act = Callable[[TogetherApi, StepContext], Awaitable[Outputs]]


def with_etag(write: Act) -> Act:
    """For a step that reads, and writes with the etag of what it read: done again where somebody else wrote
    in between."""

    @wraps(write)
    async def written(api: TogetherApi, context: StepContext) -> Outputs:
        for _ in range(ETAG_ATTEMPTS - 1):
            try:
                return await write(api, context)
            except Conflict:
                pass
        return await write(api, context)

    return written


async def project_path(api: TogetherApi) -> str:
    return f"/v2/projects/{(await api.project()).id}"


async def _base(api: TogetherApi, context: StepContext) -> Outputs:
    """The configuration for the chosen instance type, and the base under it.

    Returns:
        `config`, `base_path` (`projects/…/models/…[/revisions/…]`) and `base_model_id`.
    """
    spec = context.spec
    base = catalog.find_base(await api.supported_models(), spec.base_model)
    if base is None:
        raise ConfigurationInvalid(
            f"Together does not serve {spec.base_model or 'this base'} any more.", hint="Nothing bills."
        )
    items = {item.name or item.id: item for item in await api.hardware()}
    item = items.get(spec.instance_type)
    if item is None:
        raise ConfigurationInvalid(
            f"Together has no instance type {spec.instance_type}.",
            hint=f"It has: {', '.join(sorted(items)) or 'none'}. Nothing bills.",
        )
    regions = [region.name for region in item.regions]
    if regions and (region := spec.text("region")) and region not in regions:
        raise ConfigurationInvalid(
            f"Together does not offer {spec.instance_type} in {region}.",
            hint=f"It does in: {', '.join(regions)}. Nothing bills.",
        )
    profile = catalog.choose_profile(base, item, spec.text("serving", MERGE))
    if profile is None:
        raise ConfigurationInvalid(
            f"Together has no configuration for {base.name} on {spec.instance_type}"
            f"{' that takes adapters' if spec.text('serving') == ATTACH else ''}.",
            hint="Choose another instance type. Nothing bills.",
        )
    parts = profile.model.split("/")
    model_id = parts[3] if len(parts) > 3 else base.id
    return {"config": profile.config, "base_path": profile.model, "base_model_id": model_id}


async def _find_model(api: TogetherApi, context: StepContext) -> Outputs | None:
    for model in await api.pages(Model, f"{await project_path(api)}/models"):
        if model.name.rpartition("/")[2] == context.remote_name:
            return {"model_id": model.id, **await _base(api, context)}
    return None


async def _register(api: TogetherApi, context: StepContext) -> Outputs:
    base = await _base(api, context)
    body = {"name": context.remote_name, "baseModelId": base["base_model_id"], "type": "adapter"}
    answer = await api.http.request("POST", f"{await project_path(api)}/models", body=body)
    return {"model_id": made(Model, answer, api.title).id, **base}


async def _upload(api: TogetherApi, context: StepContext) -> Outputs:
    path = f"{await project_path(api)}/models/upload"
    return await upload.upload_directory(api.http, path, api.title, context)


async def _find_import(api: TogetherApi, context: StepContext) -> Outputs | None:
    for item in await api.pages(RemoteUpload, f"{await project_path(api)}/models/uploads"):
        if item.model_id == context.outputs["model_id"]:
            return {"upload_id": item.id}
    return None


async def _start_import(api: TogetherApi, context: StepContext) -> Outputs:
    repo, _, revision = context.spec.source.reference.partition("@")
    body = {
        "modelId": context.outputs["model_id"],
        "remoteUrl": f"{HUB}/{repo}" + (f"/tree/{revision}" if revision else ""),
    }
    if (token := hub_token(api.hub_token, context.spec)) is not None:
        body["token"] = token.reveal()
    answer = await api.http.request("POST", f"{await project_path(api)}/models/uploads", body=body)
    return {"upload_id": made(RemoteUpload, answer, api.title).id}


async def _await_import(api: TogetherApi, context: StepContext) -> Outputs:
    path = f"{await project_path(api)}/models/uploads/{context.outputs['upload_id']}"
    while True:
        item = parse(RemoteUpload, await api.http.get(path), api.title)
        word = item.status.removeprefix("REMOTE_UPLOAD_STATUS_")
        if word == "SUCCEEDED":
            return {}
        # ERROR may be begun again by the platform; FAILED is final.
        if word == "FAILED" or (word == "ERROR" and item.restart_count >= item.max_restarts):
            raise PlatformFailed(
                f"Together could not import {context.spec.source.reference}: {item.status_message or word}",
                hint="Nothing bills. Check the repository; a private one needs the Hugging Face token.",
            )
        context.report(None, None, item.status_message or word.lower())
        await context.clock.sleep(POLL_SECONDS)


async def _validate(api: TogetherApi, context: StepContext) -> Outputs:
    """Wait until the newest revision is checked; of something registered before, find out what it is too."""
    found: dict[str, Any] = {}
    model_id = context.outputs.get("model_id")
    if context.spec.source.kind is SourceKind.PLATFORM:
        model_id = context.spec.source.reference
        found = {"model_id": model_id, **await _base(api, context)}
    path = f"{await project_path(api)}/models/{model_id}/revisions"
    while True:
        revisions = await api.pages(Revision, path)
        newest = max(revisions, key=lambda revision: revision.created_at, default=None)
        word = (newest.validation_status or "").removeprefix("REVISION_VALIDATION_STATUS_") if newest else ""
        if newest is not None and word == "SUCCESS":
            return {**found, "revision_id": newest.revision_id}
        if newest is not None and word in ("FAILED", "ERROR"):
            reasons = "; ".join(problem.message for problem in newest.validation_errors or ()) or word
            raise ConfigurationInvalid(
                f"Together does not accept the adapter: {reasons}", hint="Nothing bills. Mend the adapter."
            )
        context.report(None, None, "being checked")
        await context.clock.sleep(POLL_SECONDS)


async def _find_endpoint(api: TogetherApi, context: StepContext) -> Outputs | None:
    for endpoint in await api.pages(Endpoint, f"{await project_path(api)}/endpoints"):
        if endpoint.bare_name == context.remote_name:
            return {"endpoint_id": endpoint.id, "model": endpoint.name}
    return None


async def _endpoint(api: TogetherApi, context: StepContext) -> Outputs:
    visibility = context.spec.text("visibility", "private").upper()
    body = {"name": context.remote_name, "visibility": f"VISIBILITY_{visibility}"}
    answer = await api.http.request("POST", f"{await project_path(api)}/endpoints", body=body)
    endpoint = made(Endpoint, answer, api.title)
    return {"endpoint_id": endpoint.id, "model": endpoint.name}


async def _deployments_path(api: TogetherApi, context: StepContext) -> str:
    return f"{await project_path(api)}/endpoints/{context.outputs['endpoint_id']}/deployments"


async def _deployment_body(api: TogetherApi, context: StepContext) -> dict[str, Any]:
    spec, known = context.spec, context.outputs
    if spec.text("serving", MERGE) == ATTACH:
        model = known["base_path"]
    else:
        project = await api.project()
        model = f"projects/{project.id}/models/{known['model_id']}/revisions/{known['revision_id']}"
    body: dict[str, Any] = {
        "name": DEPLOYMENT_NAME,
        "model": model,
        "config": known["config"],
        "autoscaling": {
            "minReplicas": spec.min_instances,
            "maxReplicas": spec.max_instances,
            "scalingMetrics": scaling_metrics(spec),
        },
    }
    if idle := spec.integer("idle_timeout"):
        body["inactiveTimeout"] = idle
    if concurrency := spec.integer("concurrency"):
        body["maxConcurrentRequestsPerReplica"] = str(concurrency)
    if region := spec.text("region"):
        body["placement"] = {"inline": {"regions": [region], "constraint": "ENFORCEMENT_REQUIRED"}}
    return body


def scaling_metrics(spec: DeploymentSpec) -> list[dict[str, Any]]:
    return [
        {
            "name": "inflight_requests",
            "type": "METRIC_TARGET_TYPE_AVERAGE_VALUE",
            "target": spec.integer("scale_target", 8),
        }
    ]


async def _dry_run(api: TogetherApi, context: StepContext) -> Outputs:
    """The platform's own check of the whole request; nothing is made and nothing bills."""
    await api.http.request(
        "POST",
        await _deployments_path(api, context),
        params={"validateOnly": "true"},
        body=await _deployment_body(api, context),
    )
    return {}


async def _find_deployment(api: TogetherApi, context: StepContext) -> Outputs | None:
    for item in await api.pages(Deployment, await _deployments_path(api, context)):
        if item.name.rpartition("/")[2] == DEPLOYMENT_NAME:
            return _made(context, item.id)
    return None


async def _deployment(api: TogetherApi, context: StepContext) -> Outputs:
    body = await _deployment_body(api, context)
    answer = await api.http.request("POST", await _deployments_path(api, context), body=body)
    return _made(context, made(Deployment, answer, api.title).id)


def _made(context: StepContext, deployment_id: str) -> Outputs:
    return {"deployment_id": deployment_id, "remote_id": f"{context.outputs['endpoint_id']}/{deployment_id}"}


async def _adapters_path(api: TogetherApi, context: StepContext) -> str:
    return f"{await _deployments_path(api, context)}/{context.outputs['deployment_id']}/adapters"


async def _find_adapter(api: TogetherApi, context: StepContext) -> Outputs | None:
    for item in await api.pages(AttachedAdapter, await _adapters_path(api, context)):
        if item.adapter_model_id == context.outputs["model_id"]:
            return {"attached_id": item.id}
    return None


async def _attach(api: TogetherApi, context: StepContext) -> Outputs:
    body = {
        "adapterModelId": context.outputs["model_id"],
        "adapterRevisionId": context.outputs["revision_id"],
    }
    answer = await api.http.request("POST", await _adapters_path(api, context), body=body)
    return {"attached_id": made(AttachedAdapter, answer, api.title).id}


async def _await_adapter(api: TogetherApi, context: StepContext) -> Outputs:
    path = f"{await _adapters_path(api, context)}/{context.outputs['attached_id']}"
    while True:
        clusters = parse(AttachedAdapter, await api.http.get(path), api.title).per_cluster
        words = {cluster.state.removeprefix("ADAPTER_LOAD_STATE_") for cluster in clusters}
        if words == {"READY"}:
            return {}
        if "FAILED" in words:
            why = "; ".join(cluster.message or cluster.reason for cluster in clusters)
            raise PlatformFailed(
                f"Together could not load the adapter: {why}",
                hint="Its base is running and bills: stop it, and deploy merged instead.",
            )
        context.report(None, None, ", ".join(sorted(words)).lower() or "not placed yet")
        await context.clock.sleep(POLL_SECONDS)


@with_etag
async def _traffic(api: TogetherApi, context: StepContext) -> Outputs:
    """Add our weight; whatever else has weight keeps it. Without traffic it would bill and serve nothing."""
    known = context.outputs
    remote_id = context.remote_id or f"{known['endpoint_id']}/{known['deployment_id']}"
    endpoint_id, _, deployment_id = remote_id.partition("/")
    path = f"{await project_path(api)}/endpoints/{endpoint_id}"
    endpoint = parse(Endpoint, await api.http.get(path), api.title)
    if endpoint.weight(deployment_id) > 0:
        return {}
    split = [*endpoint.weights_beside(deployment_id), {"deploymentId": deployment_id, "weight": 1}]
    # An empty or missing mask is read as "nothing to do" or "everything": it is always sent.
    await api.http.request(
        "PATCH",
        path,
        params={"updateMask": "trafficSplit"},
        body={"trafficSplit": split, "etag": endpoint.etag},
    )
    return {}


STEPS: dict[str, Step[TogetherApi]] = {
    "register": Step(_register, _find_model),
    "upload": Step(_upload),
    "start_import": Step(_start_import, _find_import),
    "await_import": Step(_await_import),
    "validate": Step(_validate),
    "endpoint": Step(_endpoint, _find_endpoint),
    "dry_run": Step(_dry_run),
    "deployment": Step(_deployment, _find_deployment),
    "attach": Step(_attach, _find_adapter),
    "traffic": Step(_traffic),
    "await_adapter": Step(_await_adapter),
}
