"""The program itself in the benches: its first frame with a full store, and what its ticks write."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.domain.status import Observation, Status
from peft_tui.store import Store
from tests.bench.measure import (
    SIZE,
    Result,
    compared,
    cost_of,
    environment,
    first_frame,
    in_turns,
    program,
    ready,
)
from tests.servers import PROGRAM, Servers
from tests.terminal import Terminal

MANY = 1000


async def starts_full(runs: int) -> list[Result]:
    """The first useful frame with a thousand stored deployments, against the minimal application."""
    with _data() as data:
        await _fill(data, MANY)
        env = {"PEFT_TUI_DATA_DIR": str(data)}
        pairs = await in_turns(
            partial(first_frame, PROGRAM, "support-999", env),
            partial(first_frame, program("baseline_app"), "deployment-3"),
            runs,
        )
    return [compared(f"first useful frame, {MANY:,} stored deployments", pairs, 1.3)]


async def ticks(runs: int) -> list[Result]:
    """What a refresh tick over a thousand deployments writes, against one changed cell of a stock table."""
    with _data() as data:
        servers = Servers(data / "world.json", speed=0)
        await servers.start()
        try:
            await servers.post("populate", platform="together", count=MANY)
            env = environment({**servers.env, "PEFT_TUI_DATA_DIR": str(data / "data")})
            async with (
                Terminal.run(PROGRAM, env=env, size=SIZE) as ours,
                Terminal.run(
                    program("tables_app", "stock", str(MANY)), env=environment(), size=SIZE
                ) as stock,
            ):
                await ready(ours, "● active")
                await ready(stock, "deployment-3")
                await ours.quiet(2.0, timeout=60)
                nothing, one = [], []
                for _ in range(runs):
                    nothing.append((await _tick(servers, ours), float((await cost_of(stock, "n")).bytes)))
                    await servers.stop_one()
                    one.append((await _tick(servers, ours), float((await cost_of(stock, "o")).bytes)))
                    await ours.quiet(1.0)
        finally:
            await servers.kill()
    return [
        compared("a tick in which nothing changed", nothing, 0.0, "bytes"),
        compared("a tick in which one row changed", one, 0.2, "bytes"),
    ]


async def _tick(servers: Servers, term: Terminal) -> float:
    """Bytes that the next tick of both platforms writes."""
    before = len(await servers.calls())
    mark = term.mark()
    while len({call.split()[0] for call in (await servers.calls())[before:]}) < 2:
        await asyncio.sleep(0.05)
    await term.quiet(1.0)
    return float(len(term.since(mark)))


async def _fill(directory: Path, count: int) -> None:
    """A store as a long-used one: every deployment seen once."""
    store = await Store.open(directory)
    now = datetime.now(UTC)
    async with store.database.transaction() as transaction:
        for number in range(count):
            spec = DeploymentSpec(
                f"support-{number:03}",
                "together",
                AdapterSource(SourceKind.DIRECTORY, f"/out/{number}"),
                "base",
                {},
            )
            deployment = Deployment(
                f"{number:032x}",
                spec,
                Origin.OURS,
                "proj",
                f"support-{number:03}-{number:08x}",
                f"ep_{number}",
                now,
            )
            await store.deployments.insert(transaction, deployment)
            seen = Observation(Status.ACTIVE, now, "READY", billed_instances=1, usd_per_hour=Decimal("5.49"))
            await store.deployments.observe(transaction, deployment, seen)
        await store.platforms.listed(transaction, "together", now)
    await store.close()


@contextmanager
def _data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="peft-tui-bench-") as directory:
        yield Path(directory)
