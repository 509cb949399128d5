"""Endpoints: names, traffic split, what they say about their deployments."""

from __future__ import annotations

import math
from typing import Any

from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.together.access import Call
from peft_tui.sandbox.together.life import settle
from peft_tui.sandbox.together.lists import filtered, order, page
from peft_tui.sandbox.together.masks import mask
from peft_tui.sandbox.together.models import bare_name
from peft_tui.sandbox.together.state import Deployment, Endpoint, Event, Project
from peft_tui.sandbox.world import World

SUMMARIES = 10


def live_deployments(world: World, endpoint: Endpoint) -> list[Deployment]:
    """The deployments that exist, oldest first, brought up to now."""
    found = [world.together.deployments[id] for id in endpoint.deployment_ids]
    for deployment in found:
        settle(world, deployment)
    return found


def find_endpoint(call: Call, project: Project, id: str | None = None) -> Endpoint:
    """An endpoint of the project."""
    id = id or call.arg("endpoint")
    endpoint = call.state.endpoints.get(id)
    if endpoint is None or endpoint.project_id != project.id or endpoint.deleted_at is not None:
        raise call.not_found("endpoint", id)
    return endpoint


def weights(endpoint: Endpoint) -> dict[str, float]:
    """Weight by deployment id, positive ones only."""
    return {e["deploymentId"]: e["weight"] for e in endpoint.traffic_split if e["weight"] > 0}


def share_of(world: World, endpoint: Endpoint, deployment: Deployment) -> float:
    """Fraction of traffic that reaches a deployment: weight times ready replicas."""
    split = weights(endpoint)
    if deployment.id not in split or not deployment.ready:
        return 0.0
    total = 0.0
    for id, weight in split.items():
        other = world.together.deployments.get(id)
        if other is not None and other.deleted_at is None:
            total += weight * other.ready
    return round(split[deployment.id] * deployment.ready / total, 6) if total else 0.0


def counts(**values: int) -> dict[str, int]:
    """Zero counts are left out of V2 answers."""
    return {key: value for key, value in values.items() if value}


def summary_json(
    world: World, endpoint: Endpoint, project: Project, deployment: Deployment
) -> dict[str, Any]:
    """`EndpointDeploymentSummary`."""
    return {
        "id": deployment.id,
        "name": f"{project.slug}/{endpoint.name}/{deployment.name}",
        "autoscaling": deployment.autoscaling,
        "createdAt": iso(deployment.created_at),
        "estimatedEffectiveTrafficShare": share_of(world, endpoint, deployment),
        "hardware": deployment.hardware,
        "model": deployment.model,
        "modelId": deployment.model_id,
        "state": f"DEPLOYMENT_STATE_{deployment.state}",
        "trafficMode": "TRAFFIC_MODE_LIVE",
        **counts(desiredReplicas=deployment.desired, readyReplicas=deployment.ready),
    }


def endpoint_json(call: Call, endpoint: Endpoint) -> dict[str, Any]:
    """`Endpoint` with summaries of its newest deployments."""
    project = call.state.projects[endpoint.project_id]
    deployments = live_deployments(call.world, endpoint)
    return {
        "id": endpoint.id,
        "name": f"{project.slug}/{endpoint.name}",
        "projectId": endpoint.project_id,
        "endpointType": "ENDPOINT_TYPE_DEDICATED",
        "visibility": endpoint.visibility,
        "etag": endpoint.etag,
        "trafficSplit": endpoint.traffic_split,
        "deployments": [
            summary_json(call.world, endpoint, project, d) for d in deployments[::-1][:SUMMARIES]
        ],
        "createdAt": iso(endpoint.created_at),
        "updatedAt": iso(endpoint.updated_at),
    }


def bump(etag: str) -> str:
    """The next etag."""
    return f"W{int(etag[1:]) + 1}"


def check_etag(call: Call, given: Any, current: str) -> None:
    """409 ABORTED if the caller's copy is stale; no etag means last write wins."""
    if given not in (None, "") and given != current:
        raise call.refuse(409, f"ABORTED: etag mismatch: have {current!r}, got {given!r}", "aborted")


def tell(world: World, endpoint: Endpoint, type: str, **fields: Any) -> None:
    """Add a line about the endpoint itself to its feed."""
    world.together.events.append(
        Event(world.new_id("evt_", 20), world.now(), endpoint.id, type, fields=fields)
    )


def _visibility(call: Call, value: Any) -> str:
    if value not in ("VISIBILITY_PRIVATE", "VISIBILITY_INTERNAL"):
        raise call.refuse(
            400, "Invalid Argument: visibility must be VISIBILITY_PRIVATE or VISIBILITY_INTERNAL"
        )
    return str(value)


def _check_name(call: Call, project: Project, name: str, but: str | None = None) -> None:
    for other in call.state.endpoints.values():
        if (
            other.project_id == project.id
            and other.name == name
            and other.deleted_at is None
            and other.id != but
        ):
            raise call.refuse(
                409, f"an endpoint named {project.slug}/{name} already exists", "already_exists"
            )


async def create(call: Call) -> Any:
    """`POST …/endpoints`. Costs nothing until it has deployments."""
    project = call.project()
    body = await call.body()
    name = bare_name(call, project, body.get("name"), "endpoint")
    visibility = _visibility(call, body["visibility"]) if body.get("visibility") else "VISIBILITY_PRIVATE"
    _check_name(call, project, name)
    now = call.now
    endpoint = Endpoint(
        id=call.world.new_id("ep_", 20),
        name=name,
        project_id=project.id,
        etag="W1",
        created_at=now,
        updated_at=now,
        visibility=visibility,
    )
    call.state.endpoints[endpoint.id] = endpoint
    tell(call.world, endpoint, "endpoint.created", name=f"{project.slug}/{name}")
    return endpoint_json(call, endpoint)


def _fields(call: Call, endpoint: Endpoint) -> dict[str, Any]:
    slug = call.state.projects[endpoint.project_id].slug
    return {
        "name": (endpoint.name, f"{slug}/{endpoint.name}"),
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
    }


def _listed(call: Call, endpoints: list[Endpoint]) -> Any:
    found = filtered(call, endpoints, ("name", "created_at", "updated_at"), lambda e: _fields(call, e))
    found = order(call, found, lambda e: e.created_at, lambda e: e.updated_at)
    return page(call, found, lambda e: endpoint_json(call, e), lambda e: e.id)


async def list_endpoints(call: Call) -> Any:
    """`GET …/endpoints`, newest first."""
    project = call.project()
    return _listed(
        call,
        [e for e in call.state.endpoints.values() if e.project_id == project.id and e.deleted_at is None],
    )


async def list_org_endpoints(call: Call) -> Any:
    """`GET /v2/organizations/{o}/endpoints`: those shared within the organisation."""
    if call.arg("org") != call.key.org_id:
        raise call.not_found("organization", call.arg("org"))
    return _listed(
        call,
        [
            e
            for e in call.state.endpoints.values()
            if e.deleted_at is None
            and e.visibility == "VISIBILITY_INTERNAL"
            and call.state.projects[e.project_id].org_id == call.key.org_id
        ],
    )


async def retrieve(call: Call) -> Any:
    """`GET …/endpoints/{id}`."""
    return endpoint_json(call, find_endpoint(call, call.project()))


async def update(call: Call) -> Any:
    """`PATCH …/endpoints/{id}?updateMask=`."""
    project = call.project()
    endpoint = find_endpoint(call, project)
    body = await call.body()
    paths = mask(call, body, ("name", "trafficSplit", "visibility"))
    check_etag(call, body.get("etag"), endpoint.etag)
    name, visibility, split = endpoint.name, endpoint.visibility, endpoint.traffic_split
    if "name" in paths:
        name = bare_name(call, project, body.get("name"), "endpoint")
        _check_name(call, project, name, but=endpoint.id)
    if "visibility" in paths:
        visibility = _visibility(call, body.get("visibility"))
    if "trafficSplit" in paths:
        split = _split(call, endpoint, body.get("trafficSplit") or [])
    if split != endpoint.traffic_split:
        endpoint.traffic_since = call.now + call.state.knobs.traffic_delay
    endpoint.name, endpoint.visibility, endpoint.traffic_split = name, visibility, split
    endpoint.etag = bump(endpoint.etag)
    endpoint.updated_at = call.now
    tell(call.world, endpoint, "endpoint.updated", paths=paths)
    return endpoint_json(call, endpoint)


def _split(call: Call, endpoint: Endpoint, entries: Any) -> list[dict[str, Any]]:
    if not isinstance(entries, list):
        raise call.refuse(400, "Invalid Argument: trafficSplit must be a list")
    split: list[dict[str, Any]] = []
    for entry in entries:
        id = entry.get("deploymentId") if isinstance(entry, dict) else None
        weight = entry.get("weight", 0) if isinstance(entry, dict) else None
        if id not in endpoint.deployment_ids:
            raise call.refuse(
                400, f"Invalid Argument: deployment {id} does not belong to endpoint {endpoint.id}"
            )
        if (
            isinstance(weight, bool)
            or not isinstance(weight, int | float)
            or not math.isfinite(weight)
            or weight < 0
        ):
            raise call.refuse(400, "Invalid Argument: weight must be a non-negative finite number")
        if any(e["deploymentId"] == id for e in split):
            raise call.refuse(400, f"Invalid Argument: deployment {id} appears twice in trafficSplit")
        split.append({"deploymentId": id, "weight": weight})
    return split


async def delete(call: Call) -> Any:
    """`DELETE …/endpoints/{id}`; refused while it has deployments."""
    endpoint = find_endpoint(call, call.project())
    check_etag(call, call.query.get("etag"), endpoint.etag)
    if endpoint.deployment_ids:
        raise call.refuse(
            400, "the endpoint has deployments; delete its deployments first", "failed_precondition"
        )
    endpoint.deleted_at = call.now
    return {}
