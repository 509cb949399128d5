"""Charts as values: local time, holes, few points, little room."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from peft_tui.domain.measure import Outcome
from peft_tui.domain.metrics import Course, Figures, Point
from peft_tui.domain.sample import Sample
from peft_tui.domain.tally import Tally
from peft_tui.ui.screens.metrics import charts
from peft_tui.ui.screens.metrics.plot import EIGHTHS, bars

BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
"""An hour before clocks go from 02:00 to 03:00 in Berlin."""


def course(begin: datetime, counts: list[int], step: int = 600) -> Course:
    points = []
    for number, count in enumerate(counts):
        at, tally = begin + timedelta(seconds=step * number), Tally()
        for _ in range(count):
            tally.add(Sample(at, Outcome.OK, 0.4, 0.2, 10, 20))
        points.append(Point(at, step, tally, None))
    whole = Tally()
    for point in points:
        whole.merge(point.tally)
    return Course(Figures(begin, begin + timedelta(seconds=step * len(counts)), whole), tuple(points), step)


def text(name: str, of: Course, width: int = 80, height: int = 12) -> list[str]:
    drawn = charts.draw(name, of, width, height, False, BERLIN)
    return ["".join(cell.text for cell in line) for line in charts.lines_of(drawn, width, None, False)]


def test_the_hour_that_there_is_not_is_not_on_the_axis() -> None:
    axis = text("latency", course(SPRING, [3] * 13))[-1]
    assert axis.split()[0] == "01:00" and axis.split()[-1] == "04:00"
    labels = [charts.moment(SPRING + timedelta(minutes=m), 7200, BERLIN) for m in range(0, 121, 10)]
    assert not [label for label in labels if label.startswith("02:")]


def test_the_hour_that_comes_twice_is_two_hours_of_points() -> None:
    autumn = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    of = course(autumn, [1] * 13)
    labels = [charts.moment(point.at, 7200, BERLIN) for point in of.points]
    assert labels.count("02:30") == 2
    assert text("requests", of)[-1].split()[-1] == "03:00"


def test_every_point_has_a_column_and_the_cursor_finds_it() -> None:
    drawn = charts.draw("latency", course(SPRING, [3] * 40), 80, 12, False, BERLIN)
    places = [drawn.picture.column(n) for n in range(40)]
    assert places == sorted(places) and places[0] == drawn.picture.left and places[-1] == 79
    ruled = drawn.picture.with_cursor(39, "│")
    assert sum(cell.text.count("│") for line in ruled for cell in line) >= 7


@pytest.mark.parametrize("name", charts.NAMES)
@pytest.mark.parametrize("counts", [[0] * 20, [0] * 10 + [1] + [0] * 9, [1], [5] * 300])
@pytest.mark.parametrize(("width", "height"), [(80, 12), (30, 6), (16, 4), (5, 2)])
def test_no_size_and_no_number_of_points_breaks_a_chart(
    name: str, counts: list[int], width: int, height: int
) -> None:
    lines = text(name, course(SPRING, counts), width, height)
    assert all(len(line) <= max(width, 60) for line in lines)


def test_bars_are_as_high_as_their_counts_and_a_failure_is_seen_however_rare() -> None:
    drawn = bars([8.0, 4.0, 0.0, 1000.0], [0.0, 0.0, 0.0, 1.0], 40, 9, str, [])
    rows = ["".join(cell.text for cell in line[1:]) for line in drawn.lines[:-1]]
    assert "▒" in rows[-1] and "█" in rows[0]
    assert rows[-1][0] in EIGHTHS[1:] and rows[-1][drawn.columns * 2 // 3 - 2] == " "
