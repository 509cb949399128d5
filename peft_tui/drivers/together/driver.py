"""Together AI: the account, what it offers, what it runs. The steps of a create are in `steps.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from peft_tui.clock import Clock
from peft_tui.credentials import Credentials
from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment as DeploymentValue
from peft_tui.domain.errors import AuthenticationFailed, ConnectionFailed, NotFound, PeftTuiError
from peft_tui.domain.inference import InferenceTarget
from peft_tui.domain.offers import (
    Account,
    Assessment,
    InstanceType,
    PlatformModel,
)
from peft_tui.domain.reported import Report
from peft_tui.domain.status import Observation
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.network import Network
from peft_tui.drivers.protocol import Event, Outputs, RemoteDeployment, StepContext
from peft_tui.drivers.together import catalog, figures, inference, states
from peft_tui.drivers.together.declaration import CAPABILITIES, HOST
from peft_tui.drivers.together.steps import DEPLOYMENT_NAME, NOTHING, STEPS
from peft_tui.drivers.together.verbs import VERBS
from peft_tui.drivers.together.wire import (
    Deployment,
    Endpoint,
    EventWire,
    InstanceTypeWire,
    Model,
    Named,
    Page,
    Projects,
    SupportedModel,
    Whoami,
    WhoamiV1,
)
from peft_tui.drivers.transport import Transport
from peft_tui.drivers.wire import Wire, moment, parse, parse_all, parse_page
from peft_tui.text import clean_line

W = TypeVar("W", bound=Wire)

INFERENCE = "https://api-inference.together.ai/v1"
PAGE = 500
"""The largest page that a list gives."""
MAX_PAGES = 200
EVENTS = 200
SUMMARIES = 10
"""How many deployments stand in an endpoint's own answer."""
PRICES_SECONDS = 3600.0
"""How long the price of an instance type is believed between two looks."""


ALL_STEPS = {**STEPS, **VERBS}


class TogetherDriver:
    """One project at Together AI."""

    capabilities = CAPABILITIES
    metrics_wake = False
    billing_due: datetime | None = None
    """When the bill is to be read again."""

    def __init__(self, network: Network, credentials: Credentials, clock: Clock) -> None:
        base = credentials.text("TOGETHER_BASE_URL", HOST).rstrip("/").removesuffix("/v1")
        self.title = CAPABILITIES.title
        self.http = Transport(network, base, credentials.secret("TOGETHER_API_KEY", self.title), self.title)
        # Another address serves everything, as with the vendor's own SDK.
        self.inference_url = INFERENCE if base == HOST else f"{base}/v1"
        self.hub_token = credentials.optional_secret("HF_TOKEN")
        self._wanted_project = credentials.text("TOGETHER_PROJECT_ID")
        self._clock = clock
        self._project: Named | None = None
        self._organization = ""
        self._hardware: tuple[float, list[InstanceTypeWire]] | None = None

    async def account(self) -> Account:
        project = await self.project()
        return Account(project.id, f"{self._organization or project.slug} · project {project.name}")

    async def project(self) -> Named:
        """The project that all V2 paths name; asked for once."""
        if self._project is None:
            self._project = await self._ask_project()
        return self._project

    async def instance_types(self) -> tuple[InstanceType, ...]:
        as_of = self._clock.now().isoformat()
        items = [catalog.instance_type(item, as_of) for item in await self.hardware()]
        return tuple(sorted(items, key=lambda i: i.price.usd_per_hour if i.price else Decimal("Infinity")))

    async def models(self) -> tuple[PlatformModel, ...]:
        project = await self.project()
        found = await self.pages(Model, f"/v2/projects/{project.id}/models")
        return tuple(
            PlatformModel(m.id, m.name, m.base_model_id or "", "adapter" if m.is_adapter else "model")
            for m in found
        )

    async def assess(self, source: AdapterSource, adapter: Adapter | None) -> Assessment:
        base = adapter.base_model if adapter else ""
        if source.kind is SourceKind.PLATFORM:
            model = await self.model(source.reference)
            base = model.base_model_id or (model.base_model or "").rpartition("/")[2]
        supported = await self.supported_models()
        if source.kind is SourceKind.PLATFORM:
            base = _name_of_base(supported, base)
        as_of = self._clock.now().isoformat()
        found = catalog.assess(base, adapter, supported, await self.hardware(), as_of)
        if source.kind is SourceKind.HUGGING_FACE:
            return found
        no_hub = {"hub_token=yes": "only for what comes from Hugging Face"}
        return replace(found, unsupported={**found.unsupported, **no_hub})

    async def deployments(self) -> tuple[RemoteDeployment, ...]:
        project = await self.project()
        path = f"/v2/projects/{project.id}/endpoints"
        endpoints = await self.pages(Endpoint, path, Urgency.BACKGROUND)
        prices = await self._prices() if any(endpoint.deployments for endpoint in endpoints) else {}
        now = self._clock.now()
        found: list[RemoteDeployment] = []
        for endpoint in endpoints:
            summaries = endpoint.deployments
            if len(summaries) >= SUMMARIES:
                # The endpoint's answer holds the newest ten only; what is left out may bill.
                more = await self.pages(Deployment, f"{path}/{endpoint.id}/deployments", Urgency.BACKGROUND)
                summaries = [deployment.summary for deployment in more]
            for summary in summaries:
                price = prices.get(catalog.hardware_key(summary.hardware))
                observation = states.observe(endpoint, summary, now, price, self.inference_url)
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
        return tuple(found)

    async def explain(self, remote: RemoteDeployment) -> Observation:
        project = await self.project()
        endpoint_id, _, deployment_id = remote.remote_id.partition("/")
        path = f"/v2/projects/{project.id}/endpoints/{endpoint_id}/deployments/{deployment_id}"
        body = await self.http.get(path, urgency=Urgency.BACKGROUND)
        said = parse(Deployment, body, self.title).status.message
        return replace(remote.observation, reason=said or remote.observation.reason)

    async def exists(self, remote_id: str) -> bool:
        project = await self.project()
        endpoint_id, _, deployment_id = remote_id.partition("/")
        path = f"/v2/projects/{project.id}/endpoints/{endpoint_id}/deployments/{deployment_id}"
        try:
            await self.http.get(path, urgency=Urgency.BACKGROUND)
        except NotFound:
            return False
        return True

    def repeatable(self, step: str) -> bool:
        return ALL_STEPS[step].find is NOTHING

    async def find(self, step: str, context: StepContext) -> Outputs | None:
        return await ALL_STEPS[step].find(self, context)

    async def act(self, step: str, context: StepContext) -> Outputs:
        return await ALL_STEPS[step].act(self, context)

    async def inference(self, deployment: DeploymentValue) -> InferenceTarget:
        return await inference.target(self, deployment)

    async def events(self, remote_id: str) -> tuple[Event, ...]:
        project = await self.project()
        endpoint_id, _, deployment_id = remote_id.partition("/")
        query = {"deploymentIds": deployment_id, "minLevel": "LEVEL_INFO", "limit": str(EVENTS)}
        body = await self.http.get(f"/v2/projects/{project.id}/endpoints/{endpoint_id}/events", query)
        page = parse_page(Page, body, "data", self.title)
        return tuple(_event(parse(EventWire, item, self.title), self._clock.now()) for item in page.data)

    async def metrics(self, wanted: Mapping[str, datetime]) -> tuple[Report, ...]:
        return await figures.reports(self, wanted, self._clock.now())

    async def logs(self, remote_id: str, limit: int) -> tuple[str, ...]:
        return ()

    # What the steps ask for too.

    async def model(self, model_id: str) -> Model:
        """A model of this project, by its `ml_…` id."""
        project = await self.project()
        return parse(Model, await self.http.get(f"/v2/projects/{project.id}/models/{model_id}"), self.title)

    async def supported_models(self) -> list[SupportedModel]:
        return await self.pages(SupportedModel, "/v2/supported-models")

    async def hardware(self, urgency: Urgency = Urgency.NORMAL) -> list[InstanceTypeWire]:
        body = await self.http.get("/v2/public/inference-instance-types", urgency=urgency)
        page = parse_page(Page, body, "data", self.title)
        items = [parse(InstanceTypeWire, item, self.title) for item in page.data]
        self._hardware = (self._clock.monotonic(), items)
        return items

    async def pages(
        self, model: type[W], path: str, urgency: Urgency = Urgency.NORMAL, **params: str
    ) -> list[W]:
        """All items of a V2 list."""
        items: list[W] = []
        after: str | None = None
        for _ in range(MAX_PAGES):
            query = {"limit": str(PAGE), **params, **({"after": after} if after else {})}
            page = parse_page(Page, await self.http.get(path, query, urgency), "data", self.title)
            items += await parse_all(model, page.data, self.title)
            if not page.next_cursor:
                return items
            after = page.next_cursor
        # Half a list would be taken for the whole, and what it leaves out for gone.
        raise ConnectionFailed(f"{self.title}: a list at {path} has no end.")

    async def _prices(self) -> dict[str, Decimal]:
        """USD per hour by hardware; asked for again when an hour has passed."""
        known = self._hardware
        if known is None or self._clock.monotonic() - known[0] > PRICES_SECONDS:
            try:
                await self.hardware(Urgency.BACKGROUND)
            except PeftTuiError:
                # Without today's prices the list is still the list; what is not known is shown as not known.
                pass
            known = self._hardware
        prices: dict[str, Decimal] = {}
        for item in known[1] if known else ():
            if item.price_cents_per_hour is not None:
                price = Decimal(item.price_cents_per_hour) / 100
                prices[catalog.hardware_key(item.name)] = prices[catalog.hardware_key(item.id)] = price
        return prices

    async def _ask_project(self) -> Named:
        # A stop asks this first, so nothing holds it back; it is one call a process.
        try:
            who = parse(Whoami, await self.http.get("/v3/whoami", urgency=Urgency.STOP), self.title)
        except NotFound:
            body = await self.http.get("/v1/whoami", urgency=Urgency.STOP)
            old = parse(WhoamiV1, body, self.title)
            self._organization = old.organization_name
            return Named(id=old.project_id, name=old.project_name, slug=old.project_slug)
        self._organization = who.organization.name
        wanted = self._wanted_project
        if who.project and who.project.id:
            if wanted and wanted != who.project.id:
                raise AuthenticationFailed(
                    f"Together: the key belongs to project {who.project.id}, and TOGETHER_PROJECT_ID names"
                    f" {wanted}.",
                    hint="Unset TOGETHER_PROJECT_ID, or use that project's key.",
                )
            return who.project
        projects = parse(Projects, await self.http.get("/v1/projects"), self.title).data
        chosen = next((project for project in projects if project.id == wanted), None)
        if chosen is None:
            names = ", ".join(f"{project.id} ({project.name})" for project in projects[:8]) or "none"
            raise AuthenticationFailed(
                "Together: this is an organization's key; it does not say which project to work in.",
                hint=f"export TOGETHER_PROJECT_ID=… with one of: {names}.",
            )
        return chosen


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
