"""A table drawn line by line, for rows that change while somebody looks at them.

Textual repaints whatever region it is told is dirty, without looking whether anything there differs. So this
widget remembers what stands on each of its lines and names only the cells that differ: equal rows cost no
byte, one changed cell costs one line at most, and ten thousand rows cost as much as those in view.

The first line of the widget is the header; it stays while the rows scroll under it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby, zip_longest
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, Resize, Show
from textual.geometry import Region, Size, clamp
from textual.message import Message
from textual.reactive import reactive, var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from peft_tui.ui.widgets.cells import GAP, GUTTER, Cell, Column, Row, Slot, fit_text, follow, lay_out

__all__ = ["GAP", "GUTTER", "Cell", "Column", "LiveTable", "Row", "fit_text", "follow", "lay_out"]


class LiveTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows by key, drawn by line; `set_rows` repaints only what differs."""

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "live-table--header",
        "live-table--cursor",
        "live-table--dim",
        "live-table--good",
        "live-table--warn",
        "live-table--bad",
        "live-table--accent",
    }

    DEFAULT_CSS = """
    LiveTable {
        height: 1fr;
        overflow: hidden auto;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
        & > .live-table--header { color: $text-muted; }
        & > .live-table--cursor { background: $panel; }
        &:focus > .live-table--cursor, &.-led > .live-table--cursor {
            background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold;
        }
        &:ansi > .live-table--header { text-style: dim; }
        &:ansi > .live-table--cursor { text-style: bold; }
        &:ansi:focus > .live-table--cursor, &.-led:ansi > .live-table--cursor {
            background: ansi_default; color: ansi_default; text-style: bold reverse;
        }
        & > .live-table--dim { color: $text-muted; }
        & > .live-table--good { color: $text-success; }
        & > .live-table--warn { color: $text-warning; }
        & > .live-table--bad { color: $text-error; }
        & > .live-table--accent { color: $text-accent; }
        &:ansi > .live-table--dim { text-style: dim; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move_by(-1)", "Up", show=False, id="table.up"),
        Binding("down,j", "move_by(1)", "Down", show=False, id="table.down"),
        Binding("home,g", "first", "First", show=False, id="table.first"),
        Binding("end,G", "last", "Last", show=False, id="table.last"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.page_down"),
        Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False, id="table.half_page_up"),
        Binding("ctrl+d", "page(0.5)", "Half a page down", show=False, id="table.half_page_down"),
        Binding("enter", "choose", "Open", show=False, id="table.choose"),
    ]

    sort: var[tuple[str, bool] | None] = var(None, init=False)
    """The column the rows come sorted by and whether downwards; only marks the header."""
    ascii_only: reactive[bool] = reactive(False, init=False)
    """Draw marks that every terminal font has."""

    class Highlighted(Message):
        """The cursor came to another row, or the last row left."""

        def __init__(self, table: LiveTable, key: str | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> LiveTable:
            return self.table

    class Chosen(Message):
        """Enter was pressed on a row, or it was clicked twice."""

        def __init__(self, table: LiveTable, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> LiveTable:
            return self.table

    class HeaderClicked(Message):
        """The title of a column was clicked."""

        def __init__(self, table: LiveTable, column: str) -> None:
            super().__init__()
            self.table = table
            self.column = column

        @property
        def control(self) -> LiveTable:
            return self.table

    def __init__(
        self, columns: Sequence[Column], *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._columns = tuple(columns)
        self._rows: list[Row] = []
        self._cursor = -1
        self._announced: str | None = None
        self._marked: frozenset[str] = frozenset()
        self._shown: list[tuple[Row, bool, bool]] = []
        """What stands on each line: the row, whether the cursor is on it, whether it is marked."""
        self._hidden: frozenset[str] = frozenset()
        self._layout: tuple[int, tuple[Slot, ...]] = (-1, ())
        self._styles_by_tone: dict[str, Style] = {}
        self.virtual_size = Size(0, 1)

    # What others ask and tell

    @property
    def rows(self) -> Sequence[Row]:
        """The rows as last set."""
        return self._rows

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """Keys of the columns that the present width has room for."""
        return tuple(self._columns[slot.place].key for slot in self._slots)

    @property
    def cursor_key(self) -> str | None:
        """Key of the row under the cursor; None while there are no rows."""
        return self._rows[self._cursor].key if self._cursor >= 0 else None

    def hide_columns(self, keys: Collection[str]) -> None:
        """Show no columns with these keys; those that never leave stay all the same."""
        if self._hidden != (hidden := frozenset(keys)):
            self._hidden, self._layout = hidden, (-1, ())
            self.refresh()

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show exactly these rows in this order; repaint only the cells that differ.

        The cursor stays with its key and, where possible, on its line of the screen. A view at the very top
        stays there, so that what arrives above is seen.
        """
        old, self._rows = self._rows, list(rows)
        if len(old) != len(self._rows):
            self._resize_content()
        top = self.scroll_offset.y
        cursor = follow(old, self._rows, self._cursor)
        if top <= self._cursor < top + self._page:
            drift = cursor - self._cursor
            stays_on_top = top == 0 and cursor < self._page
        else:
            drift = follow(old, self._rows, top) - top
            stays_on_top = top == 0
        self._place(cursor, 0 if stays_on_top else top + drift)

    def mark(self, keys: Iterable[str]) -> None:
        """Show exactly the rows with these keys as marked, wherever they stand."""
        self._marked = frozenset(keys)
        self._repaint()

    def move_to(self, key: str) -> bool:
        """Put the cursor on the row with this key and scroll it into view; False if there is none."""
        for index, row in enumerate(self._rows):
            if row.key == key:
                self._go(index)
                return True
        return False

    # Keys and mouse

    def action_move_by(self, lines: int) -> None:
        """Move the cursor by lines."""
        self._go(self._cursor + lines)

    def action_page(self, pages: float) -> None:
        """Move cursor and view together by pages."""
        lines = int(pages * self._page) or (1 if pages > 0 else -1)
        self._go(self._cursor + lines, self.scroll_offset.y + lines)

    def action_first(self) -> None:
        """Move the cursor to the first row."""
        self._go(0)

    def action_last(self) -> None:
        """Move the cursor to the last row."""
        self._go(len(self._rows) - 1)

    def action_choose(self) -> None:
        """Announce that the row under the cursor was chosen."""
        if (key := self.cursor_key) is not None:
            self.post_message(self.Chosen(self, key))

    def on_click(self, event: Click) -> None:
        """Put the cursor where the mouse is; the second click chooses. A title is said to be clicked."""
        if (offset := event.get_content_offset(self)) is None:
            return
        if offset.y == 0:
            if (column := self._column_at(offset.x)) is not None:
                self.post_message(self.HeaderClicked(self, column))
            return
        index = self.scroll_offset.y + offset.y - 1
        if index < len(self._rows):
            self._go(index)
            if event.chain == 2:
                self.action_choose()

    def _column_at(self, x: int) -> str | None:
        """The column whose title, or the gap behind it, is at this cell."""
        begun = [slot for slot in self._slots if slot.start <= x]
        return self._columns[begun[-1].place].key if begun else None

    # The cursor, the view and what they make dirty

    @property
    def _page(self) -> int:
        """Lines there are for rows."""
        return max(1, self.size.height - 1)

    @property
    def _is_laid_out(self) -> bool:
        """Whether there are lines for rows; until then nothing scrolls."""
        return self.size.height > 1

    @property
    def _width(self) -> int:
        """Cells there are for a line."""
        return self.scrollable_content_region.width

    @property
    def _slots(self) -> tuple[Slot, ...]:
        """The columns shown, laid out anew when the width has changed."""
        if self._layout[0] != (width := self._width):
            self._layout = (width, lay_out(self._columns, width, self._hidden))
        return self._layout[1]

    def _resize_content(self) -> None:
        """Tell Textual how high the content is; without a layout, which repaints the screen, if possible."""
        content = Size(0, len(self._rows) + 1)
        scrolls = content.height > self.container_size.height
        if self.styles.is_auto_height or scrolls != self.show_vertical_scrollbar:
            self.virtual_size = content
            return
        self.set_reactive(LiveTable.virtual_size, content)
        if scrolls:
            self.vertical_scrollbar.window_virtual_size = content.height

    def _go(self, index: int, top: int | None = None) -> None:
        """Move the cursor and scroll no further than it takes to see it."""
        if self._rows:
            cursor = clamp(index, 0, len(self._rows) - 1)
            top = self.scroll_offset.y if top is None else top
            self._place(cursor, clamp(top, cursor - self._page + 1, cursor))

    def _place(self, cursor: int, top: int) -> None:
        """Set cursor and view, repaint what that changes, say so if another key is now under the cursor."""
        self._cursor = cursor
        top = clamp(top, 0, self.max_scroll_y)
        if top != self.scroll_y and self._is_laid_out:
            self.scroll_to(y=top, animate=False, force=True)
        self._repaint()
        if (key := self.cursor_key) != self._announced:
            self._announced = key
            self.post_message(self.Highlighted(self, key))

    def _repaint(self) -> None:
        """Compare the lines as they stand with those that should, and name the regions that differ."""
        top, height = self.scroll_offset.y, self.size.height - 1
        rows = self._rows[top : top + max(0, height)]
        cursor, marked = self._cursor, self._marked
        shown = [(row, index == cursor, row.key in marked) for index, row in enumerate(rows, top)]
        regions = []
        for y, (old, new) in enumerate(zip_longest(self._shown, shown), 1):
            if old == new:
                continue
            if old is None or new is None or old[1:] != new[1:]:
                regions.append(Region(0, y, self._width, 1))
                continue
            before, after = old[0].cells, new[0].cells
            if changed := [slot for slot in self._slots if before[slot.place] != after[slot.place]]:
                start, last = changed[0].start, changed[-1]
                regions.append(Region(start, y, last.start + last.width + GAP - start, 1))
        self._shown = shown
        if regions:
            self.refresh(*regions)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Move the scrollbar, and repaint the lines that are not equal after scrolling."""
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = new_value
        if round(old_value) != round(new_value):
            self._repaint()

    def watch_sort(self) -> None:
        """Draw the header with its new mark."""
        self.refresh(Region(0, 0, self._width, 1))

    def on_resize(self, event: Resize) -> None:
        """Keep the cursor in view."""
        if self._is_laid_out:
            self._go(self._cursor)

    def on_show(self, event: Show) -> None:
        """Bring the cursor into view that moved while the table was hidden."""
        if self._is_laid_out:
            self._go(self._cursor)

    # Drawing

    def notify_style_update(self) -> None:
        """Forget styles that a new theme or state has changed."""
        super().notify_style_update()
        self._styles_by_tone.clear()

    def _style(self, tone: str) -> Style:
        """Style of a tone; that of plain text if nobody declared the tone."""
        style = self._styles_by_tone.get(tone)
        if style is None:
            plain = self.rich_style
            style = self.get_component_rich_style(f"live-table--{tone}", default=plain) if tone else plain
            self._styles_by_tone[tone] = style
        return style

    def render_line(self, y: int) -> Strip:
        """Draw one line of the widget: the header, a row, or nothing."""
        if y == 0:
            titles = [(self._title(self._columns[slot.place], slot.width), "header") for slot in self._slots]
            return self._strip("  ", titles)
        index = self.scroll_offset.y + y - 1
        if index >= len(self._rows):
            return Strip.blank(self._width, self._style(""))
        row, under_cursor = self._rows[index], index == self._cursor
        cells, is_marked = row.cells, row.key in self._marked
        ellipsis = "~" if self.ascii_only else "…"
        pieces = []
        for slot in self._slots:
            cell, column = cells[slot.place], self._columns[slot.place]
            words = cell.text
            if cell.short and cell_len(words) > slot.width:
                words = cell.short
            text = fit_text(words, slot.width, column.align, column.elide, ellipsis)
            pieces.append((text, "cursor" if under_cursor else "accent" if is_marked else cell.tone))
        cursor, mark = (">", "+") if self.ascii_only else ("▸", "✓")
        gutter = (cursor if under_cursor else " ") + (mark if is_marked else " ")
        return self._strip(gutter, pieces)

    def _title(self, column: Column, width: int) -> str:
        """Title of a column, with the mark of the sort beside it."""
        ellipsis = "~" if self.ascii_only else "…"
        if self.sort is None or self.sort[0] != column.key or width < 3:
            return fit_text(column.title, width, column.align, "end", ellipsis)
        mark = ("^v" if self.ascii_only else "▲▼")[self.sort[1]]
        gap = "" if cell_len(column.title) == width - 1 else " "
        room = width - 1 - len(gap)
        title = fit_text(column.title, min(room, cell_len(column.title)), "left", "end", ellipsis)
        return fit_text(f"{title}{gap}{mark}", width, column.align)

    def _strip(self, gutter: str, pieces: Sequence[tuple[str, str]]) -> Strip:
        """Join texts and their tones to a line, one segment per run of equal tone."""
        texts = [gutter, *(text + " " * GAP for text, _ in pieces)]
        tones = [pieces[0][1] if pieces else "", *(tone for _, tone in pieces)]
        width, used = self._width, sum(map(cell_len, texts))
        texts[-1] += " " * (width - used)
        segments = [
            Segment("".join(text for text, _ in run), self._style(tone))
            for tone, run in groupby(zip(texts, tones, strict=True), key=lambda piece: piece[1])
        ]
        return Strip(segments, max(width, used)).crop(0, width)
