"""Saving the world to a file and finding it again."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from peft_tui.sandbox.world import World, WorldData, fresh_data

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SHORTEST_PAUSE = 0.05
READ_PAUSE = 2.0


@cache
def _adapter() -> TypeAdapter[WorldData]:
    # Imported on use: without a state file the sandbox starts faster.
    from pydantic import TypeAdapter

    return TypeAdapter(WorldData)


def load(path: Path, speed: float) -> WorldData | None:
    """The saved world, with the time that has passed since then counted.

    An unreadable file is moved aside with a message on stderr.

    Returns:
        None if there is no usable file.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        saved = json.loads(raw)
        # What an older version knew nothing of is there from now on, with its accounts and catalogues.
        fresh = vars(fresh_data(saved["seed"], saved["now"]))
        data = _adapter().validate_python({**fresh, **saved})
    except (ValueError, LookupError, TypeError) as error:
        aside = path.with_name(f"{path.name}.unreadable-{int(time.time())}")
        os.replace(path, aside)
        reason = str(error).splitlines()[0]
        print(
            f"The saved world {path} cannot be read ({reason}). It was moved to {aside}; starting afresh.",
            file=sys.stderr,
        )
        return None
    data.now += max(0.0, time.time() - data.saved_at) * speed
    return data


def save(world: World, path: Path) -> None:
    """Write the world atomically, readable by its owner only."""
    world.data.now = world.now()
    world.data.saved_at = time.time()
    raw = _adapter().dump_json(world.data)
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp creates with mode 0600.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class Saver:
    """Saves soon after each change, and never more often than it can."""

    def __init__(self, world: World, path: Path) -> None:
        self._world = world
        self._path = path
        self._handle: asyncio.TimerHandle | None = None
        self._pause = SHORTEST_PAUSE

    def touch(self, *, soon: bool) -> None:
        """Something changed; `soon` unless it was only the list of calls."""
        loop = asyncio.get_running_loop()
        pause = self._pause if soon else max(self._pause, READ_PAUSE)
        if self._handle is not None:
            if self._handle.when() <= loop.time() + pause:
                return
            self._handle.cancel()
        self._handle = loop.call_later(pause, self.flush)

    def flush(self) -> None:
        """Save now."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        started = time.monotonic()
        try:
            save(self._world, self._path)
        except OSError as error:
            print(f"The world could not be saved to {self._path}: {error}", file=sys.stderr)
        # A large world takes longer to write; leave ten times as long between two writes.
        self._pause = max(SHORTEST_PAUSE, 10 * (time.monotonic() - started))
