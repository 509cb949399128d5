"""Go through directories by keys; those that hold an adapter are marked. Its answer is a path."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from peft_tui.text import clean_line
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Line
from peft_tui.ui.widgets.live_table import Cell, fit_text
from peft_tui.ui.widgets.opaque import OpaqueScreen
from peft_tui.ui.widgets.pick_list import Pick, PickList
from peft_tui.ui.work import start_work

CONFIG = "adapter_config.json"
MOST = 1000
HERE, UP = "\0here", "\0up"


@dataclass(frozen=True, slots=True)
class Entry:
    """One directory."""

    name: str
    has_adapter: bool


def list_directory(path: str) -> tuple[list[Entry], bool, str]:
    """The directories in `path`, whether it holds an adapter itself, and what went wrong."""
    try:
        with os.scandir(path) as found:
            names = sorted(
                (e.name for e in found if not e.name.startswith(".") and e.is_dir()), key=str.lower
            )[:MOST]
    except OSError as error:
        return [], False, f"cannot be read: {error.strerror}"
    here = os.path.isfile(os.path.join(path, CONFIG))
    return [Entry(n, os.path.isfile(os.path.join(path, n, CONFIG))) for n in names], here, ""


class DirectoryPicker(OpaqueScreen[str | None]):
    """Enter opens a directory, or takes it when it holds an adapter."""

    CSS_PATH = "wizard.tcss"
    AUTO_FOCUS = "PickList"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Back", tooltip="Go back without a choice.", id="browse.cancel"),
        Binding("left,h,backspace", "up", "Up", tooltip="Go to the directory above.", id="browse.up"),
        Binding("right,l", "open", "Open", tooltip="Look into the directory.", id="browse.open"),
    ]

    def __init__(self, start: str = "") -> None:
        super().__init__()
        place = Path(os.path.expanduser(start) or ".").absolute()
        self._start = place
        self._path = str(place)
        self._list = PickList()
        self._head = Block(self._draw_head, classes="title")
        self._told = "looking…"
        self._count = 0

    def compose(self) -> ComposeResult:
        yield self._head
        with VerticalScroll(classes="-scrolls", can_focus=False):
            yield self._list
        yield KeyBar()

    def on_mount(self) -> None:
        self._show(self._path, "")

    def _show(self, path: str, came_from: str) -> None:
        start_work(self, partial(self._load, path, came_from), group="listing", exclusive=True)

    async def _load(self, path: str, came_from: str) -> None:
        # A disk may be at the other end of a network.
        entries, here, problem = await asyncio.to_thread(list_directory, path)
        if problem and not came_from and path != os.getcwd() and not self._count:
            # What was typed is no directory: begin where the program was started.
            path, problem = os.getcwd(), ""
            entries, here, problem = await asyncio.to_thread(list_directory, path)
        self._path, self._count = path, self._count + 1
        self._told = problem or (_count_words(len(entries)))
        self._head.redraw()
        picks = [Pick(UP, lambda w: [(Cell(".."),)])] if os.path.dirname(path) != path else []
        if here:
            picks.insert(0, Pick(HERE, partial(_row, "this directory", True)))
        picks += [Pick(e.name, partial(_row, f"{e.name}/", e.has_adapter)) for e in entries]
        self._adapters = {e.name for e in entries if e.has_adapter}
        keys = [pick.key for pick in picks]
        best = came_from if came_from in keys else next((k for k in keys if k != UP), UP)
        self._list.set_picks(picks, best)

    def _draw_head(self, width: int) -> list[Line]:
        where = fit_text(clean_line(self._path, 1000), width - 24, "left", "middle").rstrip()
        return [(Cell(where, "strong"), Cell(f"   {self._told}", "dim")), ()]

    def on_pick_list_chosen(self, event: PickList.Chosen) -> None:
        event.stop()
        if event.key == HERE:
            self.dismiss(self._path)
        elif event.key in self._adapters:
            self.dismiss(os.path.join(self._path, event.key))
        else:
            self._enter(event.key)

    def on_pick_list_moved(self, event: PickList.Moved) -> None:
        event.stop()

    def action_open(self) -> None:
        if (key := self._list.cursor_key) is not None and key != HERE:
            self._enter(key)

    def action_up(self) -> None:
        self._enter(UP)

    def action_cancel(self) -> None:
        self.dismiss(None)

    def _enter(self, key: str) -> None:
        if key == UP:
            self._show(os.path.dirname(self._path), os.path.basename(self._path))
        else:
            self._show(os.path.join(self._path, key), "")


def _count_words(count: int) -> str:
    return f"{count} director{'y' if count == 1 else 'ies'}" if count else "no directories in it"


def _row(name: str, has_adapter: bool, width: int) -> list[Line]:
    room = max(width - 12, 8)
    mark = Cell("  ● adapter", "good") if has_adapter else Cell("")
    return [(Cell(fit_text(clean_line(name, 300), room, "left", "middle")), mark)]
