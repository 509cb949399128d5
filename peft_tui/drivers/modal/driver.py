"""Modal: the workspace, what it offers, what it runs. The steps of a deployment's life are in `steps.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from peft_tui.clock import Clock
from peft_tui.credentials import Credentials, Place
from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment, looks_like_ours
from peft_tui.domain.errors import ConfigurationInvalid, NotFound, PeftTuiError, PlatformFailed
from peft_tui.domain.inference import InferenceTarget
from peft_tui.domain.money import Budget as Allowance
from peft_tui.domain.offers import (
    Account,
    Assessment,
    Finding,
    InstanceType,
    Level,
    PlatformModel,
)
from peft_tui.domain.reported import Report
from peft_tui.domain.spec import DeploymentSpec, Settings, Value
from peft_tui.domain.status import Observation
from peft_tui.domain.version import Version
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.hugging_face import HuggingFace, Shown
from peft_tui.drivers.modal import engine, figures, gpus, inference, states, wire
from peft_tui.drivers.modal.connection import Connection
from peft_tui.drivers.modal.control import Control
from peft_tui.drivers.modal.data_plane import DataPlane
from peft_tui.drivers.modal.declaration import CAPABILITIES
from peft_tui.drivers.modal.failures import TITLE, Unimplemented
from peft_tui.drivers.modal.secrets import Doorkeeper
from peft_tui.drivers.modal.steps import NOTHING, STEPS, UNSEEN, WHERE_FROM, adapter_of, not_on_the_hub
from peft_tui.drivers.modal.watch import Watch
from peft_tui.drivers.modal.wire import Budget, Environment, at
from peft_tui.drivers.network import Network
from peft_tui.drivers.protocol import Event, Outputs, RemoteDeployment, StepContext
from peft_tui.text import clean_line

NOT_ALLOWED = "Modal does not let it serve again."
MAIN = "main"
"""What an environment is called that nobody has named."""


class ModalDriver:
    """One environment of one workspace."""

    capabilities = CAPABILITIES
    metrics_wake = False
    bill_due: datetime | None = None
    """When what was billed is worth asking for again; None: it was not asked for yet."""
    bill_read = False
    """Whether it was ever told: the first time it is read from far back."""

    def __init__(self, network: Network, credentials: Credentials, clock: Clock) -> None:
        self.title = CAPABILITIES.title
        self.credentials = credentials
        self._connection = Connection(
            network,
            credentials.text("MODAL_SERVER_URL"),
            credentials.secret("MODAL_TOKEN_ID", self.title),
            credentials.secret("MODAL_TOKEN_SECRET", self.title),
        )
        self.control = Control(self._connection)
        self.plane = DataPlane(network, self._connection.local)
        self.watch = Watch(self.control, self.plane, clock)
        self.doors = Doorkeeper(credentials)
        self.hub = HuggingFace(network, credentials)
        self._connection.leaving = self._take_the_token_back
        self._making = asyncio.Lock()
        self._clock = clock
        self._workspace = ""
        self._account: Account | None = None

    async def close(self) -> None:
        await self._connection.close()

    async def account(self) -> Account:
        if self._account is None:
            workspace = await self.workspace()
            named = await self.control.token()
            environment = self.control.environment
            # Deployments, volumes and budgets are an environment's own: another one is another account.
            self._account = Account(
                f"{workspace}/{environment}",
                f"{workspace} · environment {environment}",
                f"as {named}" if named and named != workspace else "",
            )
        return self._account

    async def workspace(self) -> str:
        """Who the token belongs to; asked for once, with the environment to work in."""
        if not self._workspace:
            workspace = await self.control.workspace()
            environment = await self._environment()
            self.control.environment = environment.name
            self.control.environment_id = environment.environment_id
            self._workspace = workspace
        return self._workspace

    async def see_to_the_token(self) -> Place | None:
        """Have a proxy token; where a new one is kept, None where there was one.

        Modal tells its secret once: what a machine without keyring and passphrase had is gone with the
        session, and another one takes its place.
        """
        workspace = await self.workspace()
        async with self._making:
            if await self.doors.token(workspace) is not None:
                return None
            made = await self.control.proxy_token("peft-tui")
            # Kept before anything is asked: one whose secret is forgotten opens nothing, and stays.
            place = await self.doors.keep(workspace, made)
            await self._check(workspace, made[0].reveal())
            return place

    async def _check(self, workspace: str, token_id: str) -> None:
        """
        Raises:
            PlatformFailed: the new token is not among the workspace's; it is neither kept nor left there.
        """
        try:
            if await self.control.lists_proxy_token(token_id):
                return
        except PeftTuiError:
            # Whether it opens the door is seen when it is used.
            return
        await self.doors.forget(workspace)
        with suppress(PeftTuiError):
            await self.control.remove_proxy_token(token_id)
        raise PlatformFailed(
            f"{TITLE} made a proxy token and does not list it.",
            hint="Make one at modal.com/settings/proxy-auth-tokens, and keep it: peft-tui credentials set"
            " modal MODAL_PROXY_TOKEN_ID, and …_SECRET.",
            transient=True,
        )

    async def make_ready(self) -> None:
        await self.see_to_the_token()

    async def _take_the_token_back(self) -> None:
        """One that ends with this session is of no more use to anybody: they must not pile up."""
        if self._workspace and (token_id := self.doors.passing(self._workspace)):
            await self.control.remove_proxy_token(token_id)

    async def budget(self) -> Budget | None:
        """The environment's; None where it is not told."""
        await self.workspace()
        return await self.control.budget()

    async def allowance(self) -> Allowance | None:
        budget = await self.budget()
        if budget is None or budget.limit <= 0:
            return None
        return Allowance(Decimal(str(budget.used)), Decimal(str(budget.limit)))

    async def instance_types(self) -> tuple[InstanceType, ...]:
        return await self._machines("")

    async def _machines(self, base: str) -> tuple[InstanceType, ...]:
        """The same with those last that are too small for `base`."""
        await self.workspace()
        rates = await self.control.rates()
        return gpus.instance_types(rates, self._clock.now().isoformat(), gpus.needed_gib(base))

    async def models(self) -> tuple[PlatformModel, ...]:
        """What lies on the volume of ours, one directory an adapter."""
        await self.workspace()
        try:
            there = await self.control.listing(engine.VOLUME, "")
        except NotFound:
            return ()
        return tuple(
            PlatformModel(name, name, detail=f"on the volume {engine.VOLUME}")
            for name, size in sorted(there.items())
            if size is None
        )

    async def assess(self, source: AdapterSource, adapter: Adapter | None) -> Assessment:
        await self.workspace()
        if source.kind is SourceKind.PLATFORM:
            adapter = await adapter_of(self, DeploymentSpec("", "modal", source), "")
        base = adapter.base_model if adapter else ""
        shown = await self.hub.shows(base) if adapter and base and not adapter.merged else None
        gated = self._gated(adapter, shown)
        findings = [*self._fit(adapter, shown), *gated, *await self._money(), *await self._keeping()]
        served = base or (source.reference if adapter is not None and adapter.merged else "")
        # Without a token the container would end as soon as it asks the hub, again and again.
        ruled_out = {"hub_token=no": gated[0].message} if gated else {}
        return Assessment(tuple(findings), base, await self._machines(served), ruled_out)

    async def deployments(self) -> tuple[RemoteDeployment, ...]:
        workspace = await self.workspace()
        sights = await self.watch.look(await self.doors.token(workspace))
        now = self._clock.now()
        return tuple(
            RemoteDeployment(
                sight.app.app_id,
                sight.app.name or sight.app.app_id,
                states.observe(sight, now),
                adapter=sight.app.description,
                created_at=at(sight.app.created_at),
            )
            for sight in sights
        )

    async def settings_of(self, remote: RemoteDeployment) -> Settings:
        if not looks_like_ours(remote.remote_name):
            # Somebody else's app: what in it serves has no name that we know.
            return {}
        try:
            server = await self.control.server(remote.remote_name, Urgency.BACKGROUND)
        except NotFound:
            return {}
        told: dict[str, Value] = {"buffer": server.buffer_containers}
        if server.scaledown_window:
            told["idle_timeout"] = server.scaledown_window
        return told

    async def explain(self, remote: RemoteDeployment) -> Observation:
        return remote.observation

    async def exists(self, remote_id: str) -> bool:
        """A stopped app exists as long as it is listed, unless nothing but its line in the list is left."""
        await self.workspace()
        return remote_id in {app.app_id for app in await self.watch.apps()}

    def repeatable(self, step: str) -> bool:
        return STEPS[step].find is NOTHING

    async def find(self, step: str, context: StepContext) -> Outputs | None:
        await self.workspace()
        return await STEPS[step].find(self, context)

    async def act(self, step: str, context: StepContext) -> Outputs:
        await self.workspace()
        return await STEPS[step].act(self, context)

    async def inference(self, deployment: Deployment) -> InferenceTarget:
        return await inference.target(self, deployment)

    async def versions(self, remote_id: str) -> tuple[Version, ...]:
        told = await self.control.history(remote_id)
        told.sort(key=lambda one: one.version, reverse=True)
        newest = told[0].version if told else 0
        return tuple(
            Version(
                one.version,
                at(one.deployed_at),
                _words(one),
                one.version == newest,
                "" if one.rollback_allowed else "It serves." if one.version == newest else NOT_ALLOWED,
            )
            for one in told
        )

    async def events(self, remote_id: str) -> tuple[Event, ...]:
        """Its versions, newest first: what was deployed when, by whom, and what can be gone back to."""
        versions = await self.control.history(remote_id)
        versions.sort(key=lambda version: version.version, reverse=True)
        return tuple(
            Event(at(v.deployed_at) or self._clock.now(), _tell(v), kind="deployment") for v in versions
        )

    async def metrics(self, wanted: Mapping[str, datetime]) -> tuple[Report, ...]:
        return await figures.reports(self, wanted, self._clock.now())

    async def logs(self, remote_id: str, limit: int) -> tuple[str, ...]:
        await self.workspace()
        try:
            return tuple(await self.control.logs(remote_id, limit))
        except Unimplemented:
            return ()

    async def _environment(self) -> Environment:
        wanted = self.credentials.text("MODAL_ENVIRONMENT")
        try:
            found = await self.control.environments()
        except Unimplemented:
            return Environment(name=wanted or MAIN)
        named = {environment.name: environment for environment in found}
        if wanted:
            if wanted not in named:
                raise ConfigurationInvalid(
                    f"Modal: there is no environment “{clean_line(wanted, 60)}” in this workspace.",
                    hint=f"Set MODAL_ENVIRONMENT to one of: {', '.join(sorted(named)) or 'none'}.",
                )
            return named[wanted]
        default = next((environment for environment in found if environment.default), None)
        return default or named.get(MAIN) or (found[0] if found else Environment(name=MAIN))

    def _fit(self, adapter: Adapter | None, shown: Shown | None) -> list[Finding]:
        """Whether vLLM serves it, and whether the container will find its base."""
        if adapter is None:
            return [Finding(Level.WARNING, "the adapter's files could not be read")]
        if reason := engine.unservable(adapter):
            hint = "Merge it into its base (merge_and_unload()), or train it otherwise."
            return [Finding(Level.BLOCKED, reason, hint)]
        if adapter.merged:
            return [Finding(Level.OK, "a whole model: served as it is")]
        if shown is None:
            return [Finding(Level.BLOCKED, "The adapter does not say which base model it belongs to.")]
        if shown.exists is False and not shown.is_id:
            return [Finding(Level.BLOCKED, not_on_the_hub(adapter.base_model), WHERE_FROM)]
        rank = next(rank for rank in engine.RANKS if rank >= (adapter.rank or 16))
        fits = Finding(Level.OK, f"served by vLLM on {adapter.base_model}, rank up to {rank}")
        if shown.exists is False:
            # Whether the container will have a token of its own, that sees it, is not known yet.
            unseen = Finding(Level.WARNING, not_on_the_hub(adapter.base_model), UNSEEN)
            return [replace(fits, level=Level.WARNING), unseen]
        if shown.exists is None:
            told = f"whether {adapter.base_model} is there cannot be checked: {shown.trouble}"
            return [replace(fits, level=Level.WARNING), Finding(Level.WARNING, told, WHERE_FROM)]
        return [fits]

    def _gated(self, adapter: Adapter | None, shown: Shown | None) -> list[Finding]:
        """That what the container needs is handed out to token holders only, if it is."""
        if adapter is None or not (adapter.gated or (shown is not None and shown.gated)):
            return []
        what = "the adapter" if adapter.gated else adapter.base_model
        if self.credentials.optional_secret("HF_TOKEN") is None:
            told = f"{what} is gated: the container needs a token to fetch it, and there is none."
            return [Finding(Level.BLOCKED, told, "export HF_TOKEN=…, of an account that may read it.")]
        told = f"{what} is gated: the container needs a token to fetch it"
        return [Finding(Level.WARNING, told, "HF_TOKEN is handed to Modal, as a secret of this deployment.")]

    async def _keeping(self) -> list[Finding]:
        """That the token which opens what is private will be gone with this session, if so."""
        if await self.doors.token(await self.workspace()) is not None or await self.doors.lasts():
            return []
        return [
            Finding(
                Level.WARNING,
                "this machine keeps no secrets: the proxy token that opens it ends with this session",
                "A new one is made when you ask it again; set PEFT_TUI_PASSPHRASE, or export"
                " MODAL_PROXY_TOKEN_ID and _SECRET, to keep one. It bills as before meanwhile.",
            )
        ]

    async def _money(self) -> list[Finding]:
        try:
            budget = await self.budget()
        except PeftTuiError as error:
            return [Finding(Level.WARNING, f"the budget is not known: {error.message}")]
        name = self.control.environment
        if budget is None or not budget.limit and not budget.reached:
            return []
        told = f"budget of {name}: {budget.words}"
        if budget.reached:
            return [
                Finding(
                    Level.BLOCKED,
                    f"{TITLE}: the {told}, and the spend limit is reached: nothing starts.",
                    "Raise it at modal.com/settings/usage, or wait for the next cycle.",
                )
            ]
        left = budget.limit - budget.used
        return [Finding(Level.WARNING if left < 0.1 * budget.limit else Level.OK, told)]


def _words(version: wire.Version) -> str:
    parts = [f"rolled back to {version.rollback_version}"] if version.rollback_version else []
    parts += [f"by {version.deployed_by}"] if version.deployed_by else []
    return " · ".join([*parts, *([version.tag] if version.tag else [])])


def _tell(version: wire.Version) -> str:
    parts = [f"version {version.version}", _words(version)]
    if version.rollback_allowed:
        parts.append("can be gone back to")
    return " · ".join(part for part in parts if part)
