"""The benches. Each is an async function of the number of runs that returns results; add yours to BENCHES.

A whole program is compared by one line, for example:

    starts("start, 1,000 deployments", ["peft-tui"], "lora-3", goal=1.3, env={"PEFT_TUI_DATA_DIR": …})
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.bench.application import at_hand, starts_full, ticks
from tests.bench.asking import asking
from tests.bench.figures import figures
from tests.bench.measure import Result, keys_cost, program, starts

Bench = Callable[[int], Awaitable[list[Result]]]

TABLE_KEYS = {
    "one cell": ("o",),
    "a column": ("c",),
    "nothing new": ("n",),
    "a new row": ("a",),
    "cursor": ("down",),
}

BENCHES: list[Bench] = [
    starts_full,
    at_hand,
    ticks,
    figures,
    asking,
    starts("start, LiveTable of 1,000 rows", program("tables_app", "live", "1000"), "deployment-3", goal=1.3),
    keys_cost(
        "LiveTable against DataTable",
        program("tables_app", "live", "1000"),
        program("tables_app", "stock", "1000"),
        "deployment-3",
        TABLE_KEYS,
        bytes_goal=0.55,
        ms_goal=1.0,
    ),
    keys_cost(
        "the same, 10,000 rows",
        program("tables_app", "live", "10000"),
        program("tables_app", "stock", "10000"),
        "deployment-3",
        {name: TABLE_KEYS[name] for name in ("one cell", "a column", "nothing new")},
        bytes_goal=0.55,
        ms_goal=1.0,
    ),
]
