"""The calls at Replicate that everything here shares: whose token it is, lists, versions, prices."""

from __future__ import annotations

from typing import TypeVar

from peft_tui.credentials import Credentials
from peft_tui.domain.errors import ConfigurationInvalid, NotFound
from peft_tui.domain.money import Price
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.network import Network
from peft_tui.drivers.prices import price_table
from peft_tui.drivers.replicate.declaration import CAPABILITIES, HOST
from peft_tui.drivers.replicate.wire import AccountWire, Model, Page, Version
from peft_tui.drivers.transport import Transport
from peft_tui.drivers.wire import Wire, parse, parse_all, parse_page
from peft_tui.text import clean_line

W = TypeVar("W", bound=Wire)

MAX_PAGES = 200


class ReplicateApi:
    """One token's view of Replicate."""

    title = CAPABILITIES.title

    def __init__(self, network: Network, credentials: Credentials) -> None:
        # The vendor's clients differ in whether the address ends in /v1.
        self.url = credentials.text("REPLICATE_BASE_URL", HOST).rstrip("/").removesuffix("/v1")
        token = credentials.secret("REPLICATE_API_TOKEN", self.title)
        self.http = Transport(network, self.url, token, self.title)
        self.hub_token = credentials.optional_secret("HF_TOKEN")
        self._prices = price_table("replicate")
        self._account: AccountWire | None = None
        self._inputs: dict[str, frozenset[str]] = {}

    async def owner(self) -> AccountWire:
        """Who the token belongs to; asked for once."""
        if self._account is None:
            # A stop asks this first, so nothing holds it back; it is one call a process.
            body = await self.http.get("/v1/account", urgency=Urgency.STOP)
            self._account = parse(AccountWire, body, self.title)
        return self._account

    def price(self, sku: str) -> Price | None:
        return self._prices.get(sku)

    async def version(self, reference: str) -> tuple[str, Version]:
        """`owner/name[:version]` → the model's name and the version, the newest when none is named."""
        name, _, version_id = reference.partition(":")
        if name.count("/") != 1:
            raise ConfigurationInvalid(
                f"“{reference}” is no model of Replicate.", hint="It looks like owner/name."
            )
        if version_id:
            body = await self.http.get(f"/v1/models/{name}/versions/{version_id}")
            return name, parse(Version, body, self.title)
        model = parse(Model, await self.http.get(f"/v1/models/{name}"), self.title)
        if model.latest_version is None:
            raise NotFound(f"{name} has no version yet.", hint="Push one with cog, or import a checkpoint.")
        return name, model.latest_version

    async def inputs(self, model: str, version_id: str) -> frozenset[str]:
        """The names of a version's inputs, which never change; nothing when it does not describe them."""
        if version_id not in self._inputs:
            _, version = await self.version(f"{model}:{version_id}")
            properties = version.inputs.get("properties")
            names = properties if isinstance(properties, dict) else {}
            self._inputs[version_id] = frozenset(clean_line(name, 80) for name in names)
        return self._inputs[version_id]

    async def pages(
        self, model: type[W], path: str, urgency: Urgency = Urgency.BACKGROUND, limit: int = MAX_PAGES
    ) -> list[W]:
        """All items of a list, at most `limit` pages of it."""
        items: list[W] = []
        next_page: str | None = path
        for _ in range(limit):
            if not next_page:
                break
            page = parse_page(Page, await self.http.get(next_page, urgency=urgency), "results", self.title)
            items += await parse_all(model, page.results, self.title)
            next_page = page.next
        return items
