"""The life of a deployment: what it is at a time, given what it was told before.

Nothing runs in the background. A deployment carries the steps it will go through; `settle` plays those
that are due, in order, and bills and reports each at the time it happened.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from peft_tui.sandbox.together.catalog import INSTANCE_TYPES
from peft_tui.sandbox.together.state import Attachment, Deployment, Event, Step
from peft_tui.sandbox.world import World

# Seconds from the order to each stage, at speed 1.
SCHEDULED = 5.0
STARTING = 15.0
READY = 45.0
MORE_READY = 30.0
STOPPED = 8.0
FEWER = 5.0
DOOMED = 60.0
ATTACH = 20.0

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?\Z")


def seconds_of(text: Any) -> float | None:
    """Seconds of `300s`, `5m` or `1h30m`; None if it is no duration."""
    if not isinstance(text, str) or not text:
        return None
    match = _DURATION.match(text)
    if match is None or not any(match.groups()):
        return None
    hours, minutes, seconds = (float(g or 0) for g in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def bounds(deployment: Deployment) -> tuple[int, int]:
    """Minimum and maximum replicas."""
    return deployment.autoscaling["minReplicas"], deployment.autoscaling["maxReplicas"]


def placeable(world: World, hardware: str) -> bool:
    """Whether GPUs of this type are free."""
    taken = world.together.knobs.no_capacity
    return hardware in INSTANCE_TYPES and hardware not in taken and "*" not in taken


def report(
    world: World, deployment: Deployment, at: float, type: str, level: str = "LEVEL_INFO", **fields: Any
) -> None:
    """Add a line to the endpoint's feed."""
    id = world.new_id("evt_", 20)
    world.together.events.append(Event(id, at, deployment.endpoint_id, type, level, deployment.id, fields))


def start(world: World, deployment: Deployment, at: float) -> None:
    """Begin to provision the minimum."""
    low, _ = bounds(deployment)
    deployment.desired = low
    deployment.unplaceable = False
    deployment.doomed = world.together.knobs.fail_next > 0
    if deployment.doomed:
        world.together.knobs.fail_next -= 1
    _enter(world, deployment, Step(at, "PROVISIONING", 0, 0, "Scheduling replicas", "ReplicasPending"))
    deployment.steps = _way_up(deployment, at, low)


def _way_up(deployment: Deployment, at: float, count: int) -> list[Step]:
    steps = [
        Step(at + SCHEDULED, "PROVISIONING", count, 0, "Replicas scheduled", "ReplicasScheduled"),
        Step(at + STARTING, "SCALING", count, 0, "Starting replicas", "ReplicasProgressing"),
    ]
    if deployment.doomed:
        message = "Timed out waiting for replicas to become ready: the engine exited during start-up"
        steps.append(Step(at + DOOMED, "FAILED", 0, 0, message, "ReadinessTimeout"))
        return steps
    if count > 1:
        steps.append(Step(at + READY - 5, "SCALING", count, 1, "Scaling up", "ReplicasProgressing"))
    steps.append(Step(at + READY, "READY", count, count, "All replicas ready", "AllReplicasReady"))
    return steps


def stop(world: World, deployment: Deployment, at: float, why: str = "Stopping replicas") -> None:
    """Begin to stop; billing goes on until STOPPED."""
    deployment.desired = 0
    deployment.unplaceable = False
    _enter(world, deployment, Step(at, "STOPPING", deployment.scheduled, 0, why, "ScalingToZero"))
    pause = STOPPED if deployment.scheduled else 1.0
    deployment.steps = [Step(at + pause, "STOPPED", 0, 0, "Deployment is stopped", "Stopped")]


def rescale(world: World, deployment: Deployment, at: float) -> None:
    """Follow new bounds while running; they take effect without a restart."""
    low, high = bounds(deployment)
    target = min(max(deployment.desired, low), high)
    if target == deployment.desired:
        return
    old, deployment.desired = deployment.desired, target
    report(world, deployment, at, "deployment.scaled", oldReplicas=old, newReplicas=target)
    if deployment.unplaceable:
        return
    if deployment.ready == 0:
        # Still on its way up: the remaining stages keep their times and carry the new count.
        for step in deployment.steps:
            step.scheduled = target if step.scheduled else 0
            step.ready = min(step.ready, target) if step.state != "READY" else target
        if deployment.scheduled:
            deployment.scheduled = target
            _bill(deployment, at)
        return
    if target > old:
        steps = [Step(at, "SCALING", target, deployment.ready, "Scaling up", "ReplicasProgressing")]
        if not placeable(world, deployment.hardware):
            message = "Cannot place replicas: insufficient GPU capacity"
            steps = [
                Step(at, "DEGRADED", deployment.scheduled, deployment.ready, message, "InsufficientCapacity")
            ]
            _enter(world, deployment, steps[0])
            deployment.steps = []
            deployment.unplaceable = True
            return
        pause = MORE_READY
    else:
        steps = [
            Step(
                at,
                "SCALING",
                deployment.scheduled,
                min(target, deployment.ready),
                "Scaling down",
                "ReplicasProgressing",
            )
        ]
        pause = FEWER
    _enter(world, deployment, steps[0])
    deployment.steps = [Step(at + pause, "READY", target, target, "All replicas ready", "AllReplicasReady")]


def settle(world: World, deployment: Deployment) -> None:
    """Play everything that is due by now."""
    if deployment.deleted_at is not None:
        return
    now = world.now()
    while True:
        due = [deployment.steps[0].at] if deployment.steps else []
        idle = _idle_stop(deployment)
        if idle is not None:
            due.append(idle[0])
        if deployment.unplaceable and placeable(world, deployment.hardware):
            _placed(world, deployment, now)
            continue
        if not due or min(due) > now:
            break
        if idle is not None and idle[0] == min(due):
            report(
                world, deployment, idle[0], "deployment.scaled", oldReplicas=deployment.desired, newReplicas=0
            )
            _zero(deployment, idle[0])
            stop(world, deployment, idle[0], idle[1])
        else:
            _play(world, deployment, deployment.steps.pop(0))
    for attachment in deployment.attachments:
        _settle_attachment(deployment, attachment, now)


def _zero(deployment: Deployment, at: float) -> None:
    """An automatic stop leaves the same trace as one by hand: bounds of 0/0."""
    deployment.autoscaling = {**deployment.autoscaling, "minReplicas": 0, "maxReplicas": 0}
    deployment.updated_at = at
    deployment.etag = f"W{int(deployment.etag[1:]) + 1}"


def _play(world: World, deployment: Deployment, step: Step) -> None:
    if step.state == "PROVISIONING" and step.scheduled and not placeable(world, deployment.hardware):
        deployment.steps = []
        deployment.unplaceable = True
        message = "Cannot place replicas: insufficient GPU capacity"
        _enter(world, deployment, Step(step.at, "DEGRADED", 0, 0, message, "InsufficientCapacity"))
        return
    _enter(world, deployment, step)


def _placed(world: World, deployment: Deployment, at: float) -> None:
    deployment.unplaceable = False
    if deployment.ready == 0:
        _enter(world, deployment, Step(at, "PROVISIONING", 0, 0, "Scheduling replicas", "ReplicasPending"))
        deployment.steps = _way_up(deployment, at, deployment.desired)
        return
    count = deployment.desired
    _enter(
        world, deployment, Step(at, "SCALING", count, deployment.ready, "Scaling up", "ReplicasProgressing")
    )
    deployment.steps = [
        Step(at + MORE_READY, "READY", count, count, "All replicas ready", "AllReplicasReady")
    ]


def _idle_stop(deployment: Deployment) -> tuple[float, str] | None:
    """When and why it stops by itself, if nobody asks it anything."""
    if deployment.state not in ("READY", "DEGRADED") or deployment.ready == 0:
        return None
    quiet_since = max(deployment.last_request, deployment.since)
    stops: list[tuple[float, str]] = []
    if deployment.inactive_timeout:
        minutes = deployment.inactive_timeout
        stops.append((quiet_since + 60 * minutes, f"Stopped after {minutes} minutes without a request"))
    window = seconds_of(deployment.autoscaling.get("scaleToZeroWindow"))
    if window:
        stops.append((quiet_since + window, "Scaled to zero after its idle window"))
    return min(stops) if stops else None


def _enter(world: World, deployment: Deployment, step: Step) -> None:
    changed = step.state != deployment.state
    was_ready = deployment.ready
    deployment.state, deployment.scheduled, deployment.ready = step.state, step.scheduled, step.ready
    deployment.message = step.message
    if changed:
        deployment.since = step.at
        level = {"FAILED": "LEVEL_ERROR", "DEGRADED": "LEVEL_WARN"}.get(step.state, "LEVEL_INFO")
        report(
            world, deployment, step.at, "deployment.status_updated", level,
            message=step.message, reason=step.reason, status=f"DEPLOYMENT_STATE_{step.state}",
        )  # fmt: skip
    if step.state == "FAILED":
        report(
            world, deployment, step.at, "pod.log", "LEVEL_ERROR", containerName="engine",
            replicaId=f"{deployment.id}-0", reason="CrashLoopBackOff",
            logExcerpt="torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        )  # fmt: skip
        deployment.desired = 0
    if step.ready and step.ready != was_ready:
        for replica in range(was_ready, step.ready):
            report(
                world, deployment, step.at, "pod.startup_phase_changed", "LEVEL_DEBUG",
                replicaId=f"{deployment.id}-{replica}", containerName="engine", message="ready",
            )  # fmt: skip
    _bill(deployment, step.at)


def _bill(deployment: Deployment, at: float) -> None:
    """Billed from being scheduled to STOPPED: replicas times price."""
    deployment.meter.set(deployment.scheduled, Decimal(deployment.price_cents) / 100, at)


def _settle_attachment(deployment: Deployment, attachment: Attachment, now: float) -> None:
    if deployment.ready == 0:
        # Replicas that come up load what is attached.
        attachment.realized_revision_id = None
        if deployment.steps:
            attachment.ready_at = max(attachment.ready_at, deployment.steps[-1].at)
        elif deployment.state in ("STOPPED", "STOPPING", "FAILED", "DEGRADED"):
            attachment.ready_at = max(attachment.ready_at, now + ATTACH)
    elif now >= attachment.ready_at and attachment.problem is None:
        attachment.realized_revision_id = attachment.revision_id
