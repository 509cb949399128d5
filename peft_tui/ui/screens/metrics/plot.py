"""Series to lines of toned text, by plotext: a picture as a value, so that only what differs is repainted.

plotext keeps to itself here: its own frame, ticks and colours are not used but for finding a tone again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.cells import cell_len

from peft_tui.ui.widgets.lines import Line
from peft_tui.ui.widgets.live_table import Cell

Values = Sequence[float | None]

_TONES = ("", "accent", "good", "warn", "bad", "dim", "strong")
_SEGMENT = re.compile(r"\x1b\[38;5;(\d+)m([^\x1b]*)|\x1b\[[0-9;]*m|([^\x1b]+)")
LOGARITHMIC = 12.0
"""From such a ratio of the largest to the smallest on, small values would lie on the floor of the picture."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line, row of bars, or scatter; a None is a hole in it."""

    name: str
    values: Values
    tone: str = ""
    style: str = "line"
    """`line` or `marks`."""
    ascii_mark: str = "*"


@dataclass(frozen=True, slots=True)
class Picture:
    """The lines, and where its points stand in them."""

    lines: tuple[Line, ...]
    left: int
    """Cells before the first column of the plot."""
    columns: int
    points: int

    def column(self, point: int) -> int:
        """The cell in which a point is drawn."""
        if self.points < 2:
            return self.left + self.columns // 2
        return self.left + round(point / (self.points - 1) * (self.columns - 1))

    def with_cursor(self, point: int | None, mark: str) -> list[Line]:
        """The lines with a rule through one point, where nothing else stands; not on the axis."""
        if point is None or not self.lines:
            return list(self.lines)
        at = self.column(point)
        return [*(_ruled(line, at, mark) for line in self.lines[:-1]), self.lines[-1]]


def plot(
    series: Sequence[Series],
    width: int,
    height: int,
    label: Callable[[float], str],
    ticks: Sequence[tuple[int, str]],
    *,
    ascii_only: bool = False,
    from_zero: bool = False,
    whole: bool = False,
) -> Picture:
    """Draw in `width` × `height` cells, the last line being the time axis.

    Args:
        label: a value as it stands at the axis.
        ticks: point and what stands under it.
        from_zero: the axis begins at 0; never logarithmic.
        whole: only whole numbers stand at the axis.
    """
    points = max((len(one.values) for one in series), default=0)
    known = [v for one in series for v in one.values if v is not None and math.isfinite(v)]
    rows = height - 1
    if not known or rows < 2 or width < 16:
        return Picture((), 0, 0, points)
    low, high = (0.0 if from_zero else min(known)), max(known)
    positive = [v for v in known if v > 0]
    steep = not from_zero and bool(positive) and high / min(positive) >= LOGARITHMIC
    if steep:
        low = min(positive)
    marks = _marks(low, high, max(rows // 3, 2), steep, whole)
    low, high = min(low, marks[0]), max(high, marks[-1])
    if high <= low:
        low, high = (0.0, high * 2 or 1.0) if high >= 0 else (high * 2, 0.0)
    labels = [label(mark) for mark in marks]
    left = max(cell_len(text) for text in labels) + 2
    columns = width - left
    figure = _figure(columns, rows)

    def height_of(value: float) -> float:
        return math.log10(max(value, low)) if steep else value

    for one in series:
        _draw(figure, one, height_of, points, columns, ascii_only)
    figure.ylim(height_of(low), height_of(high))
    figure.xlim(0, max(points - 1, 1))
    body = _lines(figure.build(), columns, rows)
    at_row: dict[int, str] = {}
    top, bottom = height_of(high), height_of(low)
    for mark, text in zip(marks, labels, strict=True):
        at_row[round((top - height_of(mark)) / (top - bottom) * (rows - 1))] = text
    lines: list[Line] = [
        (Cell(at_row.get(row, "").rjust(left - 1) + " ", "dim"), *cells) for row, cells in enumerate(body)
    ]
    lines.append(_axis(left, columns, points, ticks))
    return Picture(tuple(lines), left, columns, points)


EIGHTHS = " ▁▂▃▄▅▆▇█"


def bars(
    values: Sequence[float],
    marked: Sequence[float],
    width: int,
    height: int,
    label: Callable[[float], str],
    ticks: Sequence[tuple[int, str]],
    *,
    ascii_only: bool = False,
    tone: str = "accent",
) -> Picture:
    """Bars in eighths of a cell, as wide as their steps; of each the part `marked` stands at the foot.

    A marked part is seen however small it is. Drawn here: plotext joins its bars to a silhouette.
    """
    points, rows = len(values), height - 1
    if not points or rows < 2 or width < 16:
        return Picture((), 0, 0, points)
    marks = _marks(0.0, max(*values, 1.0), max(rows // 3, 1), False, True)
    high = max(*values, marks[-1])
    labels = {rows - 1 - round(mark / high * (rows - 1)): label(mark) for mark in marks}
    left = max(len(text) for text in labels.values()) + 2
    columns = width - left
    lines: list[Line] = []
    steps = [_step_at(column, columns, points) for column in range(columns)]
    gap = columns >= 3 * points
    for row in range(rows):
        floor = rows - 1 - row
        text, tones = [], []
        for column, step in enumerate(steps):
            level = values[step] / high * rows - floor
            foot = marked[step] > 0 and floor < max(round(marked[step] / high * rows), 1)
            if gap and column + 1 < columns and steps[column + 1] != step:
                level, foot = 0.0, False
            eighth = min(max(round(level * 8), 1 if floor == 0 and values[step] and level > 0 else 0), 8)
            if foot:
                text.append("x" if ascii_only else "▒")
            elif ascii_only:
                text.append("#" if eighth >= 4 or (floor == 0 and eighth) else " ")
            else:
                text.append(EIGHTHS[eighth])
            tones.append("bad" if foot else tone)
        cells = [
            Cell("".join(letter for letter, _ in run), kind)
            for kind, run in groupby(zip(text, tones, strict=True), key=lambda pair: pair[1])
        ]
        lines.append((Cell(labels.get(row, "").rjust(left - 1) + " ", "dim"), *cells))
    lines.append(_axis(left, columns, points, ticks))
    return Picture(tuple(lines), left, columns, points)


def _step_at(column: int, columns: int, points: int) -> int:
    if points < 2:
        return 0
    return min(round(column / max(columns - 1, 1) * (points - 1)), points - 1)


def _figure(columns: int, rows: int) -> Any:
    # 15 ms, and for this screen only. A figure of its own: the module's is one for the whole process.
    from plotext._figure import _figure_class  # type: ignore[import-untyped]

    figure = _figure_class()
    figure.plot_size(columns, rows)
    figure.frame(False)
    figure.xaxes(False)
    figure.yaxes(False)
    figure.xticks([])
    figure.yticks([])
    return figure


def _draw(
    figure: Any,
    one: Series,
    height_of: Callable[[float], float],
    points: int,
    columns: int,
    ascii_only: bool,
) -> None:
    colour = _TONES.index(one.tone) + 1
    runs = _runs(one.values)
    if one.style == "marks":
        runs = [[pair] for run in runs for pair in run]
    for run in runs:
        xs, ys = [float(x) for x, _ in run], [height_of(v) for _, v in run]
        if len(run) == 1:
            figure.scatter(xs, ys, marker=one.ascii_mark if ascii_only else _POINTS[one.style], color=colour)
        else:
            figure.plot(xs, ys, marker=one.ascii_mark if ascii_only else "braille", color=colour)


_POINTS = {"line": "•", "marks": "×"}


def _runs(values: Values) -> list[list[tuple[int, float]]]:
    """Stretches without a hole."""
    runs: list[list[tuple[int, float]]] = [[]]
    for x, value in enumerate(values):
        if value is None or not math.isfinite(value):
            runs.append([])
        else:
            runs[-1].append((x, value))
    return [run for run in runs if run]


def _lines(built: str, columns: int, rows: int) -> list[list[Cell]]:
    """What plotext built, its colours turned back to tones."""
    lines: list[list[Cell]] = []
    for text in built.split("\n")[:rows]:
        cells: list[Cell] = []
        room = columns
        for colour, toned, plain in _SEGMENT.findall(text):
            piece, tone = (toned, _TONES[int(colour) - 1]) if colour else (plain, "")
            piece = piece[:room]
            if piece:
                cells.append(Cell(piece, tone))
                room -= len(piece)
        lines.append(cells)
    return lines


def _axis(left: int, columns: int, points: int, ticks: Sequence[tuple[int, str]]) -> Line:
    text = [" "] * (left + columns)
    free = 0
    for point, words in ticks:
        at = left + round(point / max(points - 1, 1) * (columns - 1))
        begin = min(max(at - len(words) // 2, 0), left + columns - len(words))
        if begin >= free and begin >= 0:
            text[begin : begin + len(words)] = words
            free = begin + len(words) + 2
    return (Cell("".join(text).rstrip(), "dim"),)


def _marks(low: float, high: float, most: int, steep: bool, whole: bool) -> list[float]:
    """Round values for the axis, the lowest first."""
    if steep:
        decade = math.floor(math.log10(low))
        found = [m * 10.0**e for e in range(decade, math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)]
        inside = [value for value in found if low * 0.999 <= value <= high * 1.001]
        while len(inside) > most + 1:
            inside = inside[::2]
        return inside or [low]
    if high <= low:
        return [high]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    step = max(step, 1.0) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)] or [high]


def _ruled(line: Line, at: int, mark: str) -> Line:
    """The line with `mark` at cell `at`, if that is blank."""
    cells: list[Cell] = []
    start = 0
    missing = at + 1 - sum(len(cell.text) for cell in line)
    for cell in (*line, Cell(" " * missing)):
        place = at - start
        start += len(cell.text)
        if 0 <= place < len(cell.text) and cell.text[place] in " \u2800":
            cells += [Cell(cell.text[:place], cell.tone), Cell(mark, "strong")]
            cell = Cell(cell.text[place + 1 :], cell.tone)
        cells.append(cell)
    return tuple(cell for cell in cells if cell.text)
