"""An earlier version serves again: once, read back, and with the settings that it had."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from peft_tui.cli.life import change_life
from peft_tui.cli.parser import parse
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.operation import Operation, OperationKind, OperationState
from peft_tui.domain.status import Status
from peft_tui.drivers import PLATFORMS, capabilities
from peft_tui.services.previews import preview
from peft_tui.services.reasons import why_not
from tests.life import Life, directory, life

SETTINGS: dict[str, Any] = {"instance_type": "L40S", "hub_token": "yes"}


@pytest.fixture
async def lived(tmp_path: Path) -> AsyncIterator[Life]:
    """Deployed on an L40S, then on an H100: two versions."""
    async with life(tmp_path, "modal") as lived:
        deployment = await lived.intend(directory(tmp_path), **SETTINGS)
        assert (await lived.run(deployment)).state is OperationState.DONE
        await lived.backend.life.update(deployment.id, {"instance_type": "H100", "context_length": "4096"})
        updated = await lived.run(deployment)
        assert updated.state is OperationState.DONE, updated.error
        lived.sandbox.world.data.requests.clear()
        yield lived


async def the_row(lived: Life) -> Deployment:
    await lived.refresh.tick()
    [row] = await lived.backend.store.deployments.all()
    return row


async def back_to(lived: Life, version: int) -> Operation:
    row = await the_row(lived)
    await lived.backend.life.rollback(row.id, version)
    return await lived.run(row)


def releases(lived: Life, row: Deployment) -> list[tuple[int, int]]:
    """Version, and the one that it is again."""
    return [(r.version, r.rollback_of) for r in lived.sandbox.world.modal.apps[row.remote_id].releases]


async def test_it_serves_again_as_a_new_version_with_the_settings_it_had(lived: Life) -> None:
    operation = await back_to(lived, 1)
    assert operation.state is OperationState.DONE, operation.error
    row = await the_row(lived)
    assert releases(lived, row) == [(1, 0), (2, 0), (3, 1)]
    assert row.spec.instance_type == "L40S" and "context_length" not in row.spec.settings
    assert "version" not in row.spec.settings
    assert row.observation is not None and row.observation.instance_type == "L40S"
    sent = {request.path for request in lived.sandbox.world.data.requests}
    assert not sent & {"FunctionCreate", "AppPublish", "ImageGetOrCreate"}
    # What it is now can be gone back to as well, and is known.
    assert (await lived.backend.life.going_back(row.id, 3)) == {"version": 3}
    assert (await lived.backend.life.going_back(row.id, 2))["instance_type"] == "H100"


async def test_an_answer_that_is_lost_rolls_back_once(lived: Life) -> None:
    await lived.fault(match="RPC AppRollback", nth=1, times=4, action="reset_after")
    operation = await back_to(lived, 1)
    assert operation.state is OperationState.DONE, operation.error
    assert releases(lived, await the_row(lived)) == [(1, 0), (2, 0), (3, 1)]


@pytest.mark.parametrize(("version", "words"), [(9, "no version 9"), (2, "It serves")])
async def test_one_that_cannot_be_gone_back_to_is_refused_before_anything_is_sent(
    lived: Life, version: int, words: str
) -> None:
    operation = await back_to(lived, version)
    assert operation.state is OperationState.FAILED and words in dict(operation.error or {})["message"]
    assert "AppRollback" not in {request.path for request in lived.sandbox.world.data.requests}


async def test_what_is_shown_before_says_what_changes_and_that_both_bill_for_a_while(lived: Life) -> None:
    row = await the_row(lived)
    before = preview(row, OperationKind.ROLLBACK, await lived.backend.life.going_back(row.id, 1))
    assert {(c.key, c.old, c.new) for c in before.changes} == {
        ("instance_type", "H100", "L40S"),
        ("context_length", 4096, None),
    }
    assert "Version 1 serves" in before.afterwards and "both bill" in before.afterwards
    unknown = preview(row, OperationKind.ROLLBACK, {"version": 7})
    assert "is not known here" in unknown.afterwards


async def test_stopped_it_is_started_first_and_elsewhere_it_is_greyed_with_a_reason(lived: Life) -> None:
    row = await the_row(lived)
    await lived.backend.life.stop(row.id)
    assert (await lived.run(row)).state is OperationState.DONE
    row = await the_row(lived)
    assert row.status is Status.STOPPED
    assert why_not(row, OperationKind.ROLLBACK) == "It is stopped: start it first."
    for platform in PLATFORMS:
        offers = capabilities(platform)
        assert (OperationKind.ROLLBACK in offers.verbs) != bool(offers.no_verbs.get(OperationKind.ROLLBACK))


async def test_a_server_that_does_not_know_the_call_tells_of_no_versions(lived: Life) -> None:
    await lived.fault(match="RPC AppDeploymentHistory", times=None, action="status", code="UNIMPLEMENTED")
    operation = await back_to(lived, 1)
    assert "tells of no version" in dict(operation.error or {})["message"]
    # A deploy does without as well.
    row = await the_row(lived)
    await lived.backend.life.update(row.id, {"context_length": "8192"})
    assert (await lived.run(row)).state is OperationState.DONE


async def test_the_command_line_lists_them_and_goes_back(
    lived: Life, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = lived.backend
    assert await change_life(backend, parse(["rollback", "bot", "--json"])) == 0
    versions = json.loads(capsys.readouterr().out)["versions"]
    assert [(v["number"], v["serves"], bool(v["refused"])) for v in versions] == [
        (2, True, True),
        (1, False, False),
    ]
    assert await change_life(backend, parse(["rollback", "bot"])) == 0
    assert "--to 1" in capsys.readouterr().out
    assert await change_life(backend, parse(["rollback", "bot", "--to", "1", "--yes"])) == 0
    row = await the_row(lived)
    assert (await lived.run(row)).state is OperationState.DONE
    assert releases(lived, await the_row(lived))[-1] == (3, 1)
