"""What the palette finds: every action of the screen, and every deployment by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from peft_tui.ui.widgets.keys import actions_in_force


class ActionCommands(Provider):
    """The actions of the screen below, from its bindings."""

    def _commands(self) -> Iterator[tuple[str, Any, Callable[[], Awaitable[None]]]]:
        for action in actions_in_force(self.screen):
            if action.group != "move" and action.action != "app.command_palette":
                refused = f"not now: {action.refusal}" if action.refusal else ""
                # Textual takes a help that is no Content for markup, and a refusal may quote a platform.
                yield action.title, Content(refused or action.sentence), partial(action.run, self.app)

    async def discover(self) -> Hits:
        for title, sentence, run in self._commands():
            yield DiscoveryHit(Content(title), run, text=title, help=sentence)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, sentence, run in self._commands():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, Content(title), run, text=title, help=sentence)


class PlaceCommands(Provider):
    """The deployments, by name. Their names are foreign text: shown as they are, never as markup."""

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        places = getattr(self.screen, "places", None)
        if places is None:
            return
        for name, go in places():
            if (score := matcher.match(name)) > 0:
                yield Hit(score, Content(name), go, text=name)
