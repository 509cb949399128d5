"""What is adopted is known as the platform has it: the next update or start begins from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from peft_tui.backend import Backend
from peft_tui.domain.adapter import AdapterSource
from peft_tui.domain.deployment import Origin
from peft_tui.domain.operation import OperationState
from peft_tui.domain.spec import Value
from tests.life import Life, SandboxClock, at_platform, directory, life

SCENES: dict[str, tuple[Callable[[Path], AdapterSource], Mapping[str, Value], tuple[str, ...]]] = {
    "together": (
        directory,
        {
            "instance_type": "1xnvidia-h100-80gb",
            "max_instances": 2,
            "idle_timeout": 120,
            "scale_target": 4,
            "concurrency": 32,
            "visibility": "internal",
        },
        (),
    ),
    "replicate": (
        lambda _: at_platform("acme/llm-support"),
        {"instance_type": "gpu-l40s", "min_instances": 1, "max_instances": 3},
        (),
    ),
    "predibase": (
        directory,
        {
            "instance_type": "a10_24gb_100",
            "min_instances": 1,
            "max_instances": 2,
            "idle_timeout": 90,
            "scale_target": 3,
            "description": "for the support desk",
        },
        (),
    ),
    "modal": (
        directory,
        {"instance_type": "L40S", "hub_token": "yes", "min_instances": 1, "buffer": 1, "idle_timeout": 600},
        ("hub_token",),
    ),
}


@pytest.mark.parametrize("platform", SCENES)
async def test_another_store_that_adopts_it_knows_how_it_was_set(platform: str, tmp_path: Path) -> None:
    source, settings, untold = SCENES[platform]
    async with life(tmp_path, platform) as lived:
        made = await lived.intend(source(tmp_path), **settings)
        assert (await lived.run(made)).state is OperationState.DONE
        elsewhere = await Backend.open(tmp_path / "other", lived.sandbox.env, SandboxClock(lived.sandbox))
        other = Life(elsewhere, lived.sandbox, platform)
        try:
            await other.refresh.tick()
            (orphan,) = await elsewhere.store.deployments.all()
            assert orphan.origin is Origin.ORPHAN
            await elsewhere.life.adopt(orphan.id, "bot")
            await other.refresh.tick()
            adopted = await elsewhere.store.deployments.get(orphan.id)
            assert adopted is not None
            known = {key: adopted.spec.settings.get(key) for key in settings if key not in untold}
            assert known == {key: value for key, value in settings.items() if key not in untold}
            before = len(lived.sandbox.world.data.requests)
            await other.refresh.tick()
            asked = [r.path for r in lived.sandbox.world.data.requests[before:]]
            assert len(asked) == len(set(asked)), "it is asked for once"
            await elsewhere.life.stop(orphan.id)
            assert (await other.run(adopted)).state is OperationState.DONE
            assert [row["billing"] for row in await lived.resources()] in ([False], [])
        finally:
            await other.network.close()
            await elsewhere.close()
