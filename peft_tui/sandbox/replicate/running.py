"""Instances and predictions over time.

Nothing runs in the background. When a prediction is given to an instance its start and end are known,
so that its state is a matter of looking at the clock; `settle` plays what has become of a deployment.
"""

from __future__ import annotations

from peft_tui.sandbox.replicate.seed import HARDWARE
from peft_tui.sandbox.replicate.state import Deployment, Instance, Prediction
from peft_tui.sandbox.world import World

SETUP_ERROR = (
    "Model setup failed: the container exited during setup(). ValueError: weights could not be loaded (E1004)"
)


def status_of(prediction: Prediction, now: float) -> str:
    """The word of the API for a prediction at a time."""
    if prediction.aborted_at is not None:
        return "aborted"
    if prediction.canceled_at is not None:
        return "canceled"
    if prediction.ends_at is not None and now >= prediction.ends_at:
        return "failed" if prediction.error else "succeeded"
    if prediction.started_at is not None and now >= prediction.started_at:
        return "processing"
    return "starting"


def completed_at(prediction: Prediction, now: float) -> float | None:
    """When it ended, if it has."""
    for when in (prediction.aborted_at, prediction.canceled_at):
        if when is not None:
            return when
    if prediction.ends_at is not None and now >= prediction.ends_at:
        return prediction.ends_at
    return None


def pieces_until(prediction: Prediction, now: float) -> int:
    """How many pieces of the output exist."""
    stop = completed_at(prediction, now)
    if prediction.started_at is None or (prediction.error and not prediction.pieces):
        return 0
    if stop is not None and prediction.ends_at is not None and stop >= prediction.ends_at:
        return len(prediction.pieces)
    moment = min(now, stop) if stop is not None else now
    if moment < prediction.started_at:
        return 0
    first = prediction.started_at + prediction.first_token
    if moment < first:
        return 0
    if prediction.per_token <= 0:
        return len(prediction.pieces)
    return min(len(prediction.pieces), 1 + int((moment - first) / prediction.per_token))


def piece_time(prediction: Prediction, number: int) -> float | None:
    """When a piece appears; None before the start is planned."""
    if prediction.started_at is None:
        return None
    planned = prediction.started_at + prediction.first_token + number * prediction.per_token
    return min(planned, prediction.ends_at) if prediction.ends_at is not None else planned


def alive(instance: Instance, now: float) -> bool:
    """Whether an instance exists at a time."""
    return instance.booted_at <= now and (instance.stopped_at is None or instance.stopped_at > now)


def boot(world: World, deployment: Deployment, at: float, *, kept: bool) -> Instance:
    """Start an instance; it is billed from the beginning of its setup."""
    knobs = world.replicate.knobs
    instance = Instance(
        id=world.new_id("inst-", 10),
        booted_at=at,
        ready_at=at + knobs.boot_seconds,
        free_at=at + knobs.boot_seconds,
        kept=kept,
        failing=deployment.setup_fails,
    )
    instance.meter.set(1, HARDWARE[deployment.release.hardware].usd_per_hour, at)
    if instance.failing:
        _end(deployment, instance, instance.ready_at)
    deployment.instances.append(instance)
    return instance


def _end(deployment: Deployment, instance: Instance, at: float) -> None:
    instance.stopped_at = at
    if instance.meter.stretches:
        instance.meter.stretches[-1].end = at
    deployment.online_until = max(deployment.online_until, at)


def settle(world: World, deployment: Deployment) -> None:
    """Play deadlines and sleep until now."""
    if deployment.deleted_at is not None:
        return
    now = world.now()
    waiting = [world.replicate.predictions[id] for id in deployment.prediction_ids]
    for prediction in sorted(waiting, key=lambda p: p.deadline or 0.0):
        if _miss_deadline(prediction, now):
            # Those behind move up at the deadline, however late anybody looks.
            _free(world, deployment, prediction, prediction.deadline or now)
    deployment.prediction_ids = [p.id for p in waiting if completed_at(p, now) is None]
    idle = world.replicate.knobs.idle_seconds
    for instance in deployment.instances:
        if instance.stopped_at is None and not instance.kept and instance.free_at + idle <= now:
            _end(deployment, instance, instance.free_at + idle)
    gone = [i for i in deployment.instances if i.stopped_at is not None and i.stopped_at <= now]
    for instance in gone:
        deployment.past_cost.stretches += instance.meter.stretches
    if gone:
        deployment.instances = [i for i in deployment.instances if i not in gone]


def _miss_deadline(prediction: Prediction, now: float) -> bool:
    deadline = prediction.deadline
    if deadline is None or deadline > now:
        return False
    if prediction.canceled_at is not None or prediction.aborted_at is not None:
        return False
    if prediction.ends_at is not None and prediction.ends_at <= deadline:
        return False
    if prediction.started_at is None or prediction.started_at > deadline:
        prediction.aborted_at = deadline
    else:
        prediction.canceled_at = deadline
    return True


def settle_single(world: World, prediction: Prediction) -> None:
    """As `settle`, for a prediction outside of deployments or on one."""
    if prediction.deployment is not None:
        deployment = world.replicate.deployments.get(prediction.deployment)
        if deployment is not None:
            settle(world, deployment)
    _miss_deadline(prediction, world.now())


def give(world: World, deployment: Deployment, prediction: Prediction) -> None:
    """Give a prediction to an instance, booting one if all are busy and the maximum allows."""
    settle(world, deployment)
    now = world.now()
    deployment.last_used = now
    deployment.prediction_ids.append(prediction.id)
    _plan(world, deployment, prediction, now)


def _plan(world: World, deployment: Deployment, prediction: Prediction, now: float) -> None:
    current = [i for i in deployment.instances if i.stopped_at is None]
    ready = [i for i in current if i.ready_at <= now]
    # While a new release boots, the instances of the old one go on serving.
    leaving = (
        []
        if ready
        else [i for i in deployment.instances if alive(i, now) and not i.failing and i.ready_at <= now]
    )
    free = [i for i in ready or leaving if i.free_at <= now]
    if free:
        instance = free[0]
    elif leaving:
        instance = min(leaving, key=lambda i: i.free_at)
    elif len(current) < deployment.release.max_instances:
        booting = [i for i in current if i.ready_at > now and i.free_at == i.ready_at]
        instance = booting[0] if booting else boot(world, deployment, now, kept=False)
    else:
        instance = min(current, key=lambda i: i.free_at)
    start = max(now, instance.free_at, prediction.created_at)
    prediction.instance = instance.id
    if instance.failing:
        prediction.started_at = None
        prediction.ends_at = instance.ready_at
        prediction.error = SETUP_ERROR
        return
    prediction.started_at = start
    prediction.ends_at = start + prediction.duration
    instance.free_at = prediction.ends_at
    if instance.stopped_at is not None and instance.stopped_at < instance.free_at:
        _end(deployment, instance, instance.free_at)


def _free(world: World, deployment: Deployment, prediction: Prediction, now: float) -> None:
    """An instance became free early, at `now`: those queued behind move up."""
    queued: list[Prediction] = []
    for id in deployment.prediction_ids:
        other = world.replicate.predictions.get(id)
        if other is None or other.id == prediction.id or completed_at(other, now) is not None:
            continue
        if other.instance == prediction.instance and (other.started_at is None or other.started_at > now):
            queued.append(other)
    for instance in deployment.instances:
        if instance.id == prediction.instance and not instance.failing:
            busy = [
                p.ends_at
                for id in deployment.prediction_ids
                if (p := world.replicate.predictions.get(id)) is not None
                and p.instance == instance.id
                and p not in queued
                and p.ends_at is not None
                and completed_at(p, now) is None
            ]
            ended = completed_at(prediction, now) or now
            instance.free_at = max([instance.ready_at, ended, *busy])
    for other in queued:
        _plan(world, deployment, other, now)


def cancel(world: World, prediction: Prediction) -> None:
    """Cancel a prediction that has not ended."""
    now = world.now()
    settle_single(world, prediction)
    if completed_at(prediction, now) is not None:
        return
    prediction.canceled_at = now
    if prediction.deployment is not None:
        deployment = world.replicate.deployments.get(prediction.deployment)
        if deployment is not None:
            _free(world, deployment, prediction, now)


def disable(world: World, deployment: Deployment) -> None:
    """0/0: everything queued or running is canceled and billing ends."""
    settle(world, deployment)
    now = world.now()
    for id in deployment.prediction_ids:
        prediction = world.replicate.predictions[id]
        if completed_at(prediction, now) is None:
            prediction.canceled_at = now
    deployment.prediction_ids = []
    for instance in deployment.instances:
        if instance.stopped_at is None or instance.stopped_at > now:
            _end(deployment, instance, now)
    settle(world, deployment)


def roll(world: World, deployment: Deployment, *, replace: bool) -> None:
    """Follow a new release: new instances come up, old ones leave when these are ready.

    Args:
        world: The world.
        deployment: With its new release already in place.
        replace: Whether version or hardware changed, so that old instances do not fit any more.
    """
    settle(world, deployment)
    now = world.now()
    release = deployment.release
    if release.max_instances == 0:
        disable(world, deployment)
        return
    old = [i for i in deployment.instances if i.stopped_at is None]
    if replace:
        deployment.setup_fails = world.replicate.knobs.fail_setup > 0
        if deployment.setup_fails:
            world.replicate.knobs.fail_setup -= 1
        fresh = [boot(world, deployment, now, kept=True) for _ in range(release.min_instances)]
        # An old instance leaves when its successor is up, and after the work it has.
        until = max([i.ready_at for i in fresh], default=now)
        if deployment.setup_fails:
            return
        for instance in old:
            _end(deployment, instance, max(until, instance.free_at, now))
        settle(world, deployment)
        return
    kept = [i for i in old if i.kept]
    for instance in old:
        if not instance.kept and len(kept) < release.min_instances:
            instance.kept = True
            kept.append(instance)
    for _ in range(release.min_instances - len(kept)):
        boot(world, deployment, now, kept=True)
    for instance in kept[release.min_instances :]:
        # Above the new minimum it may sleep when its idle time is over, counted from now.
        instance.kept = False
        instance.free_at = max(instance.free_at, now)
    for instance in [i for i in deployment.instances if i.stopped_at is None][release.max_instances :]:
        _end(deployment, instance, max(instance.free_at, now))
    settle(world, deployment)


def run_alone(world: World, prediction: Prediction, *, warm: bool) -> None:
    """A prediction without a deployment runs on shared hardware of its model."""
    now = world.now()
    start = now if warm else now + world.replicate.knobs.boot_seconds
    prediction.started_at = start
    prediction.ends_at = start + prediction.duration
