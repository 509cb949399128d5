"""What can be pressed now: one list for footer, help and palette, read from the bindings in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.binding import Binding
from textual.dom import DOMNode
from textual.events import Click, Resize
from textual.screen import Screen

from peft_tui.ui.keymap import key_name
from peft_tui.ui.widgets.lines import Lines, spread, width_of
from peft_tui.ui.widgets.live_table import Cell

if TYPE_CHECKING:
    from textual.app import App

MOST = 7
"""Keys in the footer at most, help not counted: the rest is in the help."""

_EVERYWHERE = {"app.focus_next", "app.focus_previous", "screen.copy_text", "screen.minimize"}
"""What Textual gives to every screen and nobody looks up."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done here and now."""

    keys: tuple[str, ...]
    title: str
    sentence: str
    action: str
    node: DOMNode
    shown: bool
    """Whether it belongs in the footer."""
    group: str
    """`move` for what only moves."""
    refusal: str = ""
    """Why it cannot be done now; running it says so."""

    @property
    def label(self) -> str:
        """Its keys for a person, two of them at most: `↓ j`."""
        return " ".join(list(dict.fromkeys(key_name(key) for key in self.keys))[:2])

    async def run(self, app: App[Any]) -> None:
        await app.run_action(self.action, default_namespace=self.node)


def actions_in_force(screen: Screen[Any]) -> list[Action]:
    """Every action that a key leads to, in the order of the bindings, keys of one action together."""
    keys: dict[tuple[str, int], list[str]] = {}
    bindings: dict[tuple[str, int], tuple[Binding, DOMNode]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.system or not binding.description or not active.enabled or binding.action in _EVERYWHERE:
            continue
        identity = (binding.action, id(active.node))
        known = bindings.get(identity)
        # Of several bindings to one action the one that is shown speaks for it.
        speaks = known is None or (binding.show and not known[0].show)
        if speaks:
            bindings[identity] = (binding, active.node)
        keys.setdefault(identity, []).insert(0 if speaks else len(keys[identity]), binding.key)
    found = [
        Action(
            tuple(keys[identity]),
            binding.description[:1].upper() + binding.description[1:],
            binding.tooltip,
            binding.action,
            node,
            binding.show,
            "move" if not binding.show and node is not screen and node is not screen.app else "",
            _refusal(node, binding.action),
        )
        for identity, (binding, node) in bindings.items()
    ]
    # What is the same everywhere stands last.
    return sorted(found, key=lambda action: action.node is screen.app)


def _refusal(node: DOMNode, action: str) -> str:
    """What the node itself says of an action that is not possible now."""
    ask = getattr(node, "refusal", None)
    return str(ask(action)) if ask is not None else ""


class KeyBar(Lines):
    """The most likely keys, as many as fit whole. Help is always among them."""

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._places: list[tuple[int, int, Action]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self._update())
        self._update()

    def on_resize(self, event: Resize) -> None:
        self._update()

    def _update(self) -> None:
        if not self.is_attached or not self.width:
            return
        shown = [a for a in actions_in_force(self.screen) if a.shown and not a.refusal]
        palette = (Cell("ctrl+p", "accent"), Cell(" palette ", "dim")) if self.width >= 100 else ()
        kept = _fitting(shown, self.width - width_of(palette) - 1)
        cells: list[Cell] = [Cell(" ")]
        self._places = []
        for action in kept:
            start = width_of(tuple(cells))
            key = key_name(action.keys[0])
            cells += [Cell(key, "accent"), Cell(f" {action.title.lower()}", "dim"), Cell("  ")]
            self._places.append((start, width_of(tuple(cells)) - 2, action))
        self.show([spread(tuple(cells), palette, self.width) if palette else tuple(cells)])

    async def on_click(self, event: Click) -> None:
        """A click does what the key does."""
        for start, end, action in self._places:
            if start <= event.x < end:
                await action.run(self.app)
                return


def _fitting(actions: list[Action], width: int) -> list[Action]:
    """The first ones that fit, and help."""
    needed = {id(action): len(key_name(action.keys[0])) + 1 + len(action.title) + 2 for action in actions}
    last = [action for action in actions if action.action == "help"]
    left = width - sum(needed[id(action)] for action in last)
    kept: list[Action] = []
    for action in actions:
        if action in last:
            continue
        left -= needed[id(action)]
        if left < 0:
            break
        kept.append(action)
    return kept[:MOST] + last
