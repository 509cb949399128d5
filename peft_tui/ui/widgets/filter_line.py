"""The `/` line."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class FilterLine(Input):
    """One line to narrow a list while typing. Enter keeps it, Esc drops it."""

    DEFAULT_CSS = """
    FilterLine { height: 1; border: none; padding: 0 1; background: $background; }
    FilterLine:focus { border: none; background: $panel; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "leave(True)", "Keep", tooltip="Keep the filter and go back to the list."),
        Binding("down,up", "leave(True)", "Keep", show=False),
        Binding("escape", "leave(False)", "Clear", tooltip="Drop the filter and show everything."),
    ]

    class Left(Message):
        """The line was left; `kept` says whether its text stays in force."""

        def __init__(self, kept: bool) -> None:
            super().__init__()
            self.kept = kept

    def __init__(self, text: str = "") -> None:
        super().__init__(
            text, placeholder="words  status:failed  platform:…", compact=True, select_on_focus=False
        )
        self.cursor_blink = False

    def action_leave(self, kept: bool) -> None:
        """Go back to the list."""
        self.post_message(self.Left(kept))
