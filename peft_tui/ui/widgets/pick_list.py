"""A short list to pick from, by keys; a row may take several lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.events import Blur, Click, Focus
from textual.geometry import Region
from textual.message import Message

from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.lines import Line
from peft_tui.ui.widgets.live_table import Cell


@dataclass(frozen=True, slots=True)
class Pick:
    """One row."""

    key: str
    lines: Callable[[int], list[Line]]
    """Its lines for a width; at least one."""
    disabled: bool = False
    """Seen, with its reason, and passed over by the cursor."""


class PickList(Block, can_focus=True, inherit_bindings=False):
    """The cursor is the choice: moving it says `Moved`, enter says `Chosen`.

    At its ends the arrows are left to the screen, which goes on to the next field.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines--cursor"}

    DEFAULT_CSS = """
    PickList {
        & > .lines--cursor { text-style: bold; }
        &:focus > .lines--cursor {
            background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold;
        }
        &:ansi:focus > .lines--cursor { text-style: bold reverse; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="pick.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="pick.down"),
        Binding("home,g", "end(0)", "First", show=False, id="pick.first"),
        Binding("end,G", "end(-1)", "Last", show=False, id="pick.last"),
        Binding("enter", "choose", "Choose", show=False, id="pick.choose"),
    ]

    class Picked(Message):
        """What both messages carry."""

        def __init__(self, pick_list: PickList, key: str) -> None:
            super().__init__()
            self.pick_list, self.key = pick_list, key

        @property
        def control(self) -> PickList:
            return self.pick_list

    class Moved(Picked):
        """The cursor came to another row, by a person's doing."""

    class Chosen(Picked):
        """Enter, or a click on the row under the cursor."""

    def __init__(self, *, rows: int | None = None, id: str | None = None, classes: str | None = None) -> None:
        """
        Args:
            rows: show at most so many; the others scroll past.
        """
        super().__init__(id=id, classes=classes)
        self._rows = rows
        self._picks: tuple[Pick, ...] = ()
        self._cursor = -1
        self._top = 0
        self._owners: list[int] = []
        self.build = self._draw

    @property
    def cursor_key(self) -> str | None:
        """The row under the cursor."""
        return self._picks[self._cursor].key if self._cursor >= 0 else None

    def set_picks(self, picks: Sequence[Pick], cursor: str | None) -> None:
        """Show exactly these, the cursor on the row with that key, or on none."""
        self._picks = tuple(picks)
        places = [index for index, pick in enumerate(self._picks) if pick.key == cursor]
        self._cursor = places[0] if places else -1
        self.redraw()

    def action_move(self, rows: int) -> None:
        """Go to the next row that can be picked; at the end let others have the key."""
        index = self._cursor + rows
        while 0 <= index < len(self._picks) and self._picks[index].disabled:
            index += rows
        if not 0 <= index < len(self._picks):
            raise SkipAction
        self._go(index)

    def action_end(self, which: int) -> None:
        """Go to the first or the last."""
        able = [index for index, pick in enumerate(self._picks) if not pick.disabled]
        if able:
            self._go(able[which])

    def action_choose(self) -> None:
        """Take the row under the cursor."""
        if self._cursor < 0:
            raise SkipAction
        self.post_message(self.Chosen(self, self._picks[self._cursor].key))

    def on_click(self, event: Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.y >= len(self._owners) or (index := self._owners[offset.y]) < 0:
            return
        if self._picks[index].disabled:
            return
        if index == self._cursor:
            self.action_choose()
        else:
            self._go(index)

    def on_focus(self, event: Focus) -> None:
        if self._cursor < 0:
            # Landing here shows where one is; it picks nothing yet.
            self._cursor = next((i for i, pick in enumerate(self._picks) if not pick.disabled), -1)
        self.redraw()
        self._show_cursor()

    def on_blur(self, event: Blur) -> None:
        self.redraw()

    def _go(self, index: int) -> None:
        if index != self._cursor:
            self._cursor = index
            self.redraw()
            self._show_cursor()
            self.post_message(self.Moved(self, self._picks[index].key))

    def _show_cursor(self) -> None:
        lines = [y for y, owner in enumerate(self._owners) if owner == self._cursor]
        if lines:
            region = Region(0, lines[0], max(self.size.width, 1), len(lines))
            self.call_after_refresh(self._bring_into_view, region)

    def _bring_into_view(self, region: Region) -> None:
        widget = self
        for ancestor in self.ancestors:
            region = region.translate(widget.virtual_region.offset)
            if ancestor.has_class("-scrolls"):
                ancestor.scroll_to_region(region, animate=False)  # type: ignore[attr-defined]
                return
            widget = ancestor  # type: ignore[assignment]

    def _window(self) -> range:
        """The rows in view."""
        count = len(self._picks)
        if self._rows is None or count <= self._rows:
            return range(count)
        first = min(max(self._top, self._cursor - self._rows + 1), max(self._cursor, 0))
        self._top = min(first, count - self._rows)
        return range(self._top, self._top + self._rows)

    def _draw(self, width: int) -> list[Line]:
        lines: list[Line] = []
        self._owners = []
        window = self._window()
        for index in window:
            pick = self._picks[index]
            under = index == self._cursor
            for number, line in enumerate(pick.lines(max(width - 2, 8))):
                cells = line
                if under and number == 0:
                    cells = (Cell("▸ ", "accent"), *_emphasized(line))
                else:
                    cells = (Cell("  "), *line)
                lines.append(cells)
                self._owners.append(index)
        hidden = len(self._picks) - len(window)
        if hidden:
            lines.append((Cell(f"  {hidden} more: ↑ ↓", "dim"),))
            self._owners.append(-1)
        return lines


def _emphasized(line: Line) -> Line:
    """The line with what comes before its first toned cell set off."""
    cells = list(line)
    for place, cell in enumerate(cells):
        if cell.tone:
            break
        cells[place] = Cell(cell.text, "cursor")
    return tuple(cells)
