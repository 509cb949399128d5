"""What the status of one deployment is called, how old it is, and when that changes by itself.

A text that grows older by itself is coarse, so that a settled row stays the same from tick to tick and is not
drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from peft_tui.domain.ages import age, span
from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.operation import (
    AWAIT_ACTIVE,
    DOING,
    Operation,
    OperationKind,
    OperationState,
    OperationStep,
    StepState,
)
from peft_tui.domain.status import GLYPHS, Condition, Status, word_for
from peft_tui.store.platforms import PlatformHealth

STALE_SECONDS = 15
"""An observation older than this looks old: three looks of the refresh loop, as it is by default."""
STEP_SECONDS = 5
"""How often the age of something under way moves forward, at most."""

ORIGIN_MARKS = {Origin.OURS: "", Origin.FOUND: "· ", Origin.ORPHAN: "! "}
ORIGIN_WORDS = {
    Origin.OURS: "",
    Origin.FOUND: "not made here: shown as the platform lists it; adopt it to manage it from here",
    Origin.ORPHAN: "made by another peft-tui store, nothing here manages it: adopt it or stop it",
}

_TONES = {
    Status.PENDING: "dim",
    Status.DEPLOYING: "accent",
    Status.ACTIVE: "good",
    Status.STOPPED: "dim",
    Status.FAILED: "bad",
}
# Words that say more than the status does; GONE and the like must not look like what they were.
_TELLING = {
    Condition.ASLEEP: ("", "dim"),
    Condition.SCALING: ("◐", "accent"),
    Condition.NO_TRAFFIC: ("", "warn"),
    Condition.DEGRADED: ("◐", "warn"),
    Condition.STOPPING: ("◐", "warn"),
    Condition.ASSUMED: ("", "dim"),
    Condition.GONE: ("◼", "dim"),
}

# Ages


def seen_ago(seconds: float, fresh: float = STALE_SECONDS) -> str:
    """How old an observation is, in coarse steps; empty while it is fresh."""
    if seconds < fresh:
        return ""
    for step, words in ((30, "15s"), (45, "30s"), (60, "45s"), (120, "1m"), (180, "2m")):
        if seconds < step:
            return words
    return age(seconds)


def paced(seconds: float) -> str:
    """An exact span that moves forward in steps."""
    return span(max(seconds, 0) // STEP_SECONDS * STEP_SECONDS)


def seen_at(deployment: Deployment, health: PlatformHealth | None) -> datetime | None:
    """When it was last seen: its account's last list sees all that it has, and rewrites none of them."""
    if deployment.observation is None:
        return None
    observed = deployment.observation.observed_at
    looked_at = health.looked_at(deployment.account) if health is not None and deployment.listed else None
    return max(observed, looked_at) if looked_at else observed


def in_time(seen: datetime | None, now: datetime, fresh: float) -> datetime | None:
    """When it was last seen; where the looks are further apart, now until it is older than they allow."""
    return now if seen is not None and (now - seen).total_seconds() < fresh else seen


def list_age(health: PlatformHealth, now: datetime, fresh: float = STALE_SECONDS) -> str:
    """How old a platform's list looks; empty while it is fresh."""
    return seen_ago((now - health.listed_at).total_seconds(), fresh) if health.listed_at else "never"


def staleness(deployment: Deployment, now: datetime, seen: datetime | None) -> str:
    """How old what we know of it is; empty when fresh, never seen, or gone from the platform for good."""
    if seen is None or deployment.condition is Condition.GONE:
        return ""
    return seen_ago((now - seen).total_seconds())


def is_moving(deployment: Deployment) -> bool:
    """Whether its age is shown exactly."""
    operation = deployment.operation
    under_way = operation is not None and not operation.state.ended
    return under_way or deployment.status is Status.DEPLOYING


def next_change(deployment: Deployment, now: datetime, seen: datetime | None) -> datetime:
    """Until when its row stays the same if nothing is heard of it."""
    if is_moving(deployment):
        wait: float = STEP_SECONDS
    else:
        wait = 60 - max((now - since(deployment)).total_seconds(), 0) % 60
    if seen is not None:
        wait = min(wait, STALE_SECONDS - max((now - seen).total_seconds(), 0) % STALE_SECONDS)
    return now + timedelta(seconds=wait)


# The status of one deployment


@dataclass(frozen=True, slots=True)
class StatusText:
    """What the status cell says, in its parts."""

    glyph: str
    word: str
    age: str
    tone: str
    brief: str = ""
    """For `word`, where there is no room for it."""

    def __str__(self) -> str:
        return self._joined(self.word)

    @property
    def short(self) -> str:
        """The same in fewer cells; empty when it is short already."""
        return self._joined(self.brief) if self.brief else ""

    def _joined(self, word: str) -> str:
        return " ".join(part for part in (self.glyph, word, self.age) if part)


def status_text(deployment: Deployment, now: datetime) -> StatusText:
    """Glyph, word and age; the condition is the word where it tells more."""
    operation = deployment.operation
    under_way = operation is not None and not operation.state.ended
    if operation is not None and under_way and operation.kind is not OperationKind.CREATE:
        return _changing(deployment, operation, now)
    if deployment.observation is None:
        if operation is not None and under_way:
            return _under_way(deployment, operation, now)
        return _plain_status(deployment, now)
    status = _plain_status(deployment, now)
    if operation is not None and operation.state is OperationState.FAILED:
        if deployment.status is not Status.FAILED:
            # The platform has it, and yet it is not what was asked for: both have to be seen.
            verb = "" if operation.kind is OperationKind.CREATE else f"{operation.kind.value} "
            return StatusText(
                "✖", f"{verb}failed, {status.word}", "", "bad", f"failed, {status.word}" if verb else ""
            )
    elif deployment.origin is Origin.ORPHAN:
        return StatusText(status.glyph, f"orphan, {status.word}", status.age, "warn", "orphan")
    return status


def _changing(deployment: Deployment, operation: Operation, now: datetime) -> StatusText:
    """Something was asked of what exists: this is read before what the platform last said of it."""
    passed = paced((now - operation.created_at).total_seconds())
    word = DOING[operation.kind]
    if operation.kind in (OperationKind.STOP, OperationKind.DELETE) and deployment.bills:
        return StatusText("◐", f"{word}, still billing", passed, "warn", f"{word}, bills")
    return StatusText("◐", word, passed, "accent")


def _plain_status(deployment: Deployment, now: datetime) -> StatusText:
    status = deployment.status
    glyph, word, tone = GLYPHS[status], status.value, _TONES[status]
    if deployment.condition in _TELLING:
        special, tone = _TELLING[deployment.condition]
        glyph, word = special or glyph, word_for(status, deployment.condition)
    passed = (now - since(deployment)).total_seconds()
    how_old = paced(passed) if is_moving(deployment) else age(passed)
    if deployment.condition is Condition.STOPPING and deployment.bills:
        return StatusText(glyph, f"{word}, still billing", how_old, tone, f"{word}, bills")
    return StatusText(glyph, word, how_old, tone)


def _under_way(deployment: Deployment, operation: Operation, now: datetime) -> StatusText:
    step = operation.current
    passed = paced((now - operation.created_at).total_seconds())
    if step is None or step.started_at is None:
        begun = any(step.started_at for step in operation.steps)
        glyph = GLYPHS[Status.DEPLOYING if begun else Status.PENDING]
        return StatusText(glyph, "next: " + doing(step) if begun and step else "pending", passed, "accent")
    return StatusText(GLYPHS[Status.DEPLOYING], doing(step), percent(step) or passed, "accent")


def doing(step: OperationStep) -> str:
    """One word for what a step does, from its title: `upload its files` → `uploading`."""
    if step.key == AWAIT_ACTIVE:
        return "starting"
    verb = step.title.split(" ", 1)[0].lower()
    if not verb.isalpha() or verb in ("dry",):
        return "checking"
    return (verb[:-1] if verb.endswith("e") else verb) + "ing"


def percent(step: OperationStep) -> str:
    """`41%`, where it counts towards a known end."""
    if not step.total or step.done is None or step.state is not StepState.SENT:
        return ""
    return f"{min(step.done, step.total) * 100 // step.total}%"


def since(deployment: Deployment) -> datetime:
    """Since when it is as it is."""
    if deployment.observation is None and deployment.operation is not None:
        operation = deployment.operation
        return operation.updated_at if operation.state.ended else operation.created_at
    return deployment.since or deployment.created_at


def machine(deployment: Deployment) -> str:
    """What it was last seen on, else what was asked for; empty when neither is known."""
    seen = deployment.observation.instance_type if deployment.observation else ""
    return seen or deployment.spec.instance_type
