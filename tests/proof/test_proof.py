"""The part of the proof that runs each time: what is lost on the way, at calls spread over the whole life."""

from __future__ import annotations

import pytest

from peft_tui.domain.operation import OperationKind
from tests.proof.crowd import crowd
from tests.proof.faults import every_fault
from tests.proof.lives import random_lives
from tests.proof.scenes import SCENES


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
