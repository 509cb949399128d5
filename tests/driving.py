"""The test language of the screens: drive by keys, read as text, wait for facts.

async with drive(app, size=(80, 24)) as at:
    await at.press("n")
    await at.sees("llama  ● active")
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.app import App
from textual.pilot import Pilot

PATIENCE_SECONDS = 60.0
"""How long a fact may take on a busy machine."""


class Driver:
    """An application under test."""

    def __init__(self, pilot: Pilot[Any]) -> None:
        self.pilot = pilot

    @property
    def app(self) -> App[Any]:
        return self.pilot.app

    @property
    def lines(self) -> list[str]:
        """The screen as plain text, without trailing spaces."""
        return ["".join(segment.text for segment in strip).rstrip() for strip in self._strips()]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def _strips(self) -> Any:
        compositor = self.app.screen._compositor
        return compositor.render_strips()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type character by character."""
        for letter in text:
            await self.pilot.press({" ": "space"}.get(letter, letter))

    async def until(self, fact: Callable[[], bool], complaint: str = "it never came true") -> None:
        """Wait for a fact."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_SECONDS
        while not fact():
            if loop.time() > end:
                raise AssertionError(f"{complaint}\n{self.picture}")
            await self.pilot.pause(0.01)

    async def sees(self, *wanted: str | re.Pattern[str]) -> None:
        """Wait until the screen shows all of it; runs of spaces count as one."""
        for text in wanted:
            await self.until(lambda text=text: self.shows(text), f"never saw {text!r}")  # type: ignore[misc]

    async def gone(self, unwanted: str | re.Pattern[str]) -> None:
        await self.until(lambda: not self.shows(unwanted), f"still sees {unwanted!r}")

    def shows(self, wanted: str | re.Pattern[str]) -> bool:
        if isinstance(wanted, re.Pattern):
            return wanted.search(self.text) is not None
        return _squeezed(wanted) in _squeezed(self.text)

    def line_with(self, text: str) -> str:
        """The first line that shows it."""
        found = next((line for line in self.lines if text in line), None)
        assert found is not None, f"no line with {text!r}\n{self.picture}"
        return found

    async def selects(self, text: str) -> None:
        """Wait until the table's cursor is on a line with it."""
        await self.until(
            lambda: any("▸ " in line and text in line for line in self.lines), f"not on {text!r}"
        )

    @property
    def selected(self) -> str:
        """The line under the table's cursor."""
        return self.line_with("▸ ")

    @property
    def footer(self) -> str:
        return self.lines[-1]

    @property
    def picture(self) -> str:
        rule = "─" * self.app.size.width
        return f"{rule}\n{self.text}\n{rule}"


@asynccontextmanager
async def drive(app: App[Any], size: tuple[int, int] = (80, 24)) -> AsyncIterator[Driver]:
    """Run the application without a terminal."""
    async with app.run_test(size=size, notifications=True) as pilot:
        at = Driver(pilot)
        await pilot.pause()
        yield at


def _squeezed(text: str) -> str:
    return re.sub(r" +", " ", text)
