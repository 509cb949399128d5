"""What the console looks like: few scenes, at the sizes and in the colours that differ."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from peft_tui.domain.errors import TimedOut
from peft_tui.domain.inference import Usage, Wake
from peft_tui.domain.money import Price
from peft_tui.ui.screens.console.prompt_box import PromptBox
from tests.doubles import TARGET, VirtualClock
from tests.driving import Driver
from tests.endpoints import Say, ScriptedEndpoints
from tests.seeds import populated, still_app

ANSWER = (
    "Thank you for contacting Acme Support. Your order 4711 left our warehouse this morning and should reach"
    " you on Monday.\n\nYou can follow it under Help, My requests; a lamp that arrives broken is replaced."
)
PRICED = replace(TARGET, price=Price(Decimal("5.49"), "Together's price", "2026-03-14"))

Scene = Callable[[Driver, ScriptedEndpoints], Awaitable[None]]


async def asleep(at: Driver, endpoints: ScriptedEndpoints) -> None:
    await at.sees("this boots an instance")


async def streaming(at: Driver, endpoints: ScriptedEndpoints) -> None:
    endpoints.answer = lambda request, model: Say((ANSWER[:130],), hangs=True)
    await send(at, "Where is my order 4711?")
    await at.sees("answering", "reach")


async def answered(at: Driver, endpoints: ScriptedEndpoints) -> None:
    endpoints.answer = lambda request, model: Say((ANSWER[:70], ANSWER[70:]), Usage(11, 52))
    for prompt in ("Can I return a lamp?", "Where is my order 4711?"):
        await send(at, prompt)
        await at.sees("● 200", prompt, "in 11 · out 52")
    await at.until(lambda: at.text.count("300 ms") >= 3)


async def failed(at: Driver, endpoints: ScriptedEndpoints) -> None:
    error = TimedOut("Together AI sent nothing for 60 s; the connection was closed.", status=200)
    error.hint = "What came until then is shown. It may have been billed."
    endpoints.answer = lambda request, model: Say((ANSWER[:70],), error=error)
    await send(at, "Where is my order 4711?")
    await at.sees("✖ Together AI sent nothing", "Where is my ord… — Tog")


async def compared(at: Driver, endpoints: ScriptedEndpoints) -> None:
    said = {"base": "That is a good question. It depends on many things.", "adapter": ANSWER}
    endpoints.answer = lambda request, model: Say((said[model.role],), Usage(11, 40))
    at.app.screen.query_one(PromptBox).text = "Where is my order 4711?"
    await at.press("ctrl+g")
    await at.sees("the adapter is applied", "arrives broken is replaced")


async def loaded(at: Driver, endpoints: ScriptedEndpoints) -> None:
    turns = iter(range(1000))
    endpoints.answer = lambda request, model: Say(usage=Usage(9, 20), first_s=0.1 + 0.01 * (next(turns) % 9))
    at.app.screen.query_one(PromptBox).text = "Where is my order 4711?"
    await at.press("ctrl+l")
    await at.sees("requests 50")
    at.app.screen.query_one("#concurrency", Input).value = "1"
    await at.press("ctrl+s")
    await at.sees("50 ok, 0 failed", "of 50 that succeeded")


async def send(at: Driver, prompt: str) -> None:
    at.app.screen.query_one(PromptBox).text = prompt
    await at.press("ctrl+s")


@pytest.mark.usefixtures("plain_terminal")
@pytest.mark.parametrize(
    ("size", "scene", "theme"),
    [
        pytest.param((80, 24), asleep, "", id="asleep"),
        pytest.param((80, 24), streaming, "", id="streaming"),
        pytest.param((120, 36), answered, "peft-light", id="answered"),
        pytest.param((80, 24), failed, "peft-ansi", id="failed"),
        pytest.param((120, 36), compared, "", id="compared"),
        pytest.param((80, 24), loaded, "", id="loaded"),
    ],
)
def test_looks(
    snap_compare: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    scene: Scene,
    theme: str,
) -> None:
    monkeypatch.setenv("PEFT_TUI_THEME", theme)

    async def settle(pilot: Any) -> None:
        at = Driver(pilot)
        await at.sees("support-bot")
        endpoints = ScriptedEndpoints(VirtualClock(leaps=True))
        endpoints.found = PRICED
        if scene is asleep:
            words = "It is asleep: this boots an instance (minutes), $5.49/h until it sleeps again."
            endpoints.found = replace(PRICED, wake=Wake.WAKES, wake_words=words)
        at.app._backend.prompts.endpoints = endpoints  # type: ignore[attr-defined]
        while "support-bot" not in at.selected or "support-bot-b" in at.selected:
            await at.press("j")
        await at.press("t")
        await at.sees("max tokens 100")
        await at.until(lambda: endpoints.found is at.app.screen._target)  # type: ignore[attr-defined]
        await scene(at, endpoints)
        await pilot.pause()

    assert snap_compare(still_app(tmp_path, populated), terminal_size=size, run_before=settle)
