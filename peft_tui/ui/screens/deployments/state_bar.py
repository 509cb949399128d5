"""The line above the table: what is sought or marked, how fresh it is; and where the filter is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message

from peft_tui.ui.filter import Filter
from peft_tui.ui.widgets.lines import Line, Lines
from peft_tui.ui.widgets.live_table import Cell

if TYPE_CHECKING:
    from textual.widgets import Input

    from peft_tui.ui.widgets.filter_line import FilterLine


class StateBar(Horizontal):
    """Words; while the filter is typed, its line stands before them."""

    class Sought(Message):
        """The filter, as it is typed."""

        def __init__(self, sought: Filter) -> None:
            super().__init__()
            self.sought = sought

    class Ended(Message):
        """The line was left."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.typing = False
        self.ascii_only = False
        self._line: FilterLine | None = None

    def compose(self) -> ComposeResult:
        yield Lines(id="state")

    @property
    def width(self) -> int:
        """Cells there are for the words."""
        return self.query_one("#state", Lines).width

    def show(self, words: Line) -> None:
        self.query_one("#state", Lines).show([words])

    def begin(self, sought: Filter) -> None:
        """Let the filter be typed, going on from this one."""
        self.typing = True
        line = self._make_line()
        line.value = f"{sought} " if sought else ""
        line.cursor_position = len(line.value)
        self._show_line(line)
        # At once, not when the queue comes to it: what is typed on must land in the line.
        self.screen.set_focus(line)

    def insert(self, character: str) -> None:
        """Typed before the line had the focus."""
        if self._line is not None:
            self._line.insert_text_at_cursor(character)

    def _make_line(self) -> FilterLine:
        """Made when it is wanted: Input costs more to load than the first frame can give."""
        from peft_tui.ui.widgets.filter_line import FilterLine

        if self._line is None:
            self._line, slash = FilterLine(), Lines(id="slash")
            slash.ascii_only = self.ascii_only
            slash.show([(Cell(" / ", "accent"),)])
            self.mount_all([slash, self._line], before=0)
        return self._line

    def _show_line(self, line: FilterLine) -> None:
        line.display = self.query_one("#slash").display = self.typing

    def on_input_changed(self, event: Input.Changed) -> None:
        """The filter is in force while it is typed."""
        event.stop()
        if self.typing:
            self.post_message(self.Sought(Filter.parse(event.value)))

    def on_filter_line_left(self, event: FilterLine.Left) -> None:
        event.stop()
        self.typing = False
        if self._line is not None:
            self._show_line(self._line)
        if not event.kept:
            self.post_message(self.Sought(Filter()))
        self.post_message(self.Ended())
