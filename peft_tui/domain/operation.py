"""An operation is what was asked for, step by step, written down before the first byte is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from peft_tui.domain.spec import Settings

AWAIT_ACTIVE = "await_active"
AWAIT_STOPPED = "await_stopped"
AWAIT_GONE = "await_gone"
WATCHED = frozenset({AWAIT_ACTIVE, AWAIT_STOPPED, AWAIT_GONE})
"""The steps that no driver carries out: they watch what the refresh loop observes."""


class OperationKind(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    """Change settings of what runs."""
    STOP = "stop"
    """End the billing and keep what is needed to start again."""
    START = "start"
    """What was stopped serves again, within the bounds that were remembered."""
    DELETE = "delete"
    """Nothing of it is left at the platform."""
    ROLLBACK = "rollback"
    """An earlier version serves again, as the platform keeps it."""


DOING = {
    OperationKind.CREATE: "deploying",
    OperationKind.UPDATE: "updating",
    OperationKind.STOP: "stopping",
    OperationKind.START: "starting",
    OperationKind.DELETE: "deleting",
    OperationKind.ROLLBACK: "rolling back",
}
"""What goes on while it is under way."""


VERSION = "version"
"""In the changes of a rollback: the number of the version that is to serve again. It is no setting."""


class OperationState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Given up by a person; another operation cleans up what it left."""

    @property
    def ended(self) -> bool:
        return self not in (OperationState.QUEUED, OperationState.RUNNING)


class StepState(StrEnum):
    PENDING = "pending"
    SENT = "sent"
    """Asked for and not answered yet. Found like this at a start, it is looked up before it is sent again."""
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class OperationStep:
    """One durable step."""

    seq: int
    key: str
    title: str
    state: StepState = StepState.PENDING
    bills: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """What later steps need: remote ids and the like. Never a secret."""
    done: int | None = None
    """Progress: bytes, or another count where `total` says of what."""
    total: int | None = None
    note: str = ""
    """What it is doing or waiting for, in words."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that was asked for."""

    id: str
    deployment_id: str
    kind: OperationKind
    state: OperationState
    created_at: datetime
    updated_at: datetime
    steps: tuple[OperationStep, ...] = ()
    error: Mapping[str, Any] | None = None
    """`PeftTuiError.as_dict()` of what ended it, or of what it is being retried for."""
    changes: Settings = field(default_factory=dict)
    """Of an update or a start: the settings that are different afterwards; an empty text takes one away."""
    given_up: bool = False
    """A person wants it no more: nothing further of it is sent, and what was sent is looked up."""

    @property
    def settings(self) -> Settings:
        """What the deployment's settings are different in when it is done."""
        if self.kind is OperationKind.DELETE:
            return {}
        return {key: value for key, value in self.changes.items() if key != VERSION}

    @property
    def current(self) -> OperationStep | None:
        """The step that is under way or next."""
        return next((step for step in self.steps if step.state is not StepState.DONE), None)

    @property
    def outputs(self) -> dict[str, Any]:
        """What all finished steps left for the later ones."""
        merged: dict[str, Any] = {}
        for step in self.steps:
            merged.update(step.outputs)
        return merged

    @property
    def begun(self) -> bool:
        """True when any step was ever sent: only then can there be something at the platform."""
        return any(step.started_at is not None for step in self.steps)

    @property
    def made_something(self) -> bool:
        """True when a step that costs money was carried out, or may have been."""
        return any(step.bills and step.state in (StepState.DONE, StepState.SENT) for step in self.steps)

    @property
    def unclear(self) -> bool:
        """It ended as failed, and as far as anybody knows each step of it may have been carried out."""
        carried_out = all(step.state in (StepState.DONE, StepState.SENT) for step in self.steps)
        return self.state is OperationState.FAILED and bool(self.steps) and carried_out

    @property
    def may_bill(self) -> bool:
        """True when a step that costs money was begun."""
        return any(step.bills and step.state is not StepState.PENDING for step in self.steps)
