"""What was asked before."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from textual.binding import Binding, BindingType

from peft_tui.domain.ages import took
from peft_tui.domain.inference import Role
from peft_tui.domain.measure import Outcome, Source
from peft_tui.domain.money import Provenance
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
    Column("model", "MODEL", 7, priority=4),
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


def history_row(exchange: Exchange, marked: bool, now: datetime) -> Row:
    """`now` tells what was today; of other days the day is shown, of today the time."""
    glyph, tone = _MARKS[exchange.outcome]
    measured = exchange.measured
    words = exchange.request.prompt if exchange.texts else "(text not kept)"
    if exchange.error_message:
        # Why is what one looks for there.
        words = f"{clean_line(words, 16)} — {exchange.error_message}"
    at, today = exchange.at.astimezone(), now.astimezone().date()
    guessed = "~" if measured.tokens_from is Provenance.ESTIMATED else ""
    return Row(
        str(exchange.id),
        (
            Cell(at.strftime("%H:%M:%S" if at.date() == today else "%y-%m-%d"), "dim"),
            Cell(f"{'*' if marked else ''}{glyph}", tone),
            Cell(took(measured.total_s)),
            Cell(took(measured.first_text_s), "dim"),
            Cell(f"{guessed}{dash(measured.tokens_out)}", "dim"),
            Cell(exchange.role, "accent" if exchange.role is Role.BASE else "dim"),
            Cell(clean_line(words, 300), "" if exchange.texts else "dim"),
        ),
    )
