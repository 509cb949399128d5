"""What lies at the platform already, narrowed down by what is typed."""

from __future__ import annotations

from functools import partial

from peft_tui.domain.offers import PlatformModel
from peft_tui.text import clean_line
from peft_tui.ui.screens.wizard.answers import Look
from peft_tui.ui.screens.wizard.words import error_lines
from peft_tui.ui.widgets.blocks import Build
from peft_tui.ui.widgets.lines import Line, shortened
from peft_tui.ui.widgets.live_table import Cell, fit_text
from peft_tui.ui.widgets.pick_list import Pick

MOST = 200
"""Rows offered at a time; typing narrows the list down."""


def model_picks(look: Look[tuple[PlatformModel, ...]], typed: str, platform: str) -> tuple[list[Pick], Build]:
    """The rows, and what to say when there are none."""
    models = look.value or ()
    wanted = typed.strip().lower()
    matching = [m for m in models if wanted in f"{m.reference} {m.title} {m.base_model}".lower()]
    # A whole id is an answer, not a search.
    if any(model.reference == typed.strip() for model in models):
        matching = list(models)
    longest = max((len(clean_line(model.reference, 120)) for model in matching[:MOST]), default=0)
    picks = [Pick(model.reference, partial(_row, model, longest)) for model in matching[:MOST]]

    def words(width: int) -> list[Line]:
        if look.error is not None:
            return error_lines(look.error, width, again=True)
        if look.value is None:
            return [(Cell(f"asking {platform} what is there…", "dim"),)]
        said = "nothing there matches: it is tried as typed" if models else "none is known: type its id"
        return [(Cell(shortened(said, width), "dim"),)]

    return picks, words


def _row(model: PlatformModel, longest: int, width: int) -> list[Line]:
    name = min(longest, width * 3 // 5)
    rest = [clean_line(part, 80) for part in (model.base_model, model.detail) if part]
    title = clean_line(model.title, 80)
    if title and title not in model.reference:
        rest.insert(0, title)
    line = (
        Cell(fit_text(clean_line(model.reference, 120), name, "left", "middle")),
        Cell(shortened("  " + " · ".join(rest), width - name), "dim"),
    )
    return [line]
