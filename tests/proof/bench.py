"""A sandbox whose world is put back to where it was, and a store that is copied: each case begins at once."""

from __future__ import annotations

import asyncio
import copy
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from peft_tui.backend import Backend
from peft_tui.domain.operation import Operation, OperationKind, OperationState
from peft_tui.sandbox import Sandbox
from peft_tui.sandbox.world import WorldData
from peft_tui.workers.refresh import PERIOD_SECONDS
from tests.life import Life, SandboxClock
from tests.proof.scenes import Scene
from tests.proof.truth import violations

ROUNDS = 900
BEFORE = {
    OperationKind.CREATE: (),
    OperationKind.STOP: (OperationKind.CREATE,),
    OperationKind.UPDATE: (OperationKind.CREATE,),
    OperationKind.DELETE: (OperationKind.CREATE,),
    OperationKind.START: (OperationKind.CREATE, OperationKind.STOP),
    OperationKind.ROLLBACK: (OperationKind.CREATE, OperationKind.UPDATE),
}
"""What was done before, so that it can be done."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A world and a store, as they were."""

    world: WorldData
    files: dict[str, bytes]
    now: float
    store: Path
    deployment_id: str


@dataclass(slots=True)
class Case:
    """One store on the world, whose process may die and come back."""

    lived: Life
    directory: Path
    deployment_id: str = ""
    remakes: bool = False
    asked_for: int = 0

    async def again(self) -> None:
        """The process has died; the next one is on the same store."""
        backend = await _opened(self.directory, self.lived.sandbox)
        await self.lived.network.close()
        await self.lived.backend.close()
        self.lived = Life(backend, self.lived.sandbox, self.lived.platform)

    async def ask(self, scene: Scene, kind: OperationKind, where: Path) -> None:
        """Write the intent."""
        life = self.lived.backend.life
        match kind:
            case OperationKind.CREATE:
                made = await self.lived.intend(scene.source(where), **scene.settings)
                self.deployment_id = made.id
            case OperationKind.STOP:
                await life.stop(self.deployment_id)
            case OperationKind.START:
                await life.start(self.deployment_id)
            case OperationKind.UPDATE:
                await life.update(self.deployment_id, scene.update)
            case OperationKind.DELETE:
                await life.delete(self.deployment_id)
            case OperationKind.ROLLBACK:
                await life.rollback(self.deployment_id, 1)
        self.asked_for = len(self.lived.sandbox.world.data.requests)

    async def work(self, until: Callable[[], bool] = lambda: False) -> Operation:
        """Work until all that was asked for has ended, or `until`; then all is dropped, as by a kill."""
        lived = self.lived
        running = asyncio.create_task(lived.runner.run())
        try:
            for _ in range(ROUNDS):
                await lived.refresh.tick()
                operations = await lived.backend.store.operations.of_deployment(self.deployment_id)
                if until() or all(operation.state.ended for operation in operations):
                    break
                await lived.clock.sleep(PERIOD_SECONDS)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            lived._begin()
        return (await lived.backend.store.operations.of_deployment(self.deployment_id))[0]

    async def check(self) -> list[str]:
        """One more look at the platform, then the truth."""
        await self.lived.refresh.tick()
        store, url = self.lived.backend.store, self.lived.sandbox.url
        return await violations(store, url, {self.deployment_id}, remakes=self.remakes)


class Bench:
    """All cases of one scene."""

    def __init__(self, sandbox: Sandbox, scene: Scene, room: Path) -> None:
        self._sandbox, self._scene, self._room = sandbox, scene, room
        self._snapshots: dict[tuple[OperationKind, ...], Snapshot] = {}
        """By what was done before: several kinds begin from the same."""
        self._cases = 0

    async def prepare(self, kind: OperationKind) -> None:
        """Bring the world to where `kind` can be done, and remember it."""
        self._sandbox.world.reset()
        directory = self._fresh_directory()
        case = Case(
            Life(await _opened(directory, self._sandbox), self._sandbox, self._scene.platform), directory
        )
        try:
            for earlier in BEFORE[kind]:
                await case.ask(self._scene, earlier, self._room)
                operation = await case.work()
                assert operation.state is OperationState.DONE, (earlier, operation.error)
            world = self._sandbox.world
            world.data.requests.clear()
        finally:
            await case.lived.network.close()
            await case.lived.backend.close()
        self._snapshots[BEFORE[kind]] = Snapshot(
            copy.deepcopy(world.data),
            dict(world.file_bytes),
            self._sandbox.clock.now(),
            directory,
            case.deployment_id,
        )

    @asynccontextmanager
    async def case(self, kind: OperationKind) -> AsyncIterator[Case]:
        """A fresh case from where `kind` can be done, with the intent written."""
        if BEFORE[kind] not in self._snapshots:
            await self.prepare(kind)
        snapshot = self._snapshots[BEFORE[kind]]
        world = self._sandbox.world
        world.data = copy.deepcopy(snapshot.world)
        world.file_bytes.clear()
        world.file_bytes.update(snapshot.files)
        self._sandbox.clock.set_now(snapshot.now)
        directory = self._fresh_directory()
        shutil.copytree(snapshot.store, directory, dirs_exist_ok=True)
        backend = await _opened(directory, self._sandbox)
        lived = Life(backend, self._sandbox, self._scene.platform)
        case = Case(lived, directory, snapshot.deployment_id, self._scene.remakes)
        try:
            await case.ask(self._scene, kind, self._room)
            yield case
        finally:
            await case.lived.network.close()
            await case.lived.backend.close()
            shutil.rmtree(directory, ignore_errors=True)

    def _fresh_directory(self) -> Path:
        self._cases += 1
        return self._room / f"store-{self._cases}"


@asynccontextmanager
async def bench(scene: Scene) -> AsyncIterator[Bench]:
    """A sandbox, and room in memory for the stores: what is durable is proved by kills, not waited for."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    sandbox = Sandbox(seed=1, speed=0.0)
    await sandbox.start()
    with tempfile.TemporaryDirectory(dir=memory, prefix="peft-tui-proof-") as room:
        try:
            yield Bench(sandbox, scene, Path(room))
        finally:
            await sandbox.stop()


async def _opened(directory: Path, sandbox: Sandbox) -> Backend:
    return await Backend.open(directory, sandbox.env, SandboxClock(sandbox))
