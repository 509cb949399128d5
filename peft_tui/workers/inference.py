"""The way from the console to the platforms' endpoints."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from peft_tui.credentials import Credentials
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.inference import InferenceTarget, PromptRequest, ServedModel, StreamEvent
from peft_tui.drivers import capabilities
from peft_tui.drivers.dialects import speaker
from peft_tui.drivers.network import Network
from peft_tui.drivers.protocol import Driver
from peft_tui.drivers.streaming import Channel


class InferenceWorker:
    """Opens a channel for each exchange; the connections are kept by the network."""

    def __init__(self, network: Network, credentials: Credentials, driver: Callable[[str], Driver]) -> None:
        self._network = network
        self._credentials = credentials
        self._driver = driver

    async def target(self, deployment: Deployment) -> InferenceTarget:
        return await self._driver(deployment.platform).inference(deployment)

    async def speak(
        self, platform: str, target: InferenceTarget, model: ServedModel, request: PromptRequest
    ) -> AsyncGenerator[StreamEvent, None]:
        title = capabilities(platform).title
        channel = await Channel.connect(self._network, self._credentials, target, title)
        async with aclosing(speaker(target.dialect).speak(channel, target, model, request)) as events:
            async for event in events:
                yield event
