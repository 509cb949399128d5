"""What the platforms tell of requests and bills: every thirty seconds, and never waking what sleeps."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from peft_tui.clock import Clock
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.money import BUDGET_EVERY
from peft_tui.domain.status import Condition, Status
from peft_tui.drivers.protocol import Budgeted, Driver, Reporter
from peft_tui.store import Store

PERIOD_SECONDS = 30.0
AT_A_TIME = 25
"""Deployments of one look, those that were longest not asked about first."""
FIRST_LOOK = timedelta(hours=24)
AFTERWARDS = timedelta(hours=3)
"""How long one that sleeps or stopped is still asked about, where that does not wake it: bills come late."""
PRUNE = timedelta(hours=24)

log = logging.getLogger(__name__)


class FiguresWorker:
    """One platform's loop body."""

    def __init__(
        self, platform: str, driver: Driver, store: Store, clock: Clock, keep_days: int = 90
    ) -> None:
        self._platform = platform
        self._driver = driver
        self._store = store
        self._clock = clock
        self._keep_days = keep_days
        self._not_before: datetime | None = None
        self._pruned: datetime | None = None
        self._budget_asked: datetime | None = None

    async def tick(self) -> None:
        """Ask once, and keep what is new; an error is left to the refresh loop, which says it."""
        now = self._clock.now()
        await self._store.figures.fold(now)
        await self._prune(now)
        driver = self._driver
        await self._ask_budget(now)
        if not isinstance(driver, Reporter) or (self._not_before is not None and now < self._not_before):
            return
        wanted, ids = await self._wanted(driver, now)
        if not wanted:
            return
        try:
            reports = await driver.metrics(wanted)
        except PeftTuiError as error:
            if error.retry_after is not None:
                self._not_before = now + timedelta(seconds=min(error.retry_after, 600.0))
            log.info("%s tells no figures: %s", self._platform, error.message)
            return
        for report in reports:
            if report.remote_id in ids:
                await self._store.reported.write(ids[report.remote_id], report, now)

    async def _wanted(self, driver: Reporter, now: datetime) -> tuple[dict[str, datetime], dict[str, str]]:
        """Since when which are to be asked about, and whose they are."""
        account = await self._account()
        deployments = await self._store.deployments.of_account(self._platform, account) if account else []
        looks = await self._store.reported.looks([d.id for d in deployments])
        due = [d for d in deployments if d.remote_id and _to_be_asked(d, now, driver.metrics_wake)]
        never = now - FIRST_LOOK
        due.sort(key=lambda d: looks.get(d.id, never))
        chosen = due[:AT_A_TIME]
        wanted = {d.remote_id: max(looks.get(d.id, never), never) for d in chosen}
        return wanted, {d.remote_id: d.id for d in chosen}

    async def _ask_budget(self, now: datetime) -> None:
        due = self._budget_asked is None or now - self._budget_asked >= BUDGET_EVERY
        if not isinstance(self._driver, Budgeted) or not due:
            return
        self._budget_asked = now
        if account := await self._account():
            try:
                budget = await self._driver.allowance()
            except PeftTuiError as error:
                log.info("%s tells no budget: %s", self._platform, error.message)
                return
            await self._store.budgets.write(self._platform, account, budget, now)

    async def _account(self) -> str:
        try:
            return (await self._driver.account()).id
        except PeftTuiError:
            return ""

    async def _prune(self, now: datetime) -> None:
        if self._pruned is None or now - self._pruned >= PRUNE:
            self._pruned = now
            await self._store.figures.prune(now, self._keep_days)
            await self._store.reported.prune(now - timedelta(days=self._keep_days))


def _to_be_asked(deployment: Deployment, now: datetime, wakes: bool) -> bool:
    """Whether there may be something new of it, and asking does nothing to it."""
    seen = deployment.observation
    if seen is None or not deployment.listed or deployment.condition is Condition.GONE:
        return False
    awake = seen.status is Status.ACTIVE and seen.condition is not Condition.ASLEEP
    if awake and not (wakes and not seen.ready_instances):
        return True
    lately = deployment.since is not None and now - deployment.since < AFTERWARDS
    return lately and not wakes
