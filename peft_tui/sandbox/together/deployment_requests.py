"""What a request says of a deployment, checked field by field and refused in the platform's words."""

from __future__ import annotations

import re
from typing import Any

from peft_tui.sandbox.together import catalog, life
from peft_tui.sandbox.together.access import Call
from peft_tui.sandbox.together.catalog import BY_ID, INSTANCE_TYPES, PUBLIC_PROJECT, Config
from peft_tui.sandbox.together.models import base_of, find_model, status_of
from peft_tui.sandbox.together.state import Project

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


def autoscaling_of(call: Call, given: Any, before: dict[str, Any] | None) -> dict[str, Any]:
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


def inactive_timeout_of(call: Call, value: Any) -> int:
    if value in (None, ""):
        return 0
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not (value == 0 or 30 <= value <= 1440):
        raise call.refuse(400, "Invalid Argument: inactiveTimeout must be 0 or from 30 to 1440 minutes")
    return value


def concurrency_of(call: Call, value: Any, config: Config) -> str:
    """A string, as int64 is in this API; larger values are reduced."""
    most = config.concurrency - 1
    if value in (None, ""):
        return str(most)
    if not str(value).isdigit():
        raise call.refuse(
            400, "Invalid Argument: maxConcurrentRequestsPerReplica must be a non-negative integer"
        )
    return str(min(int(value), most) or most)


def model_of(call: Call, project: Project, body: dict[str, Any]) -> tuple[str, str, str]:
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


def config_of(call: Call, body: dict[str, Any], model_id: str) -> Config:
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


def region_of(call: Call, placement: Any, config: Config) -> str:
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
