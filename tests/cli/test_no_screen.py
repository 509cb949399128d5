"""Words that open no application."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("lsit",), "Did you mean peft-tui list?"),
        ((), "needs a terminal"),
        (("acme/support-r16",), "needs a terminal"),
    ],
)
def test_without_a_terminal_or_with_a_misspelt_command_nothing_is_drawn(
    words: tuple[str, ...], told: str, isolated: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "peft_tui", *words], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr and "\x1b" not in done.stderr


async def test_a_terminal_that_cannot_be_drawn_on_is_left_alone_and_told_of_the_commands(
    tmp_path: Path,
) -> None:
    # BUG: it was drawn on all the same, twice as much as on any other.
    env = {"TERM": "dumb", "PEFT_TUI_DATA_DIR": str(tmp_path)}
    async with Terminal.run([sys.executable, "-m", "peft_tui"], cwd=ROOT, env=env, size=(120, 24)) as term:
        assert await term.wait_exit() == 2
        assert "peft-tui list" in term.text and "\x1b" not in term.raw.decode()
