"""A stop is not given up because a platform has no room, no credit or too many requests just now."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_tui.domain.operation import OperationState
from tests.life import at_platform, directory, life

SCENES = {
    "replicate": (
        lambda _: at_platform("acme/llm-support"),
        {"instance_type": "gpu-l40s", "min_instances": 1},
    ),
    "modal": (directory, {"instance_type": "L40S", "hub_token": "yes", "min_instances": 1}),
}


@pytest.mark.parametrize("platform", SCENES)
async def test_a_stop_that_is_refused_for_want_of_credit_is_asked_for_again(
    platform: str, tmp_path: Path
) -> None:
    # BUG: RESOURCE_EXHAUSTED, whatever its words, ended the stop, and the app went on billing.
    source, settings = SCENES[platform]
    async with life(tmp_path, platform) as lived:
        made = await lived.intend(source(tmp_path), **settings)
        assert (await lived.run(made)).state is OperationState.DONE
        await lived.backend.life.stop(made.id)
        await lived.fault(match="* *", nth=1, times=2, action="status", code=402)
        assert (await lived.run(made)).state is OperationState.DONE
        assert not any(row["billing"] for row in await lived.resources())
