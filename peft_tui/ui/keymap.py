"""Names for what keys do, so that a person can give them other keys in `config.toml`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.keys import _normalize_key_list

_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "escape": "esc",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "asterisk": "*",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "at": "@",
    "colon": ":",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}


def key_name(key: str) -> str:
    """As it stands on the keyboard: `slash` → `/`."""
    *modifiers, last = key.split("+")
    if modifiers == ["shift"] and len(last) == 1:
        return last.upper()
    return "+".join([*modifiers, _NAMES.get(last, last)])


def named(place: str, bindings: Sequence[BindingType]) -> list[BindingType]:
    """The same bindings, each with a name such as `deployments.new` where it has none.

    Named after the action, or after the description where the action has arguments.
    """
    return [
        replace(b, id=f"{place}.{_word(b)}") if isinstance(b, Binding) and not b.id else b for b in bindings
    ]


def all_names() -> dict[str, str]:
    """Every name with its default keys. Loads all screens."""
    found: dict[str, list[str]] = {}
    for bindings in _named_bindings():
        for binding in bindings:
            keys = found.setdefault(binding.id or "", [])
            keys += [key for key in _keys(binding.key) if key not in keys]
    return {name: ",".join(keys) for name, keys in sorted(found.items())}


def problems(keymap: Mapping[str, str]) -> list[str]:
    """A sentence for each name that is none, and for each key that would do two things in one place.

    Textual's own `handle_bindings_clash` is not told of bindings that have names. Loads all screens where
    there is a keymap at all.
    """
    if not keymap:
        return []
    names = all_names()
    sentences = []
    for bindings in _named_bindings():
        owners: dict[str, str] = {}
        # The person's own come last, as they do where they are applied.
        for binding in sorted(bindings, key=lambda b: b.id in keymap):
            name = binding.id or ""
            for key in _keys(keymap.get(name, binding.key)):
                if owners.setdefault(key, name) != name and name in keymap:
                    sentences.append(f"keymap: {name} takes {key_name(key)} from {owners[key]}")
    for name in keymap:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else "peft-tui config lists them all"
            sentences.append(f"keymap: nothing is called “{name}”; {hint}")
    return sentences


def _word(binding: Binding) -> str:
    if "(" not in binding.action:
        return binding.action
    return re.sub(r"\W+", "_", binding.description.lower()).strip("_")


def _keys(keys: str) -> list[str]:
    return _normalize_key_list(keys).split(",")


def _named_bindings() -> Iterator[list[Binding]]:
    """Those of each class of ours, after all of them are loaded."""
    _load_screens()
    for node in _classes(DOMNode):
        if node.__module__.startswith("peft_tui."):
            declared = vars(node).get("BINDINGS", ())
            yield [binding for binding in declared if isinstance(binding, Binding) and binding.id]


def _load_screens() -> None:
    here = Path(__file__).parent
    for file in sorted(here.rglob("*.py")):
        parts = file.relative_to(here).with_suffix("").parts
        import_module(".".join(("peft_tui.ui", *parts)).removesuffix(".__init__"))


def _classes(root: type[DOMNode]) -> Iterator[type[DOMNode]]:
    for subclass in root.__subclasses__():
        yield subclass
        yield from _classes(subclass)
