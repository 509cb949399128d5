"""Predibase: the account, what it offers, what it runs. The steps are in `steps.py` and `verbs.py`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from peft_tui.clock import Clock
from peft_tui.credentials import Credentials
from peft_tui.domain.adapter import Adapter, AdapterSource
from peft_tui.domain.deployment import Deployment as DeploymentValue
from peft_tui.domain.errors import NotFound
from peft_tui.domain.inference import InferenceTarget
from peft_tui.domain.offers import Account, Assessment, InstanceType, PlatformModel
from peft_tui.domain.reported import Report
from peft_tui.domain.spec import Settings
from peft_tui.domain.status import Observation, Status
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.network import Network
from peft_tui.drivers.predibase import (
    accelerators,
    assessing,
    configuration,
    figures,
    inference,
    notes,
    states,
)
from peft_tui.drivers.predibase.api import PredibaseApi, note_in, quoted, serving_path
from peft_tui.drivers.predibase.declaration import CAPABILITIES
from peft_tui.drivers.predibase.notes import Note
from peft_tui.drivers.predibase.steps import STEPS
from peft_tui.drivers.predibase.verbs import VERBS
from peft_tui.drivers.predibase.wire import Deployment, Events
from peft_tui.drivers.prices import cited
from peft_tui.drivers.protocol import Event, RemoteDeployment
from peft_tui.drivers.steps import Stepwise
from peft_tui.drivers.wire import moment, parse


class PredibaseDriver(Stepwise[PredibaseApi]):
    """One account at Predibase."""

    capabilities = CAPABILITIES
    metrics_wake = True
    steps = {**STEPS, **VERBS}

    def __init__(self, network: Network, credentials: Credentials, clock: Clock) -> None:
        self.api = PredibaseApi(network, credentials)
        self._clock = clock

    @property
    def ahead(self) -> timedelta | None:
        return self.api.http.ahead

    async def account(self) -> Account:
        who = await self.api.whoami()
        tenant, plan = who.tenant, who.tenant.subscription
        parts = [f"{plan.tier} plan" if plan.tier else "", "trial" if plan.is_trial else ""]
        if plan.days_remaining_in_plan is not None:
            parts.append(f"{plan.days_remaining_in_plan} days left")
        return Account(tenant.short_code, tenant.name or tenant.short_code, ", ".join(filter(None, parts)))

    async def instance_types(self) -> tuple[InstanceType, ...]:
        used = {d.accelerator.id for d in await self.api.listed() if d.accelerator.id and not d.is_shared}
        return accelerators.machines(self.api.prices, tuple(sorted(used)))

    async def models(self) -> tuple[PlatformModel, ...]:
        found = [
            PlatformModel(
                f"{repo.name}/{version.tag}",
                f"{repo.name}/{version.tag}",
                version.base_model,
                notes.plain(repo.description) or version.created_at[:10],
            )
            for repo in await self.api.repos()
            for version in sorted(repo.versions, key=lambda version: -version.tag)
            if not version.archived
        ]
        return tuple(found)

    async def assess(self, source: AdapterSource, adapter: Adapter | None) -> Assessment:
        return await assessing.assess(self.api, source, adapter)

    async def deployments(self) -> tuple[RemoteDeployment, ...]:
        listed, repos = await asyncio.gather(
            self.api.listed(Urgency.BACKGROUND), self.api.repos(Urgency.BACKGROUND)
        )
        tenant = (await self.api.whoami()).tenant.short_code
        now = self._clock.now()
        by_name = {d.name: self._observe(d, tenant, now) for d in listed}
        own = [self._remote(d, by_name[d.name]) for d in listed if not d.is_shared]
        noted = [n for repo in repos if (n := note_in(repo)) is not None and n.name not in by_name]
        by_name |= {note.name: states.stopped(note, now) for note in noted if not note.carrier}
        return (*own, *(self._noted(note, by_name, now) for note in noted))

    async def settings_of(self, remote: RemoteDeployment) -> Settings:
        carrier, attached, _ = remote.remote_id.partition("/")
        if attached:
            # All about machines is the other deployment's.
            return {}
        try:
            found = await self.api.deployment(carrier, Urgency.BACKGROUND)
        except NotFound:
            note = await self.api.note(carrier, Urgency.BACKGROUND)
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
                await self.api.deployment(carrier, Urgency.BACKGROUND)
                return True
        except NotFound:
            pass
        try:
            await self.api.note(name, Urgency.BACKGROUND)
        except NotFound:
            return False
        return True

    async def events(self, remote_id: str) -> tuple[Event, ...]:
        try:
            return await self._events(remote_id)
        except NotFound:
            # One that is stopped is deleted, and its events with it.
            return ()

    async def metrics(self, wanted: Mapping[str, datetime]) -> tuple[Report, ...]:
        return await figures.reports(self.api, wanted, self._clock.now())

    async def logs(self, remote_id: str, limit: int) -> tuple[str, ...]:
        return ()

    async def inference(self, deployment: DeploymentValue) -> InferenceTarget:
        seen = deployment.observation
        return inference.target(deployment, self.api.prices.get(seen.instance_type) if seen else None)

    def _observe(self, deployment: Deployment, tenant: str, now: datetime) -> Observation:
        price = self.api.prices.get(deployment.accelerator.id)
        return states.observe(
            deployment,
            now,
            price.usd_per_hour if price else None,
            f"{self.api.serving_url}{serving_path(tenant, deployment.name)}",
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

    async def _events(self, remote_id: str) -> tuple[Event, ...]:
        name = remote_id.partition("/")[0]
        body = await self.api.http.get(f"/llms/{quoted(name)}/events", {"detailed": "false"})
        now = self._clock.now()
        told = parse(Events, body, self.api.title).events
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


def _spaced(word: str) -> str:
    """`ScaledToZero` → `scaled to zero`"""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", word).lower()
