"""From Together's words to ours (dossier §5.8)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from peft_tui.domain.spec import Settings, Value
from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.drivers.together.wire import Deployment, Endpoint, Summary

PREFIX = "DEPLOYMENT_STATE_"


def observe(
    endpoint: Endpoint,
    deployment: Summary,
    now: datetime,
    usd_per_instance_hour: Decimal | None,
    endpoint_url: str,
) -> Observation:
    """What the summary in an endpoint's answer says of one deployment."""
    word = deployment.state.removeprefix(PREFIX)
    ready = deployment.ready_replicas
    shadow = deployment.traffic_mode == "TRAFFIC_MODE_SHADOW"
    routed = shadow or endpoint.weight(deployment.id) > 0
    status, condition, reason = _translate(word, ready, routed)
    billed = _billed(word, deployment)
    return Observation(
        status,
        now,
        platform_status=word,
        reason=reason,
        condition=condition,
        ready_instances=ready,
        billed_instances=billed,
        min_instances=deployment.autoscaling.min_replicas,
        max_instances=deployment.autoscaling.max_replicas,
        instance_type=deployment.hardware,
        usd_per_hour=None
        if billed and usd_per_instance_hour is None
        else billed * (usd_per_instance_hour or Decimal(0)),
        endpoint_url=endpoint_url,
        model=endpoint.name,
    )


def settings(endpoint: Endpoint, deployment: Deployment) -> Settings:
    """The declared settings of one, from the two answers about it. Serving is not told by either."""
    found: dict[str, Value] = {"idle_timeout": deployment.inactive_timeout}
    targets = [m.target for m in deployment.autoscaling.scaling_metrics if m.name == "inflight_requests"]
    if targets and targets[0] is not None:
        found["scale_target"] = round(targets[0])
    if concurrency := deployment.max_concurrent_requests_per_replica:
        found["concurrency"] = concurrency
    inline = deployment.placement.inline if deployment.placement else None
    if inline is not None and len(inline.regions) == 1:
        found["region"] = inline.regions[0]
    if visibility := endpoint.visibility.removeprefix("VISIBILITY_").lower():
        found["visibility"] = visibility
    return found


def _translate(word: str, ready: int, routed: bool) -> tuple[Status, Condition, str]:
    match word:
        case "PROVISIONING":
            return Status.DEPLOYING, Condition.NONE, ""
        case "SCALING":
            return (Status.ACTIVE, Condition.SCALING, "") if ready else (Status.DEPLOYING, Condition.NONE, "")
        case "READY" if routed:
            return Status.ACTIVE, Condition.NONE, ""
        case "READY":
            return Status.ACTIVE, Condition.NO_TRAFFIC, "ready, but its endpoint sends it no traffic"
        case "DEGRADED":
            return (Status.ACTIVE if ready else Status.DEPLOYING), Condition.DEGRADED, ""
        case "STOPPING":
            # It bills until it is STOPPED: not "stopped" before that was read.
            return Status.ACTIVE, Condition.STOPPING, "stopping, still billing"
        case "STOPPED":
            return Status.STOPPED, Condition.NONE, ""
        case "FAILED":
            return Status.FAILED, Condition.NONE, "final: it cannot be started again"
        case _:
            return Status.DEPLOYING, Condition.NONE, "a state that peft-tui does not know"


def _billed(word: str, deployment: Summary) -> int:
    """Replicas that cost money: from being scheduled to STOPPED. The list does not show what is scheduled,
    so what the autoscaler wants counts: rather too much than too little."""
    if word in ("STOPPED", "FAILED"):
        return deployment.ready_replicas
    if word == "STOPPING":
        return max(deployment.ready_replicas, 1)
    if deployment.desired_replicas is not None:
        return max(deployment.desired_replicas, deployment.ready_replicas)
    return max(deployment.autoscaling.min_replicas, deployment.ready_replicas)
