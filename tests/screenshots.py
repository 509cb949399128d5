"""Draws `screenshots/*.svg`, the pictures of the README: `python -m tests.screenshots [scene …]`.

The list is a plausible morning from `tests/seeds.py`. The wizard's pages are walked through on a sandbox on a
socket, so that what they show of the platforms is what came over the wire.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from peft_tui.app import PeftTui
from peft_tui.backend import Backend
from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.domain.status import Status
from peft_tui.drivers import capabilities
from peft_tui.sandbox import run_sandbox
from peft_tui.store import Store
from peft_tui.ui.screens.console.prompt_box import PromptBox
from tests.driving import Driver, drive
from tests.figures.loads import load, record
from tests.figures.test_metrics_screen import watched
from tests.life import LLAMA, write_adapter
from tests.pictures import viewable
from tests.seeds import listed, made, observed, populated, put, still_app

PLACE = Path(__file__).parents[1] / "screenshots"
SIZE = (104, 30)


async def deployments(scratch: Path) -> None:
    async with drive(still_app(scratch, populated), size=SIZE) as at:
        await at.sees("support-bot", "summaries")
        await at.pilot.pause(0.3)
        save(at, "deployments")


async def light(scratch: Path) -> None:
    os.environ["PEFT_TUI_THEME"] = "peft-light"
    try:
        async with drive(still_app(scratch, populated), size=SIZE) as at:
            await at.sees("support-bot", "summaries")
            await at.pilot.pause(0.3)
            save(at, "deployments-light")
    finally:
        del os.environ["PEFT_TUI_THEME"]


async def life(scratch: Path) -> None:
    """What is done to deployments: the questions, the form, the screen of one of them."""
    for name, keys, wanted in (
        ("marked", ["j", "j", "j", "space", "space", "j", "space"], "marked"),
        ("stop", ["j", "j", "j", "x"], "[ Stop ]"),
        ("delete", ["j", "j", "j", "D"], "Type support-bot"),
        ("update", ["j", "j", "j", "u", "tab", "backspace", "3"], "2 → 3"),
        ("deployment", ["j", "j", "j", "enter"], "1 overview"),
        ("operations", ["j", "enter", "4"], "create failed"),
        ("errors", ["e"], "still so"),
        ("help", ["question_mark"], "Keys"),
    ):
        async with drive(still_app(scratch / name, populated), size=SIZE) as at:
            await at.until(lambda at=at: at.shows("support-bot") and at.app.ready)
            for key in keys:
                await at.press(key)
            await at.sees(wanted)
            await at.pilot.pause(0.3)
            save(at, name)


async def figures(scratch: Path) -> None:
    """An hour of calls, told by the screen of their figures."""
    bot = made("support-bot", minutes_ago=90)

    async def busy(store: Store) -> None:
        await put(store, bot, observed(Status.DEPLOYING, 80 * 60), observed(Status.ACTIVE, 74 * 60))
        await watched(store, 80)
        await listed(store, "together")
        await record(store, load(bot.id, 900, cold=0.002))

    async with drive(still_app(scratch, busy), size=SIZE) as at:
        await at.sees("support-bot")
        await at.press("m")
        await at.sees(re.compile(r"requests   +\d"), "latency  from above")
        await at.pilot.pause(0.5)
        save(at, "metrics")


async def console(scratch: Path) -> None:
    """A deployment on a sandbox is asked two things."""
    async with run_sandbox(seed=1, speed=1) as sandbox:
        app = PeftTui(lambda: Backend.open(scratch, sandbox.env))
        async with drive(app, size=SIZE) as at:
            await at.until(lambda: app.ready)
            backend = app._backend
            assert backend is not None
            settings = {**capabilities("together").defaults(), "instance_type": "1xnvidia-h100-80gb"}
            source = AdapterSource(SourceKind.HUGGING_FACE, "acme/support-r16")
            await backend.deployments.deploy(
                DeploymentSpec("support-bot", "together", source, LLAMA, settings)
            )
            while not at.shows("● active"):
                sandbox.clock.advance(20)
                await at.press("r")
                await at.pilot.pause(0.2)
            await at.press("t")
            await at.sees("max tokens 100")
            for prompt in ("Can I return a lamp?", "Where is my order 4711?"):
                at.app.screen.query_one(PromptBox).text = prompt
                await at.press("ctrl+s")
                await at.sees(re.compile(rf"tok.*{re.escape(prompt)}|●.*{re.escape(prompt)}"))
                await at.sees("● 200")
            await at.pilot.pause(0.3)
            save(at, "console")
            await at.press("escape", "C")
            await at.sees("TOGETHER_API_KEY")
            await at.pilot.pause(0.5)
            save(at, "credentials")


async def wizard(scratch: Path) -> None:
    adapter = write_adapter(Path("/tmp/out/support-r16"), layers=32)
    async with run_sandbox(seed=1) as sandbox:
        app = PeftTui(lambda: Backend.open(scratch, sandbox.env), adapter=str(adapter))
        async with drive(app, size=SIZE) as at:
            await at.sees("project Default", "acme (organization)")
            save(at, "wizard-platform")
            await at.press("enter")
            await at.sees("rank 16")
            save(at, "wizard-model")
            await at.press("ctrl+n")
            await at.sees("Instance type", "$5.49/h")
            save(at, "wizard-configuration")
            await at.press("ctrl+n")
            await at.sees("[ Deploy ]")
            save(at, "wizard-review")


def save(at: Driver, name: str) -> None:
    # The title names the program, not the machine that the picture was made on.
    picture = at.app.export_screenshot(title="peft-tui")
    (PLACE / f"{name}.svg").write_text(viewable(picture))


async def main() -> None:
    PLACE.mkdir(exist_ok=True)
    scenes: list[Callable[[Path], Awaitable[None]]] = [deployments, light, life, figures, console, wizard]
    wanted = set(sys.argv[1:])
    for scene in scenes:
        if wanted and scene.__name__ not in wanted:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            await scene(Path(scratch))


if __name__ == "__main__":
    os.environ.pop("NO_COLOR", None)
    os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
    asyncio.run(main())
