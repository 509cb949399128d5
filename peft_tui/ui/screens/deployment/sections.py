"""What stands in each section, as lines: no screen, no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from enum import Enum
from typing import TYPE_CHECKING, Any

from peft_tui.domain.ages import age
from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.event import Event
from peft_tui.domain.operation import Operation, OperationState
from peft_tui.store.deployments import HistoryLine
from peft_tui.text import clean_line
from peft_tui.ui.rows import UNKNOWN
from peft_tui.ui.status import ORIGIN_WORDS
from peft_tui.ui.widgets.detail import (
    LEFT_OUT,
    READABLE,
    Subject,
    clock_words,
    error_lines,
    facts_of,
    history_lines,
    labelled,
    operation_lines,
    urgent_lines,
)
from peft_tui.ui.widgets.lines import Line, clipped, spread, width_of, wrapped
from peft_tui.ui.widgets.live_table import Cell, fit_text

if TYPE_CHECKING:
    from peft_tui.domain.offers import Capabilities
    from peft_tui.services.lookups import Answer

_LEVELS = {"error": ("✖", "bad"), "warning": ("!", "warn"), "info": ("·", "dim"), "debug": ("·", "dim")}


class Section(Enum):
    """In the order of their keys."""

    OVERVIEW = "overview"
    EVENTS = "events"
    LOGS = "logs"
    OPERATIONS = "operations"
    OBSERVATIONS = "observations"


@dataclass(slots=True)
class Known:
    """All that the screen has read of its deployment."""

    deployment: Deployment
    now: datetime
    seen: datetime | None = None
    trouble: Mapping[str, Any] | None = None
    """What the platform's last look ended with."""
    rate: float | None = None
    """Bytes a second of the running step."""
    offers: Capabilities | None = None
    """Once the declarations may be loaded."""
    history: Sequence[HistoryLine] = ()
    operations: Sequence[Operation] = ()
    events: Answer[tuple[Event, ...]] | None = None
    logs: Answer[tuple[str, ...]] | None = None
    zone: tzinfo | None = field(default=None)

    @property
    def subject(self) -> Subject:
        return Subject(self.deployment, self.now, self.seen, self.history, self.rate, self.trouble, self.zone)


def lines_of(section: Section, known: Known, width: int) -> list[Line]:
    """The section, laid out for a width."""
    draw = {
        Section.OVERVIEW: overview,
        Section.EVENTS: events,
        Section.LOGS: logs,
        Section.OPERATIONS: operations,
        Section.OBSERVATIONS: observations,
    }
    return [clipped(line, width) for line in draw[section](known, width)]


def overview(known: Known, width: int) -> list[Line]:
    """What is wrong with it, what is under way, what it is, how it is set."""
    deployment, subject = known.deployment, known.subject
    lines: list[Line] = []
    if words := ORIGIN_WORDS[deployment.origin]:
        lines += [*wrapped(words, width, "warn" if deployment.origin is Origin.ORPHAN else "dim"), ()]
    if urgent := urgent_lines(subject, width, limit=12):
        lines += [*urgent, ()]
    told = {line[0].text.strip() for line in urgent if line}
    operation = deployment.operation
    if operation is not None:
        lines += [*operation_lines(operation, known.now, known.rate, width), ()]
    for label, text in facts_of(subject).items():
        if label not in told and (text != UNKNOWN or label not in LEFT_OUT):
            lines += labelled(label, text, width, "dim" if text == UNKNOWN else "")
    return lines + _settings(known, width)


def _settings(known: Known, width: int) -> list[Line]:
    """Those that were asked for, each with when it can be changed; then what stops the billing."""
    deployment, offers = known.deployment, known.offers
    if offers is None or not deployment.spec.settings:
        return []
    lines: list[Line] = [(), (Cell("settings", "strong"), Cell("   u changes them", "dim"))]
    rows: list[tuple[str, str, str]] = []
    for setting in offers.settings:
        if setting.key in deployment.spec.settings:
            value = str(deployment.spec.settings[setting.key])
            words = clean_line(f"{dict(setting.choices).get(value, value)} {setting.unit}".strip(), 200)
            rows.append((setting.title, words, "kept here" if setting.local else setting.change.value))
    longest = max((len(title) for title, _, _ in rows), default=0) + 2
    room = max(width - longest - max((len(kept) for _, _, kept in rows), default=0) - 3, 8)
    column = min(max((len(words) for _, words, _ in rows), default=0), room)
    for title, words, kept in rows:
        head = Cell(title.ljust(longest), "dim")
        first, *rest = wrapped(words, column)
        lines.append((head, Cell(fit_text(first[-1].text, column)), Cell(f"   {kept}", "dim")))
        lines += [(Cell(" " * longest), *line) for line in rest]
    if deployment.origin is Origin.OURS:
        guard = offers.guard(deployment.spec.settings)
        words = clean_line(guard, 200) or "Nothing stops it by itself: it bills until you stop it."
        first, *rest = wrapped(words, width - longest, "" if guard else "warn")
        lines.append((Cell("Guard".ljust(longest), "dim"), *first))
        lines += [(Cell(" " * longest), *line) for line in rest]
    return lines


def events(known: Known, width: int) -> list[Line]:
    """Newest first."""
    reason = known.offers.no_events if known.offers else ""
    if (lines := _not_there(known, known.events, "events", reason)) or known.events is None:
        return lines
    for event in known.events.value or ():
        lines += _event(event, known, min(width, READABLE))
    if not lines:
        lines = [(Cell("The platform tells of no event yet.", "dim"),)]
    return [*_heard(known, known.events), *lines]


def _event(event: Event, known: Known, width: int) -> list[Line]:
    """When, what, and at the right edge the platform's own word for it."""
    mark, tone = _LEVELS.get(event.level, _LEVELS["info"])
    head = f"{clock_words(event.at, known.now, known.zone)}  "
    kind, message = clean_line(event.kind, 40), clean_line(event.message, 600)
    if not message:
        kind, message = "", kind
    room = width - len(head) - 2
    first, *rest = wrapped(message, room, tone if tone != "dim" else "")
    left = (Cell(head, "dim"), Cell(f"{mark} ", tone), *first)
    if kind and not rest and width_of(left) + len(kind) + 3 <= width:
        left = spread(left, (Cell(kind, "dim"),), width)
    return [left, *((Cell(" " * (len(head) + 2)), *line) for line in rest)]


def logs(known: Known, width: int) -> list[Line]:
    """Oldest first, as they were written."""
    reason = known.offers.no_logs if known.offers else ""
    if (lines := _not_there(known, known.logs, "logs", reason)) or known.logs is None:
        return lines
    for text in known.logs.value or ():
        lines += wrapped(clean_line(text, 2000), width)
    if not lines:
        lines = [(Cell("It has put out nothing yet.", "dim"),)]
    return [*lines, *_heard(known, known.logs)]


def _not_there(known: Known, answer: Answer[Any] | None, what: str, reason: str) -> list[Line]:
    """Why there is nothing to show; empty when there is."""
    if reason:
        return wrapped(clean_line(f"{reason}.", 400), 72)
    if not known.deployment.remote_id:
        return [(Cell(f"The platform has not shown it yet: there are no {what}.", "dim"),)]
    if answer is None:
        return [(Cell(f"asking {clean_line(known.deployment.platform, 40)} for its {what} …", "dim"),)]
    if answer.error is not None:
        return error_lines(answer.error, 72, "bad", "error")
    return []


def _heard(known: Known, answer: Answer[Any]) -> list[Line]:
    """How old it is, in coarse steps, so that it stands still."""
    words = age((known.now - answer.fetched_at).total_seconds())
    return [] if words.startswith("<") else [(Cell(f"as of {words} ago   r asks again", "dim"),)]


def operations(known: Known, width: int) -> list[Line]:
    """Newest first, each with its steps, what it changed and what it ended with."""
    lines: list[Line] = []
    for operation in known.operations:
        if lines:
            lines.append(())
        at = clock_words(operation.created_at, known.now, known.zone)
        first, *steps = operation_lines(operation, known.now, known.rate, width)
        lines.append((Cell(f"{at}  ", "dim"), *first))
        if operation.given_up and not operation.state.ended:
            lines.append((Cell("given up: what was sent is being looked up", "warn"),))
        for key, value in operation.changes.items():
            lines += labelled(
                "sets", clean_line(f"{key} = {value if value != '' else UNKNOWN}", 200), width, ""
            )
        lines += steps
        if operation.error:
            ended = operation.state is OperationState.FAILED
            tone, label = ("bad", "error") if ended else ("warn", "retrying")
            lines += error_lines(PeftTuiError.from_dict(dict(operation.error)), width, tone, label)
    return lines or [(Cell("Nothing was asked of it from here.", "dim"),)]


def observations(known: Known, width: int) -> list[Line]:
    """Every turn that the platform told of, with how long it lasted."""
    lines = history_lines(known.history, known.now, known.zone, width)
    return lines or [(Cell("The platform has not shown it yet.", "dim"),)]
