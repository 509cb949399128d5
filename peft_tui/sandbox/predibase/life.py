"""The life of a deployment: what it is at a time, given what it was told before.

Nothing runs in the background. A deployment carries the steps it will go through; `settle` plays those that
are due, in order, and bills and reports each at the time it happened. The vendor documents neither all of its
words nor their order; where the dossier is silent this is the sandbox's choice.
"""

from __future__ import annotations

from typing import Any

from peft_tui.sandbox.predibase.catalog import USD_PER_HOUR
from peft_tui.sandbox.predibase.state import ComputeEvent, Deployment, Step
from peft_tui.sandbox.world import World

COOLDOWN = 3600
SHORTEST_COOLDOWN = 600
PLACED = 4.0
DOOMED = 25.0
MORE = 20.0
ROLL_OUT = 15.0
SERVING = ("ready", "updating")


def low(deployment: Deployment) -> int:
    """Minimum replicas."""
    return int(deployment.config.get("minReplicas", 0))


def high(deployment: Deployment) -> int:
    """Maximum replicas."""
    return int(deployment.config.get("maxReplicas", 1))


def cooldown(deployment: Deployment) -> float:
    """Seconds without a request before it is scaled to its minimum."""
    return float(deployment.config.get("cooldownTime", COOLDOWN))


def placeable(world: World, accelerator: str) -> bool:
    """Whether GPUs of this type are free."""
    taken = world.predibase.knobs.no_capacity
    return accelerator not in taken and "*" not in taken


def start(world: World, deployment: Deployment, at: float) -> None:
    """The first start. Even with a minimum of 0 one replica comes up, to prove that it can."""
    deployment.doomed = world.predibase.knobs.fail_next > 0
    if deployment.doomed:
        world.predibase.knobs.fail_next -= 1
    deployment.quiet_since = at
    _enter(deployment, Step(at, "queued", 0, 0, "Queued"))
    _way_up(deployment, at, max(1, low(deployment)), world.predibase.knobs.start_seconds)


def _way_up(deployment: Deployment, at: float, count: int, seconds: float) -> None:
    steps = [Step(at + min(PLACED, seconds), "initializing", 0, count, "Scheduled")]
    if deployment.doomed:
        steps += [
            Step(at + DOOMED / 2, "initializing", 0, count, "BackOff"),
            Step(at + DOOMED, "failed", 0, 0, "Failed"),
        ]
    else:
        steps.append(Step(at + max(seconds, PLACED), "ready", count, count, "Ready"))
    deployment.steps = steps


def update(world: World, deployment: Deployment, at: float, before: dict[str, Any]) -> None:
    """Follow a new configuration: every change is a roll-out, and it serves meanwhile if it did before."""
    settle(world, deployment)
    if deployment.status in ("failed", "queued", "initializing"):
        # Begun again with the new configuration.
        start(world, deployment, at)
        return
    target = min(max(deployment.replicas, low(deployment)), max(high(deployment), low(deployment)))
    if deployment.replicas == 0 and target == 0:
        return
    deployment.quiet_since = max(deployment.quiet_since, at)
    config = deployment.config
    changed = {key for key in before.keys() | config.keys() if before.get(key) != config.get(key)}
    if changed - {"minReplicas", "maxReplicas", "cooldownTime", "scaleUpRequestThreshold"}:
        deployment.loaded = []
    if deployment.replicas == 0:
        _enter(deployment, Step(at, "initializing", 0, target, "Scheduled"))
    else:
        running = deployment.replicas
        _enter(deployment, Step(at, "updating", running, max(running, target), "Updating"))
    deployment.steps = [Step(at + ROLL_OUT, "ready", target, target, "Ready")]


def wake(world: World, deployment: Deployment) -> None:
    """A request came for one that is scaled to zero."""
    if deployment.status == "standby" and not deployment.steps:
        at = world.now()
        deployment.quiet_since = at
        deployment.doomed = False
        _enter(deployment, Step(at, "initializing", 0, 1, "ScalingUp"))
        wake_seconds = world.predibase.knobs.wake_seconds
        deployment.steps = [Step(at + wake_seconds, "ready", 1, 1, "Ready")]


def work(world: World, deployment: Deployment, seconds: float) -> None:
    """A request begins that takes so long; too many at a time bring up another replica."""
    now = world.now()
    deployment.ends = [end for end in deployment.ends if end > now] + [now + seconds]
    deployment.quiet_since = max(deployment.quiet_since, now + seconds)
    threshold = int(deployment.config.get("scaleUpRequestThreshold", 1))
    crowded = len(deployment.ends) > threshold * deployment.replicas
    full = deployment.replicas >= high(deployment)
    if deployment.type == "shared" or deployment.steps or full or not crowded:
        return
    if placeable(world, deployment.accelerator):
        more = deployment.replicas + 1
        _enter(deployment, Step(now, "ready", deployment.replicas, more, "ScalingUp"))
        deployment.steps = [Step(now + MORE, "ready", more, more, "Ready")]


def settle(world: World, deployment: Deployment) -> None:
    """Play everything that is due by now."""
    if deployment.deleted_at is not None or deployment.type == "shared":
        return
    now = world.now()
    while True:
        if deployment.status == "queued" and deployment.steps and deployment.steps[0].at <= now:
            if not placeable(world, deployment.accelerator):
                _report(deployment, "WaitingForCapacity", now)
                return
            late = max(0.0, now - deployment.steps[0].at) if _waited(deployment) else 0.0
            for step in deployment.steps:
                step.at += late
        if deployment.steps and deployment.steps[0].at <= now:
            _enter(deployment, deployment.steps.pop(0))
            continue
        idle = deployment.quiet_since + cooldown(deployment)
        spare = deployment.status == "ready" and deployment.replicas > low(deployment)
        if spare and not deployment.steps and idle <= now:
            rest = low(deployment)
            word, event = ("ready", "ScaledDown") if rest else ("standby", "ScaledToZero")
            _enter(deployment, Step(idle, word, rest, rest, event))
            continue
        return


def delete(world: World, deployment: Deployment) -> None:
    """It and its bill end now."""
    settle(world, deployment)
    deployment.steps = []
    _enter(deployment, Step(world.now(), "deleted", 0, 0, "Deleted"))
    deployment.deleted_at = world.now()


def _waited(deployment: Deployment) -> bool:
    return deployment.events[-1].type == "WaitingForCapacity"


def _report(deployment: Deployment, type: str, at: float) -> None:
    if not deployment.events or deployment.events[-1].type != type:
        deployment.events.append(ComputeEvent(type, at))


def _enter(deployment: Deployment, step: Step) -> None:
    deployment.status, deployment.replicas, deployment.billed = step.status, step.replicas, step.billed
    if step.event is not None:
        deployment.events.append(ComputeEvent(step.event, step.at))
    if step.event == "Scheduled":
        deployment.events.append(ComputeEvent("Pulling", step.at, detailed=True))
    if step.replicas == 0:
        deployment.loaded = []
    elif step.event == "Ready":
        deployment.quiet_since = max(deployment.quiet_since, step.at)
        for id in deployment.config.get("preloadedAdapters") or ():
            if f"pbase:{id}" not in deployment.loaded:
                deployment.loaded.append(f"pbase:{id}")
    deployment.meter.set(step.billed, USD_PER_HOUR[deployment.accelerator], step.at)


def active_seconds(deployment: Deployment, now: float) -> int:
    """Seconds in which a GPU was held."""
    return int(sum(stretch.seconds(now) for stretch in deployment.meter.stretches))
