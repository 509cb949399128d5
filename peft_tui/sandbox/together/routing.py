"""Which deployment, or which base of the platform's own, a request's model means."""

from __future__ import annotations

from dataclasses import dataclass

from peft_tui.sandbox.together import life
from peft_tui.sandbox.together.access import Call
from peft_tui.sandbox.together.catalog import BY_ID, BY_NAME, Base
from peft_tui.sandbox.together.endpoints import weights
from peft_tui.sandbox.together.errors import refuse
from peft_tui.sandbox.together.models import base_of
from peft_tui.sandbox.together.state import Deployment, Endpoint
from peft_tui.sandbox.web import Refusal


@dataclass(frozen=True)
class Route:
    """Where a request went."""

    base: Base
    adapter: str | None
    deployment: Deployment | None


def _no_such(model: str) -> Refusal:
    return refuse(
        404, f"Unable to access model {model}. Please visit https://api.together.ai/models to view the "
             "list of "
        "supported models.", code="model_not_available",
    )  # fmt: skip


def route(call: Call, model: str, sticky: object = None) -> Route:
    """Find what serves a `model` string.

    Accepted: `<slug>/<endpoint>`, `<slug>/<endpoint>/<deployment>`, either followed by `:<adapter>`, the
    attached adapter's own `<slug>/<name>`, and names of serverless models.
    """
    world, state = call.world, call.state
    if model in BY_NAME:
        base = BY_NAME[model]
        if base.serverless is None:
            raise refuse(
                400, f"Unable to access non-serverless model {model}. Please visit "
                     f"https://api.together.ai/models/{model} "
                "to create and start a new dedicated endpoint for the model.", code="model_not_available",
            )  # fmt: skip
        return Route(base, None, None)
    name, _, adapter = model.partition(":")
    parts = name.split("/")
    projects = {p.slug: p for p in state.projects.values() if p.org_id == call.key.org_id}
    if len(parts) not in (2, 3) or parts[0] not in projects:
        raise _no_such(model)
    project = projects[parts[0]]
    if call.key.project_id not in (None, project.id):
        raise _no_such(model)
    live = (e for e in state.endpoints.values() if e.deleted_at is None)
    endpoint = next((e for e in live if e.project_id == project.id and e.name == parts[1]), None)
    if endpoint is None:
        if len(parts) == 2 and not adapter and (found := _by_adapter(call, project.id, parts[1])):
            return found
        raise _no_such(model)
    deployments = [state.deployments[id] for id in endpoint.deployment_ids]
    for deployment in deployments:
        life.settle(world, deployment)
    if len(parts) == 3:
        deployments = [d for d in deployments if d.name == parts[2]]
        if not deployments:
            raise _no_such(model)
    else:
        deployments = _routed(call, endpoint, deployments)
    if adapter:
        bare = adapter.rpartition("/")[2]
        deployments = [d for d in deployments if _attached(call, d, bare)]
        if not deployments:
            raise refuse(404, f"adapter {adapter} is not attached to {name}", code="model_not_available")
    ready = [d for d in deployments if d.ready]
    if not ready:
        state_words = ", ".join(sorted({d.state for d in deployments})) or "no deployment"
        raise refuse(
            503, f"No ready replicas for {model} ({state_words}). Requests are not queued while a "
                 "deployment starts or "
            "is stopped.", code="endpoint_not_ready",
        )  # fmt: skip
    deployment = _pick(call, endpoint, ready, sticky)
    if adapter:
        bare = adapter.rpartition("/")[2]
        if not _attached(call, deployment, bare, loaded=True):
            raise refuse(503, f"adapter {adapter} is still loading", code="adapter_not_ready")
        return Route(_base(call, deployment), bare, deployment)
    return Route(_base(call, deployment), _merged(call, deployment), deployment)


def _routed(call: Call, endpoint: Endpoint, deployments: list[Deployment]) -> list[Deployment]:
    split = weights(endpoint)
    routed = [d for d in deployments if d.id in split]
    if not routed or call.now < endpoint.traffic_since:
        raise refuse(
            400, f"Endpoint {endpoint.name} is not configured to serve traffic: no deployment has a "
                 "positive weight in its "
            "traffic split.", code="endpoint_not_configured",
        )  # fmt: skip
    return routed


def _pick(call: Call, endpoint: Endpoint, ready: list[Deployment], sticky: object) -> Deployment:
    split = weights(endpoint)
    chances = [split.get(d.id, 1.0) * d.ready for d in ready]
    rng = call.world.rng("route", sticky or call.world.new_id())
    return rng.choices(ready, chances)[0] if sum(chances) > 0 else ready[0]


def _base(call: Call, deployment: Deployment) -> Base:
    if deployment.model_id in BY_ID:
        return BY_ID[deployment.model_id]
    model = call.state.models.get(deployment.model_id)
    base = base_of(call.world, model) if model else None
    return base or next(iter(BY_ID.values()))


def _merged(call: Call, deployment: Deployment) -> str | None:
    model = call.state.models.get(deployment.model_id)
    return model.name if model is not None else None


def _attached(call: Call, deployment: Deployment, name: str, *, loaded: bool = False) -> bool:
    for attachment in deployment.attachments:
        model = call.state.models.get(attachment.adapter_model_id)
        if model is not None and name in (model.name, model.id):
            return not loaded or attachment.realized_revision_id is not None
    return False


def _by_adapter(call: Call, project_id: str, name: str) -> Route | None:
    """An adapter asked for by its own name, served wherever it is attached."""
    for deployment in call.state.deployments.values():
        if deployment.deleted_at is None and deployment.project_id == project_id and deployment.attachments:
            life.settle(call.world, deployment)
            if deployment.ready and _attached(call, deployment, name, loaded=True):
                return Route(_base(call, deployment), name, deployment)
    return None
