"""Status is an observation: what the platform said, when, and what we make of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class Status(StrEnum):
    """The five states that every platform's words are brought to."""

    PENDING = "pending"
    DEPLOYING = "deploying"
    ACTIVE = "active"
    STOPPED = "stopped"
    FAILED = "failed"


class Condition(StrEnum):
    """What is worth knowing besides the status. The value is the word a person reads."""

    NONE = ""
    ASLEEP = "asleep"
    """Scaled to zero: the next request boots it."""
    SCALING = "scaling"
    NO_TRAFFIC = "no traffic"
    """Ready, but the platform routes nothing to it."""
    DEGRADED = "degraded"
    STOPPING = "stopping"
    """Asked to stop; it bills until the platform says stopped."""
    ASSUMED = "assumed"
    """The platform has no word for it: derived, see the driver."""
    GONE = "gone"
    """We knew it, and the platform does not list it any more."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One answer of the platform about one deployment."""

    status: Status
    observed_at: datetime
    platform_status: str = ""
    """The platform's own word."""
    reason: str = ""
    condition: Condition = Condition.NONE
    ready_instances: int | None = None
    billed_instances: int | None = None
    """Instances that cost money now, as far as the platform lets us know."""
    min_instances: int | None = None
    max_instances: int | None = None
    instance_type: str = ""
    usd_per_hour: Decimal | None = None
    """What it costs per hour right now: billed instances × price. Estimated."""
    endpoint_url: str = ""
    model: str = ""
    """What an inference request names."""
    price_source: str = ""
    """Who says what an hour costs, and as of when, where the platform does not tell: then it is a guess."""

    def says_the_same_as(self, other: Observation) -> bool:
        """Equal but for the time: then there is no new line in the history."""
        return self.headline() == other.headline()

    def headline(self) -> tuple[object, ...]:
        """What makes a new line in the history when it changes."""
        return (
            self.status,
            self.platform_status,
            self.reason,
            self.condition,
            self.ready_instances,
            self.min_instances,
            self.max_instances,
            self.instance_type,
        )


def gone(now: datetime, reason: str) -> Observation:
    """What is observed of something that the platform does not have."""
    return Observation(
        Status.STOPPED,
        now,
        platform_status="not listed",
        reason=reason,
        condition=Condition.GONE,
        billed_instances=0,
        usd_per_hour=Decimal(0),
    )


def word_for(status: Status, condition: Condition) -> str:
    """The word that tells most; behind a `~` where the platform has none and it is derived."""
    return f"~{status.value}" if condition is Condition.ASSUMED else condition.value or status.value


GLYPHS: dict[Status, str] = {
    Status.PENDING: "○",
    Status.DEPLOYING: "◌",
    Status.ACTIVE: "●",
    Status.STOPPED: "◼",
    Status.FAILED: "✖",
}
