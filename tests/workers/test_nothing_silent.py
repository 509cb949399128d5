"""What goes wrong in a worker by itself is said, and the worker goes on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from peft_tui.backend import Backend
from peft_tui.domain.operation import OperationState
from peft_tui.sandbox import Sandbox
from peft_tui.services.lookups import Question, Topic
from peft_tui.store.operations import Operations
from peft_tui.workers.duty import Duty
from peft_tui.workers.refresh import Refresh
from tests.doubles import PATIENCE_SECONDS
from tests.life import Life, SandboxClock, at_platform, life

KEYS = ("REPLICATE_API_TOKEN", "REPLICATE_BASE_URL")


@pytest.fixture
async def lived(tmp_path: Path) -> AsyncIterator[Life]:
    async with life(tmp_path, "replicate") as begun:
        yield begun


@pytest.fixture
async def backend(memory: Path) -> AsyncIterator[Backend]:
    sandbox = Sandbox(seed=1, speed=0.0)
    await sandbox.start()
    environ = {name: sandbox.env[name] for name in KEYS}
    opened = await Backend.open(memory, environ, SandboxClock(sandbox))
    yield opened
    await opened.close()
    await sandbox.stop()


async def listed(backend: Backend) -> bool:
    health = (await backend.store.platforms.all()).get("replicate")
    return health is not None and health.listed_at is not None and health.error is None


async def test_a_store_that_cannot_be_read_for_a_moment_does_not_end_the_work(
    lived: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    # BUG: the error went through the runner, and with it ended the platform's refresh and its duty for good.
    unfinished, failures = Operations.unfinished, iter([True, True])

    async def failing(self: Operations, *which: str) -> Any:
        if next(failures, False):
            raise sqlite3.OperationalError("disk I/O error")
        return await unfinished(self, *which)

    monkeypatch.setattr(Operations, "unfinished", failing)
    made = await lived.intend(at_platform("acme/llm-support"), instance_type="gpu-l40s", min_instances=1)
    assert (await lived.run(made)).state is OperationState.DONE


async def test_workers_that_stopped_by_a_bug_say_so_and_begin_again(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # BUG: a lock that could not be opened ended the platform's workers in silence.
    take, failures = Duty.take, iter([True])

    def failing(self: Duty) -> bool:
        if next(failures, False):
            raise OSError(24, "Too many open files")
        return take(self)

    monkeypatch.setattr(Duty, "take", failing)
    await backend.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await listed(backend):
            await asyncio.sleep(0.01)
    assert "the workers of replicate stopped" in caplog.text


@pytest.mark.parametrize("verb", ["deployments", "account"])
async def test_a_bug_in_a_look_at_the_platform_is_shown_as_one(
    lived: Life, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, verb: str
) -> None:
    async def breaks(*_: object) -> None:
        raise KeyError("results")

    with monkeypatch.context() as patch:
        patch.setattr(lived.driver, verb, breaks, raising=False)
        await lived.refresh.tick()
        assert verb == "deployments" or await lived.refresh.whose() is None
    error = (await lived.backend.store.platforms.all())["replicate"].error
    assert (
        error is not None and "peft-tui itself failed" in error["message"] and "KeyError" in error["message"]
    )
    assert "KeyError" in caplog.text
    await lived.refresh.tick()
    assert (await lived.backend.store.platforms.all())["replicate"].error is None


async def test_a_list_that_the_store_does_not_take_is_no_fault_of_the_platform(
    lived: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Refresh, "_write", full)
    with pytest.raises(sqlite3.OperationalError):
        await lived.refresh.tick()
    assert "replicate" not in await lived.backend.store.platforms.all()


async def test_an_answer_that_cannot_be_written_down_is_in_the_log_and_may_be_asked_for_again(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await backend.connect()
    await backend.start()
    question = Question("replicate", Topic.ACCOUNT)

    async def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(backend.lookups, "write", full)
        assert backend.lookups.carry_out is not None
        backend.lookups.carry_out(question)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "account of replicate" not in caplog.text:
                await asyncio.sleep(0.01)
    assert (await backend.answer(question)).value is not None
