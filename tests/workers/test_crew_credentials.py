"""A credential that changes while the workers run is used without a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from peft_tui.backend import Backend
from peft_tui.domain.offers import CredentialField
from peft_tui.sandbox import Sandbox
from peft_tui.services.lookups import Answer, Question, Topic
from tests.doubles import until_true
from tests.life import SandboxClock

KEY = CredentialField("TOGETHER_API_KEY", "API key")


@pytest.fixture
async def backend(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Backend]:
    """One that knows the addresses and no key."""
    environ = {name: value for name, value in sandbox.env.items() if not name.endswith(("KEY", "TOKEN"))}
    opened = await Backend.open(tmp_path / "data", environ, SandboxClock(sandbox))
    yield opened
    await opened.close()


async def test_the_first_key_brings_the_platform_to_life_and_its_deletion_ends_it(
    backend: Backend, sandbox: Sandbox
) -> None:
    asked = Question("together", Topic.CHECK)

    async def answer() -> Answer[object]:
        backend.lookups.want(asked)
        found = await backend.lookups.answer(asked)
        return found if found is not None else Answer(backend.clock.now(), None, None)

    async def listed() -> bool:
        health = (await backend.store.platforms.all()).get("together")
        return health is not None and health.listed_at is not None and health.error is None

    async def refused() -> bool:
        error = (await answer()).error
        return error is not None and "is not set" in error.message

    async def known() -> bool:
        return (await answer()).value is not None

    await backend.start()
    await until_true(refused)
    assert not await listed()
    await backend.credentials.set(KEY, sandbox.env["TOGETHER_API_KEY"])
    await until_true(listed)
    await until_true(known)
    await backend.credentials.delete("TOGETHER_API_KEY")
    await until_true(refused)


async def test_a_driver_that_cannot_be_closed_does_not_leave_its_platform_without_workers(
    backend: Backend, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def listed_at() -> datetime | None:
        health = (await backend.store.platforms.all()).get("together")
        return health.listed_at if health is not None else None

    async def listed() -> bool:
        return await listed_at() is not None

    async def told() -> bool:
        return "cannot be closed" in caplog.text

    async def listed_again() -> bool:
        return await listed_at() != before

    async def broken() -> None:
        raise OSError("the socket is gone")

    await backend.start()
    await backend.credentials.set(KEY, sandbox.env["TOGETHER_API_KEY"])
    await until_true(listed)
    assert backend._crew is not None
    monkeypatch.setattr(backend._crew.driver("together"), "close", broken, raising=False)
    await backend.credentials.set(KEY, sandbox.env["TOGETHER_API_KEY"])
    await until_true(told)
    # The old workers had ended before: what is listed from now on is the new ones' doing.
    before = await listed_at()
    await until_true(listed_again)
