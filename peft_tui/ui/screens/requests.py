"""What was asked of the platforms on the person's behalf, newest last, as it happens."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from peft_tui.backend import Backend
from peft_tui.calls import MOST, Call
from peft_tui.domain.ages import took
from peft_tui.ui.application import Application
from peft_tui.ui.keymap import named
from peft_tui.ui.screens.help import show_help
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Lines, spread
from peft_tui.ui.widgets.live_table import Cell, Column, LiveTable, Row
from peft_tui.ui.widgets.palette import ActionCommands

LOOK_SECONDS = 1.0
COLUMNS = (
    Column("time", "TIME", 8, priority=2),
    Column("status", "STATUS", 10),
    Column("took", "TOOK", 7, "right", priority=1),
    Column("platform", "PLATFORM", 11, priority=3),
    Column("method", "", 6),
    Column("path", "PATH", 20, grow=True, elide="middle"),
    Column("host", "HOST", 24, priority=4, elide="middle"),
)


class RequestsScreen(Screen[None]):
    """Kept in memory only; while it is not looked at, it costs nothing but the keeping."""

    DEFAULT_CSS = """
    RequestsScreen {
        background: $background; color: $foreground;
        & > Lines { height: 1; padding: 0 1; margin: 0 0 1 0; }
    }
    """
    app: Application
    COMMANDS = {ActionCommands}

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", tooltip="Where you came from."),
        Binding("f", "only_failed", "Only failed", tooltip="Or all of them again."),
        Binding("c", "only_changing", "Only changing", tooltip="Without what merely looks; or all again."),
        Binding("question_mark,f1", "help", "Help", tooltip="Every key of this place."),
    ]
    BINDINGS = named("requests", BINDINGS)

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._backend = backend
        self._seen = -1
        self._failed = False
        self._changing = False

    def compose(self) -> ComposeResult:
        yield Lines()
        yield LiveTable(COLUMNS)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(Lines).ascii_only = self._table.ascii_only = self.app.ascii_only
        self._table.focus()
        self.set_interval(LOOK_SECONDS, self._look)
        self._look()

    def place(self) -> dict[str, str]:
        return {"screen": "requests"}

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_help(self) -> None:
        show_help(self)

    def action_only_failed(self) -> None:
        self._failed = not self._failed
        self._draw()

    def action_only_changing(self) -> None:
        self._changing = not self._changing
        self._draw()

    def on_lines_resized(self) -> None:
        self._draw()

    def _look(self) -> None:
        calls = self._backend.calls
        if calls is not None and calls.changes != self._seen:
            self._draw()

    def _draw(self) -> None:
        """The cursor on the newest stays on the newest."""
        calls = self._backend.calls
        self._seen = calls.changes if calls is not None else -1
        kept = [call for call in calls or () if self._wanted(call)]
        rows = self._table.rows
        follows = not rows or self._table.cursor_key == rows[-1].key
        self._table.set_rows([row(call) for call in kept])
        if follows and kept:
            self._table.action_last()
        title = self.query_one(Lines)
        which = [word for word, on in (("failed", self._failed), ("changing", self._changing)) if on]
        left = (
            Cell("Requests", "strong"),
            Cell(f"   {len(kept)} {' and '.join(which)}".rstrip(), "dim"),
        )
        right = (Cell(f"the last {MOST}, in memory only; no key is in them", "dim"),)
        title.show([spread(left, right, title.width) if title.width > 76 else left])

    def _wanted(self, call: Call) -> bool:
        return (call.failed or not self._failed) and (not self._changing or changes(call))

    @property
    def _table(self) -> LiveTable:
        return self.query_one(LiveTable)


def changes(call: Call) -> bool:
    """Whether it is more than a look, as far as its name tells."""
    if call.method == "RPC":
        looks = ("Get", "List", "Lookup", "Hello", "History", "Join", "Fetch", "Rates", "Stats", "Heartbeat")
        return not any(word in call.path for word in looks)
    return call.method not in ("GET", "HEAD")


def row(call: Call) -> Row:
    """One line; what is under way has no end yet."""
    status = (
        Cell("…", "accent") if call.seconds is None else Cell(call.status, "bad" if call.failed else "good")
    )
    tone = "" if changes(call) else "dim"
    return Row(
        str(call.number),
        (
            Cell(_clock(call.at), "dim"),
            status,
            Cell("" if call.seconds is None else took(call.seconds), "dim"),
            Cell(call.platform, "dim"),
            Cell(call.method, tone),
            Cell(call.path, tone),
            Cell(call.host, "dim"),
        ),
    )


def _clock(at: datetime) -> str:
    return at.astimezone().strftime("%H:%M:%S")
