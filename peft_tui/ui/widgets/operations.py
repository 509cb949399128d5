"""An operation and its steps, as lines."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from peft_tui.domain.adapter import megabytes
from peft_tui.domain.ages import span
from peft_tui.domain.operation import Operation, OperationState, OperationStep, StepState
from peft_tui.text import clean_line
from peft_tui.ui.status import paced, percent
from peft_tui.ui.widgets.lines import Line, shortened, spread, wrapped
from peft_tui.ui.widgets.live_table import Cell

LABEL = 11
"""Cells of the column of labels."""
_RATE_WINDOW_SECONDS = 20.0
_STATES = {
    OperationState.QUEUED: "asked for",
    OperationState.RUNNING: "running for",
    OperationState.DONE: "done in",
    OperationState.FAILED: "failed after",
    OperationState.CANCELLED: "given up after",
}


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


def operation_words(operation: Operation, now: datetime) -> str:
    """`running for 1m10s`, `done in 41s`."""
    ended = operation.state.ended
    passed = (operation.updated_at if ended else now) - operation.created_at
    if operation.state is OperationState.QUEUED:
        return f"asked for {paced(passed.total_seconds())} ago"
    return f"{_STATES[operation.state]} {(span if ended else paced)(passed.total_seconds())}"


def running_lines(operation: Operation, now: datetime, rate: float | None, width: int) -> list[Line]:
    """The step under way, and in a line what comes after it."""
    step = operation.current
    if operation.state.ended or step is None:
        return []
    done = sum(step.state is StepState.DONE for step in operation.steps)
    first, *more = step_lines(operation, step, now, rate, width - LABEL)
    count = Cell(f"step {done + 1}/{len(operation.steps)}".ljust(LABEL), "dim")
    lines: list[Line] = [(count, *first), *((Cell(" " * LABEL), *line) for line in more)]
    rest = [following for following in operation.steps if following.seq > step.seq]
    if rest:
        titles = [("$ " if later.bills else "") + clean_line(later.title, 80) for later in rest]
        lines.append((Cell("then".ljust(LABEL), "dim"), Cell(_first_of(titles, width - LABEL), "dim")))
    return lines


def _first_of(titles: list[str], width: int) -> str:
    """As many whole titles as fit; `→ …` says that there are more."""
    words = " → ".join(titles)
    while len(words) > width and len(titles) > 1:
        titles = titles[:-1]
        words = " → ".join([*titles, "…"])
    return shortened(words, width)


def step_lines(
    operation: Operation, step: OperationStep, now: datetime, rate: float | None, width: int
) -> list[Line]:
    """One step with its mark; the note of one that failed, or that is too long, below it."""
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
    note = clean_line(step.note, 300)
    if progress := _progress(step, rate):
        note, tail = "", progress
    else:
        # What was given up half-way does not grow older.
        until = operation.updated_at if operation.state.ended else now
        tail = paced((until - step.started_at).total_seconds()) if step.started_at else ""
    beside = "  ".join(part for part in (note, tail) if part)
    fits = len(title) + len(beside) + len(bills) + 4 <= width
    said = Cell(shortened(f"  {beside if fits else tail}", width - 2 - len(title)), "dim")
    below = [] if fits or not note else wrapped(note, width, "dim", indent=2)
    return [(mark, Cell(title), said, Cell(bills, "dim")), *below]


def _progress(step: OperationStep, rate: float | None) -> str:
    """`34.1 of 84 MB  41%  1.2 MB/s  40s left`."""
    if not step.total or step.done is None:
        return ""
    parts = [_amount(step.done, step.total), percent(step)]
    if rate and step.done < step.total:
        parts.append(f"{_speed(rate)}")
        parts.append(f"{span((step.total - step.done) / rate)} left")
    return "  ".join(part for part in parts if part)


def _amount(done: int, total: int) -> str:
    """Both in the unit of the whole, and never more than that as it is rounded."""
    whole_words = megabytes(total)
    whole, unit = whole_words.rsplit(" ", 1)
    size = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    shown = min(done / size, float(whole))
    return f"{shown:.{0 if unit in ('B', 'kB') else 1}f} of {whole_words}"


def _speed(rate: float) -> str:
    if rate >= 1e6:
        return f"{rate / 1e6:.1f} MB/s"
    return f"{rate / 1e3:.0f} kB/s" if rate >= 1e3 else f"{rate:.0f} B/s"
