"""Order and columns of the list, by keys and by the mouse."""

from __future__ import annotations

from pathlib import Path

from peft_tui.ui.order import DOWNWARDS
from peft_tui.ui.rows import COLUMNS
from peft_tui.ui.widgets.live_table import LiveTable, lay_out
from tests.seeds import populated, still_app
from tests.ui.test_deployments_screen import at_home


def test_every_column_can_be_sorted_by() -> None:
    assert {column.key for column in COLUMNS} == set(DOWNWARDS)


def test_a_hidden_column_gives_its_room_to_the_others_and_the_name_never_leaves() -> None:
    def keys(*hidden: str) -> list[str]:
        return [COLUMNS[slot.place].key for slot in lay_out(COLUMNS, 80, hidden)]

    assert "latency" not in keys() and "latency" in keys("requests", "instances")
    assert keys("name", "status", *(column.key for column in COLUMNS)) == ["name", "status"]


async def test_a_click_on_a_title_sorts_turns_round_and_lets_go(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        place = at.line_with("PLATFORM").index("PLATFORM")
        table = at.app.screen.query_one(LiveTable)
        for mark in ("PLATFORM▲", "PLATFORM▼"):
            await at.pilot.click(table, offset=(place + 1, 0))
            await at.sees(mark)
            await at.selects("ticket-router")
        await at.pilot.click(table, offset=(place + 1, 0))
        await at.sees("newest first")


async def test_columns_are_chosen_while_the_list_shows_it(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated), (100, 24)) as at:
        await at.press("w")
        await at.sees("COLUMN", "NAME as it is called here always", "BASE MODEL on which base no room")
        await at.press("j", "space")
        await at.sees("PLATFORM whose cloud it runs in hidden")
        await at.press("escape")
        await at.gone("whose cloud")
        await at.sees("PLATFORM")
        await at.press("w", "j", "space", "enter")
        await at.gone("PLATFORM")
        await at.press("w", "r", "enter")
        await at.sees("PLATFORM")
