"""Starts the workers, each platform's under its duty, and stops them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from peft_tui.calls import Calls
from peft_tui.clock import Clock
from peft_tui.credentials import Credentials
from peft_tui.domain.errors import PeftTuiError
from peft_tui.drivers import PLATFORMS, capabilities, open_driver
from peft_tui.drivers.hugging_face import HuggingFace
from peft_tui.drivers.network import Network
from peft_tui.drivers.protocol import Driver
from peft_tui.pace import RESTING_FIGURES_SECONDS, RESTING_SECONDS, Pace
from peft_tui.services.lookups import Lookups, Question
from peft_tui.store import Store, StoreError
from peft_tui.workers.duty import Duty
from peft_tui.workers.figures import PERIOD_SECONDS as FIGURES_SECONDS
from peft_tui.workers.figures import FiguresWorker
from peft_tui.workers.inference import InferenceWorker
from peft_tui.workers.lookups import LookupWorker
from peft_tui.workers.loop import Loop
from peft_tui.workers.operations import OperationRunner
from peft_tui.workers.refresh import Refresh

DUTY_SECONDS = 2.0
"""Between two tries to take over from another process."""
AGAIN_SECONDS = 30.0
"""Before the workers of a platform begin again after they stopped by themselves."""

log = logging.getLogger(__name__)


class Crew:
    """All workers of one process on one store."""

    def __init__(
        self,
        store: Store,
        lookups: Lookups,
        credentials: Credentials,
        clock: Clock,
        directory: Path,
        pace: Pace,
    ) -> None:
        self._store = store
        self._lookups = lookups
        self._credentials = credentials
        self._clock = clock
        self._directory = directory
        self.calls = Calls(clock)
        self._network = Network(clock, self.calls)
        self._pace = pace
        self.looks_only = False
        """Carry nothing out, and keep no other process from it."""
        self.keep_days = 90
        """How long single requests are kept."""
        self._drivers: dict[str, Driver] = {}
        self._hub: HuggingFace | None = None
        self._loops: dict[str, Loop] = {}
        self._reporting: dict[str, Loop] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stale: set[str] = set()
        self._reopening: asyncio.Task[None] | None = None
        self._unlisten = credentials.listen(self._credential_changed)
        self.inference = InferenceWorker(self._network, credentials, self.driver)
        self._answering = LookupWorker(lookups, self.driver, self.hub, clock, self.fresh_driver)

    async def start(self) -> None:
        """Once is enough: what runs already goes on."""
        self._lookups.carry_out = self._answering.ask
        for platform in PLATFORMS:
            if platform not in self._tasks:
                self._tasks[platform] = asyncio.create_task(self._serve(platform))

    async def stop(self) -> None:
        """End everything where it is; the journal knows how to go on."""
        self._unlisten()
        self._lookups.carry_out = None
        tasks = [*self._tasks.values(), *([self._reopening] if self._reopening else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._answering.stop()
        await self._network.close()

    async def answer(self, question: Question) -> None:
        """Find one thing out and write it down."""
        await self._answering.answer(question)

    async def refresh_once(self, *, figures: bool = False) -> None:
        """One tick a platform, without loops; what another process has the duty for is left to it.

        Args:
            figures: the platforms' own figures too.
        """
        await asyncio.gather(*(self._refresh_once(platform, figures) for platform in PLATFORMS))

    async def _refresh_once(self, platform: str, figures: bool) -> None:
        duty: Duty | None = None
        try:
            driver = self.driver(platform)
            refresh = self._refresh(platform, driver)
            account = await refresh.whose()
            if account is None:
                return
            duty = Duty(self._directory, platform, account)
            if duty.take():
                await refresh.tick()
                if figures:
                    await FiguresWorker(platform, driver, self._store, self._clock, self.keep_days).tick()
        except PeftTuiError as error:
            await self._cannot_serve(platform, error)
        finally:
            if duty is not None:
                duty.leave()

    def _refresh(self, platform: str, driver: Driver) -> Refresh:
        nobody_serves = partial(self._nobody_serves, platform)
        return Refresh(platform, driver, self._store, self._clock, nobody_serves)

    async def _cannot_serve(self, platform: str, error: PeftTuiError) -> None:
        """Worth telling only where something of that platform is shown."""
        if await self._store.deployments.any_at(platform):
            await self._store.platforms.failed(platform, error.as_dict(), self._clock.now())

    def refresh_now(self) -> None:
        for loop in (*self._loops.values(), *self._reporting.values()):
            loop.wake()

    def driver(self, platform: str) -> Driver:
        """The platform's driver, opened at the first need.

        Raises:
            PeftTuiError: there are no credentials, or they cannot be used.
        """
        if platform not in self._drivers:
            self._drivers[platform] = open_driver(platform, self._network, self._credentials, self._clock)
        return self._drivers[platform]

    def fresh_driver(self, platform: str) -> Driver:
        """Another one, which remembers nothing: for whether the credentials are good at this moment.

        Raises:
            PeftTuiError: there are no credentials, or they cannot be used.
        """
        return open_driver(platform, self._network, self._credentials, self._clock)

    def _credential_changed(self, env: str) -> None:
        """Those that use it begin anew, and so do all with one that no platform names: the hub's token."""
        users = {p for p in PLATFORMS if any(f.env == env for f in capabilities(p).credentials)}
        self._hub = None
        self._stale |= users or set(PLATFORMS)
        if self._reopening is None or self._reopening.done():
            self._reopening = asyncio.create_task(self._reopen())

    async def _reopen(self) -> None:
        """Drop what goes by the old credentials where it is, as at an end, and start again."""
        while self._stale:
            platform = self._stale.pop()
            driver, task = self._drivers.pop(platform, None), self._tasks.pop(platform, None)
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            if (close := getattr(driver, "close", None)) is not None:
                # Not every platform has a connection of its own.
                try:
                    await close()
                except Exception:
                    log.exception("the old connection to %s cannot be closed", platform)
            if task is not None:
                self._tasks[platform] = asyncio.create_task(self._serve(platform))

    def hub(self) -> HuggingFace:
        if self._hub is None:
            self._hub = HuggingFace(self._network, self._credentials)
        return self._hub

    async def _serve(self, platform: str) -> None:
        """Until it is cancelled. What a bug of ours or the disk ends is said, and begins again."""
        while True:
            try:
                await self._work_for(platform)
            except PeftTuiError as error:
                await self._cannot_serve(platform, error)
                return
            except Exception as error:
                log.exception("the workers of %s stopped", platform)
                await self._say_stopped(platform, error)
            await self._clock.sleep(AGAIN_SECONDS)

    async def _say_stopped(self, platform: str, error: Exception) -> None:
        told = PeftTuiError(
            f"peft-tui's own work for this platform stopped ({type(error).__name__}); it begins again.",
            hint="Please report it, with the log. The platform's own page shows what runs.",
        )
        try:
            await self._cannot_serve(platform, told)
        except StoreError:
            log.exception("that could not be written down either")

    async def _work_for(self, platform: str) -> None:
        """
        Raises:
            PeftTuiError: there are no credentials, or they cannot be used.
        """
        driver = self.driver(platform)
        if self.looks_only:
            await self._only_look(platform)
        refresh = self._refresh(platform, driver)
        account = await self._find_account(platform, refresh)
        duty = Duty(self._directory, platform, account)
        while not duty.take():
            await self._clock.sleep(DUTY_SECONDS)
        loop = self._looking(platform, refresh.tick)
        runner = OperationRunner(
            platform, driver, self._store, self._clock, account, partial(self._nobody_serves, platform)
        )
        reporter = FiguresWorker(platform, driver, self._store, self._clock, self.keep_days)
        reporting = self._telling(reporter.tick)
        self._loops[platform] = loop
        self._reporting[platform] = reporting
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(loop.run())
                group.create_task(runner.run())
                group.create_task(reporting.run())
        finally:
            duty.leave()

    async def _only_look(self, platform: str) -> None:
        """For ever. The duty is given back after each look: what another window asks for needs a hand."""
        looking = self._looking(platform, partial(self._refresh_once, platform, False))
        reporting = self._telling(partial(self._refresh_once, platform, True))
        self._loops[platform], self._reporting[platform] = looking, reporting
        async with asyncio.TaskGroup() as group:
            group.create_task(looking.run())
            group.create_task(reporting.run())

    def _looking(self, platform: str, tick: Callable[[], Awaitable[None]]) -> Loop:
        """A loop that rests while nobody looks, unless something at the platform is on its way."""

        async def rests(passed: float) -> bool:
            resting = self._pace.rests and passed < RESTING_SECONDS
            return resting and not await self._store.deployments.any_moving(platform)

        return Loop(tick, self._pace.seconds, self._clock, rests)

    def _telling(self, tick: Callable[[], Awaitable[None]]) -> Loop:
        async def rests(passed: float) -> bool:
            return self._pace.rests and passed < RESTING_FIGURES_SECONDS

        return Loop(tick, FIGURES_SECONDS, self._clock, rests)

    async def _find_account(self, platform: str, refresh: Refresh) -> str:
        """Whose key it is, asked until it is answered: who works for which account is told by it."""
        found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def look() -> None:
            account = await refresh.whose()
            if account is not None and not found.done():
                found.set_result(account)

        loop = self._loops[platform] = self._looking(platform, look)
        asking = asyncio.create_task(loop.run())
        try:
            return await found
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    @contextmanager
    def _nobody_serves(self, platform: str, account: str) -> Iterator[bool]:
        duty = Duty(self._directory, platform, account)
        try:
            yield duty.take()
        finally:
            duty.leave()
