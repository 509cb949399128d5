"""The sheet that every dialog stands on: at the foot of the screen, so that the list above stays in sight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.events import Click, Resize
from textual.message import Message
from textual.screen import ModalScreen

from peft_tui.ui.keymap import named
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.lines import Line, width_of
from peft_tui.ui.widgets.live_table import Cell

T = TypeVar("T")


class SheetScreen(ModalScreen[T]):
    """What is asked can be scrolled where there is little room; what is answered with stays in sight."""

    DEFAULT_CSS = """
    SheetScreen {
        align: left bottom; background: transparent;
        & > #sheet {
            width: 100%; height: auto; max-height: 100%; padding: 0 2 0 1;
            background: $background; border-top: heavy $warning;
        }
        & > #sheet.-bad { border-top: heavy $error; }
        & > #sheet.-accent { border-top: heavy $accent; }
        & #asked { height: auto; margin: 1 0; }
        & #scroll { height: auto; scrollbar-size-vertical: 1; background: $background; }
    }
    """

    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (14, "-short"), (22, "-tall")]

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "scroll(-1)", "Page up", show=False),
        Binding("pagedown", "scroll(1)", "Page down", show=False),
    ]
    BINDINGS = named("sheet", BINDINGS)

    def on_resize(self, event: Resize) -> None:
        self.call_after_refresh(self._leave_room)

    def _leave_room(self) -> None:
        others = [child for child in self.query_one("#sheet", Vertical).children if child is not self._scroll]
        taken = 1 + sum(child.outer_size.height + child.styles.margin.height for child in others)
        most = min(self.size.height - taken, self.size.height * 3 // 5)
        self._scroll.styles.max_height = max(most, 1)

    def action_scroll(self, pages: int) -> None:
        by = pages * max(self._scroll.size.height - 1, 1)
        self._scroll.scroll_relative(y=by, animate=False)

    @property
    def _scroll(self) -> VerticalScroll:
        return self.query_one("#scroll", VerticalScroll)


class Buttons(Block, can_focus=True, inherit_bindings=False):
    """A few words in a row, one of which is chosen; the first one is where one lands."""

    DEFAULT_CSS = """
    Buttons {
        height: 1; width: 1fr;
        & > .lines--strong { text-style: bold; }
        &:focus > .lines--strong {
            background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold;
        }
        &:ansi:focus > .lines--strong { text-style: bold reverse; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h,up,k", "move(-1)", "Previous", show=False),
        Binding("right,l,down,j", "move(1)", "Next", show=False),
        Binding("enter,space", "press", "Choose", show=False),
    ]
    BINDINGS = named("buttons", BINDINGS)

    class Pressed(Message):
        """A word was chosen: its place in the row."""

        def __init__(self, buttons: Buttons, place: int) -> None:
            super().__init__()
            self.buttons, self.place = buttons, place

        @property
        def control(self) -> Buttons:
            return self.buttons

    def __init__(self, words: Sequence[str], hint: str = "") -> None:
        super().__init__(id="buttons")
        self._words = tuple(words)
        self._hint = hint
        self._place = 0
        self.build = self._draw

    def _draw(self, width: int) -> list[Line]:
        cells: list[Cell] = []
        for place, word in enumerate(self._words):
            here = place == self._place and self.has_focus
            cells += [Cell("▸ " if here else "  ", "accent"), Cell(f"[ {word} ]", "strong" if here else "")]
            cells.append(Cell("  "))
        hint = Cell(f"  {self._hint}", "dim")
        return [(*cells, hint) if width_of((*cells, hint)) <= width else tuple(cells)]

    def action_move(self, by: int) -> None:
        """To the next word; the last one is the end."""
        self._place = min(max(self._place + by, 0), len(self._words) - 1)
        self.redraw()

    def action_press(self) -> None:
        self.post_message(self.Pressed(self, self._place))

    def on_click(self, event: Click) -> None:
        start = 0
        for place, word in enumerate(self._words):
            end = start + len(word) + 6
            if start <= event.x < end:
                self._place = place
                self.redraw()
                self.action_press()
                return
            start = end + 2
