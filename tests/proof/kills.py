"""`kill -9` of the real process, at the boundaries of its writes and at random moments, then one restart."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peft_tui.backend import Backend
from peft_tui.domain.operation import OperationKind, OperationState
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers import capabilities
from tests.life import LLAMA
from tests.proof.faults import Figures
from tests.proof.scenes import SCENES, Scene
from tests.proof.truth import violations
from tests.servers import Servers

ROOT = Path(__file__).parents[2]
SPEED = 60.0
PERIOD = 6.0
"""World seconds between two looks: a tenth of a real one."""
SCRIPT = (OperationKind.CREATE, OperationKind.STOP, OperationKind.START, OperationKind.DELETE)
SCRIPTS = {"replicate": (OperationKind.CREATE, OperationKind.STOP, OperationKind.START, OperationKind.STOP)}
"""Replicate's delete waits a quarter of an hour, which is the same wait every time."""
WRITES = ("step_sent", "step_done", "write_state")
LONGEST = 120.0


class FastClock:
    """The world's time, in which this process lives too."""

    def __init__(self, now: float, speed: float) -> None:
        self._base, self._speed, self._began = now, speed, time.monotonic()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._base + self.monotonic(), UTC)

    def monotonic(self) -> float:
        return (time.monotonic() - self._began) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)


async def victim(args: argparse.Namespace) -> None:
    """Live through the script from wherever an earlier process left it."""
    scene = SCENES[args.scene]
    clock = FastClock(args.now, SPEED)
    backend = await Backend.open(Path(args.directory), json.loads(args.env), clock)
    if args.die_at:
        _die_at(backend, args.die_at)
    backend.pace.seconds = PERIOD
    await backend.start()
    script = SCRIPTS.get(args.scene, SCRIPT)
    while True:
        rows = await backend.store.database.all("SELECT id FROM deployments WHERE origin = 'ours'")
        if not rows:
            await backend.deployments.deploy(_spec(scene, Path(args.directory)))
            continue
        made = rows[0]["id"]
        operations = await backend.store.operations.of_deployment(made)
        if not all(operation.state.ended for operation in operations):
            await asyncio.sleep(0.05)
            continue
        if len(operations) >= len(script) or operations[0].state is OperationState.FAILED:
            break
        verb = {
            OperationKind.STOP: backend.life.stop,
            OperationKind.START: backend.life.start,
            OperationKind.DELETE: backend.life.delete,
        }[script[len(operations)]]
        await verb(made)
    await backend.refresh_once()
    await backend.close()


def _spec(scene: Scene, room: Path) -> DeploymentSpec:
    chosen = {**capabilities(scene.platform).defaults(), **scene.settings}
    base = "" if scene.platform == "replicate" else LLAMA
    return DeploymentSpec("bot", scene.platform, scene.source(room), base, chosen)


def _die_at(backend: Backend, count: int) -> None:
    """No handler, no exit: the kernel ends it before or after its `count`th write."""
    passed = 0

    def point() -> None:
        nonlocal passed
        passed += 1
        if passed == count:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(write: Any) -> Any:
        async def trapped(*args: Any, **more: Any) -> Any:
            point()
            answer = await write(*args, **more)
            point()
            return answer

        return trapped

    for name in WRITES:
        setattr(backend.store.operations, name, around(getattr(backend.store.operations, name)))


async def kills(name: str, runs: int, seed: int) -> Figures:
    """Half of them at write boundaries, in order; half at random moments."""
    figures = Figures()
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="peft-tui-kills-") as room:
        servers = Servers(Path(room) / "world.json", SPEED)
        await servers.start()
        try:
            for run in range(runs):
                await servers.post("reset")
                directory = Path(room) / f"store-{run}"
                die_at = 1 + run // 2 if run % 2 == 0 else 0
                after = chance.uniform(0.6, 8.0)
                died = await _process(servers, name, directory, die_at, None if die_at else after)
                await _process(servers, name, directory, 0, None)
                wrong = await _check(servers, name, directory)
                how = f"write {die_at}" if die_at else f"{after:.2f} s"
                figures.cases += 1
                figures.ends["killed" if died else "over before"] += 1
                figures.wrong += [f"{name}, killed at {how}: {sentence}" for sentence in wrong]
        finally:
            await servers.kill()
    return figures


async def _process(servers: Servers, name: str, directory: Path, die_at: int, after: float | None) -> bool:
    """Run one; True when it was killed."""
    began = (await servers.get("clock"))["epoch"]
    words = ("--scene", name, "--directory", str(directory), "--now", str(began), "--die-at", str(die_at))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.proof.kills", *words, "--env", json.dumps(servers.env)),
        cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.wait_for(process.wait(), after or LONGEST)
    except TimeoutError:
        process.kill()
        await process.wait()
    return process.returncode == -signal.SIGKILL


async def _check(servers: Servers, name: str, directory: Path) -> list[str]:
    backend = await Backend.open(directory, servers.env)
    try:
        rows = await backend.store.database.all("SELECT id FROM deployments WHERE origin = 'ours'")
        operations = [o for row in rows for o in await backend.store.operations.of_deployment(row["id"])]
        wrong = await violations(
            backend.store, servers.url, {row["id"] for row in rows}, remakes=SCENES[name].remakes
        )
        wrong += [f"{o.kind} failed: {o.error}" for o in operations if o.state is OperationState.FAILED]
        if Counter(o.state for o in operations)[OperationState.DONE] != len(SCRIPTS.get(name, SCRIPT)):
            wrong.append(f"the script is not done: {[(str(o.kind), str(o.state)) for o in operations]}")
        return wrong
    finally:
        await backend.close()


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for flag in ("--scene", "--directory", "--env"):
        parser.add_argument(flag, required=True)
    parser.add_argument("--now", type=float, required=True)
    parser.add_argument("--die-at", type=int, default=0)
    return parser.parse_args(words)


if __name__ == "__main__":
    asyncio.run(victim(_arguments(sys.argv[1:])))
