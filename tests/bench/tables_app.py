"""The same rows in a LiveTable or a DataTable: `tables_app.py live|stock ROWS`; keys change them.

o: one cell, c: a column of all rows, n: a tick that brings nothing new, a: one more row.
"""

from __future__ import annotations

import sys

from textual.app import App, ComposeResult
from textual.widgets import DataTable, Footer, Header

from peft_tui.ui.widgets.live_table import Cell, Column, LiveTable, Row

COLUMNS = (
    Column("name", "Name", 20),
    Column("platform", "Platform", 10),
    Column("status", "Status", 10),
    Column("requests", "Requests", 9, "right"),
    Column("p50", "p50", 8, "right"),
    Column("cost", "Cost", 8, "right"),
    Column("base", "Base model", 20),
    Column("instance", "Instance", 8),
)


class Tables(App[None]):
    """What both have in common: figures that a key changes."""

    BINDINGS = [
        ("o", "one", "One cell"),
        ("c", "column", "A column"),
        ("n", "nothing", "Nothing new"),
        ("a", "add", "A new row"),
    ]

    def __init__(self, count: int) -> None:
        super().__init__()
        self.requests = [n * 7 for n in range(count)]

    def row(self, n: int) -> tuple[str, ...]:
        return (
            f"deployment-{n}",
            "together",
            "active" if n % 5 else "failed",
            str(self.requests[n]),
            "212 ms",
            "$1.20",
            "Qwen/Qwen3-8B",
            "1x H100",
        )

    def action_one(self) -> None:
        self.requests[3] += 1
        self.update([3])

    def action_column(self) -> None:
        self.requests = [count + 1 for count in self.requests]
        self.update(range(len(self.requests)))

    def action_nothing(self) -> None:
        self.update(range(len(self.requests)))

    def action_add(self) -> None:
        self.requests.append(len(self.requests) * 7)
        self.update([])

    def update(self, changed: range | list[int]) -> None:
        """Bring the rows that may have changed to the screen."""
        raise NotImplementedError


class Live(Tables):
    """All rows are handed over each time; the table finds what differs."""

    def compose(self) -> ComposeResult:
        yield Header()
        yield LiveTable(COLUMNS)
        yield Footer()

    def on_mount(self) -> None:
        self.update([])
        self.query_one(LiveTable).focus()

    def update(self, changed: range | list[int]) -> None:
        rows = []
        for n in range(len(self.requests)):
            texts = self.row(n)
            tone = "good" if texts[2] == "active" else "bad"
            rows.append(Row(f"k{n}", tuple(Cell(text, tone if text is texts[2] else "") for text in texts)))
        self.query_one(LiveTable).set_rows(rows)


class Stock(Tables):
    """The cells that may have changed are set by key, as most applications do."""

    def compose(self) -> ComposeResult:
        yield Header()
        yield DataTable(cursor_type="row")
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for column in COLUMNS:
            table.add_column(column.title, key=column.key, width=column.width)
        self.update([])

    def update(self, changed: range | list[int]) -> None:
        table = self.query_one(DataTable)
        for n in range(table.row_count, len(self.requests)):
            table.add_row(*self.row(n), key=f"k{n}")
        for n in changed:
            table.update_cell(f"k{n}", "requests", str(self.requests[n]))


if __name__ == "__main__":
    {"live": Live, "stock": Stock}[sys.argv[1]](int(sys.argv[2])).run()
