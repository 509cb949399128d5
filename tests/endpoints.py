"""Endpoints that say what they are told to, for the console's services and screens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from peft_tui.clock import Clock
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.inference import (
    Answered,
    Finished,
    InferenceTarget,
    PromptRequest,
    Sent,
    ServedModel,
    StreamEvent,
    TextPiece,
    Usage,
)
from tests.doubles import TARGET


@dataclass
class Say:
    """One answer."""

    pieces: Sequence[str] = ("Hel", "lo")
    usage: Usage | None = field(default_factory=lambda: Usage(9, 2))
    first_s: float = 0.2
    gap_s: float = 0.1
    error: Exception | None = None
    """After the pieces, instead of the end."""
    hangs: bool = False
    """After the pieces it says nothing more."""
    thoughts: Sequence[str] = ()
    answered_as: str = ""
    """What it says that it used; the one that was asked for when empty."""


class ScriptedEndpoints:
    """What `Prompts` is lent: answers by a function of the request, on the clock of the test."""

    def __init__(
        self, clock: Clock, answer: Callable[[PromptRequest, ServedModel], Say] | None = None
    ) -> None:
        self.clock = clock
        self.answer = answer or (lambda request, model: Say())
        self.found: InferenceTarget | PeftTuiError = TARGET
        self.asked: list[tuple[PromptRequest, ServedModel]] = []
        self.open = 0
        self.most_open = 0
        self.closed_early = 0

    async def target(self, deployment: Deployment) -> InferenceTarget:
        if isinstance(self.found, PeftTuiError):
            raise self.found
        return self.found

    async def speak(
        self, platform: str, target: InferenceTarget, model: ServedModel, request: PromptRequest
    ) -> AsyncGenerator[StreamEvent, None]:
        self.asked.append((request, model))
        said = self.answer(request, model)
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        done = False
        try:
            yield Sent(self.clock.monotonic())
            await self.clock.sleep(said.first_s)
            yield Answered(self.clock.monotonic(), 200)
            for thought in said.thoughts:
                yield TextPiece(thought, self.clock.monotonic(), thought=True)
            for number, piece in enumerate(said.pieces):
                if number:
                    await self.clock.sleep(said.gap_s)
                yield TextPiece(piece, self.clock.monotonic())
            if said.hangs:
                await asyncio.Event().wait()
            if said.error is not None:
                done = True
                raise said.error
            if said.usage is not None:
                yield said.usage
            done = True
            yield Finished(
                "stop", self.clock.monotonic(), 200, said.answered_as or model.name, raw='{"a": 1}'
            )
        finally:
            self.open -= 1
            self.closed_early += not done
