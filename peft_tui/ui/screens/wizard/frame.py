"""The two lines above a page: how far one is, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence

from peft_tui.ui.screens.wizard.page import Page
from peft_tui.ui.screens.wizard.words import cost_range, price_source
from peft_tui.ui.widgets.lines import Line, spread, width_of
from peft_tui.ui.widgets.live_table import Cell

_SHAPES = (("New deployment   ", False, 2), ("New   ", False, 2), ("New   ", True, 2), ("", True, 1))
"""Head, short titles, gap: the first that fits."""


def step_line(pages: Sequence[type[Page]], step: int, width: int) -> Line:
    """`New deployment   1 Platform ✓  2 Model ●  3 Configuration  4 Review & Deploy`"""
    for head, short, gap in _SHAPES:
        cells = [Cell(head, "strong")] if head else []
        for page in pages:
            words = f"{page.STEP} {page.SHORT if short else page.TITLE}"
            if page.STEP < step:
                cells += [Cell(words), Cell(" ✓", "good")]
            elif page.STEP == step:
                cells += [Cell(words, "accent"), Cell(" ●", "accent")]
            else:
                cells.append(Cell(words, "dim"))
            cells.append(Cell(" " * gap))
        if width_of(tuple(cells[:-1])) <= width:
            break
    return tuple(cells)


def context_line(page: Page, width: int) -> Line:
    """What is being made on the left, the price per hour with its source on the right."""
    if page.STEP < 3:
        return spread(page.headline, (), width)
    work = page.work
    cost = work.draft.cost(work.assessment.value)
    source = price_source(cost.price, work.now)
    right: Line = (Cell(cost_range(cost), "strong"), Cell(f"  {source}", "dim"))
    if width_of(right) + width_of(page.headline) + 2 > width:
        right = right[:1]
    return spread(page.headline, right, width)
