"""Everything about one deployment, as lines: folded under the table, or whole beside it or instead of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from rich.cells import cell_len

from peft_tui.domain.ages import span
from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.money import per_hour, usd
from peft_tui.domain.operation import Operation, OperationKind, OperationState
from peft_tui.domain.status import Condition, word_for
from peft_tui.store.deployments import HistoryLine
from peft_tui.text import clean_line
from peft_tui.ui.rows import UNKNOWN, instances
from peft_tui.ui.status import ORIGIN_WORDS, paced, staleness, status_text
from peft_tui.ui.widgets.cells import fit_text
from peft_tui.ui.widgets.lines import Line, clipped, shortened, spread, width_of, wrapped
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.widgets.operations import LABEL, operation_words, running_lines, step_lines

LEFT_OUT = ("price of", "says", "reason", "remote id")
"""Facts that are not shown where they are not known."""
READABLE = 80
"""Cells over which an eye follows a line."""
_ASKED = {OperationKind.STOP: "stop", OperationKind.DELETE: "be deleted"}


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
    lines = [title_line(subject, width)]
    urgent = urgent_lines(subject, width)
    operation = subject.deployment.operation
    running = running_lines(operation, subject.now, subject.rate, width) if operation else []
    if subject.deployment.waiting_start is not None:
        running.append((Cell("next".ljust(LABEL), "dim"), Cell("it is started again, and bills", "warn")))
    facts = facts_of(subject)
    copies = (Cell("   y copies", "dim"),)
    quick = [
        _pair(facts["endpoint"], ("model", facts["model"]), width - width_of(copies)),
        _pair(_price_kept(facts["machine"], width - LABEL), ("adapter", facts["adapter"]), width),
        _pair(facts["base"], None, width),
    ]
    labelled = [
        (Cell(label.ljust(LABEL), "dim"), *line)
        for label, line in zip(("endpoint", "machine", "base"), quick, strict=True)
    ]
    labelled[0] = spread(labelled[0], copies, width)
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
    lines = [title_line(subject, width)]
    if words := ORIGIN_WORDS[subject.deployment.origin]:
        lines += wrapped(words, width, "warn" if subject.deployment.origin is Origin.ORPHAN else "dim")
    lines.append(())
    urgent = urgent_lines(subject, width, limit=12)
    if urgent:
        lines += [*urgent, ()]
    for label, text in facts_of(subject).items():
        if text == UNKNOWN and label in LEFT_OUT:
            continue
        value = wrapped(text, width - LABEL, "dim" if text == UNKNOWN else "")
        for number, line in enumerate(value):
            lines.append((Cell((label if number == 0 else "").ljust(LABEL), "dim"), *line))
    operation = subject.deployment.operation
    if operation is not None:
        lines += [(), *operation_lines(operation, subject.now, subject.rate, width)]
    if subject.history:
        lines += [(), (Cell("history", "strong"),)]
        lines += history_lines(subject.history, subject.now, subject.zone, width)
    return [clipped(line, width) for line in lines]


def operation_lines(operation: Operation, now: datetime, rate: float | None, width: int) -> list[Line]:
    """What was asked for, how far it is, and every step of it."""
    words = operation_words(operation, now)
    lines: list[Line] = [(Cell(operation.kind.value, "strong"), Cell(f"  {words}", "dim"))]
    for step in operation.steps:
        lines += step_lines(operation, step, now, rate, min(width, READABLE))
    return lines


def title_line(subject: Subject, width: int) -> Line:
    """Name, status and what the platform calls it."""
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


def facts_of(subject: Subject) -> dict[str, str]:
    """By label; unknown is a dash."""
    deployment, observation = subject.deployment, subject.deployment.observation
    spec = deployment.spec
    price = ""
    machine = spec.instance_type
    if observation is not None:
        machine = observation.instance_type or machine
        if deployment.usd_per_hour is not None:
            price = f"{per_hour(deployment.usd_per_hour, deployment.is_guess)} now"
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
        "price of": observation.price_source if observation and deployment.is_guess else "",
        "platform": spec.platform,
        "says": observation.platform_status if observation else "",
        "reason": observation.reason if observation else "",
        "remote": deployment.remote_name,
        "remote id": deployment.remote_id,
    }
    return {label: clean_line(text, 400) or UNKNOWN for label, text in facts.items()}


def _price_kept(machine: str, room: int) -> str:
    """What it costs stands last, and is never what is cut off."""
    name, dot, rest = machine.partition(" · ")
    excess = cell_len(machine) - room
    if not dot or excess <= 0:
        return machine
    return fit_text(name, max(cell_len(name) - excess, 4), elide="middle") + dot + rest


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


def urgent_lines(subject: Subject, width: int, limit: int = 3) -> list[Line]:
    """What went wrong, and what to do about it."""
    deployment = subject.deployment
    operation = deployment.operation
    lines: list[Line] = []
    if operation is not None and not operation.state.ended and operation.kind in _ASKED and deployment.bills:
        passed = paced((subject.now - operation.created_at).total_seconds())
        price = deployment.observation.usd_per_hour if deployment.observation else None
        costs = f"it bills {usd(price)}/h" if price else "it bills"
        words = f"asked to {_ASKED[operation.kind]} {passed} ago: {costs} until the platform says otherwise"
        lines += labelled("billing", words, width, "warn")
    if operation is not None and operation.error:
        ended = operation.state is OperationState.FAILED
        tone, label = ("bad", "error") if ended else ("warn", "retrying")
        lines += error_lines(PeftTuiError.from_dict(dict(operation.error)), width, tone, label)
    reason = deployment.observation.reason if deployment.observation else ""
    if reason and not lines:
        lines += labelled("reason", clean_line(reason, 400), width, "warn")
    if subject.trouble:
        lines += error_lines(PeftTuiError.from_dict(dict(subject.trouble)), width, "warn", "platform")
    if deployment.origin is not Origin.OURS and not lines and limit <= 3:
        tone = "warn" if deployment.origin is Origin.ORPHAN else "dim"
        lines += labelled("origin", ORIGIN_WORDS[deployment.origin], width, tone)
    return lines[:limit]


def error_lines(error: PeftTuiError, width: int, tone: str, label: str) -> list[Line]:
    """What happened, what to do next, and the platform's own words."""
    lines = labelled(label, clean_line(error.message, 400), width, tone)
    if error.hint:
        lines += labelled("", clean_line(error.hint, 400), width, "")
    if error.detail and error.detail not in error.message:
        lines += labelled("said", clean_line(error.detail, 400), width, "dim")
    return lines


def labelled(label: str, text: str, width: int, tone: str) -> list[Line]:
    """A sentence with its label left of the first line."""
    return [
        (Cell((label if number == 0 else "").ljust(LABEL), "dim"), *line)
        for number, line in enumerate(wrapped(text, width - LABEL, tone))
    ]


# History


def clock_words(when: datetime, now: datetime, zone: tzinfo | None) -> str:
    """`09:12`; with the day where it is not today."""
    local, today = when.astimezone(zone), now.astimezone(zone)
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
        word = word_for(line.status, line.condition)
        text = f"{clock_words(line.observed_at, subject.now, subject.zone)} {word}"
        if len(" → ".join([text, *kept])) > width:
            break
        kept.insert(0, text)
    return (Cell(" → ".join(kept)),)


def history_lines(
    history: Sequence[HistoryLine], now: datetime, zone: tzinfo | None, width: int
) -> list[Line]:
    """Newest first, each with how long it lasted."""
    width = min(width, READABLE)
    lines: list[Line] = []
    until: datetime | None = None
    for entry in reversed(history):
        word = word_for(entry.status, entry.condition)
        lasted = span((until - entry.observed_at).total_seconds()) if until else ""
        until = entry.observed_at
        said = " · ".join(
            part
            for part in (
                clean_line(entry.platform_status, 40),
                f"{entry.ready_instances} ready" if entry.ready_instances is not None else "",
                clean_line(entry.reason, 120),
            )
            if part
        )
        head = f"{clock_words(entry.observed_at, now, zone)}  "
        room = max(width - len(head) - max(len(word), 10) - len(lasted) - 4, 0)
        word = word.ljust(10)
        left = (Cell(head, "dim"), Cell(word), Cell("  " + shortened(said, room), "dim"))
        lines.append(spread(left, (Cell(lasted, "dim"),), width))
    return lines
