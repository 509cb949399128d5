"""All deployments side by side: sorted by any figure, with their course as a line of blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from peft_tui.backend import Backend
from peft_tui.domain.ages import took
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.metrics import Course
from peft_tui.domain.money import usd
from peft_tui.services.figures import SPANS
from peft_tui.store import Changes, StoreError
from peft_tui.text import clean_line
from peft_tui.ui.keymap import named
from peft_tui.ui.places import Place, PlaceChanged
from peft_tui.ui.screens.help import show_help
from peft_tui.ui.screens.metrics import words
from peft_tui.ui.screens.metrics.charts import compact
from peft_tui.ui.screens.metrics.reading import COUNTING_SECONDS, FiguresScreen
from peft_tui.ui.screens.metrics.screen import MetricsScreen
from peft_tui.ui.widgets.banner import SandboxBanner
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Lines, spread
from peft_tui.ui.widgets.live_table import Cell, Column, LiveTable, Row
from peft_tui.ui.widgets.palette import ActionCommands

TREND = 16
BLOCKS, ASCII_BLOCKS = " ▁▂▃▄▅▆▇█", " .:-=+*#%"

COLUMNS = (
    Column("name", "NAME", 14, grow=True, minimum=8, elide="middle"),
    Column("platform", "PLATFORM", 9, priority=3),
    Column("requests", "REQ", 7, "right"),
    Column("success", "OK%", 5, "right", priority=2),
    Column("p50", "P50", 7, "right", priority=1),
    Column("p95", "P95", 7, "right", priority=5),
    Column("first_text", "TTFT", 7, "right", priority=8),
    Column("speed", "TOK/S", 5, "right", priority=9),
    Column("tokens", "TOKENS", 7, "right", priority=7),
    Column("cost", "COST", 9, "right"),
    Column("million", "$/1M TOK", 9, "right", priority=6),
    Column("hourly", "$/H", 7, "right", priority=4),
    Column("trend", "REQUESTS", TREND, priority=3),
)

_SORTS: Mapping[str, tuple[bool, Callable[[Deployment, Course], Any]]] = {
    "name": (False, lambda d, c: d.name.casefold()),
    "platform": (False, lambda d, c: d.platform),
    "requests": (True, lambda d, c: c.figures.tally.total),
    "success": (False, lambda d, c: c.figures.tally.success_rate),
    "p50": (True, lambda d, c: c.figures.tally.latency.value_at(0.5)),
    "p95": (True, lambda d, c: c.figures.tally.latency.value_at(0.95)),
    "first_text": (True, lambda d, c: c.figures.tally.first_text.value_at(0.5)),
    "speed": (True, lambda d, c: c.figures.tally.speed.value_at(0.5)),
    "tokens": (True, lambda d, c: c.figures.tokens),
    "cost": (True, lambda d, c: c.figures.cost_usd),
    "million": (True, lambda d, c: c.figures.usd_per_million),
    "hourly": (True, lambda d, c: c.figures.usd_per_hour),
}


class OverviewTable(LiveTable):
    """The table, with what Enter does here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Open", tooltip="The figures of this deployment."),
    ]
    BINDINGS = named("overview", BINDINGS)


class OverviewScreen(FiguresScreen):
    """Every deployment's figures over one range."""

    CSS_PATH = "metrics.tcss"
    AUTO_FOCUS = "OverviewTable"
    COMMANDS = {ActionCommands}

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "range('15m')", "15 min", show=False, tooltip="The last quarter of an hour."),
        Binding("2", "range('1h')", "1 hour", show=False, tooltip="The last hour."),
        Binding("3", "range('24h')", "24 hours", show=False, tooltip="The last day."),
        Binding("4", "range('7d')", "7 days", show=False, tooltip="The last week."),
        Binding("5", "range('all')", "All time", show=False, tooltip="Everything there ever was."),
        Binding("s", "sort", "Sort", tooltip="By the next column."),
        Binding("a", "group", "By adapter", tooltip="Keep the platforms of one adapter side by side."),
        Binding("S", "reverse", "Reverse", tooltip="Turn the order round."),
        Binding("r", "refresh", "Refresh", tooltip="Ask the platforms now, and read again."),
        Binding("question_mark,f1", "help", "Help", tooltip="Every key of this place."),
        Binding("escape", "back", "Back", tooltip="Back to where you came from."),
    ]
    BINDINGS = named("overview", BINDINGS)

    def __init__(self, backend: Backend, span: str = "24h") -> None:
        super().__init__()
        self._backend = backend
        self._range = span if span in SPANS else "24h"
        self._found: list[tuple[Deployment, Course]] = []
        self._loaded = False
        self._sort: tuple[str, bool] = ("cost", True)
        self._by_adapter = False

    def compose(self) -> ComposeResult:
        if self.app.sandbox:
            yield SandboxBanner()
        yield Lines(id="overview-head")
        yield Lines(id="overview-ranges")
        yield OverviewTable(COLUMNS)
        yield Lines(id="overview-empty")
        yield KeyBar()

    def on_mount(self) -> None:
        for lines in self.query(Lines):
            lines.ascii_only = self.app.ascii_only
        self._table.ascii_only = self.app.ascii_only
        self._table.sort = self._sort

    def _concern(self, changes: Changes) -> bool:
        return bool(changes.requests)

    async def _read_once(self) -> None:
        deployments = await self._backend.store.deployments.all()
        span = SPANS[self._range]
        courses = await self._backend.figures.overview(deployments, span, TREND * 2)
        self._found = list(zip(deployments, courses, strict=True))
        self._loaded = True
        self._draw()
        if self._uncounted:
            self.set_timer(COUNTING_SECONDS, self.read)

    def _not_read(self, error: StoreError) -> None:
        words_ = f"The figures cannot be read: {clean_line(error, 100)}"
        self.notify(words_, severity="warning", markup=False)

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        self.set_class(self._loaded and not self._found, "-empty")
        compare = _SORTS[self._sort[0]][1]
        known = [(value, d, c) for d, c in self._found if (value := compare(d, c)) is not None]
        unknown = [(d, c) for d, c in self._found if compare(d, c) is None]
        known.sort(key=lambda one: one[1].name.casefold())
        known.sort(key=lambda one: one[0], reverse=self._sort[1])
        ordered = [(d, c) for _, d, c in known] + unknown
        if self._by_adapter:
            ordered = side_by_side(ordered)
        follows = [
            self._by_adapter and bool(place) and adapter_of(d) == adapter_of(ordered[place - 1][0])
            for place, (d, _) in enumerate(ordered)
        ]
        rows = [
            _row(d, c, self.app.ascii_only, after) for (d, c), after in zip(ordered, follows, strict=True)
        ]
        self._table.set_rows(rows)
        width = self.query_one("#overview-head", Lines).width or self.size.width
        requests = sum(course.figures.tally.total for _, course in self._found)
        costs = [cost for _, course in self._found if (cost := course.figures.cost_usd) is not None]
        unsaid = len(self._found) - len(costs)
        total = usd(sum(costs, Decimal(0))) if costs else "—"
        right = (
            Cell(f"{requests:,} requests  ", "dim"),
            Cell(total, "strong"),
            Cell(f"  {unsaid} of unknown cost " if unsaid else " ", "dim"),
        )
        left = (
            Cell(" metrics", "strong"),
            Cell(f" · {len(self._found)} deployment{'' if len(self._found) == 1 else 's'}", "dim"),
        )
        self.query_one("#overview-head", Lines).show([spread(left, right, width)])
        title = next(column.title for column in COLUMNS if column.key == self._sort[0])
        fresh = (Cell("reading", "accent"),)
        if self._loaded:
            fresh = (Cell("resting", "dim"),) if self.app.resting else (Cell("live", "good"),)
        if self._uncounted:
            fresh = (Cell(words.counting(self._uncounted), "warn"),)
        order = f"by {title.lower()}" + (", platforms of one adapter together" if self._by_adapter else "")
        line = words.ranges(self._range, order, fresh, width)
        self.query_one("#overview-ranges", Lines).show([line])
        if self._loaded and not self._found:
            self.query_one("#overview-empty", Lines).show(
                [(Cell("Nothing is deployed yet.", "strong"),), (), (Cell("esc", "accent"), Cell("  back"))]
            )

    @property
    def _uncounted(self) -> int:
        return next((course.figures.uncounted for _, course in self._found), 0)

    @on(Lines.Resized)
    def _measured(self) -> None:
        self._draw()

    @on(LiveTable.Chosen)
    def _row_chosen(self, event: LiveTable.Chosen) -> None:
        chosen = next((d for d, _ in self._found if d.id == event.key), None)
        if chosen is not None:
            self.app.push_screen(MetricsScreen(self._backend, chosen, self._range))

    def action_range(self, name: str) -> None:
        self._range = name
        self.post_message(PlaceChanged())
        self.read()

    def place(self) -> Place:
        return {"screen": "overview", "range": self._range}

    def action_sort(self) -> None:
        cycle = [key for key in self._table.shown_columns if key in _SORTS]
        place = cycle.index(self._sort[0]) if self._sort[0] in cycle else -1
        column = cycle[(place + 1) % len(cycle)]
        self._sort_by((column, _SORTS[column][0]))

    def action_group(self) -> None:
        self._by_adapter = not self._by_adapter
        self._draw()

    def action_reverse(self) -> None:
        self._sort_by((self._sort[0], not self._sort[1]))

    def _sort_by(self, sort: tuple[str, bool]) -> None:
        self._sort = self._table.sort = sort
        self._draw()

    def action_refresh(self) -> None:
        self._backend.refresh_now()
        self.read()

    def action_back(self) -> None:
        self.dismiss()

    def action_help(self) -> None:
        show_help(self)

    @property
    def _table(self) -> OverviewTable:
        return self.query_one(OverviewTable)


def adapter_of(deployment: Deployment) -> str:
    """What two deployments have in common that are the same on two platforms."""
    return deployment.spec.source.reference or deployment.id


def side_by_side(ordered: list[tuple[Deployment, Course]]) -> list[tuple[Deployment, Course]]:
    """In the same order, but each followed by the others of its adapter."""
    groups: dict[str, list[tuple[Deployment, Course]]] = {}
    for deployment, course in ordered:
        groups.setdefault(adapter_of(deployment), []).append((deployment, course))
    return [one for group in groups.values() for one in group]


def _row(deployment: Deployment, course: Course, ascii_only: bool, follows: bool = False) -> Row:
    """A deployment as the table shows it; `follows` one of the same adapter."""
    figures = course.figures
    tally = figures.tally
    rate = tally.success_rate
    cost = figures.cost_usd
    least = "" if figures.cost_is_complete or cost is None else "≥"
    pace = tally.speed.value_at(0.5)
    hourly = figures.usd_per_hour
    return Row(
        deployment.id,
        (
            Cell((("` " if ascii_only else "└ ") if follows else "") + clean_line(deployment.name, 120)),
            Cell(clean_line(deployment.platform, 40), "dim"),
            _figure(f"{tally.total:,}" if tally.total else "—"),
            _figure(
                "—" if rate is None else f"{rate * 100:.4g}", "bad" if rate is not None and rate < 0.9 else ""
            ),
            _figure(took(tally.latency.value_at(0.5)).replace(" ", "")),
            _figure(took(tally.latency.value_at(0.95)).replace(" ", "")),
            _figure(took(tally.first_text.value_at(0.5)).replace(" ", "")),
            _figure("—" if pace is None else f"{pace:.0f}"),
            _figure(compact(figures.tokens) if figures.tokens else "—"),
            _figure(f"{least}{usd(cost)}"),
            _figure(usd(figures.usd_per_million)),
            _figure(usd(hourly) if hourly else "—"),
            Cell(spark([point.tally.total for point in course.points], TREND, ascii_only), "accent"),
        ),
    )


def _figure(text: str, tone: str = "") -> Cell:
    return Cell("—", "dim") if text == "—" else Cell(text, tone)


def spark(counts: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """A line of blocks, each the mean of its steps; something is never drawn as nothing."""
    if not counts or not any(counts):
        return ""
    blocks = ASCII_BLOCKS if ascii_only else BLOCKS
    groups = [counts[len(counts) * n // width : len(counts) * (n + 1) // width] for n in range(width)]
    means = [sum(group) / len(group) if group else 0.0 for group in groups]
    top = max(means)
    return "".join(blocks[max(round(mean / top * 8), 1) if mean else 0] for mean in means)
