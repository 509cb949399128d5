"""Where the figures should go: one question, one answer."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.metrics import Course
from peft_tui.services import export
from peft_tui.text import clean_line
from peft_tui.ui.keymap import named
from peft_tui.ui.screens.metrics import charts, words
from peft_tui.ui.widgets.lines import Line, Lines
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.widgets.opaque import OpaqueScreen

KINDS = (
    ("c", "csv", "CSV", "a row a step, for a spreadsheet"),
    ("j", "json", "JSON", "everything, for a program"),
    ("p", "prometheus", "Prometheus", "OpenMetrics text with the names of OpenTelemetry's GenAI"),
    ("s", "svg", "SVG", "a picture of the chart"),
)


class ExportScreen(OpaqueScreen[str | None]):
    """Answers with the kind that was chosen."""

    DEFAULT_CSS = """
    ExportScreen { align: center middle; }
    ExportScreen > Vertical { width: 64; max-width: 100%; height: auto; padding: 1 2; }
    ExportScreen Lines { height: auto; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"choose('{kind}')", title, tooltip=words) for key, kind, title, words in KINDS),
        Binding("escape", "choose('')", "Close", tooltip="Write nothing."),
    ]
    BINDINGS = named("export", BINDINGS)

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._ascii_only = ascii_only

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines(id="export-kinds")

    def on_mount(self) -> None:
        lines = self.query_one(Lines)
        lines.ascii_only = self._ascii_only
        lines.show(
            [
                (Cell("Export", "strong"), Cell("   into this directory · esc closes", "dim")),
                (),
                *(
                    (Cell(key, "accent"), Cell(f"  {title.ljust(12)}"), Cell(words, "dim"))
                    for key, _, title, words in KINDS
                ),
            ]
        )

    def action_choose(self, kind: str) -> None:
        self.dismiss(kind or None)


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


def exported(kind: str, deployment: Deployment, course: Course, chart: str, now: datetime) -> str:
    """The text of the file: the figures in a format, or the picture of a chart with what it is of below."""
    if kind != "svg":
        return export.document(kind, deployment, course, now)
    figures = course.figures
    lines = charts.lines_of(charts.draw(chart, course, 120, 30, False), 120, None, False)
    said = words.window_words(figures.begin, figures.end, False, None)
    return picture([*lines, (), (Cell(said, "dim"),)], clean_line(deployment.name, 60), 120)
