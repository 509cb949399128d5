"""Random lives of deployments, asked for by two windows on one store, with faults and deaths in between."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from peft_tui.backend import Backend
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.operation import OperationKind
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers import capabilities
from peft_tui.sandbox import Sandbox
from peft_tui.workers.refresh import PERIOD_SECONDS
from tests.life import LLAMA, Life, SandboxClock
from tests.proof.faults import FAULTS, Figures, short_timeouts
from tests.proof.scenes import SCENES, Scene
from tests.proof.truth import violations

NAMES = ("bot", "cat")
VERBS = tuple(kind for kind in OperationKind if kind is not OperationKind.CREATE)
FAULTY = tuple(name for name in FAULTS if name != "hang")


class Windows:
    """One sandbox, one store, two windows; the first that lives does the work."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.ours: set[str] = set()
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self._room = tempfile.TemporaryDirectory(dir=memory, prefix="peft-tui-lives-")
        self.sandbox = Sandbox(seed=1, speed=0.0)
        self.windows: list[Backend] = []
        self.worker: Life
        self._running: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        await self.sandbox.start()
        self.windows = [await self._open() for _ in range(2)]
        self.worker = Life(self.windows[0], self.sandbox, self.scene.platform)

    async def end(self) -> None:
        await self._drop()
        await self.worker.network.close()
        for window in self.windows:
            await window.close()
        await self.sandbox.stop()
        self._room.cleanup()

    async def deploy(self, window: int, name: str) -> None:
        chosen = {**capabilities(self.scene.platform).defaults(), **self.scene.settings}
        base = "" if self.scene.platform == "replicate" else LLAMA
        source = self.scene.source(Path(self._room.name))
        spec = DeploymentSpec(name, self.scene.platform, source, base, chosen)
        made = await self.windows[window].deployments.deploy(spec)
        self.ours.add(made.id)

    async def ask(self, window: int, kind: OperationKind, name: str) -> None:
        life = self.windows[window].life
        found = await self.windows[window].deployments.find(name)
        match kind:
            case OperationKind.STOP:
                await life.stop(found.id)
            case OperationKind.START:
                await life.start(found.id)
            case OperationKind.UPDATE:
                await life.update(found.id, self.scene.update)
            case OperationKind.ROLLBACK:
                await life.rollback(found.id, 1)
            case _:
                await life.delete(found.id)

    async def work(self, rounds: int) -> None:
        if self._running is None:
            self._running = asyncio.create_task(self.worker.runner.run())
        for _ in range(rounds):
            await self.worker.refresh.tick()
            await self.worker.backend.store.database.notice_others()
            await self.worker.clock.sleep(PERIOD_SECONDS)

    async def die(self) -> None:
        """The window that worked is killed and comes back; the other one takes over."""
        await self._drop()
        await self.worker.network.close()
        await self.windows[0].close()
        self.windows = [self.windows[1], await self._open()]
        self.worker = Life(self.windows[0], self.sandbox, self.scene.platform)

    async def unfinished(self) -> bool:
        return bool(await self.worker.backend.store.operations.unfinished(self.scene.platform))

    async def check(self) -> list[str]:
        """Let all that was asked for come to its end, and compare."""
        self.sandbox.world.data.faults.clear()
        for _ in range(40):
            if not await self.unfinished():
                break
            await self.work(20)
        await self._drop()
        await self.worker.refresh.tick()
        store = self.worker.backend.store
        return await violations(store, self.sandbox.url, self.ours, remakes=self.scene.remakes)

    async def _drop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None
            self.worker._begin()

    async def _open(self) -> Backend:
        return await Backend.open(Path(self._room.name), self.sandbox.env, SandboxClock(self.sandbox))


class Lives(RuleBasedStateMachine):
    """What people may do, in any order."""

    scene: ClassVar[Scene] = SCENES["together"]
    figures: ClassVar[Figures] = Figures()

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._windows = Windows(self.scene)
        self._run(self._windows.begin())

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

    def _asked(self, work: Any) -> None:
        # A refusal is an answer: what must not be is checked at the end.
        with contextlib.suppress(PeftTuiError):
            self._run(work)

    @rule(window=st.integers(0, 1), name=st.sampled_from(NAMES))
    def deploy(self, window: int, name: str) -> None:
        self._asked(self._windows.deploy(window, name))

    @precondition(lambda self: bool(self._windows.ours))
    @rule(window=st.integers(0, 1), kind=st.sampled_from(VERBS), name=st.sampled_from(NAMES))
    def ask(self, window: int, kind: OperationKind, name: str) -> None:
        self._asked(self._windows.ask(window, kind, name))

    @precondition(lambda self: bool(self._windows.ours))
    @rule(rounds=st.integers(1, 15))
    def work(self, rounds: int) -> None:
        self._run(self._windows.work(rounds))

    @rule()
    def die(self) -> None:
        self._run(self._windows.die())

    @precondition(lambda self: bool(self._windows.ours))
    @rule(fault=st.sampled_from(FAULTY), nth=st.integers(1, 6))
    def fault(self, fault: str, nth: int) -> None:
        self._run(self._windows.worker.fault(match="* *", nth=nth, times=1, **FAULTS[fault]))

    def teardown(self) -> None:
        try:
            wrong = self._run(self._windows.check())
            type(self).figures.cases += 1
            type(self).figures.ends += Counter({"lived": 1})
        finally:
            self._run(self._windows.end())
            self._run(self._loop.shutdown_default_executor())
            self._loop.close()
        assert wrong == []


def random_lives(scene: Scene, runs: int, steps: int, chance: int | None = None) -> Figures:
    """`runs` lives of `steps` steps each; the first that goes wrong is made as short as it can be.

    Args:
        chance: which lives; the same for the same number. None: always those that the suite knows.
    """
    machine = type("LivesOfOne", (Lives,), {"scene": scene, "figures": Figures()})
    if chance is not None:
        machine = seed(chance)(machine)
    chosen = settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    with short_timeouts():
        try:
            run_state_machine_as_test(machine, settings=chosen)
        except AssertionError as error:
            machine.figures.wrong.append(f"{error}")
    figures: Figures = machine.figures
    return figures
