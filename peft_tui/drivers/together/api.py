"""The calls at Together that everything here shares: the project, lists, models, hardware and its prices."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from peft_tui.clock import Clock
from peft_tui.credentials import Credentials
from peft_tui.domain.errors import AuthenticationFailed, ConnectionFailed, NotFound, PeftTuiError
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.network import Network
from peft_tui.drivers.together import catalog
from peft_tui.drivers.together.declaration import CAPABILITIES, HOST
from peft_tui.drivers.together.wire import (
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
from peft_tui.drivers.wire import Wire, parse, parse_all, parse_page

W = TypeVar("W", bound=Wire)

INFERENCE = "https://api-inference.together.ai/v1"
PAGE = 500
"""The largest page that a list gives."""
MAX_PAGES = 200
PRICES_SECONDS = 3600.0
"""How long the price of an instance type is believed between two looks."""


class TogetherApi:
    """One project at Together AI."""

    title = CAPABILITIES.title

    def __init__(self, network: Network, credentials: Credentials, clock: Clock) -> None:
        base = credentials.text("TOGETHER_BASE_URL", HOST).rstrip("/").removesuffix("/v1")
        self.http = Transport(network, base, credentials.secret("TOGETHER_API_KEY", self.title), self.title)
        # Another address serves everything, as with the vendor's own SDK.
        self.inference_url = INFERENCE if base == HOST else f"{base}/v1"
        self.hub_token = credentials.optional_secret("HF_TOKEN")
        self.organization = ""
        """Known from older keys only, once `project` was asked for."""
        self.billing_due: datetime | None = None
        """When the bill is to be read again."""
        self._wanted_project = credentials.text("TOGETHER_PROJECT_ID")
        self._clock = clock
        self._project: Named | None = None
        self._hardware: tuple[float, list[InstanceTypeWire]] | None = None

    async def project(self) -> Named:
        """The project that all V2 paths name; asked for once."""
        if self._project is None:
            self._project = await self._ask_project()
        return self._project

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

    async def prices(self) -> dict[str, Decimal]:
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
            self.organization = old.organization_name
            return Named(id=old.project_id, name=old.project_name, slug=old.project_slug)
        self.organization = who.organization.name
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
