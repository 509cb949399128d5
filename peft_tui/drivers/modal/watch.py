"""What is remembered between two looks at an environment: a tick asks little and wakes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from peft_tui.clock import Clock
from peft_tui.domain.deployment import looks_like_ours
from peft_tui.domain.errors import NotFound, PeftTuiError
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.modal.control import Control
from peft_tui.drivers.modal.data_plane import Answer, DataPlane, Health, ProxyToken
from peft_tui.drivers.modal.engine import MARKER, VOLUME
from peft_tui.drivers.modal.gpus import gpu_price
from peft_tui.drivers.modal.states import Sight, newest_by_name, worth_showing
from peft_tui.drivers.modal.volumes import Volumes
from peft_tui.drivers.modal.wire import App, Container, ContainerInfo, Server

AT_A_TIME = 8
"""Apps, and containers, that a tick looks at more closely than the two lists do."""
FRESH_SECONDS = 300.0
"""How long what is known of a server's bounds is believed between two looks."""
PRICES_SECONDS = 3600.0
BUDGET_SECONDS = 60.0


@dataclass(slots=True)
class _Known:
    """Of one app."""

    server: Server | None = None
    looked_at: float = 0.0
    proved: frozenset[str] = frozenset()
    """Containers of which one has answered."""
    refused: frozenset[str] = frozenset()
    """Containers behind an address that did not take our token: asking again would say nothing new."""
    asked_bare: bool = False
    """It was asked without a token, for there was none."""
    seen: frozenset[str] = frozenset()
    """Containers that had started at the last look."""
    failures: int = 0
    failure: str = ""


@dataclass(slots=True)
class Watch:
    """One environment, tick by tick."""

    control: Control
    volumes: Volumes
    plane: DataPlane
    clock: Clock
    _known: dict[str, _Known] = field(default_factory=dict)
    _containers: dict[str, ContainerInfo | None] = field(default_factory=dict)
    _remains: dict[str, bool] = field(default_factory=dict)
    """Of a stopped app: whether something of it is left."""
    _rates: dict[str, Decimal] = field(default_factory=dict)
    _rates_at: float | None = None
    _spent: bool = False
    """The environment's spend limit is reached: nothing starts, whatever the list says."""
    _spent_at: float | None = None

    async def look(self, token: ProxyToken | None) -> list[Sight]:
        """Everything in the environment: two lists, and a closer look at what is new in them."""
        apps, containers = await asyncio.gather(self.apps(), self.control.containers())
        await self._see_servers([app for app in apps if _serves(app)])
        of_app: dict[str, list[Container]] = {}
        for container in containers or ():
            of_app.setdefault(container.app_id, []).append(container)
        await self._see_containers(containers or [])
        if containers or (containers is None and any(app.running for app in apps)):
            await self._see_prices()
        elif apps:
            await self._see_budget()
        sights = [self._sight(app, of_app.get(app.app_id, []), containers is not None) for app in apps]
        return list(await asyncio.gather(*(self._ask(sight, token) for sight in sights)))

    async def apps(self) -> list[App]:
        """Every app there is, each name once, and none that was deleted."""
        apps = newest_by_name([app for app in await self.control.apps() if worth_showing(app)])
        await self._see_what_remains(apps)
        return [app for app in apps if self._remains.get(app.app_id, True)]

    def changed(self, app_id: str) -> None:
        """Its bounds or its version were changed by us: it is looked at again at the next tick."""
        self._known[app_id] = _Known(looked_at=float("-inf"))

    def crashed(self, app_id: str, failures: int, failure: str) -> None:
        """So many of its containers in a row ended before one answered."""
        known = self._known.setdefault(app_id, _Known(looked_at=float("-inf")))
        known.failures, known.failure = failures, failure

    def deleted(self, app_id: str) -> None:
        """Nothing of it is left but a line of the platform's list."""
        self._remains[app_id] = False

    async def _see_what_remains(self, apps: Sequence[App]) -> None:
        """A stopped app stays listed for a while. One of ours whose marker is gone was deleted."""
        unknown = [a for a in apps if a.state == "STOPPED" and looks_like_ours(a.name)]
        unknown = [app for app in unknown if app.app_id not in self._remains]
        if not unknown:
            return
        try:
            there = await self.volumes.paths(VOLUME)
        except NotFound:
            there = set()
        except PeftTuiError:
            return
        for app in unknown:
            self._remains[app.app_id] = f"{app.name}/{MARKER}" in there

    async def _see_servers(self, apps: Sequence[App]) -> None:
        """The servers of ours that are new or were not looked at for long, the longest first."""
        now = self.clock.monotonic()
        due = []
        for app in apps:
            known = self._known.setdefault(app.app_id, _Known(looked_at=float("-inf")))
            if now - known.looked_at > FRESH_SECONDS:
                due.append((known.looked_at, app))
        due.sort(key=lambda pair: pair[0])
        await asyncio.gather(*(self._see_server(app) for _, app in due[:AT_A_TIME]))

    async def _see_server(self, app: App) -> None:
        known = self._known[app.app_id]
        try:
            known.server = await self.control.server(app.name, Urgency.BACKGROUND)
        except NotFound:
            known.server = None
        except PeftTuiError:
            # What was known before is still the best guess; asked again at the next tick.
            return
        known.looked_at = self.clock.monotonic()

    async def _see_containers(self, containers: Sequence[Container]) -> None:
        """What GPU each has; asked once for each."""
        new = [c.task_id for c in containers if c.started_at and c.task_id not in self._containers]
        await asyncio.gather(*(self._see_container(task_id) for task_id in new[:AT_A_TIME]))
        there = {container.task_id for container in containers}
        for task_id in [known for known in self._containers if known not in there]:
            del self._containers[task_id]

    async def _see_container(self, task_id: str) -> None:
        try:
            self._containers[task_id] = await self.control.container(task_id)
        except PeftTuiError:
            # Its price is not known this time.
            pass

    async def _see_prices(self) -> None:
        now = self.clock.monotonic()
        if self._rates_at is not None and now - self._rates_at < PRICES_SECONDS:
            return
        try:
            self._rates = await self.control.rates(Urgency.BACKGROUND)
            self._rates_at = now
        except PeftTuiError:
            pass

    async def _see_budget(self) -> None:
        """Whether what sleeps could wake: no request has to be sent to find out."""
        now = self.clock.monotonic()
        if self._spent_at is not None and now - self._spent_at < BUDGET_SECONDS:
            return
        try:
            budget = await self.control.budget(Urgency.BACKGROUND)
        except PeftTuiError:
            return
        self._spent, self._spent_at = budget is not None and budget.reached, now

    def _sight(self, app: App, containers: Sequence[Container], listed: bool) -> Sight:
        known = self._known.get(app.app_id)
        started = frozenset(c.task_id for c in containers if c.started_at)
        server = known.server if known else None
        # Where the containers are not listed, the list of apps says how many there are.
        unlisted = [server.gpu if server else ""] * app.running
        names = [self._gpu(c.task_id, server) for c in containers] if listed else unlisted
        prices = [gpu_price(name, self._rates) for name in names]
        return Sight(
            app,
            containers if listed else None,
            server,
            proved=known is not None and bool(known.proved & started),
            failures=known.failures if known else 0,
            failure=known.failure if known else "",
            usd_per_hour=_sum(prices),
            gpu=names[0] if names else "",
            spent=self._spent,
        )

    def _gpu(self, task_id: str, server: Server | None) -> str:
        info = self._containers.get(task_id)
        return (info.gpu if info else "") or (server.gpu if server else "")

    async def _ask(self, sight: Sight, token: ProxyToken | None) -> Sight:
        """Ask a server of its health: one of ours, awake, of whose containers none has answered yet.

        Each question counts as a request and keeps a container from falling asleep: once it has answered it
        is not asked again.
        """
        known = self._known.get(sight.app.app_id)
        if known is None or sight.containers is None or sight.app.state != "DEPLOYED":
            return sight
        started = frozenset(c.task_id for c in sight.containers if c.started_at)
        await self._count_failures(known, started)
        answer: Answer | None = None
        bare = token is None
        if started and started <= known.refused and known.asked_bare == bare:
            answer = Answer(Health.CLOSED if bare else Health.REFUSED)
        elif started and not sight.proved and known.server is not None and known.server.url:
            answer = await self.plane.health(known.server.url, token)
            if answer.health is Health.READY:
                known.proved, known.failures = started, 0
            elif answer.health is Health.REFUSED:
                known.refused, known.asked_bare = started, bare
                answer = replace(answer, health=Health.CLOSED) if bare else answer
        elif sight.proved:
            known.proved |= started
        return replace(sight, health=answer, failures=known.failures, failure=known.failure)

    async def _count_failures(self, known: _Known, started: frozenset[str]) -> None:
        """Containers that ended before any has answered, and why."""
        lost = known.seen - started
        if lost and not known.proved & known.seen:
            for task_id in sorted(lost):
                try:
                    info = await self.control.container(task_id)
                except PeftTuiError:
                    continue
                if info is not None and info.failed:
                    known.failures += 1
                    known.failure = info.exception or "without a reason"
        known.seen = started


def _serves(app: App) -> bool:
    """One that we made: its server has a name that we know."""
    return app.state == "DEPLOYED" and looks_like_ours(app.name)


def _sum(prices: Sequence[Decimal | None]) -> Decimal | None:
    known = [price for price in prices if price is not None]
    return sum(known, Decimal(0)) if len(known) == len(prices) else None
