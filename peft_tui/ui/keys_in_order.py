"""Keys that arrive together are handled one after the other.

Textual hands letters to the field at once, while a key with a binding climbs to the application first. Of
what comes in one read (a slow line, a fast hand) `tab 5` writes the 5 into the field that is left.
"""

from __future__ import annotations

import asyncio
from collections import deque

from textual import events
from textual.app import App
from textual.dom import DOMNode

PATIENCE_SECONDS = 0.5
"""A widget that is taken away drops what still waits for it, and with it the sign that its key is done."""


class KeysInOrder(App[None]):
    """A key is given out when the one before it is done: a widget took it, or it climbed up to here."""

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._keys: deque[events.Key] = deque()
        self._key = 0
        """The number of the one that is under way; 0 for none."""
        self._given = 0

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
        elif self._key:
            self._keys.append(event)
        else:
            await self._give(event)

    async def _give(self, event: events.Key) -> None:
        self._given += 1
        self._key = number = self._given
        target: DOMNode = self.focused or self.screen
        try:
            await super().on_event(event)
        finally:
            asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self.call_later, self._done, number)
            self._follow(target, number)

    def _follow(self, node: DOMNode | None, number: int) -> None:
        """Go the way of the key, through the same queues, behind it."""
        if node is None or node is self:
            self.call_later(self._done, number)
        elif not node.call_later(self._follow, node.parent, number):
            self._follow(node.parent, number)

    async def _done(self, number: int) -> None:
        if number != self._key:
            return
        self._key = 0
        if self._keys:
            await self._give(self._keys.popleft())
