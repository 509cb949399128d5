"""How a server at Modal is asked."""

from __future__ import annotations

from peft_tui.domain.deployment import Deployment, Origin
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
from peft_tui.drivers.modal.api import ModalApi
from peft_tui.drivers.modal.data_plane import check_address
from peft_tui.drivers.modal.declaration import PUBLIC
from peft_tui.drivers.modal.secrets import kept_as
from peft_tui.drivers.prices import of_one_instance

HEADERS = ("Modal-Key", "MODAL_PROXY_TOKEN_ID"), ("Modal-Secret", "MODAL_PROXY_TOKEN_SECRET")


async def target(api: ModalApi, deployment: Deployment) -> InferenceTarget:
    seen = deployment.observation
    if seen is None or not seen.endpoint_url or not seen.model:
        raise not_seen_yet(deployment.name)
    check_address(seen.endpoint_url, api.plane.local)
    wake, words = _wake(seen)
    public = deployment.spec.text("visibility") == PUBLIC
    kept = kept_as(await api.workspace())
    # Of one that was made elsewhere it is not known whether it needs a token: then it ignores it.
    auth = (AuthHeader(header, env, kept_as=kept, part=i) for i, (header, env) in enumerate(HEADERS))
    return InferenceTarget(
        Dialect.OPENAI_CHAT,
        f"{seen.endpoint_url}/v1",
        _models(deployment, seen),
        () if public else tuple(auth),
        of_one_instance(seen, "Modal's price of the GPU"),
        wake,
        words,
        wake_url=f"{seen.endpoint_url}/health",
        # Servers, which we make, never do; somebody's Web Function does after 150 seconds.
        result_redirects=True,
        stream_usage=True,
    )


def _models(deployment: Deployment, seen: Observation) -> tuple[ServedModel, ...]:
    """The adapter under the deployment's name, and the base under its own; a merged model is all there is."""
    spec = deployment.spec
    label = spec.source.label if deployment.origin is Origin.OURS else "adapter"
    adapter = ServedModel(seen.model, label or "adapter")
    if not spec.base_model:
        return (adapter,)
    return adapter, ServedModel(spec.base_model, spec.base_model, Role.BASE)


def _wake(seen: Observation) -> tuple[Wake, str]:
    if seen.status is Status.STOPPED or seen.condition is Condition.STOPPING:
        return Wake.REFUSED, "It is stopped: Modal refuses requests. Start it first."
    if seen.status is Status.FAILED:
        return Wake.REFUSED, f"It has failed: {seen.reason or 'Modal does not serve it'}."
    if seen.condition is Condition.ASLEEP:
        return Wake.WAKES, "It sleeps: the request boots a container, which bills from then on."
    if seen.status is not Status.ACTIVE:
        rate = f", at {usd(seen.usd_per_hour)}/h" if seen.usd_per_hour else ""
        return Wake.WAKES, f"It is still starting: the request waits for it{rate}."
    return Wake.NOTHING, ""
