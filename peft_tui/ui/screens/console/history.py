"""What was asked before."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from peft_tui.domain.ages import took
from peft_tui.domain.inference import Role
from peft_tui.domain.measure import Outcome, Source
from peft_tui.domain.request import Exchange
from peft_tui.services.wording import dash
from peft_tui.text import clean_line
from peft_tui.ui.keymap import named
from peft_tui.ui.widgets.live_table import Cell, Column, LiveTable, Row

COLUMNS = (
    Column("at", "TIME", 8),
    Column("mark", "", 2),
    Column("total", "TOTAL", 8, "right"),
    Column("first", "FIRST", 8, "right", priority=2),
    Column("tokens", "TOK", 6, "right", priority=3),
    Column("model", "", 7, priority=4),
    Column("prompt", "PROMPT", 20, grow=True, minimum=10),
)
_MARKS = {Outcome.OK: ("●", "good"), Outcome.FAILED: ("✖", "bad"), Outcome.CANCELLED: ("◼", "dim")}
SHOWN = (Source.CONSOLE, Source.COMMAND, Source.COMPARE)


class HistoryTable(LiveTable):
    """The last ones, newest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Show", tooltip="Its answer and figures again."),
    ]
    BINDINGS = named("history", BINDINGS)


def history_row(exchange: Exchange, marked: bool) -> Row:
    glyph, tone = _MARKS[exchange.outcome]
    measured = exchange.measured
    words = exchange.request.prompt if exchange.texts else "(text not kept)"
    if exchange.error_message:
        words = f"{words} — {exchange.error_message}"
    return Row(
        str(exchange.id),
        (
            Cell(exchange.at.astimezone().strftime("%H:%M:%S"), "dim"),
            Cell(f"{'*' if marked else ''}{glyph}", tone),
            Cell(took(measured.total_s)),
            Cell(took(measured.first_text_s), "dim"),
            Cell(dash(measured.tokens_out), "dim"),
            Cell("base" if exchange.role is Role.BASE else "", "accent"),
            Cell(clean_line(words, 300), "" if exchange.texts else "dim"),
        ),
    )
