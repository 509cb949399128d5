"""Ask a deployment, see the answer come, keep what it took. The one service that waits for a platform.

Whoever asks does so from a task of its own: `ask` returns when the exchange has ended, and cancelling it
closes the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from peft_tui.clock import Clock
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid, PeftTuiError
from peft_tui.domain.inference import (
    MAX_STOP,
    RANGES,
    Finished,
    InferenceTarget,
    PromptRequest,
    Role,
    ServedModel,
    StreamEvent,
    TextPiece,
    Wake,
)
from peft_tui.domain.measure import Meter, Outcome, Source, cost
from peft_tui.domain.request import Exchange, Texts
from peft_tui.domain.status import Condition, Status
from peft_tui.store import Store
from peft_tui.text import Cleaner, clean

MAX_PROMPT = 1_000_000


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

        Raises:
            CancelledError: after it was written down.
        """
        endpoints = await self._way()
        running = _Running(question, self._clock)
        speaking = endpoints.speak(
            question.deployment.platform, question.target, question.model, question.request
        )
        try:
            async with aclosing(speaking) as events:
                async for event in events:
                    running.take(event)
                    listen(event)
        except PeftTuiError as error:
            exchange = running.ended(error)
        except asyncio.CancelledError:
            await asyncio.shield(self.record([running.ended(None)]))
            raise
        else:
            exchange = running.ended(None)
        if record:
            (number,) = await self.record([exchange])
            exchange = replace(exchange, id=number)
        return exchange

    async def record(self, exchanges: Sequence[Exchange]) -> list[int]:
        """Write them down in one go, without their texts where these are not to be kept; their ids."""
        keep = self.keep_texts
        # A load run asks the same thing hundreds of times: its figures are what it is for.
        kept = [e if keep and e.source is not Source.LOAD else replace(e, texts=None) for e in exchanges]
        return await self._store.requests.record(kept)


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


def problems(request: PromptRequest) -> dict[str, str]:
    """What cannot be sent, by field; a sentence to stand beside it."""
    found: dict[str, str] = {}
    if not request.prompt.strip():
        found["prompt"] = "a prompt is needed"
    elif len(request.prompt) + len(request.system) > MAX_PROMPT:
        found["prompt"] = f"at most {MAX_PROMPT:,} characters"
    for key, (low, high) in RANGES.items():
        value = getattr(request, key)
        if not low <= value <= high:
            found[key] = f"{low:g} to {high:g}"
    if len(request.stop) > MAX_STOP:
        found["stop"] = f"at most {MAX_STOP}"
    return found


def number(key: str, text: str) -> float:
    """A parameter as it was typed.

    Raises:
        ConfigurationInvalid: with a sentence to stand beside the field.
    """
    low, high = RANGES[key]
    whole = key == "max_tokens"
    words = f"{'a whole number' if whole else 'a number'}, {low:g} to {high:g}"
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        raise ConfigurationInvalid(words) from None
    if not low <= value <= high or (whole and value != int(value)):
        raise ConfigurationInvalid(words)
    return value


def seed(text: str) -> int | None:
    """A seed as it was typed; None of nothing.

    Raises:
        ConfigurationInvalid: with a sentence to stand beside the field.
    """
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ConfigurationInvalid("a whole number, or nothing")
    return int(text)


def check_sendable(target: InferenceTarget) -> None:
    """See to it that the platform would take a request now.

    Raises:
        ConfigurationInvalid: it would refuse it.
    """
    if target.wake is Wake.REFUSED:
        raise ConfigurationInvalid(target.wake_words, hint="Nothing was sent.")


@dataclass(frozen=True, slots=True)
class Pair:
    """One prompt, answered by both."""

    prompt: str
    base: Exchange
    adapter: Exchange

    @property
    def same(self) -> bool | None:
        """None when one of them failed."""
        if Outcome.OK is not self.base.outcome or Outcome.OK is not self.adapter.outcome:
            return None
        return _said(self.base) == _said(self.adapter)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the adapter is applied, as far as its answers tell."""

    pairs: tuple[Pair, ...]

    @property
    def applied(self) -> bool | None:
        known = [pair.same for pair in self.pairs if pair.same is not None]
        return None if not known else not all(known)

    @property
    def words(self) -> str:
        known = [pair.same for pair in self.pairs if pair.same is not None]
        if not known:
            return "Neither answered: nothing can be said."
        different = known.count(False)
        if not different:
            return (
                f"Identical on all {len(known)} at temperature 0: the adapter is probably not applied."
                if len(known) > 1
                else "Identical at temperature 0: the adapter is probably not applied. Try more prompts."
            )
        return f"Different on {different} of {len(known)} at temperature 0: the adapter is applied."


def _said(exchange: Exchange) -> str:
    return " ".join(exchange.texts.response.split()) if exchange.texts else ""


async def compare(
    prompts: Prompts,
    deployment: Deployment,
    target: InferenceTarget,
    asked: Sequence[PromptRequest],
    run_id: str,
    listen: Callable[[ServedModel, StreamEvent], None] | None = None,
) -> Verdict:
    """The same prompts to base and adapter, greedily, in the order ABBA so that neither is always first.

    Raises:
        ConfigurationInvalid: the platform cannot serve both here; nothing was sent.
    """
    base, adapter = target.role(Role.BASE), target.role(Role.ADAPTER)
    if base is None or adapter is None:
        raise ConfigurationInvalid(
            "Here the platform serves only one of adapter and base, so they cannot be compared.",
            hint="It can where adapters are attached to a running base.",
        )
    pairs: list[Pair] = []
    for turn, request in enumerate(asked):
        greedy = replace(request, temperature=0.0, top_p=1.0, seed=request.seed or 0)
        order = (base, adapter) if turn % 2 == 0 else (adapter, base)
        found: dict[Role, Exchange] = {}
        for model in order:
            question = Question(deployment, target, model, greedy, Source.COMPARE, run_id)

            def tell(event: StreamEvent, model: ServedModel = model) -> None:
                if listen is not None:
                    listen(model, event)

            found[model.role] = await prompts.ask(question, tell)
        pairs.append(Pair(request.prompt, found[Role.BASE], found[Role.ADAPTER]))
    return Verdict(tuple(pairs))
