"""What a table consists of, and how its columns share a width: values and rules, no widget."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from rich.cells import cell_len, split_text

GUTTER = 2
"""Cells left of the first column, where the cursor's marker stands."""
GAP = 2
"""Cells between two columns."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Column:
    """What a column is called, and how much room it asks for."""

    key: str
    title: str
    width: int
    """Cells wanted."""
    align: Literal["left", "right"] = "left"
    priority: int = 0
    """0 never leaves; the highest number leaves first when the width is short."""
    grow: bool = False
    """Takes spare width, shared with the others that grow."""
    minimum: int = 4
    """It never gets narrower than this, nor than `width` where that is less."""
    elide: Literal["end", "middle"] = "end"
    """Where text that is too long loses its cells."""
    words: str = ""
    """What it tells, for whoever chooses columns."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One text in a row; drawn literally, never as markup."""

    text: str
    tone: str = ""
    """Suffix of a component class: "", "dim", "good", "warn", "bad" or "accent"."""
    short: str = ""
    """What a table says instead where `text` has not the room."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    key: str
    """Unique in the table: the cursor stays with it."""
    cells: tuple[Cell, ...]
    """In the order of the columns."""


class Slot(NamedTuple):
    """Where a column that is shown stands on the line."""

    place: int
    start: int
    width: int


def lay_out(columns: Sequence[Column], width: int, hidden: Collection[str] = ()) -> tuple[Slot, ...]:
    """Decide which columns are shown in `width` cells, and where.

    Hidden ones are not, unless they never leave.

    While the wanted widths do not fit, columns leave by priority. If those that never leave still do not fit,
    they shrink, growing ones first, the widest first. What is left over goes to the growing ones.
    """
    kept = [i for i, column in enumerate(columns) if column.key not in hidden or not column.priority]
    widths = [column.width for column in columns]

    def spare() -> int:
        return width - GUTTER - sum(widths[index] + GAP for index in kept) + GAP

    while spare() < 0:
        last = max(kept, key=lambda index: (columns[index].priority, index), default=None)
        if last is None or not columns[last].priority:
            break
        kept.remove(last)
    while spare() < 0:
        narrower = [index for index in kept if widths[index] > columns[index].minimum]
        if not narrower:
            break
        widths[max(narrower, key=lambda index: (columns[index].grow, widths[index]))] -= 1
    growing = [index for index in kept if columns[index].grow]
    if growing and (left := spare()) > 0:
        share, odd = divmod(left, len(growing))
        for place, index in enumerate(growing):
            widths[index] += share + (place < odd)

    slots, start = [], GUTTER
    for index in kept:
        slots.append(Slot(index, start, widths[index]))
        start += widths[index] + GAP
    return tuple(slots)


@lru_cache(maxsize=2048)
def fit_text(text: str, width: int, align: str = "left", elide: str = "end", ellipsis: str = "…") -> str:
    """Pad or shorten text to exactly `width` cells; wide characters are never cut in half."""
    text = _UNPRINTABLE.sub(" ", text)
    length = cell_len(text)
    if length > width:
        room = max(0, width - cell_len(ellipsis))
        tail = room // 2 if elide == "middle" else 0
        text = (
            split_text(text, room - tail)[0].rstrip() + ellipsis + split_text(text, length - tail)[1].lstrip()
        )
        length = cell_len(text)
    padding = " " * (width - length)
    return padding + text if align == "right" else text + padding


def follow(old: Sequence[Row], new: Sequence[Row], index: int) -> int:
    """Where the row at `index` of `old`, or else its nearest neighbour, stands in `new`; -1 if empty."""
    if not 0 <= index < len(old):
        return 0 if new else -1
    if index < len(new) and new[index].key == old[index].key:
        return index
    places = {row.key: place for place, row in enumerate(new)}
    for distance in range(len(old)):
        for neighbour in (index + distance, index - distance):
            if 0 <= neighbour < len(old) and (place := places.get(old[neighbour].key)) is not None:
                return place
    return min(index, len(new) - 1)
