"""What asking through us costs over the bare HTTP clients: one at a time, and with 64 under way."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import httpx

from peft_tui.clock import SystemClock
from peft_tui.credentials import Credentials
from peft_tui.domain.figures import rank
from peft_tui.domain.inference import Dialect, InferenceTarget, PromptRequest, ServedModel
from peft_tui.domain.measure import Outcome
from peft_tui.drivers.dialects import openai
from peft_tui.drivers.network import Network
from peft_tui.services.load import run
from peft_tui.services.load_plan import LoadPlan
from peft_tui.services.load_report import LoadRun
from peft_tui.services.prompts import Prompts, Question
from peft_tui.store import Store
from peft_tui.workers.inference import InferenceWorker
from tests.bench.measure import Result, compared, in_turns
from tests.doubles import deployment

CALLS = 300
AT_ONCE = 64
HELLO = PromptRequest("Hello")


async def asking(runs: int) -> list[Result]:
    """Milliseconds of processor time a request: what others do on the machine does not count."""
    async with (
        _served() as url,
        _ours(url) as ours,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256)) as client,
        httpx.AsyncClient(limits=_limits()) as other,
    ):
        bot = replace(deployment("bot"), spec=replace(deployment("bot").spec, platform="together"))
        target = InferenceTarget(Dialect.OPENAI_CHAT, url, (ServedModel("bot", "bot"),))
        question = Question(bot, target, target.models[0], HELLO)
        path, body = openai.path(target, HELLO), openai.body(target, target.models[0], HELLO)

        async def bare() -> None:
            async with client.post(path, json=body) as answer:
                async for _ in answer.content.iter_any():
                    pass

        async def httpx_s() -> None:
            async with other.stream("POST", path, json=body) as answer:
                async for _ in answer.aiter_bytes():
                    pass

        async def kept() -> None:
            assert (await ours.ask(question)).outcome is Outcome.OK

        async def measured() -> None:
            assert (await ours.ask(question, record=False)).outcome is Outcome.OK

        async def load() -> float:
            plan = LoadPlan((HELLO,), CALLS * 2, AT_ONCE)
            began = time.process_time()
            done = await run(ours, bot, target, target.models[0], LoadRun(plan), SystemClock())
            assert done.report().ok == CALLS * 2
            return (time.process_time() - began) * 1000 / (CALLS * 2)

        added = await _added(measured, bare)
        written = await in_turns(lambda: _one_by_one(kept), lambda: _one_by_one(measured), runs)
        many = await in_turns(load, lambda: _at_once(bare), runs)
        alone = await in_turns(lambda: _one_by_one(measured), lambda: _one_by_one(httpx_s), runs)
        crowd = await in_turns(load, lambda: _at_once(httpx_s), runs)
        return [
            compared("a request, added over bare aiohttp, P50", [(added[0], 1.0)], 0.15),
            compared("a request, added over bare aiohttp, P99", [(added[1], 1.0)], 0.5),
            compared("its row, when written alone", [(ours - bare, 1.0) for ours, bare in written], 1.5),
            compared("64 at a time with rows: ms of a request", [(ours, 1.0) for ours, _ in many], 1.0),
            compared("64 at a time with rows, over bare aiohttp", many, 4.0),
            compared("a request, over bare httpx", alone, 1.0),
            compared("64 at a time with rows, over bare httpx", crowd, 0.5),
        ]


async def _added(
    ours: Callable[[], Awaitable[None]], bare: Callable[[], Awaitable[None]]
) -> tuple[float, float]:
    """What we add in the middle and at the 99th percentile, of calls in turns."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(CALLS * 10):
        for call, times in zip((ours, bare), took, strict=True):
            began = time.process_time()
            await call()
            times.append((time.process_time() - began) * 1000)
    mine, theirs = (sorted(times) for times in took)
    middle, tail = len(mine) // 2, rank(0.99, len(mine)) - 1
    return mine[middle] - theirs[middle], mine[tail] - theirs[tail]


async def _one_by_one(call: Callable[[], Awaitable[None]]) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - began) * 1000 / CALLS


async def _at_once(call: Callable[[], Awaitable[None]]) -> float:
    left = iter(range(CALLS * 2))

    async def lane() -> None:
        for _ in left:
            await call()

    began = time.process_time()
    await asyncio.gather(*(lane() for _ in range(AT_ONCE)))
    return (time.process_time() - began) * 1000 / (CALLS * 2)


def _limits() -> httpx.Limits:
    return httpx.Limits(max_connections=256, max_keepalive_connections=64)


@asynccontextmanager
async def _served() -> AsyncIterator[str]:
    """The server's base, in a process of its own."""
    program = [sys.executable, str(Path(__file__).with_name("speaking_server.py"))]
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{(await process.stdout.readline()).decode().strip()}/v1"
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def _ours(url: str) -> AsyncIterator[Prompts]:
    clock = SystemClock()
    network = Network(clock)

    def no_driver(platform: str) -> object:
        raise AssertionError(platform)

    with TemporaryDirectory() as name:
        store = await Store.open(Path(name))
        async with store.database.transaction() as transaction:
            await store.deployments.insert(transaction, deployment("bot"))
        prompts = Prompts(store, clock)
        prompts.endpoints = InferenceWorker(network, Credentials({}), no_driver)  # type: ignore[arg-type]
        try:
            yield prompts
        finally:
            await network.close()
            await store.close()
