"""The part of the proof that runs each time: what is lost on the way, at calls spread over the whole life."""

from __future__ import annotations

import argparse

import pytest

from peft_tui.domain.operation import OperationKind
from tests.proof.__main__ import Row, table
from tests.proof.crowd import crowd
from tests.proof.faults import every_fault
from tests.proof.lives import random_lives
from tests.proof.scenes import SCENES
from tests.proof.truth import counted


@pytest.mark.parametrize(
    ("scene", "kinds"),
    [
        ("together", (OperationKind.STOP, OperationKind.DELETE)),
        ("replicate", (OperationKind.STOP,)),
        ("predibase", (OperationKind.STOP,)),
    ],
)
async def test_one_answer_is_lost_and_the_process_dies(scene: str, kinds: tuple[OperationKind, ...]) -> None:
    found = await every_fault(SCENES[scene], ("reset after", "garbage"), kinds, step=8)
    assert found.cases and found.wrong == []


@pytest.mark.parametrize("scene", ["together", "replicate"])
def test_a_few_random_lives_in_two_windows(scene: str) -> None:
    found = random_lives(SCENES[scene], runs=4, steps=15)
    assert found.cases and found.wrong == []


async def test_two_processes_on_one_store_lose_nothing_and_see_no_lock() -> None:
    found = await crowd(processes=2, turns=15)
    assert found.ends["changed"] and found.wrong == []


def test_what_is_wrong_is_told_by_its_kind_also_where_several_stand_in_one_sentence() -> None:
    wrong = [
        "create, 500 at call 3: duplicate: bot-1 was made 2 times",
        "stop, hang at call 1, dies: hidden: bot-1 bills and its row says gone",
        "assert ['lost: bot-2 bills and nothing here knows it', 'false stop: bot-1 was told stopped'] == []",
        "the script is not done: []",
    ]
    assert counted(wrong) == {"duplicates": 1, "false stopped": 2, "lost": 1, "other": 1}


def test_a_part_that_breaks_is_a_row_that_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    row = Row.of("faults", "no such scene", argparse.Namespace(fault=None, step=1))
    assert row.cells[:-1] == ("no such scene", "faults", "0", "0", "0", "0", "1")
    assert "it broke: KeyError" in capsys.readouterr().out
    assert table([row])[0] == "| scene | part | cases | duplicates | lost | false stopped | other | time |"
