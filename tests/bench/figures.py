"""Figures of a million requests over thirty days in fifty deployments, against reading the rows."""

from __future__ import annotations

import asyncio
import math
import random
import sqlite3
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from peft_tui.domain.deployment import Deployment
from peft_tui.services.figures import SPANS, FiguresService
from peft_tui.services.lookups import Lookups
from peft_tui.store import Store
from tests.bench.measure import Result
from tests.figures.loads import exchange
from tests.seeds import FrozenClock, made, put

REQUESTS, DEPLOYMENTS, DAYS = 1_000_000, 50, 30
END = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


async def figures(runs: int) -> list[Result]:
    """The screen's reading, its ranges, its memory; the exactness of P95; what a record costs."""
    with tempfile.TemporaryDirectory() as directory:
        store = await Store.open(Path(directory))
        deployments = [
            await put(store, made(f"bot-{n:02}", minutes_ago=DAYS * 24 * 60)) for n in range(DEPLOYMENTS)
        ]
        recorded_empty = await _timed(runs, lambda: _record(store, deployments[0]))
        await store.close()
        await asyncio.to_thread(_fill, Path(directory) / "peft-tui.db", [d.id for d in deployments])
        store = await Store.open(Path(directory))
        counted = await _counted(store)
        try:
            results = [*counted, *await _results(store, deployments, min(runs, 5))]
            recorded_full = await _timed(runs, lambda: _record(store, deployments[0]))
            results.append(
                _result("record one request, 1,000,000 stored / none", recorded_full, recorded_empty, 1.6)
            )
            return results
        finally:
            await store.close()


async def _counted(store: Store) -> list[Result]:
    """The first count of all of it, and how long a key waits meanwhile."""
    waits: list[float] = []

    async def press() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.02)
            waits.append((time.perf_counter() - began - 0.02) * 1000)

    keys = asyncio.create_task(press())
    # The machine has other work too: what a key waits for without any counting.
    await asyncio.sleep(3.0)
    before, waits[:] = sorted(waits), []
    began, worked = time.perf_counter(), time.process_time()
    await store.figures.fold(END)
    took, cpu = time.perf_counter() - began, time.process_time() - worked
    keys.cancel()
    idle, longest = (found[int(len(found) * 0.99)] for found in (before, sorted(waits)))
    usual = max(idle, 100.0)
    return [
        Result("first count of 1,000,000 / 30 s", took, 30.0, took / 30.0, 1.0, "s"),
        Result("the same, CPU", cpu, 30.0, cpu / 30.0, 1.5, "s"),
        Result("a key meanwhile, P99 / 100 ms or without", longest, usual, longest / usual, 1.5, "ms"),
    ]


async def _results(store: Store, deployments: list[Deployment], runs: int) -> list[Result]:
    service = FiguresService(store, FrozenClock(END), Lookups(store))
    one = deployments[7]
    results = []
    for name, goal in (("all", 0.5), ("7d", 1.0)):

        async def course(span: float | None = SPANS[name]) -> Any:
            return await service.course(one, await service.window(one, span, 180))

        ours = await _timed(runs, course)
        with patch("peft_tui.services.figures.EXACT", REQUESTS):
            theirs = await _timed(runs, course)
        results.append(_result(f"one deployment, {name}: roll-ups / its rows", ours, theirs, goal))

    async def overview() -> Any:
        return await service.overview(deployments, None, 32)

    rows = _reading(store, [d.id for d in deployments], END - timedelta(days=DAYS))
    results.append(
        _result(
            "fifty deployments, 30 days: figures / rows",
            await _timed(runs, overview),
            await _timed(1, rows),
            0.1,
        )
    )
    memory = await _peak(overview), await _peak(rows)
    results.append(Result("the same, memory", *memory, memory[0] / memory[1], 0.1, "MB"))
    values = await rows()
    course = (await service.overview([one], None, 32))[0]
    exact = float(np.quantile(np.array(values[one.id]), 0.95, method="inverted_cdf"))
    found = course.figures.tally.latency.value_at(0.95) or math.nan
    results.append(
        Result(
            "P95 of buckets, relative error / 1 %",
            abs(found / exact - 1),
            0.01,
            abs(found / exact - 1) / 0.01,
            1.0,
            "",
        )
    )
    return results


def _reading(
    store: Store, ids: list[str], begin: datetime
) -> Callable[[], Awaitable[dict[str, list[float]]]]:
    """What a screen without roll-ups does: read the rows and sort them."""

    async def read() -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        kept = []
        for id in ids:
            rows = await store.database.all(
                "SELECT at, outcome, latency_s, ttft_s, tokens_in, tokens_out, cold FROM requests"
                " WHERE deployment_id = ? AND at >= ?",
                id,
                begin.isoformat(),
            )
            kept.append(rows)
            found[id] = sorted(row["latency_s"] for row in rows)
        return found

    return read


async def _record(store: Store, deployment: Deployment) -> None:
    await store.requests.record([exchange(deployment.id, END)])


async def _timed(runs: int, work: Callable[[], Awaitable[Any]]) -> float:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        await work()
        times.append(time.perf_counter() - began)
    return median(times) * 1000


async def _peak(work: Callable[[], Awaitable[Any]]) -> float:
    tracemalloc.start()
    try:
        await work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def _result(name: str, ours: float, baseline: float, goal: float) -> Result:
    return Result(name, ours, baseline, ours / baseline, goal)


def _fill(path: Path, ids: list[str]) -> None:
    """Rows as the console writes them, by the hundred thousand."""
    rng = random.Random(1)
    names = (
        "deployment_id, at, source, run_id, model, role, parameters, streamed, outcome, status, reason,"
        " remote_id, cold, ttft_s, latency_s, tokens_in, tokens_out, tokens_source, cost_basis, cost_source"
    )
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    for first in range(0, REQUESTS, 100_000):
        rows = []
        for number in range(first, first + 100_000):
            at = END - timedelta(days=DAYS) * ((REQUESTS - number) / REQUESTS)
            latency = rng.lognormvariate(-0.9, 0.45)
            rows.append(
                (rng.choice(ids), at.isoformat(), "load", "", "lora", "adapter", "{}", 1, "ok", 200, "stop",
                 "", 0, latency * 0.4, latency, rng.randint(8, 60), rng.randint(20, 99), "reported", "", "")
            )  # fmt: skip
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO requests ({names}) VALUES ({marks})", rows)
        connection.commit()
    connection.close()
