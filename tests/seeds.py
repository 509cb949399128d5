"""A backend on a temporary store with a frozen clock, and deployments written as the workers write them."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from peft_tui.app import PeftTui, run
from peft_tui.backend import Backend
from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment, Origin, remote_name
from peft_tui.domain.operation import Operation, OperationKind, OperationState, OperationStep
from peft_tui.domain.spec import DeploymentSpec, Value
from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.drivers import capabilities
from peft_tui.store import Store

NOON = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
ENVIRON = {"TOGETHER_API_KEY": "t0gether", "REPLICATE_API_TOKEN": "r8_token"}
H100 = "1x_nvidia_h100_80gb_sxm"
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


class FrozenClock:
    """Stands still until somebody turns it."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - NOON).total_seconds()

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()

    def turn(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class StillBackend(Backend):
    """Without workers: the store says only what a test writes into it."""

    started = False
    refreshed = 0

    async def start(self) -> None:
        self.started = True

    def refresh_now(self) -> None:
        self.refreshed += 1


Seed = Callable[[Store], Awaitable[None]]


def still_app(
    directory: Path,
    seed: Seed | None = None,
    *,
    clock: FrozenClock | None = None,
    environ: Mapping[str, str] = ENVIRON,
    sandbox: bool = False,
    adapter: str | None = None,
) -> PeftTui:
    """The application on a store of its own that nothing refreshes."""

    return PeftTui(still_opener(directory, seed, clock, environ), sandbox=sandbox, adapter=adapter)


def still_opener(
    directory: Path,
    seed: Seed | None = None,
    clock: FrozenClock | None = None,
    environ: Mapping[str, str] = ENVIRON,
) -> Callable[[], Awaitable[Backend]]:
    """What the application awaits to get such a backend."""

    async def open_backend() -> Backend:
        backend = StillBackend(await Store.open(directory), environ, clock or FrozenClock(), directory, None)
        if seed is not None:
            await seed(backend.store)
        return backend

    return open_backend


def made(
    name: str,
    platform: str = "together",
    *,
    adapter: str = "./out/checkpoint-500",
    base: str = LLAMA,
    origin: Origin = Origin.OURS,
    minutes_ago: float = 60,
    **settings: Value,
) -> Deployment:
    """A deployment that nothing was heard of yet. The id follows from the name."""
    identity = hashlib.sha256(f"{platform}/{name}".encode()).hexdigest()[:32]
    kind = SourceKind.DIRECTORY if adapter.startswith(".") else SourceKind.HUGGING_FACE
    settings = {
        "min_instances": 1,
        "max_instances": 2,
        "instance_type": H100,
        **settings,
    }
    spec = DeploymentSpec(name, platform, AdapterSource(kind, adapter), base, settings)
    born = NOON - timedelta(minutes=minutes_ago)
    return Deployment(
        identity, spec, origin, "acme", remote_name(name, identity), f"dep_{identity[:8]}", born
    )


def observed(status: Status, seconds_ago: float = 2, **more: Any) -> Observation:
    """What a platform may have said."""
    facts: dict[str, Any] = {
        Status.ACTIVE: {
            "platform_status": "READY",
            "ready_instances": 1,
            "billed_instances": 1,
            "max_instances": 2,
            "min_instances": 1,
            "instance_type": H100,
            "usd_per_hour": Decimal("5.49"),
            "endpoint_url": "https://api.together.ai/v1",
            "model": "acme/support-bot",
        },
        Status.STOPPED: {"platform_status": "STOPPED", "ready_instances": 0, "billed_instances": 0,
                         "max_instances": 0, "min_instances": 0, "usd_per_hour": Decimal(0)},
        Status.DEPLOYING: {"platform_status": "SCALING_UP", "ready_instances": 0, "billed_instances": 0,
                           "max_instances": 1, "min_instances": 1, "usd_per_hour": Decimal(0)},
        Status.FAILED: {"platform_status": "FAILED", "ready_instances": 0, "billed_instances": 0,
                        "usd_per_hour": Decimal(0)},
    }.get(status, {})  # fmt: skip
    return Observation(status, NOON - timedelta(seconds=seconds_ago), **{**facts, **more})


async def put(store: Store, deployment: Deployment, *observations: Observation) -> Deployment:
    """Write it, then what was seen of it, in this order."""
    async with store.database.transaction() as transaction:
        await store.deployments.insert(transaction, deployment)
    for observation in observations:
        await see(store, deployment, observation)
        read = await store.deployments.get(deployment.id)
        assert read is not None
        deployment = read
    return deployment


async def see(store: Store, deployment: Deployment, observation: Observation, *, listed: bool = True) -> None:
    """Write one more observation."""
    current = await store.deployments.get(deployment.id) or deployment
    async with store.database.transaction() as transaction:
        await store.deployments.observe(transaction, current, observation, listed=listed)


async def create(
    store: Store, deployment: Deployment, *, begun: str = "", seconds_ago: float = 72, **progress: Any
) -> Operation:
    """Ask for it: the operation with the plan's steps, all before `begun` done, that one under way."""
    steps = capabilities(deployment.platform).plan(deployment.spec)
    at = NOON - timedelta(seconds=seconds_ago)
    operation = Operation(
        f"op-{deployment.id}",
        deployment.id,
        OperationKind.CREATE,
        OperationState.QUEUED,
        at,
        at,
        tuple(OperationStep(seq, step.key, step.title, bills=step.bills) for seq, step in enumerate(steps)),
    )
    async with store.database.transaction() as transaction:
        await store.operations.insert(transaction, operation)
    if not begun:
        return operation
    await store.operations.set_state(operation, OperationState.RUNNING, at)
    for step in operation.steps:
        await store.operations.step_sent(operation, step, at)
        if step.key == begun:
            break
        at += timedelta(seconds=2)
        await store.operations.step_done(operation, step, {}, at)
    step = next(step for step in operation.steps if step.key == begun)
    if progress:
        await store.operations.progress(
            operation, step, progress.get("done"), progress.get("total"), progress.get("note", "")
        )
    return operation


async def fail(store: Store, operation: Operation, step: str, error: dict[str, str]) -> None:
    """End it with an error at `step`."""
    failed = next(s for s in operation.steps if s.key == step)
    await store.operations.step_failed(operation, failed, "")
    await store.operations.set_state(operation, OperationState.FAILED, NOON - timedelta(minutes=3), error)


async def listed(store: Store, platform: str, seconds_ago: float = 2) -> None:
    """Its whole list was read."""
    async with store.database.transaction() as transaction:
        at = NOON - timedelta(seconds=seconds_ago)
        await store.platforms.listed(transaction, platform, at, account="acme")


async def populated(store: Store) -> None:
    """A plausible morning: one of everything."""
    await put(
        store,
        made("support-bot", adapter="acme/support-r16", minutes_ago=190),
        observed(Status.DEPLOYING, 178 * 60),
        observed(Status.ACTIVE, 171 * 60),
        observed(Status.ACTIVE, 2, ready_instances=2, billed_instances=2, usd_per_hour=Decimal("10.98")),
    )
    await put(
        store,
        made("intents", "replicate", adapter="acme/llm-intents", base="Qwen/Qwen3-8B", minutes_ago=3000),
        observed(Status.ACTIVE, 2, condition=Condition.ASLEEP, ready_instances=0, billed_instances=0,
                 usd_per_hour=Decimal(0), platform_status=""),
    )  # fmt: skip
    router = await put(store, made("ticket-router", adapter="./out/router", minutes_ago=1.2))
    await create(store, router, begun="upload", done=34_100_000, total=84_000_000)
    await put(
        store,
        made("summaries", adapter="./out/sum/checkpoint-1200", base="Qwen/Qwen3-8B", minutes_ago=9),
        observed(Status.DEPLOYING, 431),
    )
    draft = await put(store, made("legal-draft", "replicate", adapter="acme/legal-merged", minutes_ago=4))
    operation = await create(store, draft, begun="training", seconds_ago=240)
    await fail(
        store,
        operation,
        "training",
        {
            "kind": "resource",
            "message": "Replicate would not start the import: the account has no credit left.",
            "hint": "Add credit at replicate.com/account/billing, then deploy it again.",
            "detail": "402 Insufficient credit",
        },
    )
    await put(
        store,
        made("old-demo", adapter="acme/demo-r8", base="mistralai/Mistral-7B-Instruct-v0.3", minutes_ago=9000),
        observed(Status.ACTIVE, 4000 * 60),
        observed(Status.STOPPED, 2),
    )
    await put(
        store,
        made("peft-x-1f3a9c2b", origin=Origin.ORPHAN, adapter="ml_9x", base="", minutes_ago=500),
        observed(Status.ACTIVE, 2, usd_per_hour=Decimal("1.95"), ready_instances=1, max_instances=1),
    )
    await listed(store, "together")
    await listed(store, "replicate")


def main(directory: str, scene: str = "populated") -> None:
    """For a real terminal: `python -m tests.seeds DIRECTORY [populated|empty|many]`."""

    async def many(store: Store) -> None:
        await populated(store)
        async with store.database.transaction() as transaction:
            for number in range(1000):
                deployment = made(f"bot-{number:04}", minutes_ago=number + 100)
                await store.deployments.insert(transaction, deployment)
                await store.deployments.observe(transaction, deployment, observed(Status.ACTIVE))

    async def empty(store: Store) -> None:
        pass

    # The store outlives the process: it is filled once.
    filled = (Path(directory) / "peft-tui.db").exists()
    seed = None if filled else {"populated": populated, "many": many, "empty": empty}[scene]
    sys.exit(run(still_opener(Path(directory), seed)))


if __name__ == "__main__":
    main(*sys.argv[1:])
