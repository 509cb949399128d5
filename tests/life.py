"""A deployment's whole life against the sandbox on a socket, on the sandbox's own clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from safetensors.numpy import save_file

from peft_tui.backend import Backend
from peft_tui.credentials import Credentials
from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.operation import Operation
from peft_tui.domain.spec import DeploymentSpec, Value
from peft_tui.drivers import capabilities, open_driver
from peft_tui.drivers.network import Network
from peft_tui.sandbox import Sandbox
from peft_tui.workers.operations import OperationRunner
from peft_tui.workers.refresh import Refresh

ROUNDS = 700
"""Of two seconds each: longer than anything a platform asks to wait for."""
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def write_adapter(directory: Path, base: str = LLAMA, rank: int = 16, layers: int = 2, **config: Any) -> Path:
    """A true PEFT adapter, small."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {}
    random = np.random.default_rng(rank)
    for layer in range(layers):
        for module in ("q_proj", "v_proj"):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            tensors[f"{name}.lora_A.weight"] = random.standard_normal((rank, 64)).astype(np.float16)
            tensors[f"{name}.lora_B.weight"] = random.standard_normal((64, rank)).astype(np.float16)
    save_file(tensors, directory / "adapter_model.safetensors")
    facts = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": ["q_proj", "v_proj"],
        **config,
    }
    (directory / "adapter_config.json").write_text(json.dumps(facts))
    return directory


class SandboxClock:
    """The world's time; sleeping moves it, so that nothing takes real time."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._world = sandbox.clock

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._world.now(), UTC)

    def monotonic(self) -> float:
        return self._world.now()

    async def sleep(self, seconds: float) -> None:
        self._world.advance(seconds)
        # Long enough for whoever else is at work on a socket to come round.
        await asyncio.sleep(0.001)


class Life:
    """One store, one platform, and the workers that a test begins and ends as it likes."""

    def __init__(self, backend: Backend, sandbox: Sandbox, platform: str) -> None:
        self.backend = backend
        self.sandbox = sandbox
        self.platform = platform
        self.clock = SandboxClock(sandbox)
        self.network = Network(self.clock)
        self._begin()

    def _begin(self) -> None:
        # What is kept outlives a process.
        credentials = Credentials(self.sandbox.env, self.backend.credentials.vault)
        driver = open_driver(self.platform, self.network, credentials, self.clock)
        self.driver = driver
        self.refresh = Refresh(self.platform, driver, self.backend.store, self.clock)
        self.runner = OperationRunner(self.platform, driver, self.backend.store, self.clock)

    async def intend(self, source: AdapterSource, **settings: Value) -> Deployment:
        """Write the intent of a create with the defaults and `settings`."""
        chosen = {**capabilities(self.platform).defaults(), **settings}
        base = "" if self.platform == "replicate" else LLAMA
        spec = DeploymentSpec("bot", self.platform, source, base, chosen)
        return await self.backend.deployments.deploy(spec)

    async def run(self, deployment: Deployment, until_requests: int | None = None) -> Operation:
        """Work until the operation has ended, or `until_requests` calls were received: then everything is
        dropped where it is, as by a kill, and a new runner stands ready."""
        working = asyncio.create_task(self.runner.run())
        passing = asyncio.create_task(self._pass_time(deployment))
        try:
            while not passing.done():
                if until_requests is None:
                    await passing
                elif len(self.sandbox.world.data.requests) >= until_requests:
                    break
                await asyncio.sleep(0)
        finally:
            working.cancel()
            passing.cancel()
            await asyncio.wait({working, passing})
            self._begin()
        return await self._operation(deployment)

    async def _pass_time(self, deployment: Deployment) -> None:
        """Look at the platform every two seconds of the sandbox, until the operation has ended."""
        for _ in range(ROUNDS):
            if (await self._operation(deployment)).state.ended:
                return
            await self.refresh.tick()
            await self.clock.sleep(2.0)

    async def _operation(self, deployment: Deployment) -> Operation:
        return (await self.backend.store.operations.of_deployment(deployment.id))[0]

    async def fault(self, **words: Any) -> None:
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{self.sandbox.url}/_sandbox/faults", json={"platform": self.platform, **words}
            )
            assert answer.status_code < 300, answer.text

    async def resources(self) -> list[dict[str, Any]]:
        """The truth about what is there and may bill."""
        async with httpx.AsyncClient() as client:
            answer = (await client.get(f"{self.sandbox.url}/_sandbox/billing")).json()
        return [row for row in answer["resources"] if row["platform"] == self.platform and not row["deleted"]]

    def sent(self) -> list[str]:
        """The calls that change something, as the sandbox received them."""
        return [
            f"{r.method} {r.path}"
            for r in self.sandbox.world.data.requests
            if r.platform == self.platform and r.method != "GET"
        ]


@asynccontextmanager
async def life(tmp_path: Path, platform: str) -> AsyncIterator[Life]:
    """A life on a fresh sandbox and a fresh store."""
    sandbox = Sandbox(seed=1, speed=0.0)
    await sandbox.start()
    backend = await Backend.open(tmp_path / "data", sandbox.env, SandboxClock(sandbox))
    lived = Life(backend, sandbox, platform)
    try:
        yield lived
    finally:
        await lived.network.close()
        await backend.close()
        await sandbox.stop()


def directory(tmp_path: Path, **facts: Any) -> AdapterSource:
    return AdapterSource(SourceKind.DIRECTORY, str(write_adapter(tmp_path / "adapter", **facts)))


def hub(reference: str) -> AdapterSource:
    return AdapterSource(SourceKind.HUGGING_FACE, reference)


def at_platform(reference: str) -> AdapterSource:
    return AdapterSource(SourceKind.PLATFORM, reference)
