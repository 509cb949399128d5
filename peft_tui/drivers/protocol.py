"""What the rest of the program may ask of a platform: our verbs in, domain values out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from peft_tui.clock import Clock
from peft_tui.domain.adapter import Adapter, AdapterSource
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.event import Event as Event
from peft_tui.domain.inference import InferenceTarget
from peft_tui.domain.money import Budget
from peft_tui.domain.offers import (
    Account,
    Assessment,
    Capabilities,
    InstanceType,
    PlatformModel,
)
from peft_tui.domain.reported import Report
from peft_tui.domain.spec import DeploymentSpec, Settings
from peft_tui.domain.status import Observation
from peft_tui.domain.version import Version

Outputs = Mapping[str, Any]
"""What a step leaves for later ones: remote ids and the like, JSON only, never a secret."""


@dataclass(frozen=True, slots=True)
class RemoteDeployment:
    """One deployment as the platform's list shows it."""

    remote_id: str
    remote_name: str
    """The name that we would have given it: without owner or project."""
    observation: Observation
    adapter: str = ""
    """The platform's name of what it serves."""
    base_model: str = ""
    created_at: datetime | None = None
    needs_explaining: bool = False
    """True when the list leaves out why it is in this state and `explain` can tell."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """All that a step may know. A step is a function of this, so that it can be begun again anywhere."""

    spec: DeploymentSpec
    """As it will be when the operation is done."""
    remote_name: str
    outputs: Outputs
    """Of all finished steps of this operation. `remote_id` in them is written down as the deployment's;
    `absent` (true) says that the platform has no such deployment."""
    started_at: datetime
    """When this step was first sent: nothing older can be its doing."""
    clock: Clock
    report: Callable[[int | None, int | None, str], None]
    """Progress: done, total (bytes), and a note in words."""
    remote_id: str = ""
    """The platform's own id of the deployment, once it is known; a create begins without."""
    changes: Settings = field(default_factory=dict)
    """Of an update or a start: the settings that are to be different; an empty text takes one away."""
    made: Outputs = field(default_factory=dict)
    """What the steps of its create left, where it was made here: for cleaning up."""


@runtime_checkable
class Reporter(Protocol):
    """A driver whose platform tells figures of its own."""

    metrics_wake: bool
    """Whether asking a deployment that sleeps would boot it: then it is not asked."""

    async def metrics(self, wanted: Mapping[str, datetime]) -> tuple[Report, ...]:
        """What the platform says of some deployments, as few calls as that takes.

        Args:
            wanted: since when, by remote id. What is told twice is kept once.

        Raises:
            PeftTuiError: nothing could be had.
        """
        ...


@runtime_checkable
class Budgeted(Protocol):
    """A driver whose platform limits what the account may spend."""

    async def allowance(self) -> Budget | None:
        """What is spent of it; None where there is no limit, or it is not told.

        Raises:
            PeftTuiError: it could not be asked.
        """
        ...


@runtime_checkable
class Dated(Protocol):
    """A driver whose platform tells the time with its answers."""

    @property
    def ahead(self) -> timedelta | None:
        """How far its clock is ahead of this machine's; None before it answered."""
        ...


@runtime_checkable
class Describer(Protocol):
    """A driver whose platform tells more of a deployment's settings than its list shows."""

    async def settings_of(self, remote: RemoteDeployment) -> Settings:
        """The declared settings of one as they are there; what the platform does not tell is left out.

        Raises:
            PeftTuiError: they could not be had.
        """
        ...


@runtime_checkable
class Versioned(Protocol):
    """A driver whose platform keeps the versions that were replaced."""

    async def versions(self, remote_id: str) -> tuple[Version, ...]:
        """All that it tells of, newest first; none where it tells of none."""
        ...


@runtime_checkable
class Opening(Protocol):
    """A driver that makes the secret which its targets name as kept, where there is none yet."""

    async def make_ready(self) -> None:
        """Have it there; for when something is about to be sent, and not before.

        Raises:
            PeftTuiError: it could not be made.
        """
        ...


class Driver(Protocol):
    """One account at one platform.

    Every verb raises `PeftTuiError` and nothing else. What an error says of its effect (`Effect`) is a
    promise: NONE means that the platform has certainly done nothing.
    """

    capabilities: Capabilities

    async def account(self) -> Account:
        """Who the credentials belong to; asks once and remembers."""
        ...

    async def instance_types(self) -> tuple[InstanceType, ...]:
        """The machines on offer, cheapest first."""
        ...

    async def models(self) -> tuple[PlatformModel, ...]:
        """What the account owns there that could be deployed."""
        ...

    async def assess(self, source: AdapterSource, adapter: Adapter | None) -> Assessment:
        """How an adapter fits. `adapter` is None when its files could not be read."""
        ...

    async def deployments(self) -> tuple[RemoteDeployment, ...]:
        """Every deployment of the account with its state: one call, paged, however many there are."""
        ...

    async def explain(self, remote: RemoteDeployment) -> Observation:
        """The same observation with the platform's reason, where the list has none."""
        ...

    async def exists(self, remote_id: str) -> bool:
        """Asked for by its id. False only when the platform says itself that there is no such thing."""
        ...

    def repeatable(self, step: str) -> bool:
        """True when `step` may simply be done again: it only reads, or doing it twice is doing it once."""
        ...

    async def find(self, step: str, context: StepContext) -> Outputs | None:
        """What an earlier, unanswered attempt at `step` left behind; None when nothing is there."""
        ...

    async def act(self, step: str, context: StepContext) -> Outputs:
        """Carry out `step` of the plan."""
        ...

    async def inference(self, deployment: Deployment) -> InferenceTarget:
        """Where and how `deployment` is asked, and what sending does now. Says nothing to its endpoint, and
        makes nothing.

        Raises:
            PeftTuiError: it cannot be asked, or it is not known yet how.
        """
        ...

    async def events(self, remote_id: str) -> tuple[Event, ...]:
        """What the platform says happened, newest first; nothing where `no_events` has a reason."""
        ...

    async def logs(self, remote_id: str, limit: int) -> tuple[str, ...]:
        """The last lines of output, oldest first, cleaned; nothing where `no_logs` has a reason."""
        ...
