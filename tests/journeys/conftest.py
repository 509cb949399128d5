"""A sandbox in a process of its own, and the program under test in a terminal of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.servers import PROGRAM, Servers
from tests.terminal import Terminal


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    """At sixty times the pace of the world: a deployment takes about a second."""
    running = Servers(tmp_path / "world.json", speed=60)
    await running.start()
    yield running
    await running.kill()


Open = Callable[..., AbstractAsyncContextManager[Terminal]]


@pytest.fixture
def application(servers: Servers, tmp_path: Path) -> Open:
    """The application on `servers`, with a store of this test's own."""

    @asynccontextmanager
    async def opened(*words: str, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Terminal]:
        env = {
            **servers.env,
            "PEFT_TUI_DATA_DIR": str(tmp_path / "data"),
            "PEFT_TUI_CONFIG_DIR": str(tmp_path / "config"),
            "HOME": str(tmp_path),
            "PYTHONDONTWRITEBYTECODE": None,
        }
        async with Terminal.run([*PROGRAM, *words], env=env, size=size) as terminal:
            yield terminal

    return opened
