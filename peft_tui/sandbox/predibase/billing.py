"""The Predibase cloud as the control surface sees it: bills, and crowds for load tests."""

from __future__ import annotations

from peft_tui.sandbox.ledger import Bill
from peft_tui.sandbox.predibase import life
from peft_tui.sandbox.predibase.catalog import USD_PER_HOUR
from peft_tui.sandbox.predibase.state import Deployment
from peft_tui.sandbox.world import World


def bills(world: World) -> list[Bill]:
    """One line per private deployment. Shared endpoints are billed by tokens, which nobody publishes."""
    now = world.now()
    rows: list[Bill] = []
    for deployment in [*world.predibase.deployments.values(), *world.predibase.deleted_deployments]:
        life.settle(world, deployment)
        rate = deployment.meter.usd_per_hour(now)
        rows.append(
            Bill(
                "predibase",
                deployment.uuid,
                deployment.name,
                deployment.status,
                rate > 0,
                rate,
                deployment.meter.usd(now),
                deployment.deleted_at is not None,
            )
        )
    return rows


def populate(world: World, count: int) -> None:
    """Make `count` deployments of acme's, most of them scaled to zero."""
    now = world.now()
    words = ("support", "router", "triage", "search", "billing", "tone", "legal", "intake")
    for number in range(count):
        rng = world.rng("populate predibase", number)
        name = f"{rng.choice(words)}-{world.new_id('', 8, '0123456789abcdef')}"
        warm = int(rng.random() < 0.1)
        deployment = Deployment(
            uuid=world.new_id("", 32, "0123456789abcdef"),
            tenant="acme01",
            name=name,
            description=None,
            type="private",
            created_at=now - rng.uniform(3600, 30 * 86400),
            config={
                "baseModel": "qwen3-8b",
                "minReplicas": warm,
                "maxReplicas": 1,
                "cooldownTime": life.COOLDOWN,
                "scaleUpRequestThreshold": 1,
            },
            accelerator="a10_24gb_100",
            base="qwen3-8b",
            status="ready" if warm else "standby",
            replicas=warm,
            billed=warm,
            quiet_since=now,
        )
        deployment.meter.set(warm, USD_PER_HOUR["a10_24gb_100"], now)
        world.predibase.deployments[f"acme01/{name}"] = deployment
