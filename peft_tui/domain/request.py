"""One exchange as it is kept: what was asked, how it went, what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from peft_tui.domain.inference import PromptRequest, Role
from peft_tui.domain.measure import Cost, Measured, Outcome, Source


@dataclass(frozen=True, slots=True)
class Texts:
    """What can be left out and deleted. Cleaned."""

    prompt: str = ""
    system: str = ""
    stop: tuple[str, ...] = ()
    thoughts: str = ""
    response: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One row of the history."""

    deployment_id: str
    at: datetime
    """t0."""
    source: Source
    model: str
    """The label of what was asked for."""
    role: Role
    request: PromptRequest
    outcome: Outcome
    measured: Measured
    cost: Cost = Cost()
    status: int | None = None
    error: Mapping[str, Any] | None = None
    """`PeftTuiError.as_dict()`."""
    reason: str = ""
    remote_id: str = ""
    run_id: str = ""
    wait_s: float | None = None
    """Of a run with a rate: between when it was to be sent and when it was."""
    texts: Texts | None = field(default=None)
    """None: not kept, or deleted."""
    id: int = 0
    """0 before it is stored."""
    warning: str = ""
    """What is odd about the answer; said once and not stored."""

    @property
    def error_message(self) -> str:
        return str(self.error.get("message", "")) if self.error else ""

    @property
    def error_kind(self) -> str | None:
        return str(self.error["kind"]) if self.error else None
