"""The calls at Predibase that everything here shares: whose token it is, deployments, repositories, notes."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import quote, urlsplit

from peft_tui.credentials import Credentials
from peft_tui.domain.errors import ConfigurationInvalid, ConnectionFailed, NotFound, PeftTuiError, TimedOut
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.network import Network
from peft_tui.drivers.predibase import notes
from peft_tui.drivers.predibase.declaration import CAPABILITIES, HOST
from peft_tui.drivers.predibase.notes import Note
from peft_tui.drivers.predibase.wire import (
    AdapterWire,
    Deployment,
    DeploymentAnswer,
    Page,
    Repo,
    ReposAnswer,
    Whoami,
)
from peft_tui.drivers.prices import price_table
from peft_tui.drivers.transport import Transport
from peft_tui.drivers.wire import parse, parse_all, parse_page

REPOS = 1000
"""How many repositories are asked for at first. The list has a limit and no pages."""
MOST_REPOS = 1_000_000
WITHDRAWN = "The vendor may have withdrawn the service."
WITHDRAWN_HINT = (
    "Predibase was bought in 2025 and its API has been unreachable before. What runs there cannot be seen"
    " from here: look at app.predibase.com, or ask the vendor."
)
REFERENCE = re.compile(r"(?P<repo>[\w.-]+)/(?P<tag>\d+)(?:@(?P<checkpoint>\d+))?")


class PredibaseTransport(Transport):
    """Says what may be the matter when nobody has ever answered."""

    _answered = False

    async def request(self, *args: Any, **more: Any) -> Any:
        try:
            body = await super().request(*args, **more)
        except (ConnectionFailed, TimedOut) as error:
            if error.status is None and error.retry_after is None and not self._answered:
                error.message = f"{error.message} {WITHDRAWN}"
                error.args = (error.message,)
                error.hint = f"{error.hint} {WITHDRAWN_HINT}".strip()
            raise
        except PeftTuiError:
            self._answered = True
            raise
        self._answered = True
        return body


class PredibaseApi:
    """One account at Predibase."""

    title = CAPABILITIES.title

    def __init__(self, network: Network, credentials: Credentials) -> None:
        base = gateway(credentials.text("PREDIBASE_GATEWAY", HOST))
        token = credentials.secret("PREDIBASE_API_TOKEN", self.title)
        self.http = PredibaseTransport(network, base, token, self.title)
        self.serving_url = credentials.text("PREDIBASE_SERVING_URL", serving_of(base)).rstrip("/")
        self.serving = PredibaseTransport(network, self.serving_url, token, self.title)
        self.hub_token = credentials.optional_secret("HF_TOKEN")
        self.prices = price_table("predibase")
        self._whoami: Whoami | None = None

    async def whoami(self) -> Whoami:
        """Who the token belongs to; asked for once."""
        if self._whoami is None:
            self._whoami = parse(Whoami, await self.http.get("/users/current"), self.title)
        return self._whoami

    async def deployment(self, name: str, urgency: Urgency = Urgency.NORMAL) -> Deployment:
        body = await self.http.get(f"/v2/deployments/{quoted(name)}", urgency=urgency)
        return parse(DeploymentAnswer, body, self.title).data

    async def listed(self, urgency: Urgency = Urgency.NORMAL) -> list[Deployment]:
        """All deployments that the account may use, the platform's shared ones included."""
        page = parse_page(Page, await self.http.get("/v2/deployments", urgency=urgency), "data", self.title)
        return await parse_all(Deployment, page.data, self.title)

    async def repo(self, name: str, urgency: Urgency = Urgency.NORMAL) -> Repo:
        body = await self.http.get(f"/v2/repos/{quoted(name)}", urgency=urgency)
        return parse(Repo, body, self.title)

    async def repos(self, urgency: Urgency = Urgency.NORMAL) -> list[Repo]:
        """All repositories. A list that is as long as it may be is asked for again with a larger limit."""
        limit = REPOS
        while True:
            body = await self.http.get("/v2/repos", {"limit": str(limit)}, urgency)
            items = parse_page(ReposAnswer, body, "data", self.title).data.repos
            if len(items) < limit:
                return await parse_all(Repo, items, self.title)
            if limit >= MOST_REPOS:
                raise ConnectionFailed(f"{self.title}: the list of repositories has no end.")
            limit *= 10

    async def note(self, name: str, urgency: Urgency = Urgency.NORMAL) -> Note:
        """What is noted down of a deployment.

        Raises:
            NotFound: nothing.
        """
        note = note_in(await self.repo(notes.repository(name), urgency))
        if note is None:
            raise NotFound(f"Nothing of ours is noted down of {name}.")
        return note

    async def adapter(self, reference: str) -> tuple[str, AdapterWire]:
        """`repository/version` → the same, and what the platform says of it.

        Raises:
            ConfigurationInvalid: it is no such reference, or it cannot be served.
        """
        match = REFERENCE.fullmatch(reference)
        if match is None:
            raise ConfigurationInvalid(
                f"“{reference}” is no adapter of Predibase.", hint="It looks like repository/1."
            )
        path = f"/v2/repos/{quoted(match['repo'])}/version/{match['tag']}"
        found = parse(AdapterWire, await self.http.get(path), self.title)
        if found.archived:
            raise ConfigurationInvalid(f"{reference} is archived.", hint="Restore it at Predibase first.")
        if found.status not in ("", "completed"):
            raise ConfigurationInvalid(
                f"{reference} cannot be served: its training is {found.status}.",
                hint="Wait until it is completed.",
            )
        return reference, found

    async def serving_path(self, name: str) -> str:
        """Where a deployment answers requests, below the serving address."""
        return serving_path((await self.whoami()).tenant.short_code, name)

    async def delete(self, path: str, urgency: Urgency = Urgency.NORMAL) -> bool:
        """Delete, and be content when it is not there; False then."""
        try:
            await self.http.request("DELETE", path, urgency=urgency)
        except NotFound:
            return False
        return True


def quoted(name: str) -> str:
    """A name as a word of a path."""
    return quote(name, safe="")


def gateway(text: str) -> str:
    """The control plane's address as the vendor's client reads it."""
    base = text.rstrip("/").removesuffix("/v1").removesuffix("/v2")
    return base if "://" in base else f"https://{base}"


def serving_of(base: str) -> str:
    """The serving plane's address: the first word of the host becomes `serving`.

    Of a number or a machine without a domain nothing can be derived: both planes are taken to be there.
    """
    try:
        host, port = urlsplit(base).hostname or "", urlsplit(base).port
    except ValueError:
        return base
    if "." not in host or _is_number(host):
        return base
    name = f"serving.{host.partition('.')[2]}"
    return f"{urlsplit(base).scheme}://{name}{f':{port}' if port else ''}"


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def serving_path(tenant: str, name: str) -> str:
    return f"/{quoted(tenant)}/deployments/v2/llms/{quoted(name)}"


def note_in(repo: Repo) -> Note | None:
    """The note that a repository stands for; a mark in another place is no note."""
    note = notes.read(repo.description)
    return note if note is not None and note.name and repo.name == notes.repository(note.name) else None
