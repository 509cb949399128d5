"""A screen above another one, of which nothing shows through."""

from __future__ import annotations

from typing import TypeVar

from textual.screen import ModalScreen

T = TypeVar("T")


class OpaqueScreen(ModalScreen[T]):
    """Textual makes modal screens transparent in the terminal's own colours: what is below would show."""

    DEFAULT_CSS = """
    OpaqueScreen {
        background: $background;
        &:ansi { background: ansi_default; }
    }
    """
