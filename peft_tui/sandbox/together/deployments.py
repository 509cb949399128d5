"""Deployments: create, read, change, delete, with the refusals of the platform."""

from __future__ import annotations

import copy
from typing import Any

from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.together import catalog, life
from peft_tui.sandbox.together.access import Call
from peft_tui.sandbox.together.catalog import INSTANCE_TYPES
from peft_tui.sandbox.together.deployment_requests import (
    autoscaling_of,
    concurrency_of,
    config_of,
    inactive_timeout_of,
    model_of,
    region_of,
)
from peft_tui.sandbox.together.endpoints import (
    bump,
    check_etag,
    counts,
    find_endpoint,
    live_deployments,
    share_of,
    weights,
)
from peft_tui.sandbox.together.lists import filtered, order, page
from peft_tui.sandbox.together.masks import mask
from peft_tui.sandbox.together.models import bare_name
from peft_tui.sandbox.together.state import Deployment, Endpoint, Project


def deployment_json(call: Call, deployment: Deployment) -> dict[str, Any]:
    """`EndpointDeployment`, brought up to now."""
    life.settle(call.world, deployment)
    endpoint = call.state.endpoints[deployment.endpoint_id]
    project = call.state.projects[deployment.project_id]
    status: dict[str, Any] = {
        "state": f"DEPLOYMENT_STATE_{deployment.state}",
        "message": deployment.message,
        **counts(readyReplicas=deployment.ready, scheduledReplicas=deployment.scheduled),
    }
    if deployment.scheduled:
        status["details"] = {
            "region": [
                {
                    "region": deployment.region,
                    "readyReplicas": deployment.ready,
                    "scheduledReplicas": deployment.scheduled,
                }
            ]
        }
    config = catalog.configs()[deployment.config_id]
    answer: dict[str, Any] = {
        "id": deployment.id,
        "name": f"{project.slug}/{endpoint.name}/{deployment.name}",
        "endpointId": endpoint.id,
        "projectId": deployment.project_id,
        "model": deployment.model,
        "modelId": deployment.model_id,
        "modelRevisionId": deployment.revision_id,
        "config": config.path,
        "configId": config.id,
        "hardware": deployment.hardware,
        "autoscaling": deployment.autoscaling,
        "status": status,
        "trafficMode": "TRAFFIC_MODE_LIVE",
        "etag": deployment.etag,
        "estimatedEffectiveTrafficShare": share_of(call.world, endpoint, deployment),
        "runtimeInfo": {
            "engineType": "sglang",
            "engineVersion": "0.5.4",
            "functionCallingSupported": True,
            "structuredOutputSupported": True,
        },
        "createdAt": iso(deployment.created_at),
        "updatedAt": iso(deployment.updated_at),
        **counts(desiredReplicas=deployment.desired, inactiveTimeout=deployment.inactive_timeout),
    }
    if deployment.max_concurrent is not None:
        answer["maxConcurrentRequestsPerReplica"] = deployment.max_concurrent
    if deployment.placement is not None:
        answer["placement"] = deployment.placement
    return answer


def find_deployment(call: Call, endpoint: Endpoint, id: str | None = None) -> Deployment:
    """A deployment under an endpoint, brought up to now."""
    id = id or call.arg("deployment")
    if id not in endpoint.deployment_ids:
        raise call.not_found("deployment", id)
    deployment = call.state.deployments[id]
    life.settle(call.world, deployment)
    return deployment


async def create(call: Call) -> Any:
    """`POST …/deployments?validateOnly=`."""
    project = call.project()
    endpoint = find_endpoint(call, project)
    body = await call.body()
    name = _name(call, project, endpoint, body.get("name"))
    autoscaling = autoscaling_of(call, body.get("autoscaling"), None)
    path, model_id, revision_id = model_of(call, project, body)
    config = config_of(call, body, model_id)
    inactive = inactive_timeout_of(call, body.get("inactiveTimeout"))
    concurrent = concurrency_of(call, body.get("maxConcurrentRequestsPerReplica"), config)
    region = region_of(call, body.get("placement"), config)
    if call.state.knobs.out_of_credit:
        raise call.refuse(
            402, "Insufficient balance to create a deployment. Please add credits.", "insufficient_balance"
        )
    now = call.now
    dry = call.query.get("validateOnly", "").lower() in ("true", "1")
    deployment = Deployment(
        id="" if dry else call.world.new_id("dep_", 20),
        name=name,
        endpoint_id=endpoint.id,
        project_id=project.id,
        model=path,
        model_id=model_id,
        revision_id=revision_id,
        config_id=config.id,
        hardware=config.hardware,
        autoscaling=autoscaling,
        etag="W1",
        created_at=now,
        updated_at=now,
        price_cents=INSTANCE_TYPES[config.hardware].price_cents,
        inactive_timeout=inactive,
        max_concurrent=concurrent,
        placement=copy.deepcopy(body.get("placement")) or None,
        message="Deployment is stopped",
        since=now,
        region=region,
    )
    if dry:
        deployment.state, deployment.message = "PROVISIONING", "Validated, not created"
        return deployment_json(call, deployment)
    call.state.deployments[deployment.id] = deployment
    # The endpoint's etag stays: the vendor's CLI sets the traffic split with the one it got before.
    endpoint.deployment_ids.append(deployment.id)
    full = f"{project.slug}/{endpoint.name}/{name}"
    life.report(call.world, deployment, now, "deployment.created", name=full)
    if autoscaling["maxReplicas"]:
        life.start(call.world, deployment, now)
    return deployment_json(call, deployment)


def _name(call: Call, project: Project, endpoint: Endpoint, given: Any, but: str | None = None) -> str:
    prefix = f"{project.slug}/{endpoint.name}/"
    if isinstance(given, str) and given.startswith(prefix):
        given = given[len(prefix) :]
    name = bare_name(call, project, given, "deployment")
    for id in endpoint.deployment_ids:
        if id != but and call.state.deployments[id].name == name:
            raise call.refuse(409, f"a deployment named {prefix}{name} already exists", "already_exists")
    return name


async def list_deployments(call: Call) -> Any:
    """`GET …/deployments`, newest first."""
    project = call.project()
    endpoint = find_endpoint(call, project)
    prefix = f"{project.slug}/{endpoint.name}/"

    def fields(d: Deployment) -> dict[str, Any]:
        return {
            "name": (d.name, prefix + d.name),
            "state": (f"DEPLOYMENT_STATE_{d.state}", d.state),
            "model": (d.model, d.model.partition("/revisions/")[0]),
            "created_at": d.created_at,
            "updated_at": d.updated_at,
        }

    known = ("name", "state", "model", "created_at", "updated_at")
    found = filtered(call, live_deployments(call.world, endpoint), known, fields)
    found = order(call, found, lambda d: d.created_at, lambda d: d.updated_at)
    return page(call, found, lambda d: deployment_json(call, d), lambda d: d.id)


async def retrieve(call: Call) -> Any:
    """`GET …/deployments/{id}`."""
    return deployment_json(call, find_deployment(call, find_endpoint(call, call.project())))


async def update(call: Call) -> Any:
    """`PATCH …/deployments/{id}?updateMask=`."""
    project = call.project()
    endpoint = find_endpoint(call, project)
    deployment = find_deployment(call, endpoint)
    body = await call.body()
    known = ("autoscaling", "name", "inactiveTimeout", "maxConcurrentRequestsPerReplica")
    paths = mask(call, body, known)
    check_etag(call, body.get("etag"), deployment.etag)
    config = catalog.configs()[deployment.config_id]
    name, autoscaling = deployment.name, deployment.autoscaling
    inactive, concurrent = deployment.inactive_timeout, deployment.max_concurrent
    if "name" in paths:
        name = _name(call, project, endpoint, body.get("name"), but=deployment.id)
    if "inactiveTimeout" in paths:
        inactive = inactive_timeout_of(call, body.get("inactiveTimeout"))
    if "maxConcurrentRequestsPerReplica" in paths:
        concurrent = concurrency_of(call, body.get("maxConcurrentRequestsPerReplica"), config)
    inner = [p.split(".")[1] for p in paths if p.startswith("autoscaling.")]
    if "autoscaling" in paths:
        autoscaling = autoscaling_of(call, body.get("autoscaling") or {}, autoscaling)
    elif inner:
        given = body.get("autoscaling") or {}
        # A path that the mask names and the body leaves out is reset.
        before = {
            k: v for k, v in autoscaling.items() if k not in inner or k in ("minReplicas", "maxReplicas")
        }
        autoscaling = autoscaling_of(call, {k: v for k, v in given.items() if k in inner}, before)
    _check_start(call, deployment, autoscaling)
    deployment.name, deployment.inactive_timeout, deployment.max_concurrent = name, inactive, concurrent
    deployment.etag = bump(deployment.etag)
    deployment.updated_at = call.now
    life.report(call.world, deployment, call.now, "deployment.updated", paths=paths)
    _follow(call, deployment, autoscaling)
    return deployment_json(call, deployment)


def _check_start(call: Call, deployment: Deployment, autoscaling: dict[str, Any]) -> None:
    if autoscaling["maxReplicas"] == 0:
        return
    if deployment.state == "FAILED":
        raise call.refuse(
            400,
            "a deployment in terminal state FAILED cannot be restarted; create a new deployment",
            "failed_precondition",
        )
    if deployment.state == "STOPPING":
        raise call.refuse(
            400, "the deployment must be stopped before it can be restarted", "failed_precondition"
        )
    if deployment.state == "STOPPED" and call.state.knobs.out_of_credit:
        raise call.refuse(
            402, "Insufficient balance to start a deployment. Please add credits.", "insufficient_balance"
        )


def _follow(call: Call, deployment: Deployment, autoscaling: dict[str, Any]) -> None:
    """Bring the replicas where the new bounds want them."""
    deployment.autoscaling = autoscaling
    now = call.now
    if autoscaling["maxReplicas"] == 0:
        if deployment.state not in ("STOPPED", "STOPPING", "FAILED"):
            life.report(
                call.world,
                deployment,
                now,
                "deployment.scaled",
                oldReplicas=deployment.desired,
                newReplicas=0,
            )
            life.stop(call.world, deployment, now)
    elif deployment.state == "STOPPED":
        life.report(
            call.world,
            deployment,
            now,
            "deployment.scaled",
            oldReplicas=0,
            newReplicas=autoscaling["minReplicas"],
        )
        life.start(call.world, deployment, now)
    else:
        life.rescale(call.world, deployment, now)


async def delete(call: Call) -> Any:
    """`DELETE …/deployments/{id}?etag=`: stopped, and out of the traffic split."""
    project = call.project()
    endpoint = find_endpoint(call, project)
    deployment = find_deployment(call, endpoint)
    check_etag(call, call.query.get("etag"), deployment.etag)
    if deployment.state not in ("STOPPED", "FAILED"):
        raise call.refuse(
            400,
            "the deployment must be stopped before it can be deleted; set minReplicas and maxReplicas "
            "to 0 and wait "
            "for DEPLOYMENT_STATE_STOPPED",
            "failed_precondition",
        )
    if deployment.id in weights(endpoint):
        raise call.refuse(
            400, "the deployment is referenced by the endpoint's traffic split; set its weight to 0 first",
            "failed_precondition",
        )  # fmt: skip
    endpoint.deployment_ids.remove(deployment.id)
    endpoint.traffic_split = [e for e in endpoint.traffic_split if e["deploymentId"] != deployment.id]
    deployment.deleted_at = call.now
    full = f"{project.slug}/{endpoint.name}/{deployment.name}"
    life.report(call.world, deployment, call.now, "deployment.deleted", name=full)
    return {}
