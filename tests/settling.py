"""When a screen has settled: nothing of it is still to be done.

Textual's pilot takes a process that uses no processor for one that has nothing to do. On a busy machine that
is a process that does not get to run, and what is asserted then is a screen that is still being made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import aiosqlite
import pytest
import textual.app
import textual.pilot
from textual._context import active_app
from textual.app import App
from textual.message_pump import MessagePump

MOST_SECONDS = 2.0
"""Something may go on for as long as a test likes: an endpoint that never answers, a keyring that hangs."""
SOON_SECONDS = 0.02
"""What is due by then belongs to what is going on: the next frame, and what is drawn a moment later."""

_at_work: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()
"""What threads do for a loop: the store, and what would block."""


async def settled(min_sleep: float = 0.0, max_sleep: float = MOST_SECONDS) -> None:
    """In place of `textual._wait.wait_for_idle`, with its arguments, of which only the time matters."""
    loop = asyncio.get_running_loop()
    end = loop.time() + MOST_SECONDS
    while True:
        await asyncio.sleep(0)
        if _is_still(loop, active_app.get()) or loop.time() >= end:
            return
        if not loop._ready:  # type: ignore[attr-defined]
            # Only a thread or a timer goes on: it needs no turn of this loop.
            await asyncio.sleep(0.001)


def _is_still(loop: Any, app: App[Any]) -> bool:
    if loop._ready or _at_work.get(loop, 0):
        return False
    soon = loop.time() + SOON_SECONDS
    if any(timer._when < soon and not timer._cancelled for timer in loop._scheduled):
        return False
    return all(_waits(pump) for pump in (app, *app.screen_stack)) and all(
        map(_waits, app.screen.walk_children())
    )


def _waits(pump: MessagePump) -> bool:
    """For a message, of which there is none."""
    queue: Any = pump._message_queue
    asleep = any(not waiter.done() for waiter in queue.ready_event._waiters)
    return asleep and queue.empty() and not pump._next_callbacks


@contextmanager
def told_by_what_is_to_be_done() -> Iterator[None]:
    """Every pilot waits until the screen has settled."""
    execute = aiosqlite.Connection._execute
    executor = asyncio.BaseEventLoop.run_in_executor

    async def counted(self: aiosqlite.Connection, work: Callable[..., Any], *more: Any, **named: Any) -> Any:
        with _at_work_for(asyncio.get_running_loop()):
            return await execute(self, work, *more, **named)

    def run_in_executor(loop: Any, *work: Any) -> Awaitable[Any]:
        future = executor(loop, *work)
        _at_work[loop] = _at_work.get(loop, 0) + 1
        future.add_done_callback(lambda _: _done(loop))
        return future

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aiosqlite.Connection, "_execute", counted)
        patch.setattr(asyncio.BaseEventLoop, "run_in_executor", run_in_executor)
        for module in (textual.app, textual.pilot):
            patch.setattr(module, "wait_for_idle", settled)
        yield


@contextmanager
def _at_work_for(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    _at_work[loop] = _at_work.get(loop, 0) + 1
    try:
        yield
    finally:
        _done(loop)


def _done(loop: asyncio.AbstractEventLoop) -> None:
    _at_work[loop] -= 1
