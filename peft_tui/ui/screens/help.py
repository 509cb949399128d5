"""Every key of the place one came from, searchable; Enter does it."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Input

from peft_tui.ui.keymap import named
from peft_tui.ui.widgets.keys import Action, actions_in_force
from peft_tui.ui.widgets.lines import Lines, wrapped
from peft_tui.ui.widgets.live_table import Cell, Column, LiveTable, Row
from peft_tui.ui.widgets.opaque import OpaqueScreen

COLUMNS = (
    Column("keys", "KEY", 11),
    Column("title", "DOES", 13),
    Column("sentence", "", 38, priority=1, grow=True),
)


def _cells(action: Action) -> tuple[Cell, ...]:
    """What cannot be done now is dim, and says why."""
    if action.refusal:
        return (Cell(action.label, "dim"), Cell(action.title, "dim"), Cell(action.refusal, "warn"))
    return (Cell(action.label, "accent"), Cell(action.title), Cell(action.sentence, "dim"))


def _searched(action: Action) -> str:
    return f"{action.label} {action.title} {action.sentence} {action.refusal}".lower()


class HelpScreen(OpaqueScreen[Action | None]):
    """Answers with the action that was picked, if any."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > Vertical {
        width: 100%; max-width: 100; height: 100%; max-height: 34; padding: 1 2; background: $background;
    }
    HelpScreen Input { height: 1; border: none; padding: 0; background: $panel; }
    HelpScreen Input:focus { border: none; }
    HelpScreen Lines { height: 2; }
    HelpScreen LiveTable { margin-top: 1; }
    HelpScreen #help-sentence { height: auto; min-height: 2; max-height: 3; padding: 1 0 0 2; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("enter", "pick", "Do it", priority=True),
    ]
    BINDINGS = named("help", BINDINGS)

    def __init__(self, actions: list[Action], *, ascii_only: bool = False) -> None:
        super().__init__()
        # What only moves is known to the hands: it stands last.
        self._actions = sorted(actions, key=lambda action: action.group == "move")
        self._ascii_only = ascii_only

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines(id="help-title")
            search = Input(placeholder="type to search the keys", compact=True)
            search.cursor_blink = False
            yield search
            yield LiveTable(COLUMNS, id="help-keys", classes="-led")
            yield Lines(id="help-sentence")

    def on_mount(self) -> None:
        title = self.query_one("#help-title", Lines)
        self._sentence.ascii_only = title.ascii_only = self._table.ascii_only = self._ascii_only
        title.show(
            [
                (Cell("Keys", "strong"), Cell("   enter does it · esc closes", "dim")),
                (Cell("drag with shift held to select text in the terminal", "dim"),),
            ]
        )
        self._table.can_focus = False
        self._search("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._search(event.value)

    def on_live_table_highlighted(self) -> None:
        self._say_sentence()

    def on_lines_resized(self) -> None:
        self._say_sentence()

    def _say_sentence(self) -> None:
        """Below the table, where there is no room for it beside the key."""
        key = self._table.cursor_key
        self._sentence.display = "sentence" not in self._table.shown_columns
        if key is None or not self._sentence.display:
            self._sentence.show([])
            return
        action = self._actions[int(key)]
        words, tone = (action.refusal, "warn") if action.refusal else (action.sentence, "dim")
        self._sentence.show(wrapped(words, max(self._table.size.width - 4, 8), tone)[:2])

    def on_live_table_chosen(self) -> None:
        self.action_pick()

    def action_close(self) -> None:
        self.dismiss(None)

    def action_move(self, lines: int) -> None:
        self._table.action_move_by(lines)

    def action_pick(self) -> None:
        key = self._table.cursor_key
        self.dismiss(self._actions[int(key)] if key is not None else None)

    def _search(self, text: str) -> None:
        words = text.lower().split()
        self.call_after_refresh(self._say_sentence)
        self._table.set_rows(
            [
                Row(str(number), _cells(action))
                for number, action in enumerate(self._actions)
                if all(word in _searched(action) for word in words)
            ]
        )

    @property
    def _sentence(self) -> Lines:
        return self.query_one("#help-sentence", Lines)

    @property
    def _table(self) -> LiveTable:
        return self.query_one(LiveTable)


def show_help(screen: Screen[Any]) -> None:
    """Every key of `screen`; what is picked there is done."""

    def helped(action: Action | None) -> None:
        if action is not None:
            screen.call_later(action.run, screen.app)

    ascii_only = getattr(screen.app, "ascii_only", False)
    screen.app.push_screen(HelpScreen(actions_in_force(screen), ascii_only=ascii_only), helped)
