"""What was agreed to and is not written down yet: for a few seconds one key takes it back.

agreed → hold … five seconds … → write → tell
             └ u → nothing ever happened

Whoever leaves meanwhile has agreed: it is written at once. A process that is killed has done nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from textual.app import App

from peft_tui.clock import Clock
from peft_tui.ui.work import start_work

UNDO_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Held:
    """One thing that waits."""

    words: str
    """`support-bot is deleted`: how long it takes yet is put behind it."""
    write: Callable[[], Awaitable[Any]]
    tell: Callable[[Any], Awaitable[None]]
    """What became of it, to a person who is still there."""


class Undo:
    """One thing at a time: what waits is carried out when the next one comes."""

    def __init__(self, app: App[Any], clock: Clock, say: Callable[[str], None]) -> None:
        """
        Args:
            say: told what waits and how long yet, each second; then nothing.
        """
        self._app = app
        self._clock = clock
        self._say = say
        self._held: Held | None = None
        self._writing: set[asyncio.Future[Any]] = set()

    def hold(self, held: Held) -> None:
        """Carry it out in a while."""
        before, self._held = self._held, held
        start_work(self._app, partial(self._wait, before, held), group="undo")

    def take_back(self) -> None:
        """It was never asked for."""
        self._held = None
        self._say("")

    async def carry_out(self) -> None:
        """Now, whatever is left of its time."""
        if self._held is not None:
            held, self._held = self._held, None
            self._say("")
            await held.tell(await self._write(held))

    async def leave(self) -> None:
        """The application ends: what waits is written, and nobody is told."""
        held, self._held = self._held, None
        if held is not None:
            await held.write()
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def _wait(self, before: Held | None, held: Held) -> None:
        if before is not None:
            await before.tell(await self._write(before))
        for left in range(UNDO_SECONDS, 0, -1):
            if self._held is not held:
                return
            self._say(f"{held.words} in {left} s")
            await self._clock.sleep(1.0)
        if self._held is held:
            await self.carry_out()

    async def _write(self, held: Held) -> Any:
        """To its end, also when the application ends meanwhile."""
        writing = asyncio.ensure_future(held.write())
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        return await asyncio.shield(writing)
