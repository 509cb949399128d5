"""A small load run: what it would cost first, a cap that holds, then figures that say how sure they are.

With a concurrency it is a closed loop: the next request waits for an answer, so that a slow server is asked
less. With a rate it is an open one: requests have their times, and what is measured counts from them, also
for those that had to wait here. Which of the two it was is part of the result.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from decimal import Decimal

from peft_tui.clock import Clock
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.inference import InferenceTarget, PromptRequest, ServedModel, TokenPrice
from peft_tui.domain.measure import Outcome, Source
from peft_tui.domain.money import Price, usd
from peft_tui.domain.request import Exchange
from peft_tui.services.load_plan import hourly_of, most_of
from peft_tui.services.load_report import LoadRun
from peft_tui.services.prompts import Prompts, Question, check_sendable
from peft_tui.store import StoreError

log = logging.getLogger(__name__)

WRITE_SECONDS = 0.25
"""Between two writes to the store: many requests, one transaction."""
HOPELESS = 20
"""Failures in a row, from the beginning, after which the rest is not tried."""


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
        self._hourly = hourly_of(target, deployment) if isinstance(target.price, Price) else None
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
            await asyncio.shield(self._write_the_rest())

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
            bound = most_of(self._target, request)
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
            bound = most_of(self._target, request)
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
            await self._clock.sleep(WRITE_SECONDS)
            try:
                # Cancelled at the end of the run, it is written all the same, and once.
                await asyncio.shield(self._write())
            except StoreError:
                log.exception("a load run cannot be written down yet")

    async def _write_the_rest(self) -> None:
        """What came of a run stays in sight, also where the disk is full."""
        try:
            await self._write()
        except StoreError:
            log.exception("a load run cannot be written down")
        self._load.unwritten = len(self._unwritten)

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
