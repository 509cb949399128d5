"""The application on a store that is damaged: it says so and goes on, whoever finds the damage."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from peft_tui.store import Store
from peft_tui.store.care import back_up
from tests.doubles import deployment
from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("table", ["deployments", "readings"], ids=["what it shows", "what it does not read"])
async def test_it_begins_again_on_the_backup_and_says_so(tmp_path: Path, table: str) -> None:
    store = await Store.open(tmp_path)
    async with store.database.transaction() as transaction:
        await store.deployments.insert(transaction, deployment("support-bot"))
    await store.close()
    path = store.database.path
    back_up(path)
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)
    words, places = [sys.executable, "-m", "peft_tui"], {"PEFT_TUI_DATA_DIR": str(tmp_path)}
    async with Terminal.run(words, cwd=ROOT, env=places, size=(120, 36)) as term:
        await term.sees("The store was damaged")
        await term.sees("lies aside as")
        await term.sees("support-bot")
        assert len(list(tmp_path.glob("*.damaged-*"))) == 1
        term.press("q")
        assert await term.wait_exit() == 0
        assert not term.alternate_screen
