"""What deployments cost per hour, now and later, in words for a person."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.money import usd, usd_range
from peft_tui.ui.rows import UNKNOWN

if TYPE_CHECKING:
    from peft_tui.services.previews import Preview


def sums(deployments: Sequence[Deployment]) -> tuple[str, str]:
    """What they cost per hour now, and how many of them are not in that because it is not known."""
    prices = [d.usd_per_hour for d in deployments if d.usd_per_hour is not None]
    unknown = len(deployments) - len(prices)
    if unknown == len(deployments):
        return UNKNOWN, "  what it costs is not known" if unknown == 1 else "  what they cost is not known"
    about = "~" if any(d.is_guess for d in deployments) else ""
    return about + usd(sum(prices, Decimal(0))), f" and {unknown} of unknown price" if unknown else ""


def per_hour(sums: tuple[str, str]) -> str:
    """`$10.98/h`, or that it is not known."""
    return f"{sums[0]}/h{sums[1]}" if sums[0] != UNKNOWN else sums[1].strip()


def hourly_price(deployment: Deployment, machines: object) -> Decimal | None:
    """Of one instance: what the platform lists, else what the last look at it allows to say."""
    from peft_tui.domain.offers import InstanceType

    seen = deployment.observation
    wanted = (seen.instance_type if seen else "") or deployment.spec.instance_type
    for machine in machines if isinstance(machines, tuple) else ():
        if isinstance(machine, InstanceType) and machine.id == wanted and machine.price:
            return machine.price.usd_per_hour
    if seen and seen.usd_per_hour and seen.billed_instances:
        return seen.usd_per_hour / seen.billed_instances
    return None


async def coming(backend: Backend, previews: Sequence[Preview]) -> str:
    """What a start will cost per hour, from the prices that were heard of last."""
    from peft_tui.services.lookups import Question, Topic

    low = high = Decimal(0)
    unknown = 0
    machines: dict[str, object] = {}
    for platform in {preview.deployment.platform for preview in previews}:
        asked = Question(platform, Topic.INSTANCE_TYPES)
        answer = await backend.lookups.answer(asked)
        machines[platform] = answer.value if answer else None
        backend.lookups.want(asked)
    for preview in previews:
        bounds = preview.deployment.bounds_to_start
        price = hourly_price(preview.deployment, machines[preview.deployment.platform])
        if price is None or bounds is None:
            unknown += 1
            continue
        low, high = low + price * bounds[0], high + price * bounds[1]
    if unknown == len(previews):
        return "the price is not known"
    return usd_range(low, high) + (f" and {unknown} of unknown price" if unknown else "")
