"""Every screen once, on one plausible morning: for the snapshots, and to be looked at.

`python -m tests.gallery DIRECTORY [scene …]` draws each at every size and in every theme, as SVG;
`rsvg-convert` makes PNG of them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from textual.widgets import Input

from peft_tui.app import PeftTui
from peft_tui.backend import Backend
from peft_tui.calls import Calls
from peft_tui.domain.event import Event
from peft_tui.domain.inference import PromptRequest, ServedModel, Usage
from peft_tui.domain.offers import Account
from peft_tui.services.lookups import Question, Topic
from peft_tui.store import Store
from peft_tui.ui.screens.console.prompt_box import PromptBox
from tests import driving
from tests.doubles import VirtualClock
from tests.driving import Driver, drive
from tests.endpoints import Say, ScriptedEndpoints
from tests.figures.loads import load, record
from tests.figures.test_metrics_screen import watched
from tests.pictures import viewable
from tests.seeds import ENVIRON, NOON, FrozenClock, StillBackend, made, populated
from tests.ui.test_console_looks import ANSWER, PRICED, send
from tests.ui.test_wizard_scene import MODELS, REPLICATE_FIT, TOGETHER_FIT, adapter_at

Fill = Callable[[Store], Awaitable[None]]
Play = Callable[[Driver], Awaitable[None]]

SIZES = ((40, 12), (60, 20), (80, 24), (120, 36), (200, 60))
THEMES = ("peft-dark", "peft-light", "peft-contrast", "peft-ansi")
ANSWERS: dict[tuple[str, Topic], Any] = {
    ("together", Topic.ACCOUNT): Account("proj_1", "acme", "project Default"),
    ("replicate", Topic.ACCOUNT): Account("acme", "acme", "organization"),
    ("together", Topic.CHECK): Account("proj_1", "acme", "project Default"),
    ("together", Topic.MODELS): (),
    ("replicate", Topic.MODELS): MODELS,
    ("together", Topic.ASSESSMENT): TOGETHER_FIT,
    ("replicate", Topic.ASSESSMENT): REPLICATE_FIT,
    ("together", Topic.EVENTS): (
        Event(NOON - timedelta(minutes=171), "replica 1 is ready", "info", "replica"),
        Event(NOON - timedelta(minutes=178), "replica 1 is starting", "info", "replica"),
    ),
}


async def nothing(store: Store) -> None:
    """A first day."""


async def morning(store: Store) -> None:
    """One of everything, and an hour of calls to one of them."""
    await populated(store)
    await watched(store, 190)
    await record(store, load(made("support-bot").id, 900, failing=0.02, cold=0.002))


@dataclass(frozen=True)
class Scene:
    """How a screen is reached, and what stands on it when it is all there."""

    keys: str = ""
    """Parted by spaces; a word that is no key is typed."""
    wanted: Sequence[str] = ()
    fill: Fill = morning
    play: Play | None = None


async def asked(at: Driver) -> None:
    """Two prompts answered."""
    for prompt in ("Can I return a lamp?", "Where is my order 4711?"):
        await send(at, prompt)
        await at.sees("● 200", "in 11 · out 52", f" {prompt}")
    await at.until(lambda: at.app.screen._target is not None)  # type: ignore[attr-defined]


async def compared(at: Driver) -> None:
    at.app.screen.query_one(PromptBox).text = "Where is my order 4711?"
    await at.press("ctrl+g")
    await at.sees("is applied")


async def loaded(at: Driver) -> None:
    at.app.screen.query_one(PromptBox).text = "Where is my order 4711?"
    await at.press("ctrl+l")
    await at.until(lambda: bool(at.app.screen.query("#concurrency")))
    at.app.screen.query_one("#concurrency", Input).value = "1"
    await at.press("ctrl+s")
    await at.sees("50 ok, 0 failed")


async def fits(at: Driver) -> None:
    """The platform has said how the adapter suits it."""
    wizard: Any = at.app.screen
    await at.until(lambda: wizard._work.assessment.value is not None)
    await at.pilot.pause()


async def configured(at: Driver) -> None:
    await fits(at)
    await at.press("ctrl+n")
    await at.sees("Instance type", "$5.49/h")


async def reviewed(at: Driver) -> None:
    await configured(at)
    await at.press("ctrl+n")
    await at.sees("[ Deploy ]")


BOT = "j j j "
MODEL = "n enter tab tab /out/support-r16"
SCENES: dict[str, Scene] = {
    "empty": Scene(wanted=["Nothing is deployed yet"], fill=nothing),
    "list": Scene(BOT, ["support-bot ● active 2h"]),
    "failed": Scene("j", ["legal-draft ✖ failed", "account has no credit"]),
    "filter": Scene("slash status:active", ["3 of 7"]),
    "no-match": Scene("slash zzzz", ["No deployment matches"]),
    "marked": Scene(BOT + "space space space", ["3 marked"]),
    "stop": Scene(BOT + "x", ["Stop support-bot on Together AI?"]),
    "delete": Scene(BOT + "D", ["Delete support-bot on Together AI?"]),
    "update": Scene(BOT + "u tab backspace 3", ["2 → 3"]),
    "outcome": Scene("j space space x y", ["1 of 2 asked for"]),
    "deployment": Scene(BOT + "enter", ["1 overview ●", "machine"]),
    "events": Scene(BOT + "enter 2", ["replica 1 is starting"]),
    "operations": Scene("j enter 4", ["402 Insufficient credit"]),
    "console": Scene(BOT + "t", ["max tokens"], play=asked),
    "compare": Scene(BOT + "t", ["max tokens"], play=compared),
    "load": Scene(BOT + "t", ["max tokens"], play=loaded),
    "metrics": Scene(BOT + "m", ["live", "P95"]),
    "export": Scene("E", ["as list --json has it"]),
    "overview": Scene("M", ["support-bot", "$15.65"]),
    "wizard-platform": Scene("n", ["project Default", "acme · organization"]),
    "wizard-model": Scene(MODEL, play=fits),
    "wizard-configuration": Scene(MODEL, play=configured),
    "wizard-review": Scene(MODEL, play=reviewed),
    "credentials": Scene("C", ["TOGETHER_API_KEY", "New ones are kept"]),
    "credential": Scene("C enter", ["Together AI: API key"]),
    "errors": Scene("e", ["still so"]),
    "help": Scene("question_mark", ["enter Open", "n New"]),
    "palette": Scene("ctrl+p stop", ["Stop x"]),
    "themes": Scene("ctrl+p theme enter", ["peft-light"]),
    "columns": Scene("w", ["STATUS", "always"]),
    "copy": Scene(BOT + "y", ["URL", "curl 'http"]),
    "requests": Scene("at", ["Requests 3", "POST"]),
    "log": Scene("ctrl+p log enter", ["Nothing was written"]),
}


class TalkingBackend(StillBackend):
    """Whatever is asked is answered at once, and the same each time."""

    async def start(self) -> None:
        self._pending: set[asyncio.Task[None]] = set()
        endpoints = ScriptedEndpoints(VirtualClock(leaps=True), said)
        endpoints.found = PRICED
        self.prompts.endpoints = endpoints
        self.lookups.carry_out = self._answer

    @property
    def calls(self) -> Calls:
        calls = Calls(self.clock)
        for method, path, status in (
            ("GET", "/v1/projects/proj_1/endpoints", "200"),
            ("GET", "/v1/projects/proj_1/endpoints/ep_41/deployments", "429"),
            ("POST", "/v1/projects/proj_1/endpoints", "201"),
        ):
            calls.end(
                calls.begin("Together AI", method, "api.together.ai", path), status, failed=status == "429"
            )
        return calls

    def _answer(self, question: Question) -> None:
        value = ANSWERS.get((question.platform, question.topic))
        if question.topic is Topic.ADAPTER:
            value = adapter_at(question.source)
        if value is not None:
            task = asyncio.ensure_future(self.lookups.write(question, NOON, value))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)


def gallery_app(directory: Path, scene: Scene) -> PeftTui:
    """The application of a scene, on a store of its own."""

    async def open_backend() -> Backend:
        store = await Store.open(directory)
        await scene.fill(store)
        return TalkingBackend(store, ENVIRON, FrozenClock(), directory, None)

    return PeftTui(open_backend)


def said(request: PromptRequest, model: ServedModel) -> Say:
    answer = "That is a good question. It depends." if model.role.value == "base" else ANSWER
    return Say((answer[:70], answer[70:]), Usage(11, 52))


async def enter(at: Driver, scene: Scene) -> None:
    """Go there by its keys."""
    await at.until(lambda: at.app.ready)  # type: ignore[attr-defined]
    home: Any = at.app.screen
    await at.until(lambda: at.shows("Nothing is deployed") or at.shows("▸ "))
    await at.until(lambda: home._brief_wanted == set() and not home._briefing, "its figures never came")
    for key in scene.keys.split():
        before = at.app.screen
        await (at.press(key) if _is_key(key) else at.type(key))
        # A screen that has just come has its focus a moment later.
        await at.until(lambda before=before: at.app.screen is before or at.app.screen.is_current)
        await at.pilot.pause()
    await at.sees(*scene.wanted)
    if scene.play is not None:
        await scene.play(at)
    await at.pilot.pause()


def _is_key(word: str) -> bool:
    return len(word) == 1 or "+" in word or word in {
        "tab", "enter", "space", "escape", "slash", "at", "backspace", "question_mark", "down",
    }  # fmt: skip


async def main(directory: str, *wanted: str) -> None:
    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    for name, scene in SCENES.items():
        for size in SIZES:
            for theme in THEMES if size == (80, 24) else THEMES[:1]:
                if wanted and name not in wanted:
                    continue
                os.environ["PEFT_TUI_THEME"] = theme
                with tempfile.TemporaryDirectory() as scratch:
                    async with drive(gallery_app(Path(scratch), scene), size=size) as at:
                        try:
                            await enter(at, scene)
                        except AssertionError as error:
                            print(str(error).splitlines()[0])
                        title = f"{name}-{size[0]}x{size[1]}-{theme}"
                        (place / f"{title}.svg").write_text(viewable(at.app.export_screenshot(title=title)))
                        print(title)


if __name__ == "__main__":
    driving.PATIENCE_SECONDS = 4
    os.environ.pop("NO_COLOR", None)
    os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
    asyncio.run(main(*sys.argv[1:]))
