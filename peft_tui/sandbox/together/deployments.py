"""Deployments: create, read, change, delete, with the refusals of the platform."""

from __future__ import annotations

import copy
import re
from typing import Any

from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.together import catalog, life
from peft_tui.sandbox.together.access import Call
from peft_tui.sandbox.together.catalog import BY_ID, INSTANCE_TYPES, PUBLIC_PROJECT, Config
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
from peft_tui.sandbox.together.models import bare_name, base_of, find_model, mask, status_of
from peft_tui.sandbox.together.state import Deployment, Endpoint, Project

_MODEL_PATH = re.compile(r"projects/([^/]+)/models/([^/]+)(?:/revisions/([^/]+))?\Z")
_CONFIG_PATH = re.compile(r"projects/([^/]+)/configs/([^/]+)\Z")
_WINDOWS = ("scaleUpWindow", "scaleDownWindow", "scaleToZeroWindow")
_METRICS = {
    "active_sessions": False, "cache_hit_rate": False, "decoding_speed": True, "e2e_latency": True,
    "gpu_utilization": False, "inflight_requests": False, "throughput_per_replica": False,
    "token_utilization": False, "ttft": True,
}  # fmt: skip
_TARGETS = ("METRIC_TARGET_TYPE_VALUE", "METRIC_TARGET_TYPE_UTILIZATION", "METRIC_TARGET_TYPE_AVERAGE_VALUE")
MOST_REPLICAS = 64


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


def _autoscaling(call: Call, given: Any, before: dict[str, Any] | None) -> dict[str, Any]:
    """Merge and check autoscaling; counts may come as strings, and leave as numbers."""
    if not isinstance(given, dict):
        raise call.refuse(400, "Invalid Argument: autoscaling is required")
    merged: dict[str, Any] = dict(before or {})
    known = {"minReplicas", "maxReplicas", "scaleUp", "scaleDown", "scalingMetrics", *_WINDOWS}
    if unknown := sorted(set(given) - known):
        raise call.refuse(400, f"Invalid Argument: autoscaling has unknown field {unknown[0]!r}")
    for key, value in given.items():
        if value is None or (value in ([], {}) and key != "scalingMetrics"):
            continue
        if key in ("minReplicas", "maxReplicas"):
            if isinstance(value, str) and value.isdigit():
                value = int(value)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_REPLICAS:
                raise call.refuse(
                    400, f"Invalid Argument: {key} must be an integer from 0 to {MOST_REPLICAS}"
                )
        elif key in _WINDOWS and life.seconds_of(value) is None:
            raise call.refuse(400, f"Invalid Argument: {key} must be a duration such as 300s")
        elif key == "scalingMetrics":
            _check_metrics(call, value)
        elif key in ("scaleUp", "scaleDown"):
            _check_rules(call, key, value)
        merged[key] = value
    if "minReplicas" not in merged:
        raise call.refuse(400, "Invalid Argument: autoscaling.minReplicas is required")
    low = merged["minReplicas"]
    if "maxReplicas" not in merged:
        merged["maxReplicas"] = low
    high = merged["maxReplicas"]
    if low > high:
        raise call.refuse(400, "Invalid Argument: minReplicas must not be greater than maxReplicas")
    if low == 0 < high:
        raise call.refuse(
            400,
            "Invalid Argument: minReplicas must be at least 1; set minReplicas and maxReplicas both to "
            "0 to stop",
        )
    merged.setdefault("scaleDownWindow", "300s")
    return merged


def _check_metrics(call: Call, metrics: Any) -> None:
    if not isinstance(metrics, list):
        raise call.refuse(400, "Invalid Argument: scalingMetrics must be a list")
    for metric in metrics:
        name = metric.get("name") if isinstance(metric, dict) else None
        if name not in _METRICS:
            raise call.refuse(400, f"Invalid Argument: unknown scaling metric {name!r}")
        if metric.get("type") not in _TARGETS:
            raise call.refuse(
                400, f"Invalid Argument: scaling metric type must be one of {', '.join(_TARGETS)}"
            )
        if isinstance(metric.get("target"), bool) or not isinstance(metric.get("target"), int | float):
            raise call.refuse(400, "Invalid Argument: scaling metric target must be a number")
        percentile = metric.get("percentile")
        if percentile and (not _METRICS[name] or percentile not in ("p50", "p90", "p95", "p99")):
            raise call.refuse(400, f"Invalid Argument: percentile {percentile!r} does not apply to {name}")


def _check_rules(call: Call, key: str, rules: Any) -> None:
    for policy in (rules.get("policies") or []) if isinstance(rules, dict) else [None]:
        period = policy.get("periodSeconds") if isinstance(policy, dict) else None
        if not isinstance(period, int) or not 1 <= period <= 1800:
            raise call.refuse(400, f"Invalid Argument: {key} policy periodSeconds must be from 1 to 1800")


def _inactive_timeout(call: Call, value: Any) -> int:
    if value in (None, ""):
        return 0
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not (value == 0 or 30 <= value <= 1440):
        raise call.refuse(400, "Invalid Argument: inactiveTimeout must be 0 or from 30 to 1440 minutes")
    return value


def _concurrency(call: Call, value: Any, config: Config) -> str:
    """A string, as int64 is in this API; larger values are reduced."""
    most = config.concurrency - 1
    if value in (None, ""):
        return str(most)
    if not str(value).isdigit():
        raise call.refuse(
            400, "Invalid Argument: maxConcurrentRequestsPerReplica must be a non-negative integer"
        )
    return str(min(int(value), most) or most)


def _model(call: Call, project: Project, body: dict[str, Any]) -> tuple[str, str, str]:
    """Resource path with pinned revision, model id, revision id."""
    path, revision_id = body.get("model"), None
    if path:
        match = _MODEL_PATH.match(str(path))
        if match is None:
            raise call.refuse(
                400,
                "Invalid Argument: model must be "
                "projects/{projectId}/models/{modelId}[/revisions/{revisionId}]",
            )
        owner, id, revision_id = match.groups()
    else:
        id, revision_id = body.get("modelId"), body.get("modelRevisionId")
        if not id:
            raise call.refuse(400, "Invalid Argument: model is required")
        owner = PUBLIC_PROJECT if id in BY_ID else project.id
    if id in BY_ID:
        if owner != PUBLIC_PROJECT:
            raise call.not_found("model", str(path))
        base = BY_ID[id]
        if revision_id not in (None, "", base.revision_id):
            raise call.not_found("revision", str(revision_id))
        return f"{base.path}/revisions/{base.revision_id}", base.id, base.revision_id
    model = find_model(call, project, str(id))
    if owner != model.project_id:
        raise call.not_found("model", str(path or id))
    if not model.revisions:
        raise call.refuse(400, f"model {model.id} has no revisions to deploy", "failed_precondition")
    chosen = [r for r in model.revisions if revision_id in (None, "", r.id)]
    if not chosen:
        raise call.not_found("revision", str(revision_id))
    revision = chosen[-1]
    status = status_of(revision, call.now)
    if status != "SUCCESS":
        why = (
            "; ".join(e["message"] for e in revision.errors)
            if status == "FAILED"
            else "validation is pending"
        )
        raise call.refuse(
            400,
            f"revision {revision.id} of model {model.id} is not validated ({status}): {why}",
            "failed_precondition",
        )
    return f"projects/{model.project_id}/models/{model.id}/revisions/{revision.id}", model.id, revision.id


def _config(call: Call, body: dict[str, Any], model_id: str) -> Config:
    if path := body.get("config"):
        match = _CONFIG_PATH.match(str(path))
        if match is None:
            raise call.refuse(
                400, "Invalid Argument: config must be projects/{projectId}/configs/{configRevisionId}"
            )
        owner, id = match.groups()
    else:
        owner, id = PUBLIC_PROJECT, str(body.get("configId") or "")
        if not id:
            raise call.refuse(400, "Invalid Argument: config is required")
    config = catalog.configs().get(id)
    if config is None or owner != PUBLIC_PROJECT:
        raise call.not_found("config", str(path or id))
    base = BY_ID.get(model_id)
    if base is None:
        base = base_of(call.world, call.state.models[model_id])
    if base is None or config.base_id != base.id:
        raise call.refuse(400, f"config {id} is not compatible with model {model_id}", "failed_precondition")
    return config


def _region(call: Call, placement: Any, config: Config) -> str:
    offered = [name for name, _ in INSTANCE_TYPES[config.hardware].regions]
    if placement in (None, {}):
        return offered[0]
    if not isinstance(placement, dict) or not set(placement) <= {"inline", "profile"} or len(placement) != 1:
        raise call.refuse(400, "Invalid Argument: placement must have either inline or profile")
    if "profile" in placement:
        raise call.not_found("placement profile", str(placement["profile"]))
    inline = placement["inline"] or {}
    wanted = (inline.get("regions") or offered) if isinstance(inline, dict) else None
    if not isinstance(wanted, list) or not all(isinstance(r, str) for r in wanted):
        raise call.refuse(400, "Invalid Argument: placement.inline.regions must be a list of region names")
    fitting = [r for r in wanted if r in offered]
    if not fitting and inline.get("constraint") == "ENFORCEMENT_REQUIRED":
        raise call.refuse(
            400, f"Invalid Argument: {config.hardware} is not offered in {', '.join(map(str, wanted))}"
        )
    return fitting[0] if fitting else offered[0]


async def create(call: Call) -> Any:
    """`POST …/deployments?validateOnly=`."""
    project = call.project()
    endpoint = find_endpoint(call, project)
    body = await call.body()
    name = _name(call, project, endpoint, body.get("name"))
    autoscaling = _autoscaling(call, body.get("autoscaling"), None)
    path, model_id, revision_id = _model(call, project, body)
    config = _config(call, body, model_id)
    inactive = _inactive_timeout(call, body.get("inactiveTimeout"))
    concurrent = _concurrency(call, body.get("maxConcurrentRequestsPerReplica"), config)
    region = _region(call, body.get("placement"), config)
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
        inactive = _inactive_timeout(call, body.get("inactiveTimeout"))
    if "maxConcurrentRequestsPerReplica" in paths:
        concurrent = _concurrency(call, body.get("maxConcurrentRequestsPerReplica"), config)
    inner = [p.split(".")[1] for p in paths if p.startswith("autoscaling.")]
    if "autoscaling" in paths:
        autoscaling = _autoscaling(call, body.get("autoscaling") or {}, autoscaling)
    elif inner:
        given = body.get("autoscaling") or {}
        # A path that the mask names and the body leaves out is reset.
        before = {
            k: v for k, v in autoscaling.items() if k not in inner or k in ("minReplicas", "maxReplicas")
        }
        autoscaling = _autoscaling(call, {k: v for k, v in given.items() if k in inner}, before)
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
