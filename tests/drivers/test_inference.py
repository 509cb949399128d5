"""How a deployment is asked, as each platform's driver says, against the sandbox."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.inference import Dialect, PromptRequest, Role, Wake
from peft_tui.domain.operation import OperationState
from peft_tui.drivers.dialects import speaker
from peft_tui.drivers.streaming import Channel
from tests.doubles import until
from tests.life import Life, at_platform, directory, life
from tests.spoken import Spoken


async def served(lived: Life, source: object, **settings: object) -> Deployment:
    made = await lived.intend(source, **settings)  # type: ignore[arg-type]
    operation = await lived.run(made)
    assert operation.state is OperationState.DONE, operation.error
    await lived.refresh.tick()
    return await lived.backend.deployments.find("bot")


async def ask(lived: Life, deployment: Deployment, model: str = "", **more: object) -> Spoken:
    aim = await lived.driver.inference(deployment)
    channel = await Channel.connect(lived.network, lived.backend.credentials, aim, "It")
    spoken = Spoken()
    request = PromptRequest("Where is my order?", **more)  # type: ignore[arg-type]
    async for event in speaker(aim.dialect).speak(channel, aim, aim.model(model), request):
        spoken.events.append(event)
    return spoken


async def test_together_merged_serves_the_adapter_and_no_base(tmp_path: Path) -> None:
    async with life(tmp_path, "together") as lived:
        deployment = await served(lived, directory(tmp_path), instance_type="1xnvidia-h100-80gb")
        aim = await lived.driver.inference(deployment)
        assert (aim.dialect, aim.wake) == (Dialect.OPENAI_CHAT, Wake.NOTHING)
        assert [model.role for model in aim.models] == [Role.ADAPTER]
        spoken = await ask(lived, deployment)
        assert spoken.text and spoken.usage and spoken.usage.tokens_out
        assert spoken.finished.reason in ("stop", "length")


async def test_replicate_is_asked_with_inputs_that_its_version_has(tmp_path: Path) -> None:
    async with life(tmp_path, "replicate") as lived:
        deployment = await served(lived, at_platform("acme/llm-support"), instance_type="gpu-l40s")
        aim = await lived.driver.inference(deployment)
        assert aim.dialect is Dialect.REPLICATE
        assert aim.inputs is not None and {"prompt", "max_tokens"} <= aim.inputs
        assert aim.price is not None
        spoken = await ask(lived, deployment)
        assert spoken.text and spoken.usage and spoken.usage.tokens_out


@pytest.mark.parametrize("stream", [True, False])
async def test_both_ways_give_the_same_text(tmp_path: Path, stream: bool) -> None:
    async with life(tmp_path, "replicate") as lived:
        deployment = await served(lived, at_platform("acme/llm-support"), instance_type="gpu-l40s")
        spoken = await ask(lived, deployment, stream=stream, seed=7)
        again = await ask(lived, deployment, stream=not stream, seed=7)
        assert spoken.text == again.text


async def test_who_stops_listening_cancels_the_prediction_at_replicate(tmp_path: Path) -> None:
    async with life(tmp_path, "replicate") as lived:
        deployment = await served(lived, at_platform("acme/llm-support"), instance_type="gpu-l40s")
        lived.sandbox.world.replicate.knobs.prediction_seconds = 600.0
        asking = asyncio.create_task(ask(lived, deployment))
        await until(lambda: any("/v1/files/" in r.path for r in lived.sandbox.world.data.requests))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert lived.sent()[-1].endswith("/cancel")
        (prediction,) = [p for p in lived.sandbox.world.replicate.predictions.values() if p.canceled_at]
        assert prediction.deployment and prediction.deployment.startswith("acme/bot")
