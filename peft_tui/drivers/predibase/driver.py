"""Predibase: the account, what it offers, what it runs. The steps are in `steps.py`."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from peft_tui.clock import Clock
from peft_tui.credentials import Credentials
from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment as DeploymentValue
from peft_tui.domain.errors import ConfigurationInvalid, ConnectionFailed, NotFound, PeftTuiError, TimedOut
from peft_tui.domain.inference import InferenceTarget
from peft_tui.domain.offers import Account, Assessment, Finding, InstanceType, Level, PlatformModel
from peft_tui.domain.reported import Report
from peft_tui.domain.spec import Settings
from peft_tui.domain.status import Observation, Status
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.network import Network
from peft_tui.drivers.predibase import accelerators, configuration, figures, inference, notes, states
from peft_tui.drivers.predibase.declaration import CAPABILITIES, HOST
from peft_tui.drivers.predibase.notes import Note
from peft_tui.drivers.predibase.steps import NOTHING, STEPS
from peft_tui.drivers.predibase.upload import too_large
from peft_tui.drivers.predibase.wire import (
    AdapterWire,
    Deployment,
    DeploymentAnswer,
    Events,
    Page,
    Repo,
    ReposAnswer,
    Whoami,
)
from peft_tui.drivers.prices import cited, price_table
from peft_tui.drivers.protocol import Event, Outputs, RemoteDeployment, StepContext
from peft_tui.drivers.transport import Transport
from peft_tui.drivers.wire import moment, parse, parse_all, parse_page

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


class PredibaseDriver:
    """One account at Predibase."""

    capabilities = CAPABILITIES
    metrics_wake = True

    def __init__(self, network: Network, credentials: Credentials, clock: Clock) -> None:
        self.title = CAPABILITIES.title
        base = gateway(credentials.text("PREDIBASE_GATEWAY", HOST))
        token = credentials.secret("PREDIBASE_API_TOKEN", self.title)
        self.http = PredibaseTransport(network, base, token, self.title)
        self.serving_url = credentials.text("PREDIBASE_SERVING_URL", serving_of(base)).rstrip("/")
        self.serving = PredibaseTransport(network, self.serving_url, token, self.title)
        self.hub_token = credentials.optional_secret("HF_TOKEN")
        self._clock = clock
        self._prices = price_table("predibase")
        self._whoami: Whoami | None = None

    @property
    def ahead(self) -> timedelta | None:
        return self.http.ahead

    async def account(self) -> Account:
        who = await self.whoami()
        tenant, plan = who.tenant, who.tenant.subscription
        parts = [f"{plan.tier} plan" if plan.tier else "", "trial" if plan.is_trial else ""]
        if plan.days_remaining_in_plan is not None:
            parts.append(f"{plan.days_remaining_in_plan} days left")
        return Account(tenant.short_code, tenant.name or tenant.short_code, ", ".join(filter(None, parts)))

    async def whoami(self) -> Whoami:
        """Who the token belongs to; asked for once."""
        if self._whoami is None:
            self._whoami = parse(Whoami, await self.http.get("/users/current"), self.title)
        return self._whoami

    async def instance_types(self) -> tuple[InstanceType, ...]:
        used = {d.accelerator.id for d in await self.listed() if d.accelerator.id and not d.is_shared}
        return accelerators.machines(self._prices, tuple(sorted(used)))

    async def models(self) -> tuple[PlatformModel, ...]:
        found = [
            PlatformModel(
                f"{repo.name}/{version.tag}",
                f"{repo.name}/{version.tag}",
                version.base_model,
                notes.plain(repo.description) or version.created_at[:10],
            )
            for repo in await self.repos()
            for version in sorted(repo.versions, key=lambda version: -version.tag)
            if not version.archived
        ]
        return tuple(found)

    async def assess(self, source: AdapterSource, adapter: Adapter | None) -> Assessment:
        base = adapter.base_model if adapter else ""
        finding = _fit(source, adapter)
        if source.kind is SourceKind.PLATFORM:
            reference, version = await self.adapter(source.reference)
            base = version.base_model
            finding = Finding(Level.OK, f"{reference}, trained on {base}")
        if finding.level is Level.BLOCKED:
            return Assessment((finding,), base)
        if not base:
            return Assessment(
                (
                    Finding(
                        Level.BLOCKED,
                        "The adapter does not say which base it was trained on.",
                        "Say it: --base-model owner/name.",
                    ),
                )
            )
        listed, (recommended, doubt) = await asyncio.gather(self.listed(), self._recommended(base))
        able = [d for d in listed if _serves(d, base)]
        own = [d for d in able if not d.is_shared]
        machines = (
            *(accelerators.carrier(d) for d in own),
            *accelerators.machines(self._prices, recommended=recommended),
            *(accelerators.carrier(d) for d in able if d.is_shared),
        )
        findings = [finding]
        if own:
            names = ", ".join(d.name for d in own)
            findings.append(
                Finding(Level.OK, f"{names} serves this base already: attached, nothing new runs")
            )
        if doubt:
            findings.append(
                Finding(Level.WARNING, doubt, "An unknown base is refused before anything bills.")
            )
        findings.append(
            Finding(
                Level.WARNING,
                "Predibase publishes no prices",
                "Put yours into prices.toml in the configuration directory.",
            )
        )
        return Assessment(tuple(findings), base, machines)

    async def deployments(self) -> tuple[RemoteDeployment, ...]:
        listed, repos = await asyncio.gather(self.listed(Urgency.BACKGROUND), self.repos(Urgency.BACKGROUND))
        tenant = (await self.whoami()).tenant.short_code
        now = self._clock.now()
        by_name = {d.name: self._observe(d, tenant, now) for d in listed}
        own = [self._remote(d, by_name[d.name]) for d in listed if not d.is_shared]
        noted = [n for repo in repos if (n := _note_in(repo)) is not None and n.name not in by_name]
        by_name |= {note.name: states.stopped(note, now) for note in noted if not note.carrier}
        return (*own, *(self._noted(note, by_name, now) for note in noted))

    async def settings_of(self, remote: RemoteDeployment) -> Settings:
        carrier, attached, _ = remote.remote_id.partition("/")
        if attached:
            # All about machines is the other deployment's.
            return {}
        try:
            found = await self.deployment(carrier, Urgency.BACKGROUND)
        except NotFound:
            note = await self.note(carrier, Urgency.BACKGROUND)
            return configuration.settings(note.config, note.description)
        return configuration.settings(found.config, notes.plain(found.description))

    async def explain(self, remote: RemoteDeployment) -> Observation:
        """The platform gives no reason: its last events stand in for one."""
        events = await self._events(remote.remote_id)
        words = [event.kind for event in reversed(events[:4])]
        if not words:
            return remote.observation
        return replace(remote.observation, reason=f"its last events: {', '.join(words)}")

    async def exists(self, remote_id: str) -> bool:
        """Whether it is there, or at least noted down there."""
        carrier, slash, name = remote_id.partition("/")
        try:
            if not slash:
                name = carrier
                await self.deployment(carrier, Urgency.BACKGROUND)
                return True
        except NotFound:
            pass
        try:
            await self.note(name, Urgency.BACKGROUND)
        except NotFound:
            return False
        return True

    def repeatable(self, step: str) -> bool:
        return STEPS[step].find is NOTHING

    async def find(self, step: str, context: StepContext) -> Outputs | None:
        return await STEPS[step].find(self, context)

    async def act(self, step: str, context: StepContext) -> Outputs:
        return await STEPS[step].act(self, context)

    async def events(self, remote_id: str) -> tuple[Event, ...]:
        try:
            return await self._events(remote_id)
        except NotFound:
            # One that is stopped is deleted, and its events with it.
            return ()

    async def metrics(self, wanted: Mapping[str, datetime]) -> tuple[Report, ...]:
        return await figures.reports(self, wanted, self._clock.now())

    async def logs(self, remote_id: str, limit: int) -> tuple[str, ...]:
        return ()

    async def inference(self, deployment: DeploymentValue) -> InferenceTarget:
        seen = deployment.observation
        return inference.target(deployment, self._prices.get(seen.instance_type) if seen else None)

    # What the steps ask for too.

    @staticmethod
    def quoted(name: str) -> str:
        """A name as a word of a path."""
        return quote(name, safe="")

    async def deployment(self, name: str, urgency: Urgency = Urgency.NORMAL) -> Deployment:
        body = await self.http.get(f"/v2/deployments/{self.quoted(name)}", urgency=urgency)
        return parse(DeploymentAnswer, body, self.title).data

    async def listed(self, urgency: Urgency = Urgency.NORMAL) -> list[Deployment]:
        """All deployments that the account may use, the platform's shared ones included."""
        page = parse_page(Page, await self.http.get("/v2/deployments", urgency=urgency), "data", self.title)
        return await parse_all(Deployment, page.data, self.title)

    async def repo(self, name: str, urgency: Urgency = Urgency.NORMAL) -> Repo:
        body = await self.http.get(f"/v2/repos/{self.quoted(name)}", urgency=urgency)
        return parse(Repo, body, self.title)

    async def repos(self, urgency: Urgency = Urgency.NORMAL) -> list[Repo]:
        """All repositories. A list that is as long as it may be is asked for again with a larger limit."""
        limit = REPOS
        while True:
            body = await self.http.get("/v2/repos", {"limit": str(limit)}, urgency)
            parse_page(ReposAnswer, body, "data", self.title)
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
        note = _note_in(await self.repo(notes.repository(name), urgency))
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
        path = f"/v2/repos/{self.quoted(match['repo'])}/version/{match['tag']}"
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
        tenant = (await self.whoami()).tenant.short_code
        return _serving_path(tenant, name)

    async def delete(self, path: str, urgency: Urgency = Urgency.NORMAL) -> bool:
        """Delete, and be content when it is not there; False then."""
        try:
            await self.http.request("DELETE", path, urgency=urgency)
        except NotFound:
            return False
        return True

    def _observe(self, deployment: Deployment, tenant: str, now: datetime) -> Observation:
        price = self._prices.get(deployment.accelerator.id)
        return states.observe(
            deployment,
            now,
            price.usd_per_hour if price else None,
            f"{self.serving_url}{_serving_path(tenant, deployment.name)}",
            notes.adapter_of(deployment).id,
            cited(price),
        )

    def _remote(self, deployment: Deployment, observation: Observation) -> RemoteDeployment:
        return RemoteDeployment(
            deployment.name,
            deployment.name,
            observation,
            adapter=notes.adapter_of(deployment).id,
            base_model=deployment.base,
            needs_explaining=observation.status is Status.FAILED,
        )

    def _noted(self, note: Note, by_name: dict[str, Observation], now: datetime) -> RemoteDeployment:
        if note.carrier:
            observation = states.attached(note, by_name.get(note.carrier), now)
            remote_id = f"{note.carrier}/{note.name}"
        else:
            observation, remote_id = by_name[note.name], note.name
        return RemoteDeployment(
            remote_id, note.name, observation, adapter=note.adapter.id, base_model=note.base
        )

    async def _recommended(self, base: str) -> tuple[str, str]:
        """The accelerator that the platform recommends, and a doubt where it knows the base not.

        The shape of the answer is not documented [INF]: whatever else comes, nothing is recommended.
        """
        try:
            body = await self.http.get("/v2/deployments/recommended-config", {"baseModel": base})
        except (NotFound, ConfigurationInvalid) as error:
            return "", f"Predibase has no configuration of its own for {base}: {error.detail}"
        except PeftTuiError:
            return "", ""
        config = body.get("data", body) if isinstance(body, dict) else None
        accelerator = config.get("accelerator") if isinstance(config, dict) else None
        return (accelerator, "") if isinstance(accelerator, str) else ("", "")

    async def _events(self, remote_id: str) -> tuple[Event, ...]:
        name = remote_id.partition("/")[0]
        body = await self.http.get(f"/llms/{self.quoted(name)}/events", {"detailed": "false"})
        now = self._clock.now()
        told = parse(Events, body, self.title).events
        found = [
            Event(
                moment(item.timestamp) or now,
                _spaced(item.event_type) or "something",
                {"Failed": "error", "BackOff": "warning"}.get(item.event_type, "info"),
                item.event_type,
            )
            for item in told
        ]
        return tuple(reversed(found))


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


def _serving_path(tenant: str, name: str) -> str:
    return f"/{quote(tenant, safe='')}/deployments/v2/llms/{quote(name, safe='')}"


def _note_in(repo: Repo) -> Note | None:
    """The note that a repository stands for; a mark in another place is no note."""
    note = notes.read(repo.description)
    return note if note is not None and note.name and repo.name == notes.repository(note.name) else None


def _short(base: str) -> str:
    """`meta-llama/Llama-3.1-8B-Instruct` → `llama-3-1-8b-instruct`: as the documented short names [INF]."""
    return re.sub(r"[._]", "-", base.rpartition("/")[2].lower())


def _serves(deployment: Deployment, base: str) -> bool:
    """It is up, or sleeps, and its base is this one."""
    word = deployment.status.lower()
    if word not in (*states.SERVING, "updating") or deployment.config.get("disableAdapters") is True:
        return False
    return _short(base) in (_short(deployment.base), _short(deployment.model.name))


def _fit(source: AdapterSource, adapter: Adapter | None) -> Finding:
    if adapter is None:
        return Finding(Level.OK, "")
    if adapter.merged:
        return Finding(
            Level.BLOCKED,
            "This is a merged checkpoint: Predibase serves adapters on bases of its own.",
            "Deploy the adapter itself.",
        )
    if source.kind is SourceKind.DIRECTORY:
        if problem := too_large(adapter):
            return Finding(Level.BLOCKED, f"{problem}.", "Train with a smaller rank, or on fewer modules.")
        return Finding(Level.OK, f"an adapter of {adapter.base_model}, chosen per request (LoRAX)")
    if "@" in source.reference:
        return Finding(
            Level.BLOCKED,
            "A request can name a repository of the hub, not a revision of it.",
            "Download the revision and deploy the directory.",
        )
    if adapter.gated:
        return Finding(
            Level.BLOCKED,
            "The repository is private or gated: every request would have to hand your token over.",
            "Download it and deploy the directory.",
        )
    return Finding(
        Level.OK, f"an adapter of {adapter.base_model}; the engine fetches it at the first request"
    )


def _spaced(word: str) -> str:
    """`ScaledToZero` → `scaled to zero`"""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", word).lower()
