"""A world that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from peft_tui.sandbox import Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    made = Sandbox(seed=1, speed=0.0)
    await made.start()
    yield made
    await made.stop()
