"""The Replicate cloud as the control surface sees it: bills, and crowds for load tests."""

from __future__ import annotations

from decimal import Decimal

from peft_tui.sandbox.ledger import Bill, Meter, Stretch
from peft_tui.sandbox.replicate import running, trainings
from peft_tui.sandbox.replicate.seed import HARDWARE
from peft_tui.sandbox.replicate.state import Deployment, Release
from peft_tui.sandbox.world import World


def _state(deployment: Deployment, now: float) -> str:
    """The platform has no word for it; this is what is the case."""
    if deployment.deleted_at is not None:
        return "DELETED"
    if deployment.release.max_instances == 0:
        return "OFF"
    here = [i for i in deployment.instances if running.alive(i, now)]
    if not here:
        return "SETUP_FAILED" if deployment.setup_fails else "ASLEEP"
    return "ONLINE" if any(i.ready_at <= now for i in here) else "BOOTING"


def bills(world: World) -> list[Bill]:
    """One line per deployment, per training, and per model run without a deployment."""
    now = world.now()
    rows: list[Bill] = []
    state = world.replicate
    for deployment in [*state.deployments.values(), *state.deleted_deployments]:
        running.settle(world, deployment)
        meters = [deployment.past_cost, *(i.meter for i in deployment.instances)]
        rate = sum((m.usd_per_hour(now) for m in meters), Decimal(0))
        total = sum((m.usd(now) for m in meters), Decimal(0))
        name = f"{deployment.owner}/{deployment.name}"
        gone = deployment.deleted_at is not None
        rows.append(Bill("replicate", name, name, _state(deployment, now), rate > 0, rate, total, gone))
    for training in state.trainings.values():
        trainings.settle(world, training)
        rate = training.meter.usd_per_hour(now)
        word = trainings.status_of(training, now)
        rows.append(
            Bill(
                "replicate",
                training.id,
                f"training {training.id}",
                word,
                rate > 0,
                rate,
                training.meter.usd(now),
            )
        )
    rows += _single_runs(world, now)
    return rows


def _single_runs(world: World, now: float) -> list[Bill]:
    """Public models bill active time, private ones setup too (their idle tail is left out)."""
    meters: dict[str, Meter] = {}
    for prediction in world.replicate.predictions.values():
        if prediction.deployment is not None or prediction.started_at is None:
            continue
        running.settle_single(world, prediction)
        model = world.replicate.models.get(prediction.model)
        if model is None:
            continue
        start = prediction.created_at if model.visibility == "private" else prediction.started_at
        stops = [
            s for s in (prediction.ends_at, prediction.canceled_at, prediction.aborted_at) if s is not None
        ]
        price = HARDWARE[model.hardware].usd_per_hour
        end = max(start, min(stops)) if stops else None
        meters.setdefault(prediction.model, Meter()).stretches.append(Stretch(start, end, 1, price))
    rows = []
    for name, meter in meters.items():
        rate = meter.usd_per_hour(now)
        word = "RUNNING" if rate else "IDLE"
        rows.append(
            Bill("replicate", f"model {name}", f"runs of {name}", word, rate > 0, rate, meter.usd(now))
        )
    return rows


def populate(world: World, count: int) -> None:
    """Make `count` deployments of acme's model, most of them asleep."""
    now = world.now()
    model = world.replicate.models["acme/llm-support"]
    words = ("support", "router", "triage", "search", "billing", "tone", "legal", "intake")
    for number in range(count):
        rng = world.rng("populate", number)
        name = f"{rng.choice(words)}-{world.new_id('', 8)}"
        warm = int(rng.random() < 0.1)
        born = now - rng.uniform(3600, 30 * 86400)
        release = Release(1, model.versions[-1].id, "gpu-l40s", warm, 2, born)
        deployment = Deployment("acme", name, "acme/llm-support", release)
        if warm:
            instance = running.boot(world, deployment, now, kept=True)
            instance.ready_at = instance.free_at = now
        world.replicate.deployments[f"acme/{name}"] = deployment
