"""Ask a deployment, see the answer come, keep what it took. The one service that waits for a platform.

Whoever asks does so from a task of its own: `ask` returns when the exchange has ended, and cancelling it
closes the connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from peft_tui.clock import Clock
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid, NotPossible, PeftTuiError
from peft_tui.domain.inference import (
    Finished,
    InferenceTarget,
    PromptRequest,
    ServedModel,
    StreamEvent,
    TextPiece,
    Wake,
    mistaken,
)
from peft_tui.domain.measure import Meter, Outcome, Source, cost
from peft_tui.domain.request import Exchange, Texts
from peft_tui.domain.status import Condition, Status
from peft_tui.redaction import redact
from peft_tui.store import Store, StoreError
from peft_tui.text import Cleaner, clean, clean_line

log = logging.getLogger(__name__)


class Endpoints(Protocol):
    """What the workers lend this service: the way to the platforms."""

    async def target(self, deployment: Deployment) -> InferenceTarget: ...

    def speak(
        self, platform: str, target: InferenceTarget, model: ServedModel, request: PromptRequest
    ) -> AsyncGenerator[StreamEvent, None]: ...


@dataclass(frozen=True, slots=True)
class Question:
    """One request to be sent, with all that its row needs."""

    deployment: Deployment
    target: InferenceTarget
    model: ServedModel
    request: PromptRequest
    source: Source = Source.CONSOLE
    run_id: str = ""
    intended: float | None = None
    """Monotonic: when it should have been sent, which is then what its times count from."""


def ignore(event: StreamEvent) -> None:
    """For who does not want to see it come."""


class Prompts:
    """The verbs of the console."""

    def __init__(self, store: Store, clock: Clock, keep_texts: bool = True) -> None:
        self._store = store
        self._clock = clock
        self.keep_texts = keep_texts
        """False: figures only."""
        self._endpoints: Endpoints | None = None
        self._there = asyncio.Event()

    @property
    def endpoints(self) -> Endpoints | None:
        """Set by the workers once the network is loaded; who asks before that waits."""
        return self._endpoints

    @endpoints.setter
    def endpoints(self, endpoints: Endpoints | None) -> None:
        self._endpoints = endpoints
        if endpoints is None:
            self._there.clear()
        else:
            self._there.set()

    async def _way(self) -> Endpoints:
        await self._there.wait()
        assert self._endpoints is not None
        return self._endpoints

    async def target(self, deployment: Deployment) -> InferenceTarget:
        """How it is asked, and what sending does now.

        Raises:
            PeftTuiError: it cannot be asked.
        """
        if deployment.condition is Condition.GONE:
            raise ConfigurationInvalid(
                f"{deployment.name} is not there any more.", hint="The platform does not list it."
            )
        return await (await self._way()).target(deployment)

    async def ask(
        self, question: Question, listen: Callable[[StreamEvent], None] = ignore, *, record: bool = True
    ) -> Exchange:
        """Send it, hand each event to `listen`, and write it down: also what failed and what was cancelled.

        Args:
            record: False where the caller writes many at once; what is cancelled is written all the same.

        Returns:
            What came of it. Its `id` is 0 where it could not be written down: an answer that was paid for is
            not lost for that.

        Raises:
            CancelledError: after it was written down.
            Exception: what `listen` raised, likewise; the connection is closed.
        """
        endpoints = await self._way()
        running = _Running(question, self._clock)
        speaking = endpoints.speak(
            question.deployment.platform, question.target, question.model, question.request
        )
        told = _Listener(listen)
        try:
            async with aclosing(speaking) as events:
                async for event in events:
                    running.take(event)
                    told.take(event)
        except PeftTuiError as error:
            exchange = running.ended(error)
        except asyncio.CancelledError:
            await asyncio.shield(self._keep(running.ended(None)))
            raise
        except Exception as error:
            if told.failed:
                # Nobody listens any more, as where the reader of a pipe has gone.
                await self._keep(running.ended(None))
                raise
            log.exception("asking %s failed", question.deployment.name)
            exchange = running.ended(unexpected(error))
        else:
            exchange = running.ended(None)
        return await self._keep(exchange) if record else exchange

    async def _keep(self, exchange: Exchange) -> Exchange:
        """Write one down; it comes back with its id."""
        try:
            (number,) = await self.record([exchange])
        except StoreError:
            log.exception("a request cannot be written down")
            return exchange
        return replace(exchange, id=number)

    async def record(self, exchanges: Sequence[Exchange]) -> list[int]:
        """Write them down in one go, without their texts where these are not to be kept; their ids."""
        keep = self.keep_texts
        # A load run asks the same thing hundreds of times: its figures are what it is for.
        kept = [e if keep and e.source is not Source.LOAD else replace(e, texts=None) for e in exchanges]
        return await self._store.requests.record(kept)


class _Listener:
    """Tells whose fault an exception is."""

    def __init__(self, listen: Callable[[StreamEvent], None]) -> None:
        self._listen = listen
        self.failed = False

    def take(self, event: StreamEvent) -> None:
        try:
            self._listen(event)
        except BaseException:
            self.failed = True
            raise


def unexpected(error: Exception) -> PeftTuiError:
    """The error for what should not have happened: it is a failure like any other, and said to be ours."""
    said = clean_line(redact(str(error)), 200)
    return PeftTuiError(
        f"Internal error while asking: {type(error).__name__}{f': {said}' if said else ''}",
        hint="What came until then is shown, and may be billed. Please report it; the log has the details.",
    )


class _Running:
    """One exchange on its way to a row."""

    def __init__(self, question: Question, clock: Clock) -> None:
        self._question = question
        self._clock = clock
        self._at = clock.now()
        self._meter = Meter(question.target.wake, warm(question.deployment))
        self._answer, self._thoughts = Cleaner(), Cleaner()
        self._answers: list[str] = []
        self._thought: list[str] = []
        self._finished: Finished | None = None

    def take(self, event: StreamEvent) -> None:
        self._meter.take(event)
        if isinstance(event, TextPiece):
            if event.thought:
                self._thought.append(self._thoughts.feed(event.text))
            else:
                self._answers.append(self._answer.feed(event.text))
        elif isinstance(event, Finished):
            self._finished = event

    def ended(self, error: PeftTuiError | None) -> Exchange:
        question, finished, meter = self._question, self._finished, self._meter
        measured = meter.measured(self._clock.monotonic(), question.intended)
        outcome = Outcome.FAILED if error else Outcome.OK if finished else Outcome.CANCELLED
        wait = None
        if question.intended is not None and meter.sent is not None:
            wait = max(meter.sent - question.intended, 0.0)
        return Exchange(
            question.deployment.id,
            self._at,
            question.source,
            question.model.label,
            question.model.role,
            question.request,
            outcome,
            measured,
            cost(question.target, measured),
            (error.status if error else None) or meter.status,
            error.as_dict() if error else None,
            finished.reason if finished else "",
            finished.remote_id if finished else "",
            question.run_id,
            wait,
            self._texts(finished),
            warning=mistaken(question.target, question.model, finished.model) if finished else "",
        )

    def _texts(self, finished: Finished | None) -> Texts:
        asked = self._question.request
        return Texts(
            clean(asked.prompt),
            clean(asked.system),
            asked.stop,
            "".join(self._thought) + self._thoughts.finish(),
            "".join(self._answers) + self._answer.finish(),
            clean(finished.raw) if finished else "",
        )


def warm(deployment: Deployment) -> bool | None:
    """Whether an instance is known to be up; None when the last observation does not tell."""
    seen = deployment.observation
    if seen is None or seen.condition is Condition.ASSUMED:
        return None
    if seen.status is not Status.ACTIVE or seen.condition in (Condition.ASLEEP, Condition.GONE):
        return False
    return True


def check_sendable(target: InferenceTarget) -> None:
    """See to it that the platform would take a request now.

    Raises:
        NotPossible: it would refuse it.
    """
    if target.wake is Wake.REFUSED:
        raise NotPossible(target.wake_words, hint="Nothing was sent.")
