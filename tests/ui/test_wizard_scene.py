"""The scene that the tests of the wizard play on: an app that shows it, platforms that answer when told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from textual.app import App
from textual.widgets import Input

from peft_tui.backend import Backend
from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.money import Price
from peft_tui.domain.offers import (
    Account,
    Assessment,
    Finding,
    InstanceType,
    Level,
    PlatformModel,
)
from peft_tui.services.lookups import Question, Topic
from peft_tui.ui.screens.wizard import WizardScreen
from peft_tui.ui.widgets.fields import FieldRow
from peft_tui.ui.widgets.lines import Lines
from tests.driving import Driver, drive

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEYS = {"TOGETHER_API_KEY": "key-t", "REPLICATE_API_TOKEN": "key-r"}


class FrozenClock:
    """Noon; tests turn it."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - NOW).total_seconds()

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()

    def turn(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def machine(
    id: str, title: str, usd: str | None, words: str = "", available: bool | None = None
) -> InstanceType:
    price = Price(Decimal(usd), "platform", NOW.isoformat()) if usd else None
    return InstanceType(id, title, price, words, available)


TOGETHER_FIT = Assessment(
    (Finding(Level.OK, "the base matches"), Finding(Level.WARNING, "rank 16 is high", "fine up to 64")),
    "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference",
    (
        machine("1xh100", "1 × H100 80 GB", "5.49", "us-east: 12 free", True),
        machine("1xh200", "1 × H200 140 GB", "5.99", "eu: 0 free", False),
    ),
)
REPLICATE_FIT = Assessment(
    (Finding(Level.OK, "version 5c7d is there"),),
    "meta-llama/Llama-3.1-8B",
    (machine("gpu-t4", "Nvidia T4", "0.81"), machine("gpu-l40s", "Nvidia L40S", "3.51")),
)
MODELS = (
    PlatformModel("acme/llm-support", "llm-support", "meta-llama/Llama-3.1-8B", "2 versions"),
    PlatformModel("acme/llm-legal", "llm-legal"),
)


def adapter_at(source: AdapterSource | None) -> Adapter:
    assert source is not None
    return Adapter(
        source,
        "meta-llama/Llama-3.1-8B-Instruct",
        16,
        32.0,
        ("q_proj", "v_proj"),
        dtype="bf16",
        size_bytes=84_000_000,
    )


class Host(App[None]):
    """Shows the wizard and keeps what it answers."""

    ENABLE_COMMAND_PALETTE = False

    def __init__(self, backend: Backend, adapter: str | None, again: Deployment | None = None) -> None:
        super().__init__()
        self._backend = backend
        self._adapter = adapter
        self._again = again
        self.results: list[Deployment | None] = []

    def on_mount(self) -> None:
        self.push_screen(
            WizardScreen(self._backend, adapter=self._adapter, again=self._again), self.results.append
        )


def words(lines: Lines) -> str:
    """What a block says, its line breaks taken back."""
    return " ".join("".join(cell.text for cell in line).strip() for line in lines.lines)


@dataclass
class Scene:
    """What a test holds in its hands."""

    at: Driver
    host: Host
    backend: Backend
    clock: FrozenClock
    questions: list[Question]
    replies: dict[tuple[str, Topic], Any]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def answer(self, question: Question, value: Any, at: datetime | None = None) -> None:
        """What the worker would write."""
        error = value if isinstance(value, PeftTuiError) else None
        moment = at or self.clock.now()
        await self.backend.lookups.write(question, moment, None if error else value, error)

    async def asked(self, topic: Topic, platform: str | None = None) -> Question:
        """Wait until it was asked; the newest such question."""

        def found() -> list[Question]:
            return [q for q in self.questions if q.topic is topic and platform in (None, q.platform)]

        await self.at.until(lambda: bool(found()), f"never asked {topic}")
        return found()[-1]

    def fill(self, text: str) -> None:
        """Put text into the field that has the keys."""
        assert isinstance(self.host.focused, Input)
        self.host.focused.value = text

    async def focus_field(self, title: str, direction: str = "tab") -> None:
        """Press tab until the field with that title has the keys."""
        for _ in range(20):
            if self.field() == title:
                return
            await self.at.press(direction)
        raise AssertionError(f"no way to {title}\n{self.at.picture}")

    def field(self) -> str:
        """The title of the field that has the keys."""
        focused = self.host.focused
        row = focused.parent if focused is not None else None
        return str(getattr(row, "title", ""))

    def note(self, title: str) -> str:
        """What stands beside a field, whether it is in view or not."""
        return words(next(r for r in self.host.screen.query(FieldRow) if r.title == title).note)

    async def noted(self, title: str, sentence: str) -> None:
        """Wait until that stands beside the field."""
        await self.at.until(lambda: sentence in self.note(title), f"never read {sentence!r}")

    async def told(self, sentence: str) -> None:
        """Wait until the line at the foot says it."""
        block = self.host.screen.query_one("#message", Lines)
        await self.at.until(lambda: sentence in words(block), f"never told {sentence!r}")

    async def on_page(self, step: int) -> None:
        """Wait until that page is open."""
        await self.at.until(lambda: self.host.screen._page.STEP == step, f"never on page {step}")
        await self.at.pilot.pause()

    async def to_model_page(self, platform: str = "together") -> None:
        if platform == "replicate":
            await self.at.press("j")
        await self.at.press("enter")
        await self.on_page(2)

    async def to_configuration(self, path: str = "/out/support-r16") -> None:
        """Together, with a directory."""
        await self.to_model_page()
        await self.focus_field("Directory")
        self.fill(path)
        await self.at.press("ctrl+n")
        await self.fits()
        await self.at.press("ctrl+n")
        await self.on_page(3)

    async def fits(self) -> None:
        """Wait until the platform has said how the adapter fits."""
        await self.at.until(lambda: self.host.screen._work.assessment.value is not None)

    async def stored(self) -> list[Deployment]:
        return await self.backend.store.deployments.all()


@asynccontextmanager
async def wizard(
    directory: Path,
    *,
    environ: Mapping[str, str] = KEYS,
    adapter: str | None = None,
    size: tuple[int, int] = (80, 24),
    silent: bool = False,
    **other: Any,
) -> AsyncIterator[Scene]:
    """The wizard, open. Every question is answered at once unless `silent`."""
    clock = FrozenClock()
    backend = await Backend.open(directory, environ, clock)
    questions: list[Question] = []
    replies: dict[tuple[str, Topic], Any] = {
        ("together", Topic.ACCOUNT): Account("proj_1", "acme", "project Default"),
        ("replicate", Topic.ACCOUNT): Account("acme", "acme"),
        ("together", Topic.MODELS): (),
        ("replicate", Topic.MODELS): MODELS,
        ("", Topic.ADAPTER): "read",
        ("together", Topic.ASSESSMENT): TOGETHER_FIT,
        ("replicate", Topic.ASSESSMENT): REPLICATE_FIT,
    }
    if silent:
        replies.clear()
    replies.update(other.get("replies", {}))
    host = Host(backend, adapter, await seed(backend) if (seed := other.get("failed")) else None)

    def carry_out(question: Question) -> None:
        questions.append(question)
        value = scene.replies.get((question.platform, question.topic))
        if value == "read":
            value = adapter_at(question.source)
        if value is not None:
            scene.tasks.append(asyncio.get_running_loop().create_task(scene.answer(question, value)))

    scene = Scene(None, host, backend, clock, questions, replies)  # type: ignore[arg-type]
    backend.lookups.carry_out = carry_out
    try:
        async with drive(host, size) as at:
            scene.at = at
            await at.until(lambda: isinstance(host.screen, WizardScreen) and host.focused is not None)
            yield scene
            await asyncio.gather(*scene.tasks)
    finally:
        await backend.close()


PLATFORM_SOURCE = AdapterSource(SourceKind.PLATFORM, "acme/llm-support")
