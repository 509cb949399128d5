"""A deployment: what was asked for, under which remote name, and what was last seen of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from peft_tui.domain.operation import Operation, OperationKind, OperationState
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.domain.status import Condition, Observation, Status


class Origin(StrEnum):
    OURS = "ours"
    """Made through this store."""
    FOUND = "found"
    """Listed by the platform, made elsewhere."""
    ORPHAN = "orphan"
    """Listed by the platform under a name of our making, and not in this store."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One row of the table."""

    id: str
    spec: DeploymentSpec
    origin: Origin
    account: str
    """`Account.id` it belongs to; empty until it is known."""
    remote_name: str
    """Deterministic: the platforms have no idempotency keys, so the name is ours."""
    remote_id: str
    """The platform's own id, empty until it is known."""
    created_at: datetime
    observation: Observation | None = None
    since: datetime | None = None
    """Since when it has this status."""
    listed: bool = False
    """The platform's last list had it."""
    operation: Operation | None = None
    """The one that is under way or next, else the newest if that has failed."""
    start_bounds: tuple[int, int] | None = None
    """The last minimum and maximum that were not those of a stopped one: what it is started with."""
    others: tuple[Operation, ...] = ()
    """What has not ended either: what waits for the end of `operation`, and what is being given up."""
    asked: bool = True
    """Its account's list was read since the store was begun, or restored from its backup."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def platform(self) -> str:
        return self.spec.platform

    @property
    def status(self) -> Status:
        """The last observation's; before the first one, what the operation lets us say."""
        if self.observation is not None:
            return self.observation.status
        if self.operation is not None and self.operation.state.ended:
            return Status.FAILED
        if self.operation is not None and self.operation.may_bill:
            return Status.DEPLOYING
        return Status.PENDING

    @property
    def came_to_nothing(self) -> bool:
        """Nothing of it is left at the platform, or ever was: its name is free again."""
        if self.observation is not None:
            return self.observation.condition is Condition.GONE
        create = self.operation if self.operation and self.operation.kind is OperationKind.CREATE else None
        return create is not None and create.state.ended and not create.made_something

    @property
    def usd_per_hour(self) -> Decimal | None:
        """What it costs now, as far as anybody knows: nothing while no step that bills was begun."""
        if self.observation is not None:
            return None if self.started_unseen else self.observation.usd_per_hour
        create = self.operation if self.operation and self.operation.kind is OperationKind.CREATE else None
        if create is None:
            return None
        bills = create.made_something if create.state.ended else create.may_bill
        return None if bills else Decimal(0)

    @property
    def started_unseen(self) -> bool:
        """Its start was sent, and all that was seen of it is that it was stopped: it may bill by now."""
        seen = self.observation
        if seen is None or seen.status is not Status.STOPPED or seen.usd_per_hour or seen.billed_instances:
            return False
        asked = [one for one in (self.operation, *self.others) if one is not None]
        return any(self._may_have_started(one, seen.observed_at) for one in asked)

    def _may_have_started(self, operation: Operation, seen_at: datetime) -> bool:
        """Whether it may run because of `operation`, or because of what that puts an end to."""
        if operation.kind is OperationKind.STOP:
            # What was known to be stopped is not stopped again: a start was given up for it.
            return not operation.state.ended and seen_at <= operation.created_at
        if operation.kind is not OperationKind.START or not operation.made_something:
            return False
        return not operation.state.ended or self.unclear or seen_at <= operation.updated_at

    @property
    def unclear(self) -> bool:
        """It may have been carried out whole, as far as anybody knows, and the platform was not asked yet."""
        return not self.asked and self.operation is not None and self.operation.unclear

    @property
    def half_made(self) -> bool:
        """Its create failed, and the platform has it all the same: whatever runs of it was not asked for.

        Of one that may have been carried out whole, the platform's word counts.
        """
        operation = self.operation
        failed = operation is not None and operation.state is OperationState.FAILED and not operation.unclear
        create = operation is not None and operation.kind is OperationKind.CREATE
        return failed and create and self.observation is not None and self.condition is not Condition.GONE

    @property
    def standing(self) -> Status:
        """The status that it counts as: half made is failed, also where the platform calls it well."""
        return Status.FAILED if self.half_made else self.status

    @property
    def is_guess(self) -> bool:
        """Whether what it costs now is not what the platform says: its price, or that it runs at all."""
        seen = self.observation
        if seen is None or not seen.usd_per_hour:
            return False
        return bool(seen.price_source) or seen.condition is Condition.ASSUMED

    @property
    def bills(self) -> bool:
        """Whether it costs money now, as far as anybody knows."""
        seen = self.observation
        if seen is None:
            return self.usd_per_hour is None and self.operation is not None and self.operation.may_bill
        if self.started_unseen:
            return True
        if seen.billed_instances is not None:
            return seen.billed_instances > 0
        if seen.usd_per_hour is not None:
            return seen.usd_per_hour > 0
        return seen.status in (Status.ACTIVE, Status.DEPLOYING)

    @property
    def under_way(self) -> Operation | None:
        """The operation that has not ended."""
        return self.operation if self.operation and not self.operation.state.ended else None

    @property
    def waiting_start(self) -> Operation | None:
        """The start that follows when what is under way has ended, and makes it bill again."""
        starts = (one for one in self.others if one.kind is OperationKind.START and not one.given_up)
        return next(starts, None)

    @property
    def to_give_up(self) -> Operation | None:
        """What giving up applies to: a stop that was begun is not taken back, what waits for it is."""
        under_way = self.under_way
        if under_way is not None and under_way.kind is OperationKind.STOP and under_way.begun:
            return self.waiting_start or under_way
        return under_way

    @property
    def bounds_to_start(self) -> tuple[int, int] | None:
        """Minimum and maximum for a start; None when they were never known."""
        if self.start_bounds is not None:
            return self.start_bounds
        low, high = self.spec.min_instances, self.spec.max_instances
        return (low, high) if high > 0 else None

    @property
    def condition(self) -> Condition:
        return self.observation.condition if self.observation else Condition.NONE


_MARK = re.compile(r"-(?=[0-9]*[a-f])[0-9a-f]{8}$")
"""At least one letter: eight digits at the end of a name are a date, and somebody else's."""


def remote_name(name: str, deployment_id: str, max_length: int = 60) -> str:
    """`<slug>-<8 hex>`: the same for the same deployment, however often it is asked."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "adapter"
    mark = deployment_id[:8]
    if mark.isdigit():
        mark = f"{mark[:7]}{'abcdefabcd'[int(mark[7])]}"
    return f"{slug[: max_length - 9].rstrip('-')}-{mark}"


def unmarked(name: str) -> str:
    """The name that a person gave to what has this remote name."""
    return _MARK.sub("", name)


def looks_like_ours(name: str) -> bool:
    """True for a remote name of our making."""
    return bool(_MARK.search(name))
