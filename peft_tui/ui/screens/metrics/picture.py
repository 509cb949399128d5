"""The picture of a chart, for a document."""

from __future__ import annotations

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.metrics import Course
from peft_tui.text import clean_line
from peft_tui.ui.screens.metrics import charts, words
from peft_tui.ui.widgets.lines import Line
from peft_tui.ui.widgets.live_table import Cell

_PAPER = TerminalTheme(
    (251, 251, 249),
    (42, 45, 51),
    [(42, 45, 51), (177, 50, 44), (59, 122, 54), (143, 95, 0), (29, 106, 158), (107, 111, 120),
     (29, 106, 158), (107, 111, 120)],
)  # fmt: skip
_COLOURS = {
    "accent": "blue",
    "good": "green",
    "warn": "yellow",
    "bad": "red",
    "dim": "magenta",
    "strong": "bold",
}


def picture(lines: list[Line], title: str, width: int) -> str:
    """Lines as an SVG on light paper, whatever the colours of the terminal are."""
    with open("/dev/null", "w") as nowhere:
        console = Console(
            record=True, width=width, file=nowhere, force_terminal=True, color_system="truecolor",
            legacy_windows=False,
        )  # fmt: skip
        for line in lines:
            text = Text(no_wrap=True, end="\n")
            for cell in line:
                text.append(cell.text, _COLOURS.get(cell.tone, ""))
            console.print(text)
    return console.export_svg(title=title, theme=_PAPER)


def chart_picture(deployment: Deployment, course: Course, chart: str) -> str:
    """A chart as SVG, with what it is of below."""
    figures = course.figures
    lines = charts.lines_of(charts.draw(chart, course, 120, 30, False), 120, None, False)
    said = words.window_words(figures.begin, figures.end, False, None)
    return picture([*lines, (), (Cell(said, "dim"),)], clean_line(deployment.name, 60), 120)
