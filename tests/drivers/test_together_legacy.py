"""What is left of Together's first generation is listed, stopped and deleted, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.operation import OperationKind, OperationState
from peft_tui.domain.status import Condition, Status
from peft_tui.services.previews import preview
from peft_tui.services.reasons import why_not
from tests.life import Life, life


@pytest.fixture
async def lived(tmp_path: Path) -> AsyncIterator[Life]:
    async with life(tmp_path, "together") as begun:
        begun.sandbox.world.together.knobs.legacy = "STARTED"
        yield begun


async def the_one(lived: Life) -> Deployment:
    await lived.refresh.tick()
    (row,) = await lived.backend.store.deployments.all()
    return row


async def test_it_is_listed_as_found_and_what_it_costs_is_not_known(lived: Life) -> None:
    row = await the_one(lived)
    assert (row.name, row.origin, row.status) == ("legacy-chat", Origin.FOUND, Status.ACTIVE)
    seen = row.observation
    assert seen is not None and seen.usd_per_hour is None and seen.billed_instances is None
    assert "cannot be started again" in seen.reason
    assert [bill["billing"] for bill in await lived.resources()] == [True]


async def test_it_is_stopped_as_it_was_found_and_the_end_is_said_before(lived: Life) -> None:
    row = await the_one(lived)
    assert "starts no endpoint of its first generation" in preview(row, OperationKind.STOP).afterwards
    await lived.backend.life.stop(row.id)
    assert (await lived.run(row)).state is OperationState.DONE
    row = await the_one(lived)
    assert row.status is Status.STOPPED and row.observation is not None
    assert row.observation.usd_per_hour == Decimal(0)
    assert [bill["billing"] for bill in await lived.resources()] == [False]


async def test_adopted_it_is_neither_started_nor_changed_but_deleted(lived: Life) -> None:
    row = await the_one(lived)
    await lived.backend.life.adopt(row.id)
    row = await the_one(lived)
    for kind in (OperationKind.START, OperationKind.UPDATE):
        assert "first generation" in why_not(row, kind)
    await lived.backend.life.delete(row.id)
    operation = await lived.run(row)
    assert operation.state is OperationState.DONE, operation.error
    assert await lived.backend.store.deployments.all() == []
    assert await lived.resources() == []


async def test_what_the_old_list_does_not_answer_hides_nothing(lived: Life) -> None:
    row = await the_one(lived)
    await lived.fault(match="GET /v1/endpoints*", times=99, action="status", code=500)
    await lived.refresh.tick()
    assert (await lived.backend.store.platforms.all())["together"].error is None
    seen = (await lived.backend.store.deployments.get(row.id)) or row
    assert seen.condition is not Condition.GONE and seen.status is Status.ACTIVE and not seen.listed


async def test_where_there_is_none_it_is_asked_for_once_in_a_while(lived: Life) -> None:
    lived.sandbox.world.together.knobs.legacy = ""
    for _ in range(3):
        await lived.refresh.tick()
        await lived.clock.sleep(5)
    asked = [r for r in lived.sandbox.world.data.requests if r.path == "/v1/endpoints"]
    assert len(asked) == 1
