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
        self._under_way: events.Key | None = None
        self._patience: asyncio.TimerHandle | None = None

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
        elif self._under_way is not None:
            self._keys.append(event)
        else:
            await self._give(event)

    async def _give(self, key: events.Key) -> None:
        self._under_way = key
        target: DOMNode = self.focused or self.screen
        try:
            await super().on_event(key)
        finally:
            later = asyncio.get_running_loop().call_later
            self._patience = later(PATIENCE_SECONDS, self.call_later, self._done, key)
            self._follow(target, key)

    def _follow(self, node: DOMNode | None, key: events.Key) -> None:
        """Go the way of the key, through the same queues, behind it."""
        if node is None or node is self:
            self.call_later(self._done, key)
        elif not node.call_later(self._follow, node.parent, key):
            self._follow(node.parent, key)

    async def _done(self, key: events.Key) -> None:
        if key is not self._under_way:
            return
        self._under_way = None
        if self._patience is not None:
            self._patience.cancel()
        if self._keys:
            await self._give(self._keys.popleft())
