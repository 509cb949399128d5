"""What the platform has no object for is written into a description there, where any machine finds it again.

A repository called `<deployment>-note`, empty, stands for a deployment that has nothing else to be seen by:
one that is attached to another, and one that was stopped, which here means deleted. Its description holds
what is needed to show it truthfully and to start it again. A deployment whose adapter stays on the hub has
such a mark in its own description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from peft_tui.drivers.predibase.wire import Deployment
from peft_tui.text import clean_line

BEGIN, END = "[peft-tui ", "]"
SUFFIX = "-note"
PBASE, HUB = "pbase", "hub"


@dataclass(frozen=True, slots=True)
class Served:
    """An adapter as a request names it, and where the engine fetches it."""

    id: str = ""
    source: str = PBASE


@dataclass(frozen=True, slots=True)
class Note:
    """One mark, read."""

    name: str = ""
    """Of the deployment that it stands for."""
    adapter: Served = Served()
    carrier: str = ""
    """What it is attached to; empty for one that is stopped."""
    base: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Of one that is stopped, as the platform had it, without secrets."""
    description: str = ""

    def written(self) -> str:
        """For a description. How long one may be is not documented; this stays below 2 kB [INF]."""
        facts = {
            "name": self.name,
            "adapter": self.adapter.id,
            "source": self.adapter.source if self.adapter.id else "",
            "on": self.carrier,
            "base": self.base,
            "config": self.config,
            "description": self.description,
        }
        given = {key: value for key, value in facts.items() if value}
        return f"{BEGIN}{json.dumps(given, separators=(',', ':'))}{END}"


def read(description: str) -> Note | None:
    """The mark in a description; None where there is none, or none that is ours."""
    start = description.find(BEGIN)
    if start < 0 or not description.rstrip().endswith(END):
        return None
    try:
        facts = json.loads(description.rstrip()[start + len(BEGIN) : -len(END)])
    except (ValueError, RecursionError):
        return None
    if not isinstance(facts, dict):
        return None
    config = facts.get("config")
    return Note(
        _word(facts, "name"),
        Served(_word(facts, "adapter"), _word(facts, "source") or PBASE),
        _word(facts, "on"),
        _word(facts, "base"),
        config if isinstance(config, dict) else {},
        _word(facts, "description"),
    )


def plain(description: str) -> str:
    """A description without its mark."""
    return clean_line(description.partition(BEGIN)[0].strip(), 400)


def repository(name: str) -> str:
    """The name of the repository that holds the note of a deployment."""
    return f"{name}{SUFFIX}"


def adapter_of(deployment: Deployment) -> Served:
    """What a deployment was made for: its mark says so, or the first adapter that it loads at its start."""
    note = read(deployment.description)
    if note is not None and note.adapter.id:
        return note.adapter
    return Served(deployment.preloaded[0]) if deployment.preloaded else Served()


def _word(facts: Mapping[str, Any], key: str) -> str:
    value = facts.get(key)
    return clean_line(value, 400) if isinstance(value, str) else ""
