"""Everything about one deployment, as lines: folded under the table, or whole beside it or instead of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from peft_tui.domain.adapter import megabytes
from peft_tui.domain.ages import span
from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.money import usd
from peft_tui.domain.operation import Operation, OperationState, OperationStep, StepState
from peft_tui.domain.status import Condition
from peft_tui.store.deployments import HistoryLine
from peft_tui.text import clean_line
from peft_tui.ui.rows import (
    ORIGIN_WORDS,
    UNKNOWN,
    instances,
    paced,
    percent,
    staleness,
    status_text,
)
from peft_tui.ui.widgets.lines import Line, clipped, shortened, spread, width_of, wrapped
from peft_tui.ui.widgets.live_table import Cell

LABEL = 11
"""Cells of the column of labels."""
READABLE = 80
"""Cells over which an eye follows a line."""
_RATE_WINDOW_SECONDS = 20.0


class Rates:
    """How fast uploads go, from what was seen of them lately."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[datetime, int]]] = {}

    def note(self, operation: Operation, now: datetime) -> None:
        """Remember how far its running step is."""
        step = operation.current
        if operation.state.ended or step is None or step.done is None or not step.total:
            self._seen.pop(operation.id, None)
            return
        seen = self._seen.setdefault(operation.id, deque())
        if seen and seen[-1][1] > step.done:
            seen.clear()
        if not seen or seen[-1][1] < step.done:
            seen.append((now, step.done))
        while len(seen) > 2 and (now - seen[0][0]).total_seconds() > _RATE_WINDOW_SECONDS:
            seen.popleft()

    def per_second(self, operation: Operation, step: OperationStep, now: datetime) -> float | None:
        """Bytes a second; from the beginning of the step while too little was seen."""
        seen = self._seen.get(operation.id)
        if seen is not None and len(seen) >= 2:
            passed = (seen[-1][0] - seen[0][0]).total_seconds()
            if passed >= 1:
                return (seen[-1][1] - seen[0][1]) / passed
        if step.started_at is None or not step.done:
            return None
        passed = (now - step.started_at).total_seconds()
        return step.done / passed if passed >= 1 else None


@dataclass(frozen=True, slots=True)
class Subject:
    """All that the detail of one deployment is drawn from."""

    deployment: Deployment
    now: datetime
    seen: datetime | None = None
    history: Sequence[HistoryLine] = ()
    rate: float | None = None
    """Bytes a second of the running step."""
    trouble: Mapping[str, Any] | None = None
    """What the platform's last look ended with."""
    zone: tzinfo | None = field(default=None)
    """Of the times of day; None is the machine's own."""


def folded(subject: Subject, width: int, height: int) -> list[Line]:
    """The few lines that matter most, the first ones first."""
    lines = [_title(subject, width)]
    urgent = _urgent(subject, width)
    running = _running(subject, width)
    facts = _facts(subject)
    quick = [
        _pair(facts["endpoint"], ("model", facts["model"]), width),
        _pair(facts["machine"], ("adapter", facts["adapter"]), width),
        _pair(facts["base"], None, width),
    ]
    labelled = [
        (Cell(label.ljust(LABEL), "dim"), *line)
        for label, line in zip(("endpoint", "machine", "base"), quick, strict=True)
    ]
    nothing_yet = facts["endpoint"] == UNKNOWN
    if nothing_yet:
        pair = _pair(facts["adapter"], ("base", facts["base"]), width)
        labelled = [(Cell("adapter".ljust(LABEL), "dim"), *pair)]
    lines += urgent + running + labelled
    if subject.history:
        lines.append((Cell("history".ljust(LABEL), "dim"), *_history_line(subject, width - LABEL)))
    return [clipped(line, width) for line in lines[:height]]


def whole(subject: Subject, width: int) -> list[Line]:
    """All of it, section by section."""
    lines = [_title(subject, width)]
    if words := ORIGIN_WORDS[subject.deployment.origin]:
        lines += wrapped(words, width, "warn" if subject.deployment.origin is Origin.ORPHAN else "dim")
    lines.append(())
    urgent = _urgent(subject, width, limit=12)
    if urgent:
        lines += [*urgent, ()]
    for label, text in _facts(subject).items():
        if text == UNKNOWN and label in ("says", "reason", "remote id"):
            continue
        value = wrapped(text, width - LABEL, "dim" if text == UNKNOWN else "")
        for number, line in enumerate(value):
            lines.append((Cell((label if number == 0 else "").ljust(LABEL), "dim"), *line))
    operation = subject.deployment.operation
    if operation is not None:
        lines += [(), (Cell(operation.kind.value, "strong"), Cell(f"  {_operation_words(subject)}", "dim"))]
        for step in operation.steps:
            lines += _step(subject, operation, step, min(width, READABLE))
    if subject.history:
        lines += [(), (Cell("history", "strong"),)]
        lines += _history(subject, min(width, READABLE))
    return [clipped(line, width) for line in lines]


def _title(subject: Subject, width: int) -> Line:
    deployment = subject.deployment
    status = status_text(deployment, subject.now)
    old = staleness(deployment, subject.now, subject.seen)
    name = Cell(shortened(clean_line(deployment.name, 120), max(width // 2, 12)), "strong")
    cells = [name, Cell("  "), Cell(str(status), "dim" if old else status.tone)]
    said = clean_line(deployment.observation.platform_status, 40) if deployment.observation else ""
    extras = [said] if said and said.lower() != status.word else []
    if deployment.condition is Condition.ASSUMED:
        extras.append("derived, the platform has no word for it")
    if old:
        extras.append(f"seen {old} ago")
    if extras:
        cells.append(Cell(" · " + " · ".join(extras), "dim"))
    used = width_of(tuple(cells))
    if used < width - 2:
        cells.append(Cell(" " + "─" * (width - used - 1), "rule"))
    return tuple(cells)


def _facts(subject: Subject) -> dict[str, str]:
    """By label; unknown is a dash."""
    deployment, observation = subject.deployment, subject.deployment.observation
    spec = deployment.spec
    price = ""
    machine = spec.instance_type
    if observation is not None:
        machine = observation.instance_type or machine
        if observation.usd_per_hour is not None:
            price = f"{usd(observation.usd_per_hour)}/h now, estimated"
        low, high = observation.min_instances, observation.max_instances
        counts = instances(deployment)
        if counts != UNKNOWN:
            counts += " ready" + (f" ({low}–{high})" if low is not None and high is not None else "")
    else:
        counts = ""
    parts = [part for part in (clean_line(machine, 80), counts if counts != UNKNOWN else "", price) if part]
    facts = {
        "endpoint": observation.endpoint_url if observation else "",
        "model": observation.model if observation else "",
        "base": spec.base_model,
        "adapter": spec.source.reference,
        "machine": " · ".join(parts),
        "platform": spec.platform,
        "says": observation.platform_status if observation else "",
        "reason": observation.reason if observation else "",
        "remote": deployment.remote_name,
        "remote id": deployment.remote_id,
    }
    return {label: clean_line(text, 400) or UNKNOWN for label, text in facts.items()}


def _pair(first: str, second: tuple[str, str] | None, width: int) -> Line:
    """A fact, and another one behind it where both have room."""
    room = width - LABEL
    tone = "dim" if first == UNKNOWN else ""
    if second is None or second[1] == UNKNOWN:
        return (Cell(shortened(first, room), tone),)
    label, text = second
    used = len(first) + 3 + len(label) + 2
    if used + min(len(text), 12) > room:
        return (Cell(shortened(first, room), tone),)
    return (Cell(first, tone), Cell(f"   {label}  ", "dim"), Cell(shortened(text, room - used)))


def _urgent(subject: Subject, width: int, limit: int = 3) -> list[Line]:
    """What went wrong, and what to do about it."""
    deployment = subject.deployment
    operation = deployment.operation
    lines: list[Line] = []
    if operation is not None and operation.error:
        ended = operation.state is OperationState.FAILED
        tone, label = ("bad", "error") if ended else ("warn", "retrying")
        lines += _error(PeftTuiError.from_dict(dict(operation.error)), width, tone, label)
    reason = deployment.observation.reason if deployment.observation else ""
    if reason and not lines:
        lines += _labelled("reason", clean_line(reason, 400), width, "warn")
    if subject.trouble:
        lines += _error(PeftTuiError.from_dict(dict(subject.trouble)), width, "warn", "platform")
    if deployment.origin is not Origin.OURS and not lines and limit <= 3:
        tone = "warn" if deployment.origin is Origin.ORPHAN else "dim"
        lines += _labelled("origin", ORIGIN_WORDS[deployment.origin], width, tone)
    return lines[:limit]


def _error(error: PeftTuiError, width: int, tone: str, label: str) -> list[Line]:
    lines = _labelled(label, clean_line(error.message, 400), width, tone)
    if error.hint:
        lines += _labelled("", clean_line(error.hint, 400), width, "")
    if error.detail and error.detail not in error.message:
        lines += _labelled("said", clean_line(error.detail, 400), width, "dim")
    return lines


def _labelled(label: str, text: str, width: int, tone: str) -> list[Line]:
    return [
        (Cell((label if number == 0 else "").ljust(LABEL), "dim"), *line)
        for number, line in enumerate(wrapped(text, width - LABEL, tone))
    ]


# Operations


def _operation_words(subject: Subject) -> str:
    operation = subject.deployment.operation
    assert operation is not None
    passed = (operation.updated_at if operation.state.ended else subject.now) - operation.created_at
    words = {
        OperationState.QUEUED: "asked for",
        OperationState.RUNNING: "running for",
        OperationState.DONE: "done in",
        OperationState.FAILED: "failed after",
    }
    if operation.state is OperationState.QUEUED:
        return f"asked for {paced(passed.total_seconds())} ago"
    ended = operation.state.ended
    return f"{words[operation.state]} {(span if ended else paced)(passed.total_seconds())}"


def _running(subject: Subject, width: int) -> list[Line]:
    """The step under way, in one line."""
    operation = subject.deployment.operation
    if operation is None or operation.state.ended or operation.current is None:
        return []
    step = operation.current
    done = sum(step.state is StepState.DONE for step in operation.steps)
    line = _step(subject, operation, step, width - LABEL)[0]
    count = Cell(f"step {done + 1}/{len(operation.steps)}".ljust(LABEL), "dim")
    lines: list[Line] = [(count, *line)]
    rest = [following for following in operation.steps if following.seq > step.seq]
    if rest:
        titles = [("$ " if later.bills else "") + clean_line(later.title, 80) for later in rest]
        lines.append(
            (Cell("then".ljust(LABEL), "dim"), Cell(shortened(" → ".join(titles), width - LABEL), "dim"))
        )
    return lines


def _step(subject: Subject, operation: Operation, step: OperationStep, width: int) -> list[Line]:
    title = clean_line(step.title, 80)
    bills = "  $ bills from here" if step.bills and step.state is StepState.PENDING else ""
    if step.state is StepState.DONE:
        took = ""
        if step.started_at and step.finished_at:
            took = span((step.finished_at - step.started_at).total_seconds())
        size = megabytes(step.total) + "  " if step.total else ""
        return [spread((Cell("✓ ", "good"), Cell(title)), (Cell(size + took, "dim"),), width)]
    if step.state is StepState.FAILED:
        lines: list[Line] = [(Cell("✖ ", "bad"), Cell(title, "bad"))]
        return lines + (wrapped(clean_line(step.note, 300), width, "dim", indent=2) if step.note else [])
    if step.state is StepState.PENDING and step is not operation.current:
        return [(Cell("· ", "dim"), Cell(title, "dim"), Cell(bills, "dim"))]
    mark = Cell("▸ ", "accent") if not operation.state.ended else Cell("· ", "dim")
    note = clean_line(step.note, 120)
    if progress := _progress(subject, step):
        tail = progress
    else:
        passed = paced((subject.now - step.started_at).total_seconds()) if step.started_at else ""
        tail = "  ".join(part for part in (note, passed) if part)
    said = Cell(shortened("  " + tail, width - 2 - len(title)), "dim")
    return [(mark, Cell(title), said, Cell(bills, "dim"))]


def _progress(subject: Subject, step: OperationStep) -> str:
    """`34.1 of 84 MB  41%  1.2 MB/s  40s left`."""
    if not step.total or step.done is None:
        return ""
    parts = [_amount(step.done, step.total), percent(step)]
    if subject.rate and step.done < step.total:
        parts.append(f"{_speed(subject.rate)}")
        parts.append(f"{span((step.total - step.done) / subject.rate)} left")
    return "  ".join(part for part in parts if part)


def _amount(done: int, total: int) -> str:
    """Both in the unit of the whole."""
    whole_words = megabytes(total)
    unit = whole_words.rsplit(" ", 1)[1]
    size = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    return f"{done / size:.{0 if unit in ('B', 'kB') else 1}f} of {whole_words}"


def _speed(rate: float) -> str:
    if rate >= 1e6:
        return f"{rate / 1e6:.1f} MB/s"
    return f"{rate / 1e3:.0f} kB/s" if rate >= 1e3 else f"{rate:.0f} B/s"


# History


def _clock(when: datetime, subject: Subject) -> str:
    local, today = when.astimezone(subject.zone), subject.now.astimezone(subject.zone)
    return f"{local:%H:%M}" if local.date() == today.date() else f"{local:%d %b %H:%M}"


def _history_line(subject: Subject, width: int) -> Line:
    """`09:12 deploying → 09:19 active`, the newest ones that fit."""
    turns: list[HistoryLine] = []
    for line in subject.history:
        # A change of the figures alone is no turn.
        if not turns or (turns[-1].status, turns[-1].condition) != (line.status, line.condition):
            turns.append(line)
    kept: list[str] = []
    for line in reversed(turns):
        word = line.condition.value or line.status.value
        text = f"{_clock(line.observed_at, subject)} {word}"
        if len(" → ".join([text, *kept])) > width:
            break
        kept.insert(0, text)
    return (Cell(" → ".join(kept)),)


def _history(subject: Subject, width: int) -> list[Line]:
    """Newest first, each with how long it lasted."""
    lines: list[Line] = []
    until: datetime | None = None
    for entry in reversed(subject.history):
        word = entry.condition.value or entry.status.value
        lasted = span((until - entry.observed_at).total_seconds()) if until else ""
        until = entry.observed_at
        said = " ".join(
            part
            for part in (
                clean_line(entry.platform_status, 40),
                f"{entry.ready_instances} ready" if entry.ready_instances is not None else "",
                clean_line(entry.reason, 120),
            )
            if part
        )
        head = f"{_clock(entry.observed_at, subject)}  "
        room = max(width - len(head) - max(len(word), 10) - len(lasted) - 4, 0)
        word = word.ljust(10)
        left = (Cell(head, "dim"), Cell(word), Cell("  " + shortened(said, room), "dim"))
        lines.append(spread(left, (Cell(lasted, "dim"),), width))
    return lines
