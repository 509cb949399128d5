"""Which screens stand open above the list, so that they open again: after `q`, and after a lost line.

A screen that knows how to come back has `place()`, a document that names it with `screen`; it posts
`PlaceChanged` when that would say something else, and `reopening.py` makes it anew. Dialogs have none: nobody
wants to be asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.message import Message
from textual.screen import Screen

Place = Mapping[str, Any]


class PlaceChanged(Message):
    """What the screen would have to come back to is another thing now."""


def places_of(screens: Sequence[Screen[Any]]) -> list[Place]:
    """From below upwards, as far as they know how to come back."""
    found: list[Place] = []
    for screen in screens:
        place = getattr(screen, "place", None)
        if place is None:
            break
        found.append(place())
    return found
