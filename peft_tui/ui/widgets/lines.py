"""A few lines of toned text that repaint only where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import ClassVar

from rich.cells import cell_len, split_text
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from peft_tui.text import clean
from peft_tui.ui.keymap import named
from peft_tui.ui.theme import plain
from peft_tui.ui.widgets.live_table import Cell

Line = tuple[Cell, ...]
"""Texts from left to right, each with its tone; drawn literally."""


def width_of(line: Line) -> int:
    """Cells that a line takes."""
    return sum(cell_len(cell.text) for cell in line)


def shortened(text: str, width: int) -> str:
    """At most `width` cells, the last one an ellipsis where something is missing."""
    if cell_len(text) <= width:
        return text
    return split_text(text, max(width - 1, 0))[0] + "…" if width > 0 else ""


def spread(left: Line, right: Line, width: int) -> Line:
    """One line with `right` at the right edge; `left` gives way."""
    room = width - width_of(right)
    kept: list[Cell] = []
    for cell in left:
        used = width_of(tuple(kept))
        if used >= room - 1:
            break
        kept.append(Cell(shortened(cell.text, room - 1 - used), cell.tone))
    return (*kept, Cell(" " * max(room - width_of(tuple(kept)), 0)), *right)


def clipped(line: Line, width: int) -> Line:
    """The line, with an ellipsis where it would be too long."""
    kept: list[Cell] = []
    room = width
    for cell in line:
        if room <= 0:
            break
        kept.append(Cell(shortened(cell.text, room), cell.tone))
        room -= cell_len(cell.text)
    return tuple(kept)


def first_part(text: str, width: int) -> str:
    """All of it where it fits, else the first of its parts, as many as do; never half a word."""
    while cell_len(text) > width:
        cut = max(text.rfind(joint) for joint in (" · ", "; ", ": "))
        if cut < 0:
            return ""
        text = text[:cut]
    return text


_JOINTS = "/-_:,=?&@"
"""Where a path, an id or an address may be broken: behind one of these."""


def _head_of(word: str, room: int) -> tuple[str, str]:
    """As much of a word as goes on a line, up to a joint of it where there is one, and the rest."""
    head, _ = split_text(word, room)
    joint = max(head.rfind(letter) for letter in _JOINTS) + 1
    # A short stump is worse to read than a break in the middle.
    end = joint if 3 * joint >= len(head) else len(head)
    return word[:end], word[end:]


def wrapped(text: str, width: int, tone: str = "", indent: int = 0) -> list[Line]:
    """Text broken between words, inside them only where they are longer than a line."""
    room = max(width - indent, 8)
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            while cell_len(word) > room:
                if line:
                    lines.append(line)
                    line = ""
                head, word = _head_of(word, room)
                lines.append(head)
            candidate = f"{line} {word}" if line else word
            if cell_len(candidate) > room:
                lines.append(line)
                line = word
            else:
                line = candidate
        lines.append(line)
    return [(Cell(" " * indent), Cell(line, tone)) for line in lines]


def marked(mark: str, tone: str, text: str, width: int, text_tone: str = "") -> list[Line]:
    """A sentence behind a mark, its further lines under its first word."""
    lines = wrapped(clean(text, 600), width - 2, text_tone)
    first, *rest = lines or [()]
    return [(Cell(f"{mark} ", tone), *first), *((Cell("  "), *line) for line in rest)]


def difference(old: Line, new: Line, width: int) -> tuple[int, int]:
    """From which cell to which two lines differ, as drawn in `width` cells."""
    if any(cell_len(cell.text) != len(cell.text) for cell in (*old, *new)):
        return 0, width
    before, after = (
        [(letter, cell.tone) for cell in line for letter in cell.text][:width] for line in (old, new)
    )
    for letters in (before, after):
        tone = "banner" if letters and letters[-1][1] == "banner" else ""
        letters.extend([(" ", tone)] * (width - len(letters)))
    start = next((x for x in range(width) if before[x] != after[x]), width)
    end = next((x + 1 for x in reversed(range(width)) if before[x] != after[x]), start)
    return start, end


class Lines(ScrollView, can_focus=False, inherit_bindings=False):
    """Shows lines; `show` repaints those that differ from what stands there."""

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "lines--dim",
        "lines--good",
        "lines--warn",
        "lines--bad",
        "lines--accent",
        "lines--strong",
        "lines--rule",
        "lines--banner",
    }

    DEFAULT_CSS = """
    Lines {
        height: auto;
        overflow: hidden hidden;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
        & > .lines--dim { color: $text-muted; }
        & > .lines--good { color: $text-success; }
        & > .lines--warn { color: $text-warning; }
        & > .lines--bad { color: $text-error; }
        & > .lines--accent { color: $text-accent; }
        & > .lines--strong { text-style: bold; }
        & > .lines--rule { color: $foreground 25%; }
        & > .lines--banner { color: $background; background: $warning; text-style: bold; }
        &:ansi > .lines--dim { text-style: dim; }
        &:ansi > .lines--rule { text-style: dim; color: ansi_default; }
        &:ansi > .lines--banner { text-style: bold reverse; color: ansi_default; background: ansi_default; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_by(-1)", "Up", show=False),
        Binding("down,j", "scroll_by(1)", "Down", show=False),
        Binding("pageup,ctrl+u", "scroll_by(-10)", "Page up", show=False),
        Binding("pagedown,ctrl+d", "scroll_by(10)", "Page down", show=False),
        Binding("home,g", "scroll_by(-10000)", "First", show=False),
        Binding("end,G", "scroll_by(10000)", "Last", show=False),
    ]
    BINDINGS = named("text", BINDINGS)

    ascii_only: reactive[bool] = reactive(False, init=False)
    """Draw nothing that a plain font lacks."""

    class Resized(Message):
        """The width changed: whoever composed the lines for it has to do it again."""

        def __init__(self, lines: Lines) -> None:
            super().__init__()
            self.lines = lines

        @property
        def control(self) -> Lines:
            return self.lines

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: tuple[Line, ...] = ()
        self._styles_by_tone: dict[str, Style] = {}

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines as last shown."""
        return self._lines

    @property
    def width(self) -> int:
        """Cells there are for a line."""
        return self.scrollable_content_region.width

    def show(self, lines: Sequence[Line]) -> None:
        """Show exactly these lines."""
        before, self._lines = self._lines, tuple(lines)
        if before == self._lines:
            return
        if len(before) != len(self._lines):
            self.virtual_size = Size(0, len(self._lines))
        top, width = self.scroll_offset.y, self.width
        changed = []
        for y, (old, new) in enumerate(zip_longest(before, self._lines, fillvalue=())):
            if old != new and 0 <= y - top < self.size.height:
                start, end = difference(old, new, width)
                changed.append(Region(start, y - top, end - start, 1))
        if changed:
            self.refresh(*changed)

    def action_scroll_by(self, lines: int) -> None:
        """Scroll by lines, as far as there are any."""
        self.scroll_to(y=max(0, min(self.scroll_offset.y + lines, self.max_scroll_y)), animate=False)

    def on_resize(self, event: Resize) -> None:
        self.post_message(self.Resized(self))

    def watch_show_vertical_scrollbar(self) -> None:
        # Its column is taken from the lines, before or after their size is told.
        self.post_message(self.Resized(self))

    def notify_style_update(self) -> None:
        """Forget styles that a new theme has changed."""
        super().notify_style_update()
        self._styles_by_tone.clear()

    def render_line(self, y: int) -> Strip:
        index, width = self.scroll_offset.y + y, self.width
        if index >= len(self._lines):
            return Strip.blank(width, self._style(""))
        segments = [
            Segment(plain(cell.text) if self.ascii_only else cell.text, self._style(cell.tone))
            for cell in self._lines[index]
            if cell.text
        ]
        strip = Strip(segments)
        # A banner is a bar: its colour goes on to the edge.
        last = self._lines[index][-1].tone if self._lines[index] else ""
        fill = self._style("banner" if last == "banner" else "")
        return strip.adjust_cell_length(width, fill)

    def _style(self, tone: str) -> Style:
        style = self._styles_by_tone.get(tone)
        if style is None:
            base = self.rich_style
            style = self.get_component_rich_style(f"lines--{tone}", default=base) if tone else base
            self._styles_by_tone[tone] = style
        return style
