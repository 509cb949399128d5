"""What was read of the adapter and how it fits, as lines under the fields of page 2."""

from __future__ import annotations

from collections.abc import Sequence

from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.ages import ago
from peft_tui.domain.offers import Level
from peft_tui.text import clean_line
from peft_tui.ui.screens.wizard.page import Work
from peft_tui.ui.screens.wizard.words import error_lines, finding_lines
from peft_tui.ui.widgets.lines import Line, wrapped
from peft_tui.ui.widgets.live_table import Cell

LABEL = 19
"""Cells for the title of a field, on every page."""


def labelled(label: str, lines: Sequence[Line], width: int = LABEL) -> list[Line]:
    """Lines with a title left of the first."""
    first, *rest = lines or [()]
    return [
        (Cell(label.ljust(width), "dim"), *first),
        *((Cell(" " * width), *line) for line in rest),
    ]


def adapter_lines(work: Work, width: int) -> list[Line]:
    """The files, in one line."""
    if work.draft.kind is SourceKind.PLATFORM:
        return []
    look, room = work.adapter, width - LABEL
    if look.value is not None:
        lines = wrapped(clean_line(look.value.summary), room)
        if look.value.gated:
            lines += wrapped("gated: the platform needs access to it of its own", room, "dim")
        if look.asking:
            lines += [(Cell(f"read {ago(look.fetched_at, work.now)}, reading again…", "dim"),)]
    elif look.error is not None:
        lines = error_lines(look.error, room, again=True)
    else:
        lines = [(Cell("reading its files…" if look.asking else "—", "dim"),)]
    return labelled("Adapter", lines)


def base_lines(work: Work, width: int) -> list[Line]:
    """The base model, read and not typed, and what the platform calls it."""
    adapter, assessment = work.adapter.value, work.assessment.value
    read = clean_line(adapter.base_model, 120) if adapter else ""
    there = clean_line(assessment.base_model, 120) if assessment else ""
    room = width - LABEL
    lines = wrapped(read or there, room) if read or there else [(Cell("—", "dim"),)]
    if read and there and read != there:
        lines += wrapped(f"there: {there}", room, "dim")
    elif adapter and not read and not there:
        lines = wrapped("its files do not say", room, "dim")
    return labelled("Base model", lines)


def fit_lines(work: Work, width: int) -> list[Line]:
    """What the platform makes of it."""
    if work.draft.source is None:
        return []
    look, title = work.assessment, work.offers.title
    room = width - LABEL
    lines: list[Line] = []
    if look.value is not None:
        worst_first = sorted(look.value.findings, key=lambda f: _ORDER[f.level])
        lines = finding_lines(worst_first, room) or [(Cell("✓ ", "good"), Cell("nothing speaks against it"))]
        if look.asking:
            lines += [(Cell(f"as of {ago(look.fetched_at, work.now)}, asking {title}…", "dim"),)]
    elif look.error is not None:
        lines = error_lines(look.error, room, again=True)
    elif look.asking:
        lines = [(Cell(f"asking {title}…", "dim"),)]
    return labelled("Fit", lines) if lines else []


_ORDER = {Level.BLOCKED: 0, Level.WARNING: 1, Level.OK: 2}
