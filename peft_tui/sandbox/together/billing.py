"""The Together cloud as the control surface sees it: bills, and crowds for load tests."""

from __future__ import annotations

from decimal import Decimal

from peft_tui.sandbox.ledger import Bill
from peft_tui.sandbox.together import legacy
from peft_tui.sandbox.together.catalog import BASES, INSTANCE_TYPES
from peft_tui.sandbox.together.life import settle
from peft_tui.sandbox.together.state import Deployment, Endpoint
from peft_tui.sandbox.world import World


def bills(world: World) -> list[Bill]:
    """One line per deployment, deleted ones included."""
    now = world.now()
    rows: list[Bill] = []
    for deployment in world.together.deployments.values():
        settle(world, deployment)
        endpoint = world.together.endpoints[deployment.endpoint_id]
        slug = world.together.projects[deployment.project_id].slug
        rate = deployment.meter.usd_per_hour(now)
        rows.append(
            Bill(
                "together",
                deployment.id,
                f"{slug}/{endpoint.name}/{deployment.name}",
                "DELETED" if deployment.deleted_at is not None else deployment.state,
                rate > 0,
                rate,
                deployment.meter.usd(now),
                deployment.deleted_at is not None,
            )
        )
    legacy.settle(world)
    meter = world.together.legacy_meter
    if world.together.knobs.legacy or meter.stretches:
        state, rate = world.together.knobs.legacy or "DELETED", meter.usd_per_hour(now)
        name = "acme/legacy-chat"
        rows.append(
            Bill("together", legacy.LEFT, name, state, rate > 0, rate, meter.usd(now), state == "DELETED")
        )
    return rows


def populate(world: World, count: int) -> None:
    """Make `count` endpoints of acme's, each with one deployment in the traffic split."""
    now = world.now()
    deployable = [b for b in BASES if b.profiles]
    words = ("support", "router", "triage", "search", "billing", "tone", "legal", "intake")
    for number in range(count):
        rng = world.rng("populate", number)
        base = rng.choice(deployable)
        config = base.configs[0]
        born = now - rng.uniform(3600, 30 * 86400)
        endpoint = Endpoint(
            id=world.new_id("ep_", 20),
            name=f"{rng.choice(words)}-{world.new_id('', 8)}",
            project_id="proj_acme",
            etag="W2",
            created_at=born,
            updated_at=born,
        )
        running = rng.random() < 0.9
        deployment = Deployment(
            id=world.new_id("dep_", 20),
            name="main",
            endpoint_id=endpoint.id,
            project_id=endpoint.project_id,
            model=f"{base.path}/revisions/{base.revision_id}",
            model_id=base.id,
            revision_id=base.revision_id,
            config_id=config.id,
            hardware=config.hardware,
            autoscaling={
                "minReplicas": int(running),
                "maxReplicas": 2 * int(running),
                "scaleDownWindow": "300s",
            },
            etag="W1",
            created_at=born,
            updated_at=born,
            price_cents=INSTANCE_TYPES[config.hardware].price_cents,
            max_concurrent=str(config.concurrency - 1),
            state="READY" if running else "STOPPED",
            scheduled=int(running),
            ready=int(running),
            desired=int(running),
            message="All replicas ready" if running else "Deployment is stopped",
            since=born,
        )
        if running:
            deployment.meter.set(1, Decimal(deployment.price_cents) / 100, now)
        endpoint.deployment_ids.append(deployment.id)
        endpoint.traffic_split = [{"deploymentId": deployment.id, "weight": 1}]
        world.together.endpoints[endpoint.id] = endpoint
        world.together.deployments[deployment.id] = deployment
