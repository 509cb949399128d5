"""The charts of a course: what is drawn, what is said instead where there is too little of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal

from peft_tui.domain.ages import took
from peft_tui.domain.metrics import Course, Point
from peft_tui.domain.money import usd
from peft_tui.domain.tally import Tally
from peft_tui.ui.screens.metrics.plot import Picture, Series, bars, plot
from peft_tui.ui.widgets.lines import Line, clipped
from peft_tui.ui.widgets.live_table import Cell

NAMES = ("latency", "requests", "tokens", "cost", "distribution")
P95_LEAST, P99_LEAST = 20, 100
"""With fewer requests in a step its percentile would be the slowest one under another name."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A title line and the picture; without one a sentence stands there."""

    title: Line
    picture: Picture
    instead: str = ""


Draw = Callable[[Course, int, int, bool, tzinfo | None], Chart]


def draw(
    name: str, course: Course, width: int, height: int, ascii_only: bool, zone: tzinfo | None = None
) -> Chart:
    """One chart in `width` × `height` cells, its title line included.

    Args:
        zone: whose local time stands at the axis; the machine's own when None.
    """
    return _CHARTS[name](course, width, height - 1, ascii_only, zone)


def lines_of(chart: Chart, width: int, cursor: int | None, ascii_only: bool) -> list[Line]:
    """The chart as it is shown, with the cursor's rule where it has one."""
    lines = [clipped(chart.title, width)]
    if chart.instead:
        return [*lines, (), (Cell(f"  {chart.instead}", "dim"),)]
    return [*lines, *chart.picture.with_cursor(cursor, "|" if ascii_only else "│")]


# What the charts show


def latency(course: Course, width: int, height: int, ascii_only: bool, zone: tzinfo | None) -> Chart:
    """Bands of warm successes over time, cold starts as marks of their own."""
    points = course.points
    median = [p.tally.latency.value_at(0.5) for p in points]
    p95 = [_if_enough(p.tally, 0.95, P95_LEAST) for p in points]
    p99 = [_if_enough(p.tally, 0.99, P99_LEAST) for p in points]
    slowest = [p.tally.latency.highest if p.tally.latency.count > 1 else None for p in points]
    cold = [p.tally.cold_latency.highest if p.tally.cold_latency.count else None for p in points]
    top = Series("P99", p99, "warn", ascii_mark="+")
    if not _any(p99):
        top = Series("slowest", slowest, "dim", ascii_mark=".")
    series = [top]
    if _any(p95):
        series.append(Series("P95", p95, "good", ascii_mark="o"))
    series.append(Series("P50", median, "accent"))
    warm = [value for one in series for value in one.values if value is not None]
    if _any(cold):
        # A boot of a minute would press the bands of a second flat: it stands above them, off the scale.
        top_edge = max(warm) if warm else None
        shown = [None if value is None else top_edge or value for value in cold]
        series.append(Series("cold", shown, "bad", "marks", "x"))
    count = course.figures.tally.latency.count
    cells = [Cell("latency", "strong"), Cell("  from above", "dim")]
    for one in series:
        if one.style == "marks":
            slowest_cold = took(course.figures.tally.cold_latency.highest)
            scale = ", off the scale" if warm else ""
            cells.append(Cell(f"  {'x' if ascii_only else '×'} cold up to {slowest_cold}{scale}", "bad"))
        elif _any(one.values):
            cells.append(Cell(f"  {one.name}", one.tone))
    cells.append(Cell(f"  per {step_words(course.step)}", "dim"))
    if count and not _any(p95):
        cells.append(Cell(f"  P95 needs {P95_LEAST} in each", "dim"))
    if not count and not _any(cold):
        return Chart(tuple(cells[:1]), _none(), _nothing(course))
    picture = plot(series, width, height, _seconds, ticks(points, width, zone), ascii_only=ascii_only)
    return Chart(tuple(cells), picture)


def requests(course: Course, width: int, height: int, ascii_only: bool, zone: tzinfo | None) -> Chart:
    """How many in each step, failures at their foot."""
    groups, step = _grouped(course, width)
    counts = [group.total for group in groups]
    failures = [group.failed for group in groups]
    title = [Cell("requests", "strong"), Cell(f"  per {step_words(step)}", "dim")]
    if failed := sum(failures):
        title.append(Cell(f"  {'x' if ascii_only else '▒'} {failed:,} failed", "bad"))
    if not any(counts):
        return Chart(tuple(title[:1]), _none(), _nothing(course))
    along = ticks(course.points, width, zone, len(groups))
    return Chart(tuple(title), bars(counts, failures, width, height, compact, along, ascii_only=ascii_only))


def tokens(course: Course, width: int, height: int, ascii_only: bool, zone: tzinfo | None) -> Chart:
    """Tokens out and in, of each step."""
    points = course.points
    into = [float(p.tally.tokens_in) if p.tally.counted else None for p in points]
    out = [float(p.tally.tokens_out) if p.tally.counted else None for p in points]
    title = (
        Cell("tokens", "strong"),
        Cell("  out", "good"),
        Cell("  in", "accent"),
        Cell(f"  per {step_words(course.step)}", "dim"),
    )
    if not course.figures.tally.counted:
        why = _nothing(course) if not course.figures.tally.total else "no answer said how many tokens it was"
        return Chart(title[:1], _none(), why)
    series = [Series("in", into, "accent", ascii_mark="."), Series("out", out, "good", ascii_mark="*")]
    along = ticks(points, width, zone)
    return Chart(title, plot(series, width, height, compact, along, ascii_only=ascii_only, from_zero=True))


def cost(course: Course, width: int, height: int, ascii_only: bool, zone: tzinfo | None) -> Chart:
    """What it came to so far, from the beginning of the range; where nobody looked in another tone."""
    total, seen, unseen = Decimal(0), [], []
    holes = False
    for point in course.points:
        total += point.usd or Decimal(0)
        value = float(total) if point.usd is not None else None
        holes |= not point.seen and value is not None
        seen.append(value if point.seen else None)
        unseen.append(value if not point.seen else None)
    title = [
        Cell("cost", "strong"),
        Cell("  adding up to ", "dim"),
        Cell(usd(course.figures.cost_usd)),
        *([Cell("  nobody looked", "warn")] if holes else []),
    ]
    if not _any(seen) and not _any(unseen):
        return Chart(tuple(title[:1]), _none(), "what it cost is not known yet")
    series = [Series("unseen", unseen, "warn", ascii_mark="?"), Series("cost", seen, "accent")]
    along = ticks(course.points, width, zone)
    picture = plot(series, width, height, _money, along, ascii_only=ascii_only, from_zero=True)
    return Chart(tuple(title), picture)


def distribution(course: Course, width: int, height: int, ascii_only: bool, zone: tzinfo | None) -> Chart:
    """How many warm successes took how long; then the cold ones."""
    tally = course.figures.tally
    title = (
        Cell("distribution", "strong"),
        Cell(f"  of {tally.latency.count:,} warm", "dim"),
        *((Cell(f", {tally.cold_latency.count:,} cold", "bad"),) if tally.cold_latency.count else ()),
    )
    if not tally.latency.count and not tally.cold_latency.count:
        return Chart(title[:1], _none(), _nothing(course))
    room = max(height - (1 if tally.cold_latency.count else 0), 2)
    rows = [(low, high, n, "accent") for low, high, n in tally.latency.bars(room)]
    rows += [(low, high, n, "bad") for low, high, n in tally.cold_latency.bars(1)]
    most = max(n for _, _, n, _ in rows)
    block = "#" if ascii_only else "█"
    lines: list[Line] = []
    for low, high, n, tone in rows[:height]:
        name = took(low) if high / max(low, 1e-9) < 1.02 else f"{took(low)}–{took(high)}"
        room_for = max(width - 18 - len(f"{most:,}") - 1, 4)
        bar = block * max(round(n / most * room_for), 1 if n else 0)
        lines.append(
            (Cell(name.rjust(17) + " ", "dim"), Cell(bar, tone), Cell(f" {n:,}" if n else "", "dim"))
        )
    return Chart(title, Picture(tuple(lines), 0, 0, 0))


_CHARTS: dict[str, Draw] = {
    "latency": latency,
    "requests": requests,
    "tokens": tokens,
    "cost": cost,
    "distribution": distribution,
}


# The axis of time


def ticks(
    points: Sequence[Point], width: int, zone: tzinfo | None, groups: int | None = None
) -> list[tuple[int, str]]:
    """Some points with their local time, as many as there is room for."""
    if not points:
        return []
    count = groups or len(points)
    last = len(points) - 1
    seconds = (points[-1].at - points[0].at).total_seconds() + points[-1].seconds
    many = max(min(width // 18, count), 1)
    places = sorted({round(number * (count - 1) / max(many - 1, 1)) for number in range(many)})
    return [
        (place, moment(points[round(place / max(count - 1, 1) * last)].at, seconds, zone)) for place in places
    ]


def moment(at: datetime, seconds: float, zone: tzinfo | None, *, exact: bool = False) -> str:
    """Local time, as much of it as a span of so many seconds needs."""
    local = at.astimezone(zone)
    if exact:
        return f"{local:%a %d %b %H:%M:%S}" if seconds < 60 else f"{local:%a %d %b %H:%M}"
    if seconds <= 25 * 3600:
        return f"{local:%H:%M}"
    if seconds <= 8 * 86400:
        return f"{local:%a %H:%M}"
    return f"{local:%d %b}"


def step_words(seconds: int) -> str:
    """`10 s`, `1 min`, `2 h`, `1 day`"""
    for size, word in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= size:
            number = round(seconds / size, 1)
            many = "s" if word == "day" and number != 1 else ""
            return f"{number:g} {word}{many}"
    return f"{seconds} s"


# Small things


def _grouped(course: Course, width: int) -> tuple[list[Tally], int]:
    """Steps made wide enough that each has a cell of its own."""
    each = math.ceil(len(course.points) / max(width - 8, 8))
    if each <= 1:
        return [point.tally for point in course.points], course.step
    groups = []
    for first in range(0, len(course.points), each):
        group = Tally()
        for point in course.points[first : first + each]:
            group.succeeded += point.tally.succeeded
            group.failed += point.tally.failed
            group.cancelled += point.tally.cancelled
        groups.append(group)
    return groups, course.step * each


def _if_enough(tally: Tally, q: float, least: int) -> float | None:
    return tally.latency.value_at(q) if tally.latency.count >= least else None


def _any(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _none() -> Picture:
    return Picture((), 0, 0, 0)


def _nothing(course: Course) -> str:
    total = course.figures.tally
    if not total.total:
        return "no request in this range"
    if not total.succeeded:
        return "no request succeeded in this range"
    return "nothing to draw in this range"


def _seconds(value: float) -> str:
    return took(value)


def compact(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scaled = value / (1e3 if letter == "k" else size)
            return f"{scaled:,.1f}".removesuffix(".0") + letter
    return f"{value:,.0f}"


def _money(value: float) -> str:
    return usd(Decimal(str(round(value, 6))))
