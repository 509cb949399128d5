"""Work that is started and not waited for."""

from __future__ import annotations

import ast
import asyncio
import gc
import warnings
from pathlib import Path

from textual.app import App

from peft_tui.ui.work import start_work

PACKAGE = Path(__file__).parents[2] / "peft_tui"


async def test_work_that_gives_way_before_it_began_is_dropped_in_silence() -> None:
    # BUG: what was typed quickly in the wizard ended as “coroutine … was never awaited” on the terminal.
    done: list[str] = []

    async def work() -> None:
        done.append("done")

    app: App[None] = App()
    async with app.run_test():
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for _ in range(3):
                worker = start_work(app, work, group="derive", exclusive=True)
            await worker.wait()
            await asyncio.sleep(0)
            gc.collect()
    assert done == ["done"] and [str(warning.message) for warning in said] == []


def test_no_screen_hands_a_worker_a_coroutine_that_it_made_itself() -> None:
    made = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "run_worker":
                made += [f"{file}:{node.lineno}" for given in node.args if isinstance(given, ast.Call)]
    assert made == []
