"""Modal: the workspace, what it offers, what it runs. The steps of a deployment's life are in `steps.py`,
`verbs.py` and `history.py`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from peft_tui.clock import Clock
from peft_tui.credentials import Credentials
from peft_tui.domain.adapter import Adapter, AdapterSource
from peft_tui.domain.deployment import Deployment, looks_like_ours
from peft_tui.domain.errors import NotFound
from peft_tui.domain.inference import InferenceTarget
from peft_tui.domain.money import Budget
from peft_tui.domain.offers import Account, Assessment, InstanceType, PlatformModel
from peft_tui.domain.reported import Report
from peft_tui.domain.spec import Settings, Value
from peft_tui.domain.status import Observation
from peft_tui.domain.version import Version
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.modal import assessing, engine, figures, history, inference, states
from peft_tui.drivers.modal.api import ModalApi
from peft_tui.drivers.modal.declaration import CAPABILITIES
from peft_tui.drivers.modal.steps import STEPS
from peft_tui.drivers.modal.verbs import VERBS
from peft_tui.drivers.modal.wire import at
from peft_tui.drivers.network import Network
from peft_tui.drivers.protocol import Event, Outputs, RemoteDeployment, StepContext
from peft_tui.drivers.steps import Stepwise


class ModalDriver(Stepwise[ModalApi]):
    """One environment of one workspace."""

    capabilities = CAPABILITIES
    metrics_wake = False
    steps = {**STEPS, **VERBS, **history.ROLLBACK}

    def __init__(self, network: Network, credentials: Credentials, clock: Clock) -> None:
        self.api = ModalApi(network, credentials, clock)
        self._clock = clock
        self._account: Account | None = None

    async def close(self) -> None:
        await self.api.connection.close()

    async def account(self) -> Account:
        if self._account is None:
            workspace = await self.api.workspace()
            named = await self.api.control.token()
            environment = self.api.connection.environment
            # Deployments, volumes and budgets are an environment's own: another one is another account.
            self._account = Account(
                f"{workspace}/{environment}",
                f"{workspace} · environment {environment}",
                f"as {named}" if named and named != workspace else "",
            )
        return self._account

    async def make_ready(self) -> None:
        await self.api.see_to_the_token()

    async def allowance(self) -> Budget | None:
        budget = await self.api.budget()
        if budget is None or budget.limit <= 0:
            return None
        return Budget(Decimal(str(budget.used)), Decimal(str(budget.limit)))

    async def instance_types(self) -> tuple[InstanceType, ...]:
        return await self.api.instance_types()

    async def models(self) -> tuple[PlatformModel, ...]:
        """What lies on the volume of ours, one directory an adapter."""
        await self.api.workspace()
        try:
            there = await self.api.volumes.listing(engine.VOLUME, "")
        except NotFound:
            return ()
        return tuple(
            PlatformModel(name, name, detail=f"on the volume {engine.VOLUME}")
            for name, size in sorted(there.items())
            if size is None
        )

    async def assess(self, source: AdapterSource, adapter: Adapter | None) -> Assessment:
        return await assessing.assess(self.api, source, adapter)

    async def deployments(self) -> tuple[RemoteDeployment, ...]:
        sights = await self.api.watch.look(await self.api.proxy_token())
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
            server = await self.api.control.server(remote.remote_name, Urgency.BACKGROUND)
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
        await self.api.workspace()
        return remote_id in {app.app_id for app in await self.api.watch.apps()}

    async def find(self, step: str, context: StepContext) -> Outputs | None:
        await self.api.workspace()
        return await super().find(step, context)

    async def act(self, step: str, context: StepContext) -> Outputs:
        await self.api.workspace()
        return await super().act(step, context)

    async def inference(self, deployment: Deployment) -> InferenceTarget:
        return await inference.target(self.api, deployment)

    async def versions(self, remote_id: str) -> tuple[Version, ...]:
        return await history.versions(self.api, remote_id)

    async def events(self, remote_id: str) -> tuple[Event, ...]:
        return await history.events(self.api, remote_id, self._clock.now())

    async def metrics(self, wanted: Mapping[str, datetime]) -> tuple[Report, ...]:
        return await figures.reports(self.api, wanted, self._clock.now())

    async def logs(self, remote_id: str, limit: int) -> tuple[str, ...]:
        await self.api.workspace()
        return tuple(await self.api.control.logs(remote_id, limit))
