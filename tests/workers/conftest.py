"""A world that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from peft_tui.sandbox import Sandbox, run_sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with run_sandbox() as made:
        yield made
