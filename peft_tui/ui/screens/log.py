"""The end of the log file: what no other screen can show."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from peft_tui.text import clean
from peft_tui.ui.application import Application
from peft_tui.ui.keymap import named
from peft_tui.ui.widgets.cells import fit_text
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Line, Lines, wrapped
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.work import start_work

TAIL_BYTES = 128 * 1024
_TONES = {"ERROR": "bad", "CRITICAL": "bad", "WARNING": "warn", "DEBUG": "dim"}


class LogScreen(Screen[None]):
    """Read anew when asked; secrets were left out when it was written."""

    DEFAULT_CSS = """
    LogScreen {
        background: $background; color: $foreground;
        & > #log-title { height: 1; padding: 0 1; margin: 0 0 1 0; }
        & > #log-lines { height: 1fr; padding: 0 1; overflow-y: auto; }
    }
    """
    app: Application

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", tooltip="Where you came from."),
        Binding("r", "read", "Read again", tooltip="What was written meanwhile."),
    ]
    BINDINGS = named("log", BINDINGS)

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._text = ""

    def compose(self) -> ComposeResult:
        yield Lines(id="log-title")
        yield Lines(id="log-lines")
        yield KeyBar()

    def on_mount(self) -> None:
        for lines in self.query(Lines):
            lines.ascii_only = self.app.ascii_only
        self._lines.can_focus = True
        self._lines.focus()
        self.action_read()

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_read(self) -> None:
        start_work(self, self._read, group="log")

    async def _read(self) -> None:
        self._text = await asyncio.to_thread(tail, self._path)
        self._draw()
        self.call_after_refresh(self._lines.action_scroll_by, 1_000_000)

    def on_lines_resized(self) -> None:
        self._draw()

    def _draw(self) -> None:
        title = self.query_one("#log-title", Lines)
        path = fit_text(clean(self._path), max(title.width - 8, 8), elide="middle").rstrip()
        title.show([(Cell("Log", "strong"), Cell(f"   {path}", "dim"))])
        self._lines.show(log_lines(self._text, max(self._lines.width, 20)))

    @property
    def _lines(self) -> Lines:
        return self.query_one("#log-lines", Lines)


def tail(path: Path) -> str:
    """The last lines, whole; nothing when there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - TAIL_BYTES, 0))
            raw = file.read()
    except OSError:
        return ""
    if size > TAIL_BYTES:
        raw = raw.partition(b"\n")[2]
    return clean(raw.decode("utf-8", "replace"))


def log_lines(text: str, width: int) -> list[Line]:
    """Each entry in the tone of its level, a traceback in that of its entry."""
    if not text:
        return wrapped("Nothing was written: nothing went wrong that no screen shows.", width, "dim")
    lines: list[Line] = []
    tone = ""
    for entry in text.splitlines():
        words = entry.split(maxsplit=3)
        if len(words) > 2 and entry[:1].isdigit():
            tone = _TONES.get(words[2], "")
        lead = len(entry) - len(entry.lstrip())
        lines += wrapped(entry, width, tone, indent=min(lead, width // 2))
    return lines
