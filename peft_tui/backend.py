"""What both faces stand on: the store, the services and, once started, the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_tui.clock import Clock, SystemClock
from peft_tui.config import Config
from peft_tui.credentials import Credentials, Vault
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.pace import RESTING_SECONDS, Pace
from peft_tui.paths import config_dir
from peft_tui.services.deployments import DeploymentService
from peft_tui.services.lookups import Answer, Lookups, Question
from peft_tui.store import Damage, Store

if TYPE_CHECKING:
    import tempfile

    from peft_tui.calls import Calls
    from peft_tui.embedded import EmbeddedSandbox
    from peft_tui.services.figures import FiguresService
    from peft_tui.services.life import LifeService
    from peft_tui.services.prompts import Prompts
    from peft_tui.workers.crew import Crew

PASSPHRASE = "PEFT_TUI_PASSPHRASE"
"""The variable with the passphrase of the encrypted file, for machines where nobody can be asked."""


class Backend:
    """Wiring only. Opening it is cheap; the network is loaded by `start`."""

    def __init__(
        self,
        store: Store,
        environ: Mapping[str, str],
        clock: Clock,
        directory: Path,
        sandbox: EmbeddedSandbox | None,
        config: Config | None = None,
        trouble: ConfigurationInvalid | None = None,
    ) -> None:
        self.store = store
        self.trouble = trouble
        """Why the store proper cannot be used. Then what the platforms say is shown and can be stopped, and
        nothing is remembered."""
        self.clock = clock
        self.config = config or Config()
        self._environ = dict(environ)
        self._sandbox = sandbox
        self._prepared = False
        # In the sandbox nothing of the person's own is looked at, and nothing is kept beyond the session.
        vault = Vault(None) if sandbox else Vault(config_dir(), passphrase=environ.get(PASSPHRASE, ""))
        self.credentials = Credentials(self._environ, vault)
        self.pace = Pace(float(self.config.refresh_seconds))
        # Three times this is a silence in which nobody was looking: one look at rest is none.
        store.looked_every = timedelta(seconds=max(self.pace.seconds, RESTING_SECONDS / 2))
        self.deployments = DeploymentService(store, clock, trouble, looks_only=self.config.read_only)
        self.lookups = Lookups(store)
        self._directory = directory
        self._crew: Crew | None = None
        self._closed = False
        self._room: tempfile.TemporaryDirectory[str] | None = None

    @cached_property
    def prompts(self) -> Prompts:
        """What is asked of an endpoint, and what was."""
        from peft_tui.services.prompts import Prompts

        return Prompts(self.store, self.clock, self.config.keep_texts)

    @cached_property
    def figures(self) -> FiguresService:
        """What it did and what that cost. The first frame goes without: see `with_figures`."""
        from peft_tui.services.figures import FiguresService

        return FiguresService(self.store, self.clock, self.lookups)

    async def with_figures(self) -> FiguresService:
        """The same, loaded in a thread: it takes longer to import than a key press may wait."""
        await asyncio.to_thread(import_module, "peft_tui.services.figures")
        return self.figures

    @cached_property
    def life(self) -> LifeService:
        """The verbs on deployments that exist. It knows what is offered: the first frame goes without."""
        from peft_tui.services.life import LifeService

        return LifeService(self.store, self.clock, looks_only=self.config.read_only)

    @classmethod
    async def open(
        cls,
        directory: Path,
        environ: Mapping[str, str],
        clock: Clock | None = None,
        sandbox: EmbeddedSandbox | None = None,
        config: Config | None = None,
        *,
        or_without: bool = False,
        damage: Damage | None = None,
    ) -> Backend:
        """Open the store in `directory`. One that is damaged is mended first: `store.mended` says how.

        Args:
            sandbox: brought up by `prepare` and ended by `close`; it adds to `environ`.
            or_without: where it cannot be used, go on with one that is forgotten at the end: what bills must
                be found and stopped all the same. `trouble` says why.
            damage: for which it was closed, where that was only found while it was in use.

        Raises:
            ConfigurationInvalid: the store cannot be used.
        """
        try:
            store = await Store.open(directory, damage)
        except ConfigurationInvalid as error:
            if not or_without:
                raise
            return await cls.without_store(error, environ, clock, sandbox, config)
        return cls(store, environ, clock or SystemClock(), directory, sandbox, config)

    @classmethod
    async def without_store(
        cls,
        trouble: ConfigurationInvalid,
        environ: Mapping[str, str],
        clock: Clock | None = None,
        sandbox: EmbeddedSandbox | None = None,
        config: Config | None = None,
    ) -> Backend:
        """On a store that is forgotten at the end.

        Raises:
            ConfigurationInvalid: `trouble`, where there is no room for one either.
        """
        import tempfile

        try:
            room = tempfile.TemporaryDirectory(prefix="peft-tui-", ignore_cleanup_errors=True)
            store = await Store.open(Path(room.name))
        except (OSError, ConfigurationInvalid):
            raise trouble from None
        backend = cls(store, environ, clock or SystemClock(), Path(room.name), sandbox, config, trouble)
        backend._room = room
        return backend

    async def prepare(self) -> None:
        """Bring up what the workers will talk to, once. The credentials are complete after this."""
        if self._prepared:
            return
        self._prepared = True
        if self._sandbox is not None:
            self._environ.update(await self._sandbox.start())
        await self.credentials.load()

    @property
    def sandbox_url(self) -> str:
        """Where the embedded sandbox is, once it is up; empty without one."""
        return self._sandbox.url if self._sandbox is not None else ""

    async def start(self) -> None:
        """Start the workers; those whose duty another process has wait for it."""
        await (await self._crew_of_mine()).start()

    async def keep(self) -> None:
        """Check the store and back it up, for ever; cancel to end."""
        if self.trouble is not None:
            return
        from peft_tui.workers.keeper import PERIOD_SECONDS, Keeper
        from peft_tui.workers.loop import Loop

        await Loop(Keeper(self.store.database).tick, PERIOD_SECONDS, self.clock).run()

    async def refresh_once(self, *, figures: bool = False) -> None:
        """Ask every platform that has credentials once, and return when all have answered or failed.

        Args:
            figures: what it tells of requests and of its bill, too.
        """
        await (await self._crew_of_mine()).refresh_once(figures=figures)

    async def answer(self, question: Question) -> Answer[Any]:
        """Have one question answered now, without starting the loops."""
        await (await self._crew_of_mine()).answer(question)
        found = await self.lookups.answer(question)
        assert found is not None
        return found

    async def connect(self) -> None:
        """Load what asks the platforms, without starting a loop: enough to send a prompt."""
        await self._crew_of_mine()

    @property
    def calls(self) -> Calls | None:
        """What was asked of the platforms lately; None before anything could be."""
        return self._crew.calls if self._crew is not None else None

    def refresh_now(self) -> None:
        """Have the running loops ask again at once. Nothing happens before `start`."""
        if self._crew is not None:
            self._crew.refresh_now()

    def rest(self, rests: bool) -> None:
        """Look less often from now on, or again as ever and at once."""
        woken = self.pace.rests and not rests
        self.pace.rests = rests
        if woken:
            self.refresh_now()

    async def _crew_of_mine(self) -> Crew:
        if self._crew is None:
            await self.prepare()
            crew = await asyncio.to_thread(_load_crew)
            self._crew = crew(
                self.store, self.lookups, self.credentials, self.clock, self._directory, self.pace
            )
            self._crew.keep_days = self.config.keep_days
            self._crew.looks_only = self.config.read_only
            self.prompts.endpoints = self._crew.inference
        return self._crew

    async def close(self) -> None:
        """Stop the workers where they are, then close the store; the journal goes on at the next start.
        A second time does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._crew is not None:
            await self._crew.stop()
        if "figures" in self.__dict__:
            await self.figures.close()
        await self.store.close()
        if self._room is not None:
            self._room.cleanup()
        if self._sandbox is not None:
            await self._sandbox.stop()


def _load_crew() -> type[Crew]:
    """In a thread: httpx and pydantic take longer to import than a key press may wait."""
    from peft_tui.drivers import load_drivers
    from peft_tui.workers.crew import Crew

    load_drivers()
    return Crew
