"""Finds out what the screens want to know, a few questions at a time, and writes the answers down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from peft_tui.adapters import read_directory
from peft_tui.clock import Clock
from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.errors import PeftTuiError
from peft_tui.drivers.hugging_face import HuggingFace
from peft_tui.drivers.protocol import Driver, Versioned
from peft_tui.redaction import redact
from peft_tui.services.lookups import LOG_LINES, Lookups, Question, Topic

log = logging.getLogger(__name__)

AT_A_TIME = 4
READ_SECONDS = 10.0
"""For a local directory: it may lie on a file system that hangs."""


class LookupWorker:
    """Answers questions; the same one asked again while it is under way is asked once."""

    def __init__(
        self,
        lookups: Lookups,
        drivers: Callable[[str], Driver],
        hub: Callable[[], HuggingFace],
        clock: Clock,
        fresh_drivers: Callable[[str], Driver] | None = None,
    ) -> None:
        self._lookups = lookups
        self._drivers = drivers
        self._fresh_drivers = fresh_drivers or drivers
        self._hub = hub
        self._clock = clock
        self._gate = asyncio.Semaphore(AT_A_TIME)
        self._running: dict[Question, asyncio.Task[None]] = {}

    def ask(self, question: Question) -> None:
        if question not in self._running:
            task = asyncio.create_task(self.answer(question))
            self._running[question] = task
            task.add_done_callback(partial(self._answered, question))

    def _answered(self, question: Question, task: asyncio.Task[None]) -> None:
        self._running.pop(question, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The store would not take the answer: it is asked for again at the next look.
            log.error("%s of %s", question.topic, question.platform, exc_info=error)

    async def stop(self) -> None:
        for task in tuple(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def answer(self, question: Question) -> None:
        """Find it out and write it down, whatever it is."""
        async with self._gate:
            try:
                value = await self._find_out(question)
            except PeftTuiError as error:
                await self._lookups.write(question, self._clock.now(), error=error)
            except Exception as error:
                log.exception("%s of %s", question.topic, question.platform)
                told = PeftTuiError(
                    f"peft-tui itself failed at this ({type(error).__name__}).",
                    hint="Please report it, with the log.",
                )
                await self._lookups.write(question, self._clock.now(), error=told)
            else:
                await self._lookups.write(question, self._clock.now(), value)

    async def _find_out(self, question: Question) -> object:
        if question.topic is Topic.ADAPTER:
            assert question.source is not None
            return await self._read(question.source)
        if question.topic is Topic.CHECK:
            return await self._check(question.platform)
        driver = self._drivers(question.platform)
        match question.topic:
            case Topic.ACCOUNT:
                return await driver.account()
            case Topic.INSTANCE_TYPES:
                return await driver.instance_types()
            case Topic.MODELS:
                return await driver.models()
            case Topic.EVENTS:
                return await driver.events(question.remote_id)
            case Topic.VERSIONS:
                return await driver.versions(question.remote_id) if isinstance(driver, Versioned) else ()
            case Topic.LOGS:
                # What a container prints may hold what it was given.
                return tuple(map(redact, await driver.logs(question.remote_id, LOG_LINES)))
            case Topic.ASSESSMENT:
                assert question.source is not None
                adapter = None
                if question.source.kind is not SourceKind.PLATFORM:
                    adapter = await self._read(question.source)
                    adapter = replace(adapter, base_model=adapter.base_model or question.base_model)
                return await driver.assess(question.source, adapter)

    async def _check(self, platform: str) -> object:
        """Who the credentials belong to, from a driver that remembers nothing."""
        driver = self._fresh_drivers(platform)
        try:
            return await driver.account()
        finally:
            if (close := getattr(driver, "close", None)) is not None:
                await close()

    async def _read(self, source: AdapterSource) -> Adapter:
        if source.kind is SourceKind.HUGGING_FACE:
            return await self._hub().adapter(source)
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await asyncio.to_thread(read_directory, source.reference)
        except TimeoutError as error:
            raise PeftTuiError(
                f"{source.reference} cannot be read: its file system does not answer.",
                hint="Copy the adapter to a local disk.",
            ) from error
