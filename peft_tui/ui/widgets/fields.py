"""Fields: a title, something to type or choose in, and a sentence beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Click
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from peft_tui.text import clean
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.lines import Line, first_part, marked, shortened, width_of
from peft_tui.ui.widgets.live_table import Cell

_NOTE_CELLS = 13


class TextField(Input):
    """A flat line of text; the cursor stands still."""

    def __init__(self, value: str, *, placeholder: str = "", classes: str = "") -> None:
        super().__init__(clean(value), placeholder, compact=True, select_on_focus=False, classes=classes)
        self.cursor_blink = False

    def on_mount(self) -> None:
        if not self.placeholder:
            # In the terminal's own colours an empty field could not be seen.
            self.placeholder = "_" if getattr(self.app, "ascii_only", False) else "…"

    def validate_value(self, value: str) -> str:
        """Whatever is pasted or put here can do nothing to the terminal."""
        return clean(value.replace("\n", " ").replace("\t", " "))


class Choice(Block, can_focus=True, inherit_bindings=False):
    """One of a few words, gone through with ← and →."""

    DEFAULT_CSS = """
    Choice {
        &:focus > .lines--strong {
            background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold;
        }
        &:ansi:focus > .lines--strong { text-style: bold reverse; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "turn(-1)", "Previous", show=False, id="choice.previous"),
        Binding("right,l,space", "turn(1)", "Next", show=False, id="choice.next"),
        Binding("enter", "choose", "Next field", show=False, id="choice.choose"),
    ]

    class Turned(Message):
        """Another one was chosen."""

        def __init__(self, choice: Choice, value: str) -> None:
            super().__init__()
            self.choice, self.value = choice, value

        @property
        def control(self) -> Choice:
            return self.choice

    class Confirmed(Message):
        """Enter: on to the next field."""

    def __init__(self, options: Sequence[tuple[str, str]], value: str, ruled_out: Sequence[str] = ()) -> None:
        super().__init__()
        self.build = self._draw
        self.offer(options, value, ruled_out)

    def offer(self, options: Sequence[tuple[str, str]], value: str, ruled_out: Sequence[str] = ()) -> None:
        """What there is to choose from now, and what is chosen; that may be none of them."""
        self._options = [option for option in options if option[0] not in ruled_out]
        self._words = dict(options)
        self.value = value
        words = max((width_of((Cell(words),)) for words in (*self._words.values(), value)), default=0)
        self.styles.width = words + 4
        self.redraw()

    def _draw(self, width: int) -> list[Line]:
        words = shortened(self._words.get(self.value, self.value) or "—", width - 4)
        several = len(self._options) > 1
        left, right = ("← ", " →") if several and self.has_focus else ("  ", "  ")
        return [(Cell(left, "accent"), Cell(words, "strong"), Cell(right, "accent"))]

    def action_turn(self, by: int) -> None:
        values = [value for value, _ in self._options]
        if len(values) < 2 and self.value in values:
            raise SkipAction
        place = values.index(self.value) + by if self.value in values else 0
        self.value = values[place % len(values)]
        self.redraw()
        self.post_message(self.Turned(self, self.value))

    def action_choose(self) -> None:
        self.post_message(self.Confirmed())

    def on_click(self, event: Click) -> None:
        self.action_turn(1)


class FieldRow(Horizontal):
    """A field with its title on the left and a note, or what is wrong, on the right."""

    def __init__(self, key: str, title: str, control: Widget | None = None, *, help: str = "") -> None:
        super().__init__()
        self.key = key
        self.title = title
        self.control = control
        self.help = help
        """The whole sentence, for the line at the foot of the screen."""
        self.note = Block(classes="note")

    def put_note_below(self, below: bool = True) -> None:
        """Give the field the whole width, and what is said of it a line of its own, if anything is."""
        self.set_class(below, "-below")

    def compose(self) -> ComposeResult:
        yield Block(lambda width: [(Cell(shortened(self.title, width)),)], classes="title")
        if self.control is not None:
            yield self.control
        yield self.note

    def tell(
        self, note: str = "", more: str = "", *, problem: str = "", warning: str = "", aside: str = ""
    ) -> None:
        """Say something beside the field.

        Of `more` only whole parts are shown, as many as there is room for; what is wrong, and an aside on
        what cannot be chosen, is always whole.
        """

        def build(width: int) -> list[Line]:
            if problem:
                return marked("✖", "bad", problem, width, "bad")
            if warning:
                return marked("!", "warn", warning, width)
            if aside:
                return marked("–", "dim", aside, width, "dim")
            words = f"{note.ljust(_NOTE_CELLS)}{first_part(more, width - _NOTE_CELLS)}".rstrip()
            return [(Cell(shortened(words, width), "dim"),)]

        self.note.put(build)


class ActionLine(Block, can_focus=True, inherit_bindings=False):
    """What ends a page: enter does it."""

    DEFAULT_CSS = """
    ActionLine {
        width: 14;
        &:focus > .lines--strong {
            background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold;
        }
        &:ansi:focus > .lines--strong { text-style: bold reverse; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "act", "Do it", show=False, id="wizard.act")
    ]

    class Acted(Message):
        """Enter was pressed on it."""

    def __init__(self) -> None:
        super().__init__()
        self.word = "Continue"
        self.build = lambda width: [(Cell(f"[ {self.word} ]", "strong"),)]

    def call_it(self, word: str) -> None:
        self.word = word
        self.redraw()

    def action_act(self) -> None:
        self.post_message(self.Acted())

    def on_click(self, event: Click) -> None:
        self.action_act()
