"""How a deployment at Predibase is asked: LoRAX, the adapter named in each request."""

from __future__ import annotations

import re

from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.inference import (
    AuthHeader,
    Dialect,
    InferenceTarget,
    Role,
    ServedModel,
    Wake,
    not_seen_yet,
)
from peft_tui.domain.money import Price, usd
from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.drivers.predibase.declaration import ON
from peft_tui.drivers.predibase.notes import HUB, PBASE

NUMBERED = re.compile(r"[^/]+/\d+(?:@\d+)?")


def target(deployment: Deployment, price: Price | None) -> InferenceTarget:
    """Chat, because it applies the base's own template; `url` stands below the deployment.

    Args:
        price: of one of its instances, where it has some of its own.
    """
    seen = deployment.observation
    if seen is None or not (seen.endpoint_url or seen.status is Status.STOPPED):
        raise not_seen_yet(deployment.name)
    base = ServedModel("", deployment.spec.base_model or "base", Role.BASE)
    adapters = (ServedModel(seen.model, seen.model),) if seen.model else ()
    wake, words = _wake(seen, price)
    return InferenceTarget(
        Dialect.LORAX_CHAT,
        f"{seen.endpoint_url}/v1",
        (*adapters, base),
        (AuthHeader("Authorization", "PREDIBASE_API_TOKEN", "Bearer"),),
        price,
        wake,
        words,
        extra={"adapter_source": _source(deployment, seen.model)} if adapters else {},
    )


def _source(deployment: Deployment, adapter: str) -> str:
    """Where the engine fetches it. A repository of the hub is not called by a bare number."""
    ours = deployment.spec.source
    if ours.kind is SourceKind.HUGGING_FACE and ours.reference == adapter:
        return HUB
    return PBASE if NUMBERED.fullmatch(adapter) else HUB


def _wake(seen: Observation, price: Price | None) -> tuple[Wake, str]:
    rate = f"{usd(price.usd_per_hour)}/h" if price else "at a price that is not published,"
    if seen.status is Status.STOPPED:
        return Wake.REFUSED, "It is stopped: nothing answers. Start it first; from then on it bills."
    if seen.status is Status.FAILED:
        return Wake.REFUSED, "It has failed: nothing answers."
    if seen.condition is Condition.STOPPING:
        return Wake.REFUSED, "It is stopping: Predibase may refuse the request."
    if seen.condition is Condition.ASLEEP:
        whose = f" of {seen.instance_type.removeprefix(ON)}" if seen.instance_type.startswith(ON) else ""
        return (
            Wake.WAKES,
            f"It is asleep: this boots an instance{whose} (minutes), {rate} until it sleeps again.",
        )
    if seen.status is not Status.ACTIVE:
        return (
            Wake.WAKES,
            f"It is still starting: the request is held until it is up. It bills {rate}".rstrip(","),
        )
    return Wake.NOTHING, ""
