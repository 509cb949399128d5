"""The way from the console to the platforms' endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from peft_tui.credentials import Credentials
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.inference import InferenceTarget, PromptRequest, ServedModel, StreamEvent
from peft_tui.drivers import capabilities
from peft_tui.drivers.dialects import speaker
from peft_tui.drivers.network import Network
from peft_tui.drivers.protocol import Driver, Opening
from peft_tui.drivers.streaming import Channel


class InferenceWorker:
    """Opens a channel for each exchange; the connections are kept by the network."""

    def __init__(self, network: Network, credentials: Credentials, driver: Callable[[str], Driver]) -> None:
        self._network = network
        self._credentials = credentials
        self._driver = driver
        self._warming: asyncio.Task[None] | None = None

    async def target(self, deployment: Deployment) -> InferenceTarget:
        """How it is asked. What a request will need is loaded meanwhile: whoever asks will want to send."""
        if self._warming is None:
            self._warming = asyncio.create_task(self._warm())
        return await self._driver(deployment.platform).inference(deployment)

    async def _warm(self) -> None:
        # What is wrong with the proxy or the certificates is said when something is sent.
        with suppress(PeftTuiError):
            await self._network.pool()

    async def speak(
        self, platform: str, target: InferenceTarget, model: ServedModel, request: PromptRequest
    ) -> AsyncGenerator[StreamEvent, None]:
        title = capabilities(platform).title
        if any(auth.kept_as for auth in target.auth):
            driver = self._driver(platform)
            if isinstance(driver, Opening):
                await driver.make_ready()
        channel = await Channel.connect(self._network, self._credentials, target, title)
        async with aclosing(speaker(target.dialect).speak(channel, target, model, request)) as events:
            async for event in events:
                yield event
