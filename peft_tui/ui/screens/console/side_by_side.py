"""Two answers beside each other, or a verdict over several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from peft_tui.domain.request import Exchange
from peft_tui.services.wording import figures, packed
from peft_tui.text import clean_line
from peft_tui.ui.keymap import named
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Line, clipped, width_of, wrapped
from peft_tui.ui.widgets.live_table import Cell

GAP = 3


@dataclass(frozen=True, slots=True)
class Side:
    """One of two."""

    title: str
    exchange: Exchange

    @property
    def text(self) -> str:
        texts = self.exchange.texts
        if self.exchange.error is not None:
            return self.exchange.error_message
        return texts.response if texts else "(text not kept)"


def side(exchange: Exchange, title: str = "") -> Side:
    """One of two, called by its time where it has no other name."""
    title = title or exchange.at.astimezone().strftime("%H:%M:%S")
    return Side(f"{title}: {clean_line(exchange.model, 60)}", exchange)


class SideBySideScreen(Screen[None]):
    """Left and right, and what they have in common is dim."""

    DEFAULT_CSS = """
    SideBySideScreen { background: $background; }
    SideBySideScreen > Block { height: 1fr; overflow-y: auto; padding: 1 1 0 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss_it", "Back", tooltip="To the console."),
        Binding("up,k", "scroll_lines(-1)", "Up", show=False),
        Binding("down,j", "scroll_lines(1)", "Down", show=False),
        Binding("pageup", "scroll_lines(-10)", "Page up", show=False),
        Binding("pagedown", "scroll_lines(10)", "Page down", show=False),
    ]
    BINDINGS = named("side_by_side", BINDINGS)

    def __init__(self, verdict: str, tone: str, pairs: Sequence[tuple[str, Side, Side]]) -> None:
        super().__init__()
        self._verdict, self._tone = verdict, tone
        self._pairs = pairs

    def compose(self) -> ComposeResult:
        yield Block(self._build)
        yield KeyBar()

    def action_dismiss_it(self) -> None:
        self.dismiss(None)

    def action_scroll_lines(self, by: int) -> None:
        self.query_one(Block).action_scroll_by(by)

    def _build(self, width: int) -> list[Line]:
        lines: list[Line] = []
        if self._verdict:
            lines += [*wrapped(self._verdict, width, self._tone), ()]
        for prompt, left, right in self._pairs:
            lines += [clipped((Cell("▸ ", "accent"), Cell(clean_line(prompt, 300), "strong")), width)]
            lines += beside(left, right, width)
            lines.append(())
        return lines


def beside(left: Side, right: Side, width: int) -> list[Line]:
    """Two columns where there is room for two, else one after the other."""
    half = (width - GAP) // 2
    if half < 28:
        return [*_column(left, width), (), *_column(right, width)]
    columns = [_column(left, half, right.text), _column(right, half, left.text)]
    lines: list[Line] = []
    for number in range(max(map(len, columns))):
        first, second = (column[number] if number < len(column) else () for column in columns)
        padding = " " * (half - width_of(first) + GAP)
        lines.append((*first, Cell(padding), *second))
    return lines


def _column(side: Side, width: int, other: str | None = None) -> list[Line]:
    same = other is not None and side.text.split() == other.split()
    return [
        clipped((Cell(side.title, "accent"),), width),
        *wrapped(side.text, width, "dim" if same else ""),
        *((Cell(line, "dim"),) for line in packed(figures(side.exchange), width)),
    ]
