"""Predibase as its other users know it, and the driver's own steps one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx

from peft_tui.domain.adapter import AdapterSource
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.operation import WATCHED, OperationKind
from peft_tui.domain.spec import DeploymentSpec, Value
from peft_tui.drivers.protocol import StepContext
from tests.doubles import NOON
from tests.life import LLAMA, Life

A10G = "a10_24gb_100"


class Vendor:
    """Somebody at the vendor's own client."""

    def __init__(self, lived: Life) -> None:
        self.lived = lived
        self.env = lived.sandbox.env

    async def call(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.env['PREDIBASE_API_TOKEN']}"}
        async with httpx.AsyncClient(base_url=self.env["PREDIBASE_GATEWAY"], headers=headers) as http:
            answer = await http.request(method, path, **more)
            assert answer.status_code < 300, answer.text
            return answer.json() if answer.content else None

    async def deployment(self, name: str = "llama-prod", seconds: float = 46, **config: Any) -> None:
        config = {"baseModel": "llama-3-1-8b-instruct", "accelerator": A10G, **config}
        await self.call("POST", "/v2/deployments", json={"name": name, "config": config, "description": ""})
        self.lived.sandbox.clock.advance(seconds)

    async def knobs(self, **knobs: Any) -> None:
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{self.lived.sandbox.url}/_sandbox/predibase/knobs", json=knobs)
            assert answer.status_code == 200, answer.text

    @property
    def uploads(self) -> list[Any]:
        return list(self.lived.sandbox.world.predibase.tickets.values())


def context(
    lived: Life, source: AdapterSource, name: str = "bot-1a", base: str = LLAMA, **settings: Value
) -> StepContext:
    """For a step of a create that nobody wrote down."""
    spec = DeploymentSpec("bot", "predibase", source, base, settings)
    return StepContext(spec, name, {}, NOON, lived.clock, lambda *_: None)


async def carry_out(
    lived: Life, deployment: Deployment, kind: OperationKind, **changes: Any
) -> dict[str, Any]:
    """The driver's own steps of a verb, one after the other; what is watched is looked at by the test."""
    spec = replace(deployment.spec, settings={**deployment.spec.settings, **changes})
    outputs: dict[str, Any] = {}
    for step in lived.driver.capabilities.verbs[kind](spec, changes):
        if step.key not in WATCHED:
            context = StepContext(
                spec,
                deployment.remote_name,
                outputs,
                lived.clock.now(),
                lived.clock,
                lambda *_: None,
                deployment.remote_id,
                changes,
            )
            outputs |= await lived.driver.act(step.key, context)
    return outputs


async def row(lived: Life, name: str = "bot") -> Deployment:
    await lived.refresh.tick()
    return await lived.backend.deployments.find(name)
