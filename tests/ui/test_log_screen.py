"""The log within the application."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from peft_tui.logs import log_to
from peft_tui.ui.screens.log import TAIL_BYTES, tail
from tests.driving import drive
from tests.seeds import populated, still_app


async def test_the_log_is_reached_by_the_palette_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEFT_TUI_DATA_DIR", str(tmp_path / "data"))
    log_to(tmp_path / "data")
    log = logging.getLogger("peft_tui.workers.refresh")
    async with drive(still_app(tmp_path, populated), size=(100, 24)) as at:
        await at.sees("support-bot")
        await at.press("ctrl+p")
        await at.type("log")
        await at.sees("What no other screen shows")
        await at.press("enter")
        await at.sees("Nothing was written")
        log.warning("a tick failed \x1b]0;evil\x07 [/b]")
        await at.press("r")
        await at.sees("WARNING peft_tui.workers.refresh: a tick failed [/b]")
        await at.press("escape")
        await at.sees("support-bot")


def test_of_a_long_file_only_the_end_is_read_in_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(40_000)))
    text = tail(path)
    assert len(text) <= TAIL_BYTES and text.endswith("line 39999\n") and text.startswith("line ")
    assert tail(tmp_path / "none") == ""
