"""The main job by keys: through the wizard, and until it is up."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tests.terminal import Terminal

LONG = 90.0
"""Seconds that a busy machine may take for a whole deployment."""


async def walk_to_review(
    term: Terminal,
    name: str,
    adapter: Path,
    *,
    downwards: int = 0,
    knows: str = "project Default",
    fits: str = "rank 16",
    runs_on: str = "Instance type",
) -> None:
    """An adapter directory, the defaults.

    Args:
        downwards: how far below the first platform, Together AI, the wanted one stands.
        knows: what is seen once it has said whose key it is.
        fits: what is seen once the adapter has been looked at.
        runs_on: what is seen once there are machines to choose from.
    """
    await term.sees("n  new deployment")
    term.press("n")
    await term.sees(knows)
    term.press(*("j" for _ in range(downwards)), "enter")
    await term.sees("Adapter from")
    term.type(name)
    term.press("tab", "tab")
    await term.sees("ctrl+o browses")
    term.type(str(adapter))
    await term.sees(fits)
    term.press("ctrl+n")
    await term.sees(runs_on)
    term.press("ctrl+n")
    await term.sees("[ Deploy ]")


async def refreshed_until(term: Terminal, wanted: str) -> None:
    """Ask again by hand until it is seen: quicker than the loop's five seconds."""
    try:
        async with asyncio.timeout(LONG):
            while not re.search(wanted, term.text):
                term.press("r")
                await term.quiet(0.2, timeout=LONG)
    except TimeoutError:
        raise AssertionError(f"never saw {wanted!r} in {LONG} s\n{term.text}") from None
