"""How a deployment at Together is asked."""

from __future__ import annotations

from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.errors import NotFound
from peft_tui.domain.inference import (
    AuthHeader,
    Dialect,
    InferenceTarget,
    Role,
    ServedModel,
    Wake,
    not_seen_yet,
)
from peft_tui.domain.money import usd
from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.drivers.prices import of_one_instance
from peft_tui.drivers.together.api import TogetherApi
from peft_tui.drivers.together.declaration import ATTACH
from peft_tui.drivers.together.legacy import is_legacy
from peft_tui.drivers.together.wire import AttachedAdapter


async def target(api: TogetherApi, deployment: Deployment) -> InferenceTarget:
    seen = deployment.observation
    if seen is None or not seen.model:
        raise not_seen_yet(deployment.name)
    wake, words = _wake(seen)
    return InferenceTarget(
        Dialect.OPENAI_CHAT,
        api.inference_url,
        await _models(api, deployment, seen),
        (AuthHeader("Authorization", "TOGETHER_API_KEY", "Bearer"),),
        of_one_instance(seen, "Together's price of the instance type"),
        wake,
        words,
    )


async def _models(api: TogetherApi, deployment: Deployment, seen: Observation) -> tuple[ServedModel, ...]:
    """The endpoint's own name, and the adapters on it where they are attached rather than merged."""
    name = seen.model
    if "/" in deployment.remote_name:
        # One of several deployments in an endpoint is named with it.
        name = f"{name}/{deployment.remote_name.rpartition('/')[2]}"
    label = deployment.spec.source.label or "adapter"
    merged = (ServedModel(name, label),)
    ours = deployment.origin is Origin.OURS
    if (
        not deployment.remote_id
        or is_legacy(deployment.remote_id)
        or (ours and deployment.spec.text("serving") != ATTACH)
    ):
        return merged
    project = await api.project()
    endpoint, _, inner = deployment.remote_id.partition("/")
    path = f"/v2/projects/{project.id}/endpoints/{endpoint}/deployments/{inner}/adapters"
    try:
        attached = await api.pages(AttachedAdapter, path)
        models = [await api.model(item.adapter_model_id) for item in attached]
    except NotFound:
        return merged
    if not models:
        return merged
    adapters = [
        ServedModel(attached_name(name, model.name), model.name.rpartition("/")[2]) for model in models
    ]
    return (*adapters, ServedModel(name, deployment.spec.base_model or "base", Role.BASE))


def attached_name(endpoint: str, adapter: str) -> str:
    """What a request says in order to get an attached adapter.

    [INF] No document says it: `<endpoint>:<adapter>` is what V1 took. That another model answered is said by
    `domain.inference.mistaken`, and whether the adapter is applied at all by the console's comparison.
    """
    return f"{endpoint}:{adapter}"


def _wake(seen: Observation) -> tuple[Wake, str]:
    rate = f"{usd(seen.usd_per_hour)}/h" if seen.usd_per_hour else "by the hour"
    if seen.status is Status.STOPPED:
        return (
            Wake.REFUSED,
            "It is stopped: Together refuses requests. Start it first; from then on it bills.",
        )
    if seen.status is Status.FAILED:
        return Wake.REFUSED, "It has failed, for good: Together refuses requests."
    if seen.condition is Condition.STOPPING:
        return Wake.REFUSED, "It is stopping: Together may refuse the request."
    if seen.condition is Condition.NO_TRAFFIC:
        return Wake.REFUSED, f"Its endpoint sends it no traffic: Together refuses requests. It bills {rate}."
    if seen.status is not Status.ACTIVE:
        return Wake.REFUSED, f"It is still starting: Together does not queue requests. It bills {rate}."
    return Wake.NOTHING, ""
