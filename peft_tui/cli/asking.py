"""Asks a person at the terminal while everything else goes on.

A prompt may stand there for an hour: meanwhile the workers carry out what other windows ask for, and ctrl+c
ends it at once. Neither is so where a thread, or the event loop itself, waits for the line.
"""

from __future__ import annotations

import asyncio
import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext


def anybody_there() -> bool:
    """Standard input is a terminal."""
    return sys.stdin.isatty()


async def ask(prompt: str, *, hidden: bool = False) -> str:
    """A line as it was typed, nothing at the end of input; without a terminal a line of standard input."""
    if not anybody_there():
        given: str = await asyncio.to_thread(sys.stdin.readline)
        return given.rstrip("\r\n")
    terminal = sys.stdin.fileno()
    with _without_echo(terminal) if hidden else nullcontext():
        print(prompt, end="", file=sys.stderr, flush=True)
        line = await _line(terminal)
    return line.rstrip("\r\n")


async def agrees(question: str) -> bool:
    """Whether the answer is yes."""
    return (await ask(f"{question} [y/N] ")).strip().lower() in ("y", "yes")


async def _line(terminal: int) -> str:
    loop = asyncio.get_running_loop()
    typed = b""
    while not typed.endswith(b"\n"):
        ready = asyncio.Event()
        loop.add_reader(terminal, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(terminal)
        # A terminal hands over a line, or with ctrl+d what there is of one.
        piece = os.read(terminal, 4096)
        if not piece:
            break
        typed += piece
    return typed.decode(sys.stdin.encoding or "utf-8", "replace")


@contextmanager
def _without_echo(terminal: int) -> Iterator[None]:
    before = termios.tcgetattr(terminal)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        # The end of the line was not shown either.
        print(file=sys.stderr, flush=True)
