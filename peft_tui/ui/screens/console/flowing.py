"""Text that grows at its end: what is appended costs what it adds, however long the rest is."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len, split_text
from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from peft_tui.ui.keymap import named
from peft_tui.ui.theme import plain

TAB = 4


def broken(text: str, width: int) -> list[str]:
    """One paragraph in lines of at most `width` cells, between words where there are any; spaces stay."""
    text = text.expandtabs(TAB)
    lines: list[str] = []
    while cell_len(text) > width:
        head, rest = split_text(text, width)
        if head + rest != text:
            # In the middle of a wide character: it goes to the next line whole.
            head, rest = split_text(text, width - 1)
        if rest and not rest.startswith(" ") and (space := head.rfind(" ")) > 0:
            head, rest = text[: space + 1], text[space + 1 :]
        elif rest.startswith(" "):
            rest = rest[1:]
        if not head:
            break
        lines.append(head)
        text = rest
    return [*lines, text]


class Flowing(ScrollView, can_focus=True, inherit_bindings=False):
    """Plain text, drawn literally. It follows its end until somebody scrolls up."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    Flowing {
        height: 1fr; overflow: hidden auto; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        background: $background; color: $foreground; padding: 0 1;
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_by(-1)", "Up", show=False),
        Binding("down,j", "scroll_by(1)", "Down", show=False),
        Binding("pageup,ctrl+u", "scroll_by(-10)", "Page up", show=False),
        Binding("pagedown,ctrl+d", "scroll_by(10)", "Page down", show=False),
        Binding("home,g", "scroll_by(-1000000)", "First", show=False),
        Binding("end,G", "scroll_by(1000000)", "Last", show=False),
    ]
    BINDINGS = named("flowing", BINDINGS)

    ascii_only: reactive[bool] = reactive(False, init=False)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pieces: list[str] = []
        self._lines: list[str] = [""]
        self._width = 0
        self._follows = True

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def clear(self) -> None:
        """Begin anew."""
        self._pieces, self._lines, self._follows = [], [""], True
        self.virtual_size = Size(0, 0)
        self.scroll_to(y=0, animate=False)
        self.refresh()

    def append(self, text: str) -> None:
        """Add cleaned text at the end. Only what it changes is laid out and drawn."""
        if not text:
            return
        self._pieces.append(text)
        first = len(self._lines) - 1
        self._add(text)
        before = self.scroll_offset.y
        if len(self._lines) - 1 != first:
            self.virtual_size = Size(0, len(self._lines))
        if self._follows and self.max_scroll_y != before:
            self.scroll_to(y=self.max_scroll_y, animate=False)
        top = self.scroll_offset.y
        if top == before:
            y = max(first - top, 0)
            if y < self.size.height:
                self.refresh(Region(0, y, self.size.width, min(len(self._lines) - top, self.size.height) - y))

    def _add(self, text: str) -> None:
        head, *more = text.split("\n")
        # Lines above the last are broken for good: only the last one can change.
        self._lines[-1:] = broken(self._lines[-1] + head, self._room)
        for paragraph in more:
            self._lines += broken(paragraph, self._room)

    @property
    def _room(self) -> int:
        return max(self.scrollable_content_region.width, 8)

    def on_resize(self, event: Resize) -> None:
        if self._room != self._width:
            self._width = self._room
            self._lines = [""]
            self._add(self.text)
            self.virtual_size = Size(0, len(self._lines))
            self.refresh()

    def action_scroll_by(self, lines: int) -> None:
        """Scroll by lines; at the end it follows again."""
        y = max(0, min(self.scroll_offset.y + lines, self.max_scroll_y))
        self._follows = y >= self.max_scroll_y
        self.scroll_to(y=y, animate=False)

    def render_line(self, y: int) -> Strip:
        index = self.scroll_offset.y + y
        width, style = self._room, self.rich_style
        if index >= len(self._lines):
            return Strip.blank(width, style)
        text = self._lines[index]
        return Strip([Segment(plain(text) if self.ascii_only else text, style)]).adjust_cell_length(
            width, style
        )
