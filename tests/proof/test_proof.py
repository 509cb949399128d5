"""The part of the proof that runs each time: what is lost on the way, at calls spread over the whole life."""

from __future__ import annotations

import pytest

from peft_tui.domain.operation import OperationKind
from tests.proof.faults import every_fault
from tests.proof.scenes import SCENES


@pytest.mark.parametrize(
    ("scene", "kind"),
    [
        ("together", OperationKind.STOP),
        ("together", OperationKind.DELETE),
        ("replicate", OperationKind.STOP),
        ("predibase", OperationKind.STOP),
    ],
)
async def test_one_answer_is_lost_and_the_process_dies(scene: str, kind: OperationKind) -> None:
    found = await every_fault(SCENES[scene], ("reset after", "garbage"), (kind,), step=8)
    assert found.cases and found.wrong == []
