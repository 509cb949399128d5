"""The end of what all connections share."""

from __future__ import annotations

import asyncio

import pytest

from peft_tui.drivers import network as module
from peft_tui.drivers.network import Network
from tests.doubles import VirtualClock


async def test_what_is_to_be_closed_is_closed_together_and_one_that_fails_keeps_no_other_open() -> None:
    network, both = Network(VirtualClock()), asyncio.Barrier(2)
    closed: list[str] = []

    async def fails() -> None:
        await both.wait()
        raise RuntimeError("gone already")

    async def waits() -> None:
        await both.wait()
        closed.append("the other")

    client = await network.client()
    network.at_close(fails)
    network.at_close(waits)
    await network.close()
    assert closed == ["the other"] and client.is_closed


async def test_one_that_never_ends_holds_nobody_back(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(VirtualClock())
    left: list[str] = []

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.append("told to end")

    monkeypatch.setattr(module, "CLOSING_SECONDS", 0.01)
    client = await network.client()
    network.at_close(hangs)
    await network.close()
    assert left and client.is_closed
