"""Asking a server in a dialect, and what it said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from peft_tui.credentials import Credentials
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.inference import (
    AuthHeader,
    Dialect,
    Finished,
    InferenceTarget,
    PromptRequest,
    ServedModel,
    StreamEvent,
    TextPiece,
    Usage,
    Waiting,
)
from peft_tui.drivers.answers import Limits
from peft_tui.drivers.dialects import speaker
from peft_tui.drivers.network import Network
from peft_tui.drivers.streaming import Channel
from tests.doubles import VirtualClock

KEY = "s3cret"
ENVIRON = {"ACME_KEY": KEY, "ACME_ID": "wk-1", "ACME_SECRET": "ws-2"}
BEARER = (AuthHeader("Authorization", "ACME_KEY", "Bearer"),)


def target(dialect: Dialect, url: str, **facts: Any) -> InferenceTarget:
    models = (ServedModel("acme/bot", "bot"),)
    return InferenceTarget(dialect, url, **{"models": models, "auth": BEARER, **facts})


@dataclass
class Spoken:
    """All that came."""

    events: list[StreamEvent] = field(default_factory=list)
    error: PeftTuiError | None = None

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.of(TextPiece) if not piece.thought)

    @property
    def thoughts(self) -> str:
        return "".join(piece.text for piece in self.of(TextPiece) if piece.thought)

    @property
    def usage(self) -> Usage | None:
        return next(iter(self.of(Usage)[-1:]), None)

    @property
    def finished(self) -> Finished:
        assert self.error is None, self.error.message
        (last,) = self.of(Finished)
        assert last is self.events[-1]
        return last

    @property
    def waits(self) -> list[str]:
        return [event.words for event in self.of(Waiting)]

    @property
    def failure(self) -> PeftTuiError:
        assert self.error is not None, self.events
        assert not self.of(Finished)
        return self.error


@asynccontextmanager
async def channel(
    aim: InferenceTarget, limits: Limits | None = None, leaps: bool = True
) -> AsyncIterator[Channel]:
    network = Network(VirtualClock(leaps=leaps))
    try:
        yield await Channel.connect(network, Credentials(ENVIRON), aim, "Acme", limits)
    finally:
        await network.close()


async def ask(
    aim: InferenceTarget, request: PromptRequest | None = None, limits: Limits | None = None
) -> Spoken:
    """Ask, and take all that comes."""
    spoken = Spoken()
    async with channel(aim, limits) as open_channel:
        asked = speaker(aim.dialect).speak(open_channel, aim, aim.model(), request or PromptRequest("Hello"))
        async with aclosing(asked) as events:
            try:
                async for event in events:
                    spoken.events.append(event)
            except PeftTuiError as error:
                spoken.error = error
    return spoken
