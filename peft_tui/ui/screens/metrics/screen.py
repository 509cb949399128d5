"""One deployment's figures: lines above, charts below, live while it is open.

every 30 seconds, or a request was recorded → read → figures and charts → what differs is repainted
a key moved the cursor, the range or the chart → the same, without asking more than is needed
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.metrics import Course
from peft_tui.domain.money import Price
from peft_tui.domain.status import word_for
from peft_tui.services.figures import SPANS, Window
from peft_tui.store import Changes, StoreError
from peft_tui.text import clean_line
from peft_tui.ui.keymap import named
from peft_tui.ui.places import Place, PlaceChanged
from peft_tui.ui.screens.help import show_help
from peft_tui.ui.screens.metrics import charts, words
from peft_tui.ui.screens.metrics.reading import COUNTING_SECONDS, FiguresScreen
from peft_tui.ui.widgets.banner import SandboxBanner
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Line, Lines
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.widgets.palette import ActionCommands
from peft_tui.ui.work import start_work

LEAST_SPAN, MOST_SPAN = 300.0, 3 * 366 * 86400.0
ROOMY_HEIGHT = 30
"""From this height on there are lines for every figure."""
GRID_WIDTH, GRID_HEIGHT = 110, 36
"""From this size on all charts are shown at once."""


class MetricsScreen(FiguresScreen):
    """Figures and charts of one deployment."""

    CSS_PATH = "metrics.tcss"
    AUTO_FOCUS = None
    COMMANDS = {ActionCommands}

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "range('15m')", "15 min", show=False, tooltip="The last quarter of an hour."),
        Binding("2", "range('1h')", "1 hour", show=False, tooltip="The last hour."),
        Binding("3", "range('24h')", "24 hours", show=False, tooltip="The last day."),
        Binding("4", "range('7d')", "7 days", show=False, tooltip="The last week."),
        Binding("5", "range('all')", "All", show=False, tooltip="Everything since it was made."),
        Binding("tab,c", "next_chart", "Chart", tooltip="The next chart, where there is room for one."),
        Binding("shift+tab,C", "next_chart(-1)", "Chart before", show=False, tooltip="The chart before."),
        Binding("left,h", "cursor(-1)", "Values", tooltip="Exact values a step back; right and l go on."),
        Binding("right,l", "cursor(1)", "Values after", show=False, tooltip="Exact values a step later."),
        Binding("shift+left,H", "cursor(-10)", "Ten back", show=False, tooltip="Ten steps back."),
        Binding("shift+right,L", "cursor(10)", "Ten on", show=False, tooltip="Ten steps later."),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom", tooltip="Half the range, round the cursor."),
        Binding("minus", "zoom(2.0)", "Zoom out", show=False, tooltip="Twice the range."),
        Binding("left_square_bracket", "pan(-0.5)", "Earlier", show=False, tooltip="Half a range back."),
        Binding("right_square_bracket", "pan(0.5)", "Later", show=False, tooltip="Half a range on."),
        Binding("0", "live", "Live", show=False, tooltip="Up to now again, without the cursor."),
        Binding("e", "export", "Export", tooltip="CSV, JSON, Prometheus, or a picture of the chart."),
        Binding("o", "overview", "All", tooltip="Every deployment side by side."),
        Binding("r", "refresh", "Refresh", tooltip="Ask the platform now, and read again."),
        Binding("question_mark,f1", "help", "Help", tooltip="Every key of this place."),
        Binding("escape", "back", "Back", tooltip="Drop the cursor; then back to where you came from."),
    ]
    BINDINGS = named("metrics", BINDINGS)

    def __init__(self, backend: Backend, deployment: Deployment, span: str = "1h") -> None:
        super().__init__()
        self._backend = backend
        self._deployment = deployment
        span = span if span in SPANS else "1h"
        self._range = span
        """Its name; empty when it was zoomed to something else."""
        self._span = SPANS[span]
        self._end: datetime | None = None
        """None: up to now."""
        self._course: Course | None = None
        self._price: Price | None = None
        self._read_at: datetime | None = None
        self._cursor: datetime | None = None
        self._chart = 0
        self._pictures: dict[str, tuple[object, charts.Chart]] = {}
        self._trouble = ""

    def compose(self) -> ComposeResult:
        if self.app.sandbox:
            yield SandboxBanner()
        yield Lines(id="metrics-head")
        yield Lines(id="metrics-ranges")
        yield Lines(id="metrics-figures")
        yield Lines(id="metrics-values")
        with Container(id="metrics-charts"):
            for name in charts.NAMES:
                yield Lines(id=f"chart-{name}", classes="chart")
        yield KeyBar()

    def on_mount(self) -> None:
        for lines in self.query(Lines):
            lines.ascii_only = self.app.ascii_only
        self._backend.figures.want_price(self._deployment)
        self._arrange()
        self._draw()

    def place(self) -> Place:
        return {"screen": "metrics", "deployment": self._deployment.id, "range": self._range or "1h"}

    # Reading

    def _concern(self, changes: Changes) -> bool:
        return self._deployment.id in changes.requests or self._deployment.id in changes.deployments

    async def _read_once(self) -> None:
        figures = self._backend.figures
        current = await self._backend.store.deployments.get(self._deployment.id)
        self._deployment = current or self._deployment
        window = await figures.window(self._deployment, self._span, self._points, self._end)
        course = await figures.course(self._deployment, window)
        self._trouble = ""
        if not self._unread:
            self._course, self._read_at = course, self._backend.clock.now()
            self._draw()
            if course.figures.uncounted:
                self.set_timer(COUNTING_SECONDS, self.read)
        if self._price is None:
            self._price = await figures.price(self._deployment)
            if self._price is not None:
                self._draw()

    def _not_read(self, error: StoreError) -> None:
        self._trouble = f"✖ not read: {clean_line(error, 60)}"
        self._draw()

    @property
    def _points(self) -> int:
        """Steps there is room for: two dots of a cell each."""
        return max(2 * (self._chart_width - 10), 24)

    @property
    def _chart_width(self) -> int:
        width = self.size.width or 80
        return (width - 3) // 2 if self.has_class("-grid") else width - 2

    # Drawing

    def _arrange(self) -> None:
        grid = self.size.width >= GRID_WIDTH and self.size.height >= GRID_HEIGHT
        self.set_class(grid, "-grid")
        for number, name in enumerate(charts.NAMES):
            self.query_one(f"#chart-{name}", Lines).display = grid or number == self._chart

    def _draw(self) -> None:
        """Compose everything anew; only what differs is repainted."""
        if not self.is_mounted:
            return
        now = self._backend.clock.now()
        width = self._lines("metrics-head").width or self.size.width
        seen = self._deployment.observation
        state = (Cell(word_for(seen.status, seen.condition) if seen else "not seen yet", "dim"), Cell(" "))
        self._lines("metrics-head").show([words.head(self._deployment, state, width)])
        course = self._course
        window = ""
        if course is not None:
            figures = course.figures
            window = words.window_words(figures.begin, figures.end, self._end is None, None)
        self._lines("metrics-ranges").show([words.ranges(self._range, window, self._freshness(), width)])
        if course is None:
            return
        self._lines("metrics-figures").show(
            words.summary(course.figures, self._price, now, width, more=self.size.height >= ROOMY_HEIGHT)
        )
        index = self._cursor_index()
        values = self._lines("metrics-values")
        if index is None:
            values.show([self._hint(course)])
        else:
            values.show([words.at_cursor(course.points[index], None, width)])
        for name in charts.NAMES:
            lines = self._lines(f"chart-{name}")
            if lines.display and lines.width and lines.size.height > 2:
                lines.show(self._chart_lines(name, course, lines.width, lines.size.height, index))

    def _chart_lines(
        self, name: str, course: Course, width: int, height: int, index: int | None
    ) -> list[Line]:
        """The chart, drawn anew only for another course or another size."""
        identity = (id(course), width, height)
        known = self._pictures.get(name)
        if known is None or known[0] != identity:
            drawn = charts.draw(name, course, width, height, self.app.ascii_only)
            self._pictures[name] = known = (identity, drawn)
        cursor = index if name != "distribution" else None
        return charts.lines_of(known[1], width, cursor, self.app.ascii_only)

    def _hint(self, course: Course) -> Line:
        name = charts.NAMES[self._chart]
        if self.has_class("-grid"):
            return (Cell(f" {charts.step_words(course.step)} a step", "dim"),)
        return (
            Cell(f" {self._chart + 1}/{len(charts.NAMES)} {name}", "dim"),
            Cell("   tab next chart   ← exact values", "dim"),
        )

    def _freshness(self) -> Line:
        if self._trouble:
            return (Cell(self._trouble, "bad"),)
        if self._read_at is None:
            return (Cell("reading", "accent"),)
        if self._course is not None and self._course.figures.uncounted:
            return (Cell(words.counting(self._course.figures.uncounted), "warn"),)
        if self._end is not None:
            return (Cell("standing still", "warn"), Cell("  0 live", "dim"))
        return (Cell("resting", "dim"),) if self.app.resting else (Cell("live", "good"),)

    def _cursor_index(self) -> int | None:
        """The point under the cursor; it stays with its time while the course moves on."""
        if self._cursor is None or self._course is None or not self._course.points:
            return None
        points = self._course.points
        passed = (self._cursor - points[0].at).total_seconds()
        return min(max(int(passed // self._course.step), 0), len(points) - 1)

    @on(Lines.Resized)
    def _measured(self) -> None:
        before = self.has_class("-grid")
        self._arrange()
        if before is not self.has_class("-grid"):
            self.read()
        self._draw()

    # Actions

    def action_range(self, name: str) -> None:
        self._range, self._span, self._end, self._cursor = name, SPANS[name], None, None
        self.post_message(PlaceChanged())
        self.read()

    def action_live(self) -> None:
        self.action_range(self._range or "1h")

    def action_next_chart(self, by: int = 1) -> None:
        self._chart = (self._chart + by) % len(charts.NAMES)
        self._arrange()
        self.call_after_refresh(self._draw)

    def action_cursor(self, by: int) -> None:
        if self._course is None or not self._course.points:
            return
        index = self._cursor_index()
        last = len(self._course.points) - 1
        index = last if index is None else min(max(index + by, 0), last)
        self._cursor = self._course.points[index].at
        self._draw()

    def action_zoom(self, factor: float) -> None:
        window = self._window()
        if window is None:
            return
        span = (window.end - window.begin).total_seconds()
        wanted = min(max(span * factor, LEAST_SPAN), MOST_SPAN)
        centre = self._cursor or (window.end - timedelta(seconds=span / 2) if self._end else None)
        self._range, self._span = "", wanted
        if centre is not None:
            self._go_to(centre + timedelta(seconds=wanted / 2))
        self.read()

    def action_pan(self, share: float) -> None:
        window = self._window()
        if window is None:
            return
        span = (window.end - window.begin).total_seconds()
        self._range, self._span = self._range if self._span else "", self._span or span
        self._go_to(window.end + timedelta(seconds=span * share))
        self.read()

    def _go_to(self, end: datetime) -> None:
        """The range ends there; at now it is live again."""
        self._end = None if end >= self._backend.clock.now() else end

    def _window(self) -> Window | None:
        course = self._course
        return Window(course.figures.begin, course.figures.end, course.step) if course else None

    def action_refresh(self) -> None:
        self._backend.refresh_now()
        self.read()

    def action_export(self) -> None:
        from peft_tui.ui.screens.exporting import CSV, JSON, PROMETHEUS, SVG, ExportScreen

        if self._course is not None:
            forms = (
                (CSV, "a row a step, for a spreadsheet"),
                (JSON, "everything, for a program"),
                (PROMETHEUS, "OpenMetrics, in OpenTelemetry's words"),
                (SVG, "a picture of the chart"),
            )
            self.app.push_screen(ExportScreen(forms), self._export)

    def _export(self, kind: str | None) -> None:
        if kind is not None and self._course is not None:
            start_work(self, partial(self._write, kind, self._course), group="export")

    async def _write(self, kind: str, course: Course) -> None:
        from peft_tui.services import export
        from peft_tui.ui.screens import exporting

        now = self._backend.clock.now()
        if kind == "svg":
            from peft_tui.ui.screens.metrics.picture import chart_picture

            text = chart_picture(self._deployment, course, charts.NAMES[self._chart])
        else:
            text = export.document(kind, self._deployment, course, now)
        await exporting.write(self.app, self._deployment.name, kind, text, now)

    def action_overview(self) -> None:
        self.app.show_overview()

    def action_back(self) -> None:
        if self._cursor is not None:
            self._cursor = None
            self._draw()
        else:
            self.dismiss()

    def action_help(self) -> None:
        show_help(self)

    def _lines(self, name: str) -> Lines:
        return self.query_one(f"#{name}", Lines)
