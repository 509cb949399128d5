"""From a deployment and the time to the cells of its line: no screen, no clock.

A text that grows older by itself is coarse, so that a settled row stays the same from tick to tick and is not
drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from peft_tui.domain.ages import age, span, took
from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.money import usd
from peft_tui.domain.operation import (
    AWAIT_ACTIVE,
    Operation,
    OperationKind,
    OperationState,
    OperationStep,
    StepState,
)
from peft_tui.domain.status import GLYPHS, Condition, Status
from peft_tui.store.platforms import PlatformHealth
from peft_tui.text import clean_line
from peft_tui.ui.widgets.live_table import Cell, Column, Row

if TYPE_CHECKING:
    from peft_tui.services.figures import Brief

STALE_SECONDS = 15
"""An observation older than this looks old: three looks of the refresh loop."""
STEP_SECONDS = 5
"""How often the age of something under way moves forward, at most."""
WORTH_SAYING = Decimal("0.01")
"""Of a cost so far; below it what an hour costs is of more use."""
UNKNOWN = "—"
_DASH = Cell(UNKNOWN, "dim")
_cell = lru_cache(maxsize=16_384)(Cell)
_shown = lru_cache(maxsize=16_384)(clean_line)
"""The same names and models come again and again."""

COLUMNS = (
    Column("name", "NAME", 14, grow=True, minimum=8, elide="middle"),
    Column("platform", "PLATFORM", 9, priority=1),
    Column("status", "STATUS", 20, grow=True, minimum=14),
    Column("instances", "INST", 4, "right", priority=3),
    Column("requests", "REQ", 6, "right", priority=4),
    Column("success", "OK%", 4, "right", priority=6),
    Column("latency", "P50", 6, "right", priority=5),
    Column("cost", "COST", 8, "right", priority=2),
    Column("adapter", "ADAPTER", 20, priority=8, grow=True, elide="middle"),
    Column("base", "BASE MODEL", 24, priority=7, grow=True, elide="middle"),
)

ORIGIN_MARKS = {Origin.OURS: "", Origin.FOUND: "· ", Origin.ORPHAN: "! "}
ORIGIN_WORDS = {
    Origin.OURS: "",
    Origin.FOUND: "not made here: shown as the platform lists it; adopt it to manage it from here",
    Origin.ORPHAN: "made by another peft-tui store, nothing here manages it: adopt it or stop it",
}
VERBS = {
    OperationKind.CREATE: "deploying",
    OperationKind.UPDATE: "updating",
    OperationKind.STOP: "stopping",
    OperationKind.START: "starting",
    OperationKind.DELETE: "deleting",
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
_FAILURES = {
    "connection": "unreachable",
    "authentication": "refuses the key",
    "timeout": "does not answer",
    "resource": "refuses for now",
    "platform": "is failing",
}


# Ages


def seen_ago(seconds: float) -> str:
    """How old an observation is, in coarse steps; empty while it is fresh."""
    if seconds < STALE_SECONDS:
        return ""
    for step, words in ((30, "15s"), (45, "30s"), (60, "45s"), (120, "1m"), (180, "2m")):
        if seconds < step:
            return words
    return age(seconds)


def paced(seconds: float) -> str:
    """An exact span that moves forward in steps."""
    return span(max(seconds, 0) // STEP_SECONDS * STEP_SECONDS)


def seen_at(deployment: Deployment, listed_at: datetime | None) -> datetime | None:
    """When it was last seen: its platform's last list sees all that it has, and rewrites none of them."""
    if deployment.observation is None:
        return None
    observed = deployment.observation.observed_at
    return max(observed, listed_at) if listed_at and deployment.listed else observed


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
        wait = 60 - max((now - _since(deployment)).total_seconds(), 0) % 60
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


def bills(deployment: Deployment) -> bool:
    """Whether it costs money now, as far as anybody knows."""
    seen = deployment.observation
    if seen is None:
        return deployment.operation is not None and deployment.operation.may_bill
    if seen.billed_instances is not None:
        return seen.billed_instances > 0
    if seen.usd_per_hour is not None:
        return seen.usd_per_hour > 0
    return seen.status in (Status.ACTIVE, Status.DEPLOYING)


def _changing(deployment: Deployment, operation: Operation, now: datetime) -> StatusText:
    """Something was asked of what exists: this is read before what the platform last said of it."""
    passed = paced((now - operation.created_at).total_seconds())
    word = VERBS[operation.kind]
    if operation.kind in (OperationKind.STOP, OperationKind.DELETE) and bills(deployment):
        return StatusText("◐", f"{word}, still billing", passed, "warn", f"{word}, bills")
    return StatusText("◐", word, passed, "accent")


def _plain_status(deployment: Deployment, now: datetime) -> StatusText:
    status = deployment.status
    glyph, word, tone = GLYPHS[status], status.value, _TONES[status]
    if deployment.condition in _TELLING:
        special, tone = _TELLING[deployment.condition]
        glyph, word = special or glyph, deployment.condition.value
    passed = (now - _since(deployment)).total_seconds()
    how_old = paced(passed) if is_moving(deployment) else age(passed)
    if deployment.condition is Condition.STOPPING and bills(deployment):
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


def _since(deployment: Deployment) -> datetime:
    """Since when it is as it is."""
    if deployment.observation is None and deployment.operation is not None:
        operation = deployment.operation
        return operation.updated_at if operation.state.ended else operation.created_at
    return deployment.since or deployment.created_at


# Other cells


def instances(deployment: Deployment) -> str:
    """`1/2`: ready of at most."""
    observation = deployment.observation
    if observation is None:
        return UNKNOWN
    top = observation.max_instances
    if top is None:
        top = deployment.spec.max_instances if "max_instances" in deployment.spec.settings else None
    if observation.ready_instances is None and top is None:
        return UNKNOWN
    ready = UNKNOWN if observation.ready_instances is None else str(observation.ready_instances)
    return f"{ready}/{UNKNOWN if top is None else top}"


def hourly(deployment: Deployment) -> str:
    """`$5.49/h` while it is known to bill, else unknown."""
    price = deployment.observation.usd_per_hour if deployment.observation else None
    return f"{usd(price)}/h" if price else UNKNOWN


def cost(deployment: Deployment, brief: Brief | None) -> str:
    """`$13.07` so far, `≥$13.07` where somebody looked away; while that says little, `$5.49/h`."""
    if not brief or not brief.cost_usd:
        return hourly(deployment)
    per_hour = hourly(deployment)
    if per_hour != UNKNOWN and (brief.cost_usd < WORTH_SAYING or not brief.cost_is_telling):
        return per_hour
    return f"{'' if brief.cost_is_complete else '≥'}{usd(brief.cost_usd)}"


def success(brief: Brief | None) -> str:
    """`99.6`, and `100` only when it is."""
    if brief is None or brief.success_rate is None:
        return UNKNOWN
    share = brief.success_rate * 100
    return f"{share:.0f}" if share in (0, 100) else f"{min(share, 99.9):.1f}"


def adapter_label(deployment: Deployment) -> str:
    return _shown(deployment.spec.source.label, 120) or UNKNOWN


def base_label(deployment: Deployment) -> str:
    """The base without its owner: the table is narrow, the detail has it whole."""
    return _shown(deployment.spec.base_model.rsplit("/", 1)[-1], 120) or UNKNOWN


def table_row(
    deployment: Deployment, now: datetime, seen: datetime | None = None, brief: Brief | None = None
) -> Row:
    """The line of one deployment. `seen`: when it was last seen, see `seen_at`."""
    status = status_text(deployment, now)
    old = staleness(deployment, now, seen)
    name = ORIGIN_MARKS[deployment.origin] + _shown(deployment.name, 120)
    over = deployment.status is Status.STOPPED or deployment.condition is Condition.GONE
    if old:
        status_cell = _cell(f"{status.glyph} {status.word} seen {old} ago", "dim")
    else:
        status_cell = _cell(str(status), status.tone, status.short)
    quiet = "dim" if old or over else ""
    orphan = deployment.origin is Origin.ORPHAN
    adapter = _cell("not ours: adopt or stop", "warn") if orphan else _cell(adapter_label(deployment), "dim")
    return Row(
        deployment.id,
        (
            Cell(name, "warn" if orphan and not old else quiet),
            _cell(_shown(deployment.platform, 40), "dim"),
            status_cell,
            _figure(instances(deployment), quiet),
            _figure(f"{brief.requests:,}" if brief and brief.requests else UNKNOWN, quiet),
            _figure(success(brief), "bad" if brief and (brief.success_rate or 1) < 0.9 else quiet),
            _figure(took(brief.p50_s if brief else None).replace(" ", ""), quiet),
            _figure(cost(deployment, brief), quiet),
            adapter,
            _cell(base_label(deployment), "dim"),
        ),
    )


def _figure(text: str, tone: str) -> Cell:
    return _DASH if text == UNKNOWN else _cell(text, tone)


# Order

_RANK: dict[Status, int] = {
    Status.FAILED: 0,
    Status.DEPLOYING: 1,
    Status.PENDING: 1,
    Status.ACTIVE: 2,
    Status.STOPPED: 3,
}
SORTS: Mapping[str, tuple[bool, Callable[[Deployment], Any]]] = {
    "name": (False, lambda d: d.name.casefold()),
    "platform": (False, lambda d: (d.platform, d.name.casefold())),
    "status": (False, lambda d: (_RANK[d.status], d.condition.value, -_since(d).timestamp())),
    "instances": (True, lambda d: d.observation.ready_instances if d.observation else None),
    "cost": (True, lambda d: d.observation.usd_per_hour if d.observation else None),
    "adapter": (False, lambda d: d.spec.source.label.casefold()),
    "base": (False, lambda d: d.spec.base_model.rsplit("/", 1)[-1].casefold() or None),
}
"""By column: whether downwards comes first, and what to compare; None is unknown and stands last."""
FIGURE_SORTS: Mapping[str, tuple[bool, Callable[[Brief], Any]]] = {
    "requests": (True, lambda b: b.requests or None),
    "success": (False, lambda b: b.success_rate),
    "latency": (True, lambda b: b.p50_s),
}
"""The same for what was measured."""
DOWNWARDS: Mapping[str, bool] = {key: first for key, (first, _) in (*SORTS.items(), *FIGURE_SORTS.items())}
"""Every column that can be sorted by, and whether downwards comes first."""


def ordered(
    deployments: Iterable[Deployment],
    sort: tuple[str, bool] | None,
    briefs: Mapping[str, Brief] | None = None,
) -> list[Deployment]:
    """Newest first, or by a column; equal ones stay newest first."""
    newest = sorted(deployments, key=lambda d: (d.created_at, d.id), reverse=True)
    if sort is None:
        return newest
    compare = _comparison(sort[0], briefs or {})
    known = [(value, d) for d in newest if (value := compare(d)) is not None]
    unknown = [d for d in newest if compare(d) is None]
    known.sort(key=lambda pair: pair[0], reverse=sort[1])
    return [d for _, d in known] + unknown


def _comparison(column: str, briefs: Mapping[str, Brief]) -> Callable[[Deployment], Any]:
    if column == "cost":
        return lambda d: (briefs[d.id].cost_usd if d.id in briefs else None) or SORTS[column][1](d)
    if column not in FIGURE_SORTS:
        return SORTS[column][1]
    value = FIGURE_SORTS[column][1]
    return lambda d: value(briefs[d.id]) if d.id in briefs else None


# Filter


@dataclass(frozen=True, slots=True)
class Filter:
    """What the `/` line asks for: `status:failed platform:modal llama`."""

    status: str = ""
    platform: str = ""
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Filter:
        status = platform = ""
        words = []
        for token in text.lower().split():
            if token.startswith("status:"):
                status = token.removeprefix("status:")
            elif token.startswith("platform:"):
                platform = token.removeprefix("platform:")
            else:
                words.append(token)
        return cls(status, platform, tuple(words))

    def __str__(self) -> str:
        tokens = [f"status:{self.status}"] if self.status else []
        tokens += [f"platform:{self.platform}"] if self.platform else []
        return " ".join((*tokens, *self.words))

    def __bool__(self) -> bool:
        return bool(self.status or self.platform or self.words)

    def admits(self, deployment: Deployment) -> bool:
        """Whether every part of it fits."""
        if self.status and not self._fits_status(deployment):
            return False
        if self.platform and not deployment.platform.startswith(self.platform):
            return False
        name = deployment.name.lower()
        texts = (name, deployment.spec.source.reference.lower(), deployment.spec.base_model.lower())
        return all(any(word in text for text in texts) or _scattered(word, name) for word in self.words)

    def _fits_status(self, deployment: Deployment) -> bool:
        words = [deployment.status.value, deployment.condition.value.replace(" ", "-")]
        if deployment.status is Status.PENDING:
            words.append(Status.DEPLOYING.value)
        operation = deployment.operation
        if operation is not None and operation.state is OperationState.FAILED:
            words.append(Status.FAILED.value)
        if operation is not None and not operation.state.ended:
            words.append(VERBS[operation.kind])
        if deployment.origin is not Origin.OURS:
            words.append(deployment.origin.value)
        return any(word.startswith(self.status) for word in words if word)


def _scattered(letters: str, text: str) -> bool:
    """Whether the letters stand in the text in this order."""
    rest = iter(text)
    return all(letter in rest for letter in letters)


# Platforms


def platform_trouble(health: PlatformHealth, now: datetime) -> str:
    """`together ✖ unreachable since 2m`; empty while it answers."""
    if health.error is None:
        return ""
    words = _FAILURES.get(str(health.error.get("kind")), "is failing")
    passed = (now - health.failing_since).total_seconds() if health.failing_since else 0
    return f"{clean_line(health.platform, 40)} ✖ {words}" + (f" since {age(passed)}" if passed >= 60 else "")
