"""How a deployment at Replicate is asked."""

from __future__ import annotations

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.inference import (
    AuthHeader,
    Dialect,
    InferenceTarget,
    ServedModel,
    Wake,
    not_seen_yet,
)
from peft_tui.domain.money import Price, usd
from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.drivers.replicate.api import ReplicateApi
from peft_tui.drivers.replicate.wire import Deployment as DeploymentWire
from peft_tui.drivers.wire import parse

FRIENDS = ("replicate.com", "replicate.net")
"""Where Replicate's streams are; replicate.delivery holds files, which need no key."""


async def target(api: ReplicateApi, deployment: Deployment) -> InferenceTarget:
    seen = deployment.observation
    if seen is None or not seen.endpoint_url:
        raise not_seen_yet(deployment.name)
    price = api.price(seen.instance_type)
    wake, words = _wake(seen, price)
    body = await api.http.get(f"/v1/deployments/{deployment.remote_id}")
    release = parse(DeploymentWire, body, api.title).current_release
    inputs = await api.inputs(release.model, release.version)
    if inputs and "prompt" not in inputs:
        raise ConfigurationInvalid(
            f"{release.model} takes no prompt: it asks for {', '.join(sorted(inputs)[:6])}.",
            hint="The console is for models that answer with text.",
        )
    return InferenceTarget(
        Dialect.REPLICATE,
        seen.endpoint_url,
        (ServedModel(seen.model, release.model or seen.model),),
        (AuthHeader("Authorization", "REPLICATE_API_TOKEN", "Bearer"),),
        price,
        wake,
        words,
        inputs=inputs or None,
        friends=FRIENDS,
    )


def _wake(seen: Observation, price: Price | None) -> tuple[Wake, str]:
    rate = f"{usd(price.usd_per_hour)}/h" if price else "by the second"
    if seen.status is Status.STOPPED:
        return Wake.REFUSED, "It is stopped: Replicate refuses requests. Start it first."
    if seen.condition is Condition.ASLEEP:
        return Wake.WAKES, f"It is asleep: this boots an instance (minutes), {rate} until it sleeps again."
    if seen.condition is Condition.ASSUMED or seen.status is not Status.ACTIVE:
        return Wake.WAKES, f"It may not be up: this may have to boot an instance, {rate} while it is there."
    return Wake.NOTHING, ""
