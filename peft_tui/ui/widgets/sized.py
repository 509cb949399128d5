"""The classes that a screen has for its size, from the beginning."""

from __future__ import annotations

from typing import Any

from textual.screen import Screen


def sized(screen: Screen[Any]) -> None:
    """Call this first in `compose`: Textual gives them to a screen that is full, and styles it all anew."""
    width, height = screen.app.size
    wide = screen._get_breakpoint_classes(width, screen.HORIZONTAL_BREAKPOINTS or [])
    high = screen._get_breakpoint_classes(height, screen.VERTICAL_BREAKPOINTS or [])
    screen.add_class(*wide, *high, update=False)
