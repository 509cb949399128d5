"""Together AI: the account, what it offers, what it runs; the steps are in `steps.py` and `verbs.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from peft_tui.clock import Clock
from peft_tui.credentials import Credentials
from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment as DeploymentValue
from peft_tui.domain.errors import NotFound
from peft_tui.domain.inference import InferenceTarget
from peft_tui.domain.offers import (
    Account,
    Assessment,
    InstanceType,
    PlatformModel,
)
from peft_tui.domain.reported import Report
from peft_tui.domain.spec import Settings
from peft_tui.domain.status import Observation
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.network import Network
from peft_tui.drivers.protocol import Event, RemoteDeployment
from peft_tui.drivers.steps import Stepwise
from peft_tui.drivers.together import catalog, figures, inference, states
from peft_tui.drivers.together.api import TogetherApi
from peft_tui.drivers.together.declaration import CAPABILITIES
from peft_tui.drivers.together.legacy import Legacy, is_legacy
from peft_tui.drivers.together.steps import DEPLOYMENT_NAME, STEPS
from peft_tui.drivers.together.verbs import VERBS
from peft_tui.drivers.together.wire import (
    Deployment,
    Endpoint,
    EventWire,
    Model,
    Page,
    SupportedModel,
)
from peft_tui.drivers.wire import moment, parse, parse_page
from peft_tui.text import clean_line

EVENTS = 200
SUMMARIES = 10
"""How many deployments stand in an endpoint's own answer."""


class TogetherDriver(Stepwise[TogetherApi]):
    """One project at Together AI."""

    capabilities = CAPABILITIES
    steps = {**STEPS, **VERBS}
    metrics_wake = False

    def __init__(self, network: Network, credentials: Credentials, clock: Clock) -> None:
        self.api = TogetherApi(network, credentials, clock)
        self._clock = clock
        self._legacy = Legacy(self.api, clock)

    @property
    def ahead(self) -> timedelta | None:
        return self.api.http.ahead

    async def account(self) -> Account:
        project = await self.api.project()
        return Account(project.id, f"{self.api.organization or project.slug} · project {project.name}")

    async def instance_types(self) -> tuple[InstanceType, ...]:
        as_of = self._clock.now().isoformat()
        items = [catalog.instance_type(item, as_of) for item in await self.api.hardware()]
        return tuple(sorted(items, key=lambda i: i.price.usd_per_hour if i.price else Decimal("Infinity")))

    async def models(self) -> tuple[PlatformModel, ...]:
        project = await self.api.project()
        found = await self.api.pages(Model, f"/v2/projects/{project.id}/models")
        return tuple(
            PlatformModel(m.id, m.name, m.base_model_id or "", "adapter" if m.is_adapter else "model")
            for m in found
        )

    async def assess(self, source: AdapterSource, adapter: Adapter | None) -> Assessment:
        base = adapter.base_model if adapter else ""
        if source.kind is SourceKind.PLATFORM:
            model = await self.api.model(source.reference)
            base = model.base_model_id or (model.base_model or "").rpartition("/")[2]
        supported = await self.api.supported_models()
        if source.kind is SourceKind.PLATFORM:
            base = _name_of_base(supported, base)
        as_of = self._clock.now().isoformat()
        found = catalog.assess(base, adapter, supported, await self.api.hardware(), as_of)
        if source.kind is SourceKind.HUGGING_FACE:
            return found
        no_hub = {"hub_token=yes": "only for what comes from Hugging Face"}
        return replace(found, unsupported={**found.unsupported, **no_hub})

    async def deployments(self) -> tuple[RemoteDeployment, ...]:
        project = await self.api.project()
        path = f"/v2/projects/{project.id}/endpoints"
        endpoints = await self.api.pages(Endpoint, path, Urgency.BACKGROUND)
        prices = await self.api.prices() if any(endpoint.deployments for endpoint in endpoints) else {}
        now = self._clock.now()
        found: list[RemoteDeployment] = []
        for endpoint in endpoints:
            summaries = endpoint.deployments
            if len(summaries) >= SUMMARIES:
                # The endpoint's answer holds the newest ten only; what is left out may bill.
                more = await self.api.pages(
                    Deployment, f"{path}/{endpoint.id}/deployments", Urgency.BACKGROUND
                )
                summaries = [deployment.summary for deployment in more]
            for summary in summaries:
                price = prices.get(catalog.hardware_key(summary.hardware))
                observation = states.observe(endpoint, summary, now, price, self.api.inference_url)
                bare = summary.name.rpartition("/")[2]
                only = bare == DEPLOYMENT_NAME
                found.append(
                    RemoteDeployment(
                        f"{endpoint.id}/{summary.id}",
                        endpoint.bare_name if only else f"{endpoint.bare_name}/{bare}",
                        observation,
                        adapter=_model_id(summary.model),
                        created_at=moment(summary.created_at),
                        needs_explaining=observation.platform_status in ("DEGRADED", "FAILED"),
                    )
                )
        return (*found, *await self._legacy.deployments())

    async def settings_of(self, remote: RemoteDeployment) -> Settings:
        if is_legacy(remote.remote_id):
            return {}
        project = await self.api.project()
        endpoint_id, _, deployment_id = remote.remote_id.partition("/")
        path = f"/v2/projects/{project.id}/endpoints/{endpoint_id}"
        body = await self.api.http.get(path, urgency=Urgency.BACKGROUND)
        endpoint = parse(Endpoint, body, self.api.title)
        body = await self.api.http.get(f"{path}/deployments/{deployment_id}", urgency=Urgency.BACKGROUND)
        return states.settings(endpoint, parse(Deployment, body, self.api.title))

    async def explain(self, remote: RemoteDeployment) -> Observation:
        project = await self.api.project()
        endpoint_id, _, deployment_id = remote.remote_id.partition("/")
        path = f"/v2/projects/{project.id}/endpoints/{endpoint_id}/deployments/{deployment_id}"
        body = await self.api.http.get(path, urgency=Urgency.BACKGROUND)
        said = parse(Deployment, body, self.api.title).status.message
        return replace(remote.observation, reason=said or remote.observation.reason)

    async def exists(self, remote_id: str) -> bool:
        if is_legacy(remote_id):
            return await self._legacy.read(remote_id, Urgency.BACKGROUND) is not None
        project = await self.api.project()
        endpoint_id, _, deployment_id = remote_id.partition("/")
        path = f"/v2/projects/{project.id}/endpoints/{endpoint_id}/deployments/{deployment_id}"
        try:
            await self.api.http.get(path, urgency=Urgency.BACKGROUND)
        except NotFound:
            return False
        return True

    async def inference(self, deployment: DeploymentValue) -> InferenceTarget:
        return await inference.target(self.api, deployment)

    async def events(self, remote_id: str) -> tuple[Event, ...]:
        if is_legacy(remote_id):
            return ()
        project = await self.api.project()
        endpoint_id, _, deployment_id = remote_id.partition("/")
        query = {"deploymentIds": deployment_id, "minLevel": "LEVEL_INFO", "limit": str(EVENTS)}
        body = await self.api.http.get(f"/v2/projects/{project.id}/endpoints/{endpoint_id}/events", query)
        page = parse_page(Page, body, "data", self.api.title)
        return tuple(_event(parse(EventWire, item, self.api.title), self._clock.now()) for item in page.data)

    async def metrics(self, wanted: Mapping[str, datetime]) -> tuple[Report, ...]:
        today = {remote_id: since for remote_id, since in wanted.items() if not is_legacy(remote_id)}
        return await figures.reports(self.api, today, self._clock.now())

    async def logs(self, remote_id: str, limit: int) -> tuple[str, ...]:
        return ()


def _name_of_base(models: list[SupportedModel], model_id: str) -> str:
    """The catalog's name of the base that `model_id` is; itself where the catalog does not know it."""
    for model in models:
        if model_id and (model_id == model.id or any(model_id in p.model for p in model.deployment_profiles)):
            return model.name
    return model_id


def _event(wire: EventWire, now: datetime) -> Event:
    told = wire.message or wire.reason or wire.status or wire.log_excerpt or ""
    level = wire.level.removeprefix("LEVEL_").lower()
    return Event(
        moment(wire.created_at) or now,
        clean_line(told, 400),
        {"warn": "warning"}.get(level, level or "info"),
        clean_line(wire.type, 60),
    )


def _model_id(path: str) -> str:
    """`projects/…/models/ml_1/revisions/rv_2` → `ml_1`"""
    parts = path.split("/")
    return parts[3] if len(parts) > 3 else path
