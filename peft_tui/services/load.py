"""A small load run: what it would cost first, a cap that holds, then figures that say how sure they are.

With a concurrency it is a closed loop: the next request waits for an answer, so that a slow server is asked
less. With a rate it is an open one: requests have their times, and what is measured counts from them, also
for those that had to wait here. Which of the two it was is part of the result.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from peft_tui.clock import Clock
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.figures import Percentile, percentile
from peft_tui.domain.inference import InferenceTarget, PromptRequest, ServedModel, TokenPrice
from peft_tui.domain.measure import Measured, Outcome, Source, cost, tokens_of
from peft_tui.domain.money import Price, usd
from peft_tui.domain.request import Exchange
from peft_tui.services.prompts import Prompts, Question, check_sendable, problems
from peft_tui.store import StoreError

log = logging.getLogger(__name__)

MAX_REQUESTS = 100_000
MAX_CONCURRENCY = 256
MIN_RATE, MAX_RATE = 0.001, 1000.0
WRITE_SECONDS = 0.25
"""Between two writes to the store: many requests, one transaction."""
HOPELESS = 20
"""Failures in a row, from the beginning, after which the rest is not tried."""
TYPICAL_SECONDS = 3.0
"""What a request is taken to take where nothing is known yet."""
QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is to be sent."""

    prompts: tuple[PromptRequest, ...]
    """In turn, from the beginning again when there are fewer than requests."""
    requests: int = 50
    concurrency: int = 4
    rate: float | None = None
    """Requests per second, open loop; `concurrency` is then the most that are under way."""
    cap_usd: Decimal | None = None
    """Nothing is sent that could go beyond it; what is under way is cancelled when time reaches it."""

    def problem(self) -> str:
        """Why it cannot be, or nothing."""
        if not self.prompts:
            return "a prompt is needed"
        for request in self.prompts:
            if found := problems(request):
                key, words = next(iter(found.items()))
                return f"{key}: {words}"
        if not 1 <= self.requests <= MAX_REQUESTS:
            return f"requests: 1 to {MAX_REQUESTS:,}"
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            return f"concurrency: 1 to {MAX_CONCURRENCY}"
        if self.rate is not None and not MIN_RATE <= self.rate <= MAX_RATE:
            return f"rate: {MIN_RATE:g} to {MAX_RATE:g} a second"
        if self.cap_usd is not None and not (self.cap_usd.is_finite() and self.cap_usd > 0):
            return "the cap must be an amount of more than nothing"
        return ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would cost, before anything is sent."""

    words: str
    likely_usd: Decimal | None
    most_usd: Decimal | None
    """None: there is no such bound, or no price is known."""
    can_be_capped: bool


def preview(
    plan: LoadPlan, target: InferenceTarget, deployment: Deployment, seconds: float | None = None
) -> Preview:
    """The price of `plan`. `seconds` is how long a request took lately, where that is known."""
    count = plan.requests
    if isinstance(target.price, TokenPrice):
        one = [_bound(target, request) for request in plan.prompts]
        most = sum((one[i % len(one)] for i in range(count)), Decimal(0))
        words = (
            f"{count} requests by tokens: at most {usd(most)} ({target.price.source}, {target.price.as_of})."
        )
        return Preview(words, most, most, True)
    if not isinstance(target.price, Price):
        return Preview(
            f"{count} requests; what an instance costs here is not known, so a cap in $ cannot hold.",
            None,
            None,
            False,
        )
    each = seconds if seconds is not None else TYPICAL_SECONDS
    wall = max(count / plan.rate if plan.rate else 0.0, count * each / plan.concurrency)
    hourly = _hourly(target, deployment)
    likely = hourly * Decimal(str(wall)) / 3600
    guess = "as lately" if seconds is not None else "a guess"
    words = (
        f"{count} requests, about {wall:.0f} s ({each:.1f} s each, {guess}) of {usd(hourly)} /h:"
        f" about {usd(likely)}. It bills by time, whether or not requests come."
    )
    return Preview(words, likely, None, True)


@dataclass(slots=True)
class LoadRun:
    """A run under way, and afterwards what came of it."""

    plan: LoadPlan
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    exchanges: list[Exchange] = field(default_factory=list)
    sent: int = 0
    under_way: int = 0
    began: float | None = None
    ended: float | None = None
    spent_usd: Decimal | None = Decimal(0)
    """None when no price is known."""
    stopped: str = ""
    """Why it ended before its time, in words."""

    @property
    def done(self) -> int:
        return len(self.exchanges)

    def report(self) -> LoadReport:
        return _report(self)


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The figures of a run. Percentiles are of what succeeded; how many did not stands beside them."""

    ok: int
    failed: int
    cancelled: int
    errors: tuple[tuple[str, int], ...]
    """By kind and message, the most frequent first."""
    seconds: float | None
    requests_per_second: float | None
    tokens_per_second: float | None
    first_text: tuple[Percentile, ...]
    total: tuple[Percentile, ...]
    per_token: tuple[Percentile, ...]
    cold: int
    late: int
    """Of an open loop: how many were sent more than 10 ms after their time."""
    totals_s: tuple[float, ...] = ()

    @property
    def success_rate(self) -> float | None:
        """Cancelled ones are neither."""
        count = self.ok + self.failed
        return self.ok / count if count else None


async def run(
    prompts: Prompts,
    deployment: Deployment,
    target: InferenceTarget,
    model: ServedModel,
    load: LoadRun,
    clock: Clock,
    listen: Callable[[LoadRun], None] = lambda load: None,
) -> LoadRun:
    """Carry it out. `listen` hears of every answer. Cancelling it cancels what is under way; what has come is
    written down.

    Raises:
        ConfigurationInvalid: it cannot be; nothing was sent.
    """
    if problem := load.plan.problem():
        raise ConfigurationInvalid(problem, hint="Nothing was sent.")
    check_sendable(target)
    runner = _Runner(prompts, deployment, target, model, load, clock, listen)
    await runner.run()
    return load


class _Runner:
    def __init__(
        self,
        prompts: Prompts,
        deployment: Deployment,
        target: InferenceTarget,
        model: ServedModel,
        load: LoadRun,
        clock: Clock,
        listen: Callable[[LoadRun], None],
    ) -> None:
        self._prompts = prompts
        self._deployment = deployment
        self._target = target
        self._model = model
        self._load = load
        self._plan = load.plan
        self._clock = clock
        self._listen = listen
        self._unwritten: list[Exchange] = []
        self._writing = asyncio.Lock()
        self._next = 0
        self._reserved = Decimal(0)
        self._settled = Decimal(0)
        self._in_a_row = 0
        self._asking: set[asyncio.Task[None]] = set()
        self._hourly = _hourly(target, deployment) if isinstance(target.price, Price) else None
        if self._plan.cap_usd is not None and target.price is None:
            raise ConfigurationInvalid(
                "No price is known here, so that a cap cannot hold.",
                hint="Nothing was sent. Run it without a cap, or enter the price in prices.toml.",
            )

    async def run(self) -> None:
        load = self._load
        load.began = self._clock.monotonic()
        writing = asyncio.create_task(self._write_now_and_then())
        guard = asyncio.create_task(self._guard_time())
        try:
            if self._plan.rate:
                lanes = [asyncio.create_task(self._open_loop(self._plan.rate))]
            else:
                lanes = [asyncio.create_task(self._lane()) for _ in range(self._plan.concurrency)]
            self._asking.update(lanes)
            _raise_bugs(await asyncio.gather(*lanes, return_exceptions=True))
        finally:
            for task in (guard, writing, *self._asking):
                task.cancel()
            await asyncio.gather(guard, writing, *self._asking, return_exceptions=True)
            load.ended = self._clock.monotonic()
            self._spend()
            await asyncio.shield(self._write())

    async def _lane(self) -> None:
        while (request := self._take()) is not None:
            await self._ask(request, None)

    async def _open_loop(self, rate: float) -> None:
        places = asyncio.Semaphore(self._plan.concurrency)
        began = self._load.began or 0.0

        async def send(request: PromptRequest, intended: float) -> None:
            async with places:
                await self._ask(request, intended)

        for number in range(self._plan.requests):
            intended = began + number / rate
            if (wait := intended - self._clock.monotonic()) > 0:
                await self._clock.sleep(wait)
            if (request := self._take()) is None:
                break
            task = asyncio.create_task(send(request, intended))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        sent = [task for task in self._asking if task is not asyncio.current_task()]
        _raise_bugs(await asyncio.gather(*sent, return_exceptions=True))

    def _take(self) -> PromptRequest | None:
        """The next request, unless that is all, or it might go beyond the cap."""
        load, plan = self._load, self._plan
        if load.stopped or self._next >= plan.requests:
            return None
        request = plan.prompts[self._next % len(plan.prompts)]
        if plan.cap_usd is not None and isinstance(self._target.price, TokenPrice):
            bound = _bound(self._target, request)
            if self._settled + self._reserved + bound > plan.cap_usd:
                load.stopped = f"the cap of {usd(plan.cap_usd)}: another request might have gone beyond it"
                return None
            self._reserved += bound
        self._next += 1
        load.sent += 1
        return request

    async def _ask(self, request: PromptRequest, intended: float | None) -> None:
        load = self._load
        question = Question(
            self._deployment, self._target, self._model, request, Source.LOAD, load.run_id, intended
        )
        load.under_way += 1
        try:
            exchange = await self._prompts.ask(question, record=False)
        finally:
            load.under_way -= 1
        load.exchanges.append(exchange)
        self._unwritten.append(exchange)
        if isinstance(self._target.price, TokenPrice):
            bound = _bound(self._target, request)
            self._reserved -= bound if self._plan.cap_usd is not None else Decimal(0)
            # What a platform does not count is taken to have cost the most that it could.
            self._settled += exchange.cost.usd if exchange.cost.usd is not None else bound
        self._in_a_row = self._in_a_row + 1 if exchange.outcome is Outcome.FAILED else 0
        fatal = exchange.error_kind == "authentication"
        if fatal or (self._in_a_row >= HOPELESS and self._in_a_row == load.done):
            load.stopped = f"every request fails: {exchange.error_message}"
        self._spend()
        self._listen(load)

    def _spend(self) -> None:
        load = self._load
        if isinstance(self._target.price, TokenPrice):
            load.spent_usd = self._settled
        elif self._hourly is not None and load.began is not None:
            seconds = Decimal(str((load.ended or self._clock.monotonic()) - load.began))
            load.spent_usd = self._hourly * seconds / 3600
        else:
            load.spent_usd = None

    async def _guard_time(self) -> None:
        """Where time costs, the cap is a time: then everything under way ends."""
        cap, hourly = self._plan.cap_usd, self._hourly
        if cap is None or not hourly:
            return
        await self._clock.sleep(float(cap / hourly * 3600))
        self._load.stopped = f"the cap of {usd(cap)} of instance time"
        for task in tuple(self._asking):
            task.cancel()

    async def _write_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            try:
                # Cancelled at the end of the run, it is written all the same, and once.
                await asyncio.shield(self._write())
            except StoreError:
                log.exception("a load run cannot be written down yet")

    async def _write(self) -> None:
        """Write what is not written; what could not be is kept for the next time."""
        async with self._writing:
            count = len(self._unwritten)
            if count:
                await self._prompts.record(self._unwritten[:count])
                del self._unwritten[:count]


def _raise_bugs(results: Sequence[BaseException | None]) -> None:
    """What a request fails with is in its row; anything else is not to be swallowed."""
    for result in results:
        if isinstance(result, Exception):
            raise result


def _hourly(target: InferenceTarget, deployment: Deployment) -> Decimal:
    """What is billed per hour while it runs: all instances that are up, one at least."""
    assert isinstance(target.price, Price)
    seen = deployment.observation
    return target.price.usd_per_hour * max((seen.billed_instances or 1) if seen else 1, 1)


def _bound(target: InferenceTarget, request: PromptRequest) -> Decimal:
    """The most that one request can cost by tokens."""
    most = Measured(
        tokens_in=tokens_of(request.system) + tokens_of(request.prompt) + 16, tokens_out=request.max_tokens
    )
    return cost(target, most).usd or Decimal(0)


def _report(load: LoadRun) -> LoadReport:
    done = [e for e in load.exchanges if e.outcome is Outcome.OK]
    failed = [e for e in load.exchanges if e.outcome is Outcome.FAILED]
    errors = Counter(f"{e.error_kind}: {e.error_message}" for e in failed)
    seconds = None
    if load.began is not None and load.ended is not None:
        seconds = load.ended - load.began
    tokens = [e.measured.tokens_out for e in done if e.measured.tokens_out is not None]
    totals = _ordered(e.measured.total_s for e in done)
    return LoadReport(
        len(done),
        len(failed),
        load.sent - len(done) - len(failed),
        tuple(errors.most_common()),
        seconds,
        len(done) / seconds if seconds else None,
        sum(tokens) / seconds if seconds and tokens else None,
        _percentiles(_ordered(e.measured.first_text_s for e in done)),
        _percentiles(totals),
        _percentiles(_ordered(e.measured.per_token_s for e in done)),
        sum(e.measured.cold is True for e in done),
        sum((e.wait_s or 0) > 0.01 for e in load.exchanges),
        tuple(totals),
    )


def _ordered(values: object) -> list[float]:
    return sorted(value for value in values if value is not None)  # type: ignore[attr-defined]


def _percentiles(ordered: Sequence[float]) -> tuple[Percentile, ...]:
    return tuple(p for q in QUANTILES if (p := percentile(ordered, q)) is not None)


def prompts_of(text: str, like: PromptRequest) -> tuple[PromptRequest, ...]:
    """The prompts of a JSONL file: a string, or an object with `prompt` or `messages`, on each line.

    Raises:
        ConfigurationInvalid: a line is something else; it is named.
    """
    import json
    from dataclasses import replace

    found: list[PromptRequest] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        data: object = None
        with contextlib.suppress(ValueError, RecursionError):
            data = json.loads(line)
        prompt, system = _prompt_of(data)
        if prompt is None:
            raise ConfigurationInvalid(
                f"Line {number} is neither a string nor an object with “prompt” or “messages”.",
                hint='For example {"prompt": "Where is my order?"} on each line.',
            )
        found.append(replace(like, prompt=prompt, system=system if system is not None else like.system))
    if not found:
        raise ConfigurationInvalid("The file holds no prompt.")
    return tuple(found)


def _prompt_of(data: object) -> tuple[str | None, str | None]:
    if isinstance(data, str):
        return data, None
    if not isinstance(data, dict):
        return None, None
    if isinstance(prompt := data.get("prompt"), str):
        return prompt, data["system"] if isinstance(data.get("system"), str) else None
    messages = data.get("messages")
    said: dict[str, str] = {}
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and isinstance(message.get("content"), str):
            said[str(message.get("role"))] = message["content"]
    return said.get("user"), said.get("system")
