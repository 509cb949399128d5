"""The steps that no driver carries out: they watch what the refresh loop writes, and ask nothing more.

Only what was observed after a step began counts. A stop is done when it was read back, not when it was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peft_tui.clock import Clock
from peft_tui.domain.ages import age
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PlatformFailed
from peft_tui.domain.operation import AWAIT_ACTIVE, AWAIT_GONE, AWAIT_STOPPED, Operation
from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.drivers.protocol import StepContext
from peft_tui.store import Changes, Store

PATIENCE_SECONDS = {AWAIT_ACTIVE: 1800.0, AWAIT_STOPPED: 300.0, AWAIT_GONE: 300.0}
"""After this long it is said that it takes long; a platform may know better."""
LAG_SECONDS = 60.0
"""For how long after a start a platform may still tell how it was before."""


AGAIN_SECONDS = 60.0
"""How long the platform may show what was ended as if nothing had been asked; then it is asked again."""


class AskAgain(Exception):
    """What the platform answered and what it shows do not agree."""

    def __init__(self, key: str, note: str) -> None:
        super().__init__(note)
        self.key = key
        """The step to begin again with."""
        self.note = note


@dataclass(frozen=True, slots=True)
class Watch:
    """One watched step."""

    store: Store
    clock: Clock
    operation: Operation
    context: StepContext
    patience: float

    async def until(self, key: str) -> Mapping[str, Any]:
        """Return when what was waited for has come.

        Raises:
            PlatformFailed: it will not come.
            AskAgain: it was answered, and the platform shows that it was not done.
        """
        reached = {AWAIT_ACTIVE: self._active, AWAIT_STOPPED: self._stopped, AWAIT_GONE: self._gone}[key]
        changed = asyncio.Event()

        def notice(changes: Changes) -> None:
            if self.operation.deployment_id in changes.deployments or changes.platforms:
                changed.set()

        unlisten = self.store.database.listen(notice)
        since = self.context.started_at
        told = ""
        try:
            while True:
                changed.clear()
                # A clock that was set back must not make everything that follows look old.
                since = min(since, self.clock.now())
                deployment = await self.store.deployments.get(self.operation.deployment_id)
                if deployment is not None and await reached(deployment, since):
                    return {}
                if (note := self._note(key, deployment)) != told:
                    told = note
                    self.context.report(None, None, note)
                await changed.wait()
        finally:
            unlisten()

    async def _active(self, deployment: Deployment, since: datetime) -> bool:
        seen = self._seen(deployment, since)
        if seen is None:
            return False
        if seen.status is Status.ACTIVE and seen.condition is not Condition.STOPPING:
            return True
        if seen.condition is Condition.ASLEEP and self.context.outputs.get("never_asked"):
            return True
        if seen.status not in (Status.FAILED, Status.STOPPED):
            return False
        lagging = (seen.observed_at - since).total_seconds() < LAG_SECONDS
        if seen.condition is not Condition.GONE and lagging and (deployment.since or since) <= since:
            # Lists may lag: it is as it was before it was started.
            return False
        raise PlatformFailed(
            f"It is {seen.status}, not active: {seen.reason or seen.platform_status}",
            detail=seen.platform_status,
        )

    async def _stopped(self, deployment: Deployment, since: datetime) -> bool:
        if deployment.condition is Condition.GONE:
            return await self._left_out(deployment, since)
        absent = bool(self.context.outputs.get("absent"))
        if absent and deployment.observation is None:
            return await self._left_out(deployment, since)
        seen = self._seen(deployment, since)
        if seen is None:
            return False
        if not ends_billing(seen) and seen.condition is not Condition.STOPPING:
            if absent:
                raise AskAgain("stop", "the platform said that it is not there, and shows it")
            if seen.max_instances != 0 and self._untouched(seen, since):
                raise AskAgain("stop", "the platform shows it as if it had not been stopped")
        return ends_billing(seen)

    async def _gone(self, deployment: Deployment, since: datetime) -> bool:
        if deployment.observation is not None and deployment.condition is not Condition.GONE:
            seen = self._seen(deployment, since)
            if seen is not None and self._untouched(seen, since):
                raise AskAgain("delete", "the platform shows it as if it had not been deleted")
            return False
        return await self._left_out(deployment, since)

    async def _left_out(self, deployment: Deployment, since: datetime) -> bool:
        """A list that is younger than the step did not have it: that it is gone is written down only once."""
        health = (await self.store.platforms.all()).get(deployment.platform)
        # Another window may list another account of the same platform.
        looked = health.looked_at(deployment.account) if health is not None else None
        return looked is not None and looked > since

    def _untouched(self, seen: Observation, since: datetime) -> bool:
        return (seen.observed_at - since).total_seconds() > AGAIN_SECONDS

    def _seen(self, deployment: Deployment, since: datetime) -> Observation | None:
        """The last observation, if it was made after the step began."""
        seen = deployment.observation
        return seen if seen is not None and since < seen.observed_at <= self.clock.now() else None

    def _note(self, key: str, deployment: Deployment | None) -> str:
        passed = (self.clock.now() - self.context.started_at).total_seconds()
        seen = deployment.observation if deployment else None
        said = f"the platform says {seen.platform_status or seen.status}" if seen else "it was not listed yet"
        if passed > self.patience:
            bills = "" if key == AWAIT_GONE else " It bills meanwhile."
            return f"This takes longer than {age(self.patience)}: {said}.{bills}"
        may_bill = deployment is None or deployment.bills
        return "still billing until the platform says stopped" if key == AWAIT_STOPPED and may_bill else ""


def ends_billing(seen: Observation) -> bool:
    """The platform says that nothing of it runs any more."""
    if seen.billed_instances:
        return False
    if seen.status is Status.FAILED:
        return seen.billed_instances == 0
    return seen.status is Status.STOPPED and seen.condition is not Condition.STOPPING
