"""Every platform's endpoint asked from the console in a terminal: its answer as it comes, and cut off."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from peft_tui.backend import Backend
from peft_tui.domain.adapter import AdapterSource
from peft_tui.domain.operation import OperationState
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers import capabilities
from peft_tui.sandbox import Sandbox, run_sandbox
from tests.journeys.walking import LONG
from tests.life import LLAMA, Life, SandboxClock, at_platform, directory
from tests.servers import PROGRAM
from tests.terminal import Terminal

PROMPT = "Tell me in 200 words where my order 4711 is"
SERVED: dict[str, tuple[str, dict[str, Any]]] = {
    "together": ("/v1/chat/completions", {"instance_type": "1xnvidia-h100-80gb"}),
    "predibase": ("/v1/chat/completions", {"instance_type": "a10_24gb_100", "min_instances": 1}),
    "replicate": ("/v1/files/", {"instance_type": "gpu-l40s", "min_instances": 1}),
    "modal": ("/v1/chat/completions", {"instance_type": "L40S", "hub_token": "yes", "min_instances": 1}),
}
"""Where an answer comes from, and with what settings its deployment is made."""
STANDING = 1e-6
"""A pace at which nothing happens. A clock that is stopped altogether holds no answer back."""
LONGEST_HELD = 151.0
"""Seconds for which Modal keeps the caller of a Web Function waiting."""
READY_LATE = 200.0


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """One deployment a platform, up. Its time all but stands: an answer goes on when the test moves it."""
    async with run_sandbox() as running:
        backend = await Backend.open(tmp_path / "data", running.env, SandboxClock(running))
        for platform, (_, settings) in SERVED.items():
            lived = Life(backend, running, platform)
            try:
                operation = await lived.run(
                    await backend.deployments.deploy(_spec(platform, tmp_path, settings))
                )
                assert operation.state is OperationState.DONE, operation.error
            finally:
                await lived.network.close()
        await backend.close()
        running.clock.set_speed(STANDING)
        yield running


def _spec(platform: str, tmp_path: Path, settings: dict[str, Any]) -> DeploymentSpec:
    source: AdapterSource = at_platform("acme/llm-support")
    if platform != "replicate":
        source = directory(tmp_path / platform)
    base = "" if platform == "replicate" else LLAMA
    return DeploymentSpec(
        f"{platform}-bot", platform, source, base, {**capabilities(platform).defaults(), **settings}
    )


def asked(sandbox: Sandbox, platform: str) -> list[int | None]:
    """The requests that were answered with a text: the status of each, None while it goes on, 0 when it was
    hung up."""
    path, _ = SERVED[platform]
    return [r.status for r in sandbox.world.data.requests if r.platform == platform and path in r.path]


async def goes_on(sandbox: Sandbox, term: Terminal, wanted: str) -> re.Match[str]:
    """Let a third of a second pass there, until it is seen: an answer here takes more than two."""
    for _ in range(20):
        sandbox.clock.advance(0.3)
        for _ in range(100):
            if found := re.search(wanted, term.text):
                return found
            await asyncio.sleep(0.02)
    raise AssertionError(f"never saw {wanted!r}\n{term.text}")


async def hung_up(sandbox: Sandbox, platform: str) -> bool:
    """Whether the answer under way ended because its reader went; it goes on until it has ended."""
    async with asyncio.timeout(LONG):
        while (status := asked(sandbox, platform)[-1]) is None:
            sandbox.clock.advance(0.3)
            await asyncio.sleep(0.02)
    return status == 0


async def send(sandbox: Sandbox, term: Terminal, platform: str) -> None:
    """Press the key, and wait until the question is there."""
    before = len(asked(sandbox, platform))
    term.press("ctrl+s")
    try:
        async with asyncio.timeout(LONG):
            while len(asked(sandbox, platform)) == before:
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{platform} was not asked\n{term.text}") from None


async def sent_elsewhere(sandbox: Sandbox) -> None:
    """Make time pass until the answer is to be fetched from another address, and is there."""
    sandbox.clock.advance(LONGEST_HELD)
    async with asyncio.timeout(LONG):
        while asked(sandbox, "modal")[-2:] != [303, None]:
            await asyncio.sleep(0.02)
    sandbox.clock.advance(READY_LATE - LONGEST_HELD)


def made_late(sandbox: Sandbox) -> None:
    """What is at Modal turns into a Web Function, whose container is not ready yet for some minutes."""
    (function,) = sandbox.world.modal.functions.values()
    function.kind = "web"
    for container in function.containers:
        container.healthy_at = sandbox.clock.now() + READY_LATE


EDITOR = """#!/bin/sh
printf '\\033[?1049h\\033[2J\\033[?1000;1003;2004l\\033[?1049lleft in a mess'
printf ', please' >> "$1"
"""
"""It takes what editors take of a terminal, and gives less back."""


async def edit(term: Terminal) -> None:
    """The prompt, in the editor; then the whole screen is there again, and every mode."""
    await term.sees("◼")
    await term.quiet()
    before, modes = term.text, term.modes
    term.press("f4")
    await term.sees(f"{PROMPT}, please")
    await term.until(lambda: term.text.splitlines()[3:] == before.splitlines()[3:] and term.modes == modes)


async def test_each_platform_s_answer_is_seen_as_it_comes_and_its_connection_closed_by_a_key(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    editor = tmp_path / "editor"
    editor.write_text(EDITOR)
    editor.chmod(0o700)
    env = {**sandbox.env, "PEFT_TUI_DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path)}
    env["EDITOR"] = str(editor)
    async with Terminal.run([*PROGRAM], env=env, size=(120, 40)) as term:
        await term.sees(re.compile(r"\blive\b"))
        platforms = re.findall(r"(\w+)-bot +\w+ +●", term.text)
        assert sorted(platforms) == sorted(SERVED)
        for platform in platforms:
            await term.sees(re.compile(f"▸.*{platform}-bot"))
            term.press("t")
            await term.sees("max tokens")
            await term.sees(re.compile(f"^ {platform}-bot", re.MULTILINE))
            term.paste(f"Please:\n{PROMPT}")
            await term.sees(re.compile(f"^ Please:$\n^ {PROMPT}$", re.MULTILINE))

            await send(sandbox, term, platform)
            begun = await goes_on(sandbox, term, "Thanks for|Happy to|I looked|Sorry for")
            assert "first text" not in term.text, "only a part of it has come"
            sandbox.clock.set_speed(10)
            await term.sees(re.compile(r"● 20[01] .*first text \d.*total \d.* out 100\b"))
            sandbox.clock.set_speed(STANDING)
            assert begun[0] in term.text, "what came first is where it was"

            if platform == "modal":
                made_late(sandbox)
            await send(sandbox, term, platform)
            if platform == "modal":
                await sent_elsewhere(sandbox)
            await goes_on(sandbox, term, "answering.*esc cancels")
            term.press("escape")
            await term.sees("Cancelled: the connection is closed")
            assert await hung_up(sandbox, platform)
            if platform == "replicate":
                assert any(r.path.endswith("/cancel") for r in sandbox.world.data.requests)
            if platform == platforms[0]:
                await edit(term)
            term.press("escape")
            await term.sees("PLATFORM")
            term.press("j")
        term.press("q")
        assert await term.wait_exit() == 0
