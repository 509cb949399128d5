"""What went wrong in this session, each with its next step: what the error list shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.operation import OperationState
from peft_tui.store.platforms import PlatformHealth

MOST = 200
"""Older ones are forgotten: what still matters stands with its deployment."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that went wrong, once however often it is tried."""

    key: str
    at: datetime
    where: str
    """Whose it is: a deployment's or a platform's name, or what was being done."""
    what: str
    """`create failed`, `retrying`, `unreachable`, `refused` …"""
    error: PeftTuiError
    deployment_id: str = ""
    """Where there is one to go to."""
    over: bool = False
    """It went well afterwards."""


class Troubles:
    """The newest first. Whoever reads the store notes here what it says."""

    def __init__(self) -> None:
        self._known: dict[str, Trouble] = {}

    def __len__(self) -> int:
        return len(self._known)

    @property
    def all(self) -> list[Trouble]:
        return sorted(self._known.values(), key=lambda trouble: trouble.at, reverse=True)

    @property
    def open(self) -> int:
        """How many have not ended."""
        return sum(not trouble.over for trouble in self._known.values())

    def note(self, where: str, what: str, error: PeftTuiError, at: datetime, deployment_id: str = "") -> None:
        """Something that was refused or failed here."""
        self._put(Trouble(f"{where}/{what}/{at.isoformat()}", at, where, what, error, deployment_id))

    def note_deployment(self, deployment: Deployment) -> None:
        """What its operation ended with, or is being retried for."""
        operation = deployment.operation
        if operation is None or not operation.error:
            self._end(f"{deployment.id}/")
            return
        failed = operation.state is OperationState.FAILED
        what = f"{operation.kind.value} failed" if failed else f"{operation.kind.value}: retrying"
        error = PeftTuiError.from_dict(dict(operation.error))
        key = f"{deployment.id}/{operation.id}"
        self._put(Trouble(key, operation.updated_at, deployment.name, what, error, deployment.id))

    def note_platform(self, health: PlatformHealth, now: datetime) -> None:
        """What its last look ended with."""
        if health.error is None:
            self._end(f"{health.platform}:")
            return
        since = health.failing_since or now
        error = PeftTuiError.from_dict(dict(health.error))
        key = f"{health.platform}:{since.isoformat()}/{error.kind}"
        self._put(Trouble(key, since, health.platform, error.kind.replace("_", " "), error))

    def _put(self, trouble: Trouble) -> None:
        self._known[trouble.key] = trouble
        if len(self._known) > MOST:
            del self._known[min(self._known.values(), key=lambda old: (not old.over, old.at)).key]

    def _end(self, prefix: str) -> None:
        for key, trouble in self._known.items():
            if key.startswith(prefix) and not trouble.over:
                self._known[key] = replace(trouble, over=True)
