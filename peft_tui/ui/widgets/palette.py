"""What the palette finds: every action of the screen, every deployment by name, every action for each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import cache, partial
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from peft_tui.text import clean_line
from peft_tui.ui.widgets.keys import Action, actions_in_force

if TYPE_CHECKING:
    from peft_tui.domain.deployment import Deployment

MOST = 20
"""Deployments that are offered for one action: more than anybody reads."""
FOR_ONE = frozenset(
    {"stop", "start", "update", "delete", "adopt", "cancel", "again", "console", "metrics", "copy"}
)
"""Actions that are done to one deployment."""
PALETTE_CSS = """
CommandPalette {
    & > Vertical { margin-top: 1; background: $background; }
    & #--input { border: none; background: $panel; padding: 0 1; }
    & #--input.--list-visible { border: none; }
    & SearchIcon { display: none; }
    & CommandList { background: $background; border: none; border-bottom: solid $border-blurred; }
    & CommandList > .option-list--option-highlighted {
        background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold;
    }
    &:ansi CommandList > .option-list--option-highlighted { text-style: bold underline; }
}
"""
"""Textual's, in our colours and with our cursor, which its list cannot draw reversed; without a sign that a
font may lack."""


class _Listed(Provider):
    """Commands that can all be looked through. Nothing of them is markup: it may quote a platform."""

    @abstractmethod
    def _commands(self) -> Iterator[tuple[str, str, str, Callable[[], object]]]:
        """Title, key, a sentence, and what it does."""

    async def discover(self) -> Hits:
        for title, key, words, run in self._commands():
            yield DiscoveryHit(_shown(title, key), run, text=title, help=_shown(words))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, key, words, run in self._commands():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, _shown(title, key), run, text=title, help=_shown(words))


class ActionCommands(_Listed):
    """The actions of the screen below, from its bindings."""

    def _commands(self) -> Iterator[tuple[str, str, str, Callable[[], object]]]:
        for action in actions_in_force(self.screen):
            if action.group != "move" and not action.action.endswith("command_palette"):
                words = f"not now: {action.refusal}" if action.refusal else action.sentence
                yield action.title, action.label, words, partial(action.run, self.app)


class AppCommands(_Listed):
    """What there is on every screen."""

    def _commands(self) -> Iterator[tuple[str, str, str, Callable[[], object]]]:
        app: Any = self.app
        for title, words, run in app.everywhere():
            yield title, "", words, run


class DeploymentCommands(Provider):
    """`support` goes to the deployment, `stop support` or `support stop` begins to stop it.

    Their names are foreign text: shown as they are, never as markup.
    """

    async def search(self, query: str) -> Hits:
        screen: Any = self.screen
        named = cache(self._named)
        for score, deployment in named(query):
            name = clean_line(deployment.name, 120)
            yield Hit(score, _shown(name), partial(screen.go_to, deployment.id), text=name)
        words = query.lower().split()
        if len(words) < 2:
            return
        for action in self._actions():
            verb = next((w for w in words if len(w) > 1 and action.title.lower().startswith(w)), None)
            if verb is None:
                continue
            rest = list(words)
            rest.remove(verb)
            for score, deployment in named(" ".join(rest)):
                text = f"{action.title} {clean_line(deployment.name, 120)}"
                run = partial(screen.act_on, action.action, deployment)
                yield Hit(score, _shown(text), run, text=text, help=_shown(action.sentence))

    def _actions(self) -> Iterator[Action]:
        return (action for action in actions_in_force(self.screen) if action.action in FOR_ONE)

    def _named(self, query: str) -> list[tuple[float, Deployment]]:
        """Those whose names match, the best first."""
        matcher, screen = self.matcher(query), self.screen
        every: Iterator[Deployment] = getattr(screen, "deployments", lambda: iter(()))()
        scored = ((matcher.match(clean_line(deployment.name, 120)), deployment) for deployment in every)
        return nlargest(MOST, (pair for pair in scored if pair[0] > 0), key=lambda pair: pair[0])


def _shown(words: str, key: str = "") -> Any:
    """As it is: Textual takes a string for markup, although it asks for one."""
    return Content.assemble(words, "  ", (key, "$text-accent")) if key else Content(words)
