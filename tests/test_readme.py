"""What the README says is what the program does."""

from __future__ import annotations

import re

from peft_tui.cli.parser import COMMANDS
from tests.readme import README, written

TEXT = README.read_text("utf-8")


def test_the_generated_parts_are_up_to_date() -> None:
    assert written(TEXT) == TEXT, "python -m tests.readme writes them anew"


def test_every_command_is_told() -> None:
    told = set(re.findall(r"^peft-tui ([a-z]+)\b", TEXT, re.MULTILINE))
    assert set(COMMANDS) <= told


def test_every_picture_is_there() -> None:
    pictures = re.findall(r"\]\((screenshots/[^)]+)\)", TEXT)
    assert pictures and [name for name in pictures if not (README.parent / name).exists()] == []
