"""An upload address that is refused: asked for once more, then said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from peft_tui.domain.operation import OperationState
from tests.life import Life, directory, life

H100 = "1xnvidia-h100-80gb"


@pytest.fixture
async def lived(tmp_path: Path) -> AsyncIterator[Life]:
    async with life(tmp_path, "together") as begun:
        yield begun


def tickets(lived: Life) -> int:
    return sum(call.endswith("/models/upload/create") for call in lived.sent())


async def test_an_address_that_has_expired_is_asked_for_again(lived: Life, tmp_path: Path) -> None:
    await lived.fault(match="PUT *_objects/*", times=1, action="status", code=403)
    operation = await lived.run(await lived.intend(directory(tmp_path), instance_type=H100))
    assert operation.state is OperationState.DONE, operation.error
    assert tickets(lived) == 2


async def test_a_fresh_address_that_is_refused_too_ends_in_words(lived: Life, tmp_path: Path) -> None:
    await lived.fault(match="PUT *_objects/*", times=99, action="status", code=403)
    operation = await lived.run(await lived.intend(directory(tmp_path), instance_type=H100))
    assert operation.state is OperationState.FAILED and operation.error is not None
    assert operation.error["kind"] == "authentication"
    assert "a fresh address too" in operation.error["message"]
    assert "Nothing bills" in operation.error["hint"] and "proxy" in operation.error["hint"]
    assert tickets(lived) == 2
    assert not any(resource["billing"] for resource in await lived.resources())
