"""The bar that says, whenever it is so, that nothing here is real."""

from __future__ import annotations

from textual.events import Resize

from peft_tui.ui.widgets.lines import Lines
from peft_tui.ui.widgets.live_table import Cell

_WORDS = (
    " SANDBOX   these clouds run on this machine: nothing bills, nothing leaves it",
    " SANDBOX   nothing here bills",
    " SANDBOX",
)


class SandboxBanner(Lines):
    """One full-width line, on every screen of the sandbox."""

    DEFAULT_CSS = """
    SandboxBanner { dock: top; height: 1; }
    """

    def on_resize(self, event: Resize) -> None:
        words = next((words for words in _WORDS if len(words) < self.width), _WORDS[-1])
        self.show([(Cell(words, "banner"),)])
