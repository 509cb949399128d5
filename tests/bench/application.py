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
from statistics import median

from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.domain.status import Observation, Status
from peft_tui.store import Store
from tests.bench.measure import (
    SIZE,
    Cost,
    Result,
    compared,
    cost_of,
    cpu_seconds,
    environment,
    first_frame,
    in_turns,
    program,
    ready,
    resident_mb,
)
from tests.servers import PROGRAM, Servers
from tests.terminal import Terminal

MANY = 1000
REST_SECONDS = 30.0
STOCK_TICK = 17_232 / 5
"""Bytes a second of a stock table that is repainted at each tick."""


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


async def at_hand(runs: int) -> list[Result]:
    """A key, rest and memory with a thousand deployments that are looked at."""
    with _data() as data:
        servers = Servers(data / "world.json", speed=0)
        await servers.start()
        try:
            await servers.post("populate", platform="together", count=MANY)
            env = environment({**servers.env, "PEFT_TUI_DATA_DIR": str(data / "data")})
            async with (
                Terminal.run(PROGRAM, env=env, size=SIZE) as ours,
                Terminal.run(program("baseline_app"), env=environment(), size=SIZE) as bare,
            ):
                await ready(ours, "● active")
                await ready(bare, "deployment-3")
                await ours.quiet(2.0, timeout=60)
                keys = [(await _key(ours), await _key(bare)) for _ in range(max(runs * 3, 21))]
                before = [(cpu_seconds(term), term.bytes_written) for term in (ours, bare)]
                await asyncio.sleep(REST_SECONDS)
                after = [(cpu_seconds(term), term.bytes_written) for term in (ours, bare)]
                memory = resident_mb(ours), resident_mb(bare)
        finally:
            await servers.kill()
    mine, theirs = (sorted(pair[side].ms for pair in keys) for side in (0, 1))
    sizes = [float(median(pair[side].bytes for pair in keys)) for side in (0, 1)]
    spent = [(then[0] - now[0]) / REST_SECONDS * 100 for now, then in zip(before, after, strict=True)]
    wrote = [(then[1] - now[1]) / REST_SECONDS for now, then in zip(before, after, strict=True)]
    middle, far = len(mine) // 2, int(len(mine) * 0.95)
    return [
        _against("a key, until the cursor has moved, P50", mine[middle], theirs[middle], 1.3, "ms"),
        _against("a key, until the cursor has moved, P95", mine[far], theirs[far], 1.3, "ms"),
        _against("a key, written with the detail", sizes[0], sizes[1], 1.0, "bytes"),
        _against("minimal application at rest, written a second", wrote[1], 1.0, 0.0, "bytes"),
        _against("written a second while only costs move / stock", wrote[0], STOCK_TICK, 0.2, "bytes"),
        _against("the same, processor / 5 %", spent[0], 5.0, 1.0, "%"),
        _against("memory, resident", memory[0], memory[1], 3.0, "MB"),
    ]


async def _key(term: Terminal) -> Cost:
    """What moving the cursor costs: the time until it is seen, and all that is written for it."""
    mark = term.mark()
    term.press("down")
    await term.until(lambda: term.bytes_written > mark.position)
    first = next(chunk.at for chunk in term.chunks if chunk.end > mark.position)
    await term.quiet(0.25)
    return Cost(term.bytes_written - mark.position, (first - mark.at) * 1000)


def _against(name: str, ours: float, bare: float, goal: float, unit: str) -> Result:
    ratio = ours / bare if bare else 0.0 if not ours else float("inf")
    return Result(name, ours, bare, ratio, goal, unit)


async def ticks(runs: int) -> list[Result]:
    """Ticks over one deployment and over many. Of ten thousand the sandbox takes too long to tell."""
    return [result for count in (1, 100, MANY) for result in await _ticks(runs, count)]


async def _ticks(runs: int, count: int) -> list[Result]:
    """What a refresh tick over so many deployments writes, against one changed cell of a stock table."""
    with _data() as data:
        servers = Servers(data / "world.json", speed=0)
        await servers.start()
        try:
            await servers.post("populate", platform="together", count=count)
            env = environment({**servers.env, "PEFT_TUI_DATA_DIR": str(data / "data")})
            async with (
                Terminal.run(PROGRAM, env=env, size=SIZE) as ours,
                Terminal.run(
                    program("tables_app", "stock", str(max(count, 100))), env=environment(), size=SIZE
                ) as stock,
            ):
                await ours.sees("● active", timeout=120)
                await ready(stock, "deployment-3")
                await ours.quiet(2.0, timeout=120)
                nothing, one = [], []
                # Each turn stops one of them.
                for _ in range(min(runs, count)):
                    nothing.append((await _tick(servers, ours), float((await cost_of(stock, "n")).bytes)))
                    await servers.stop_one()
                    one.append((await _tick(servers, ours), float((await cost_of(stock, "o")).bytes)))
                    await ours.quiet(1.0)
        finally:
            await servers.kill()
    return [
        compared(f"a tick over {count:,}, nothing changed", nothing, 0.0, "bytes"),
        compared(f"a tick over {count:,}, one row changed", one, 0.2, "bytes"),
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
        await store.platforms.listed(transaction, "together", now, account="proj")
    await store.close()


@contextmanager
def _data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="peft-tui-bench-") as directory:
        yield Path(directory)
