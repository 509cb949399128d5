"""Which version is to serve again? Those that the platform tells of, the newest first.

opened → Lookups.want … a worker asks … notice of the catalog → the rows → enter → dismiss(number)
"""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.version import Version
from peft_tui.services.lookups import Question, Topic
from peft_tui.store import Changes
from peft_tui.text import clean_line
from peft_tui.ui.application import Application
from peft_tui.ui.keymap import named
from peft_tui.ui.widgets.banner import SandboxBanner
from peft_tui.ui.widgets.cells import Cell, Column, Row
from peft_tui.ui.widgets.detail import clock_words, error_lines
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Line, Lines, clipped
from peft_tui.ui.widgets.live_table import LiveTable
from peft_tui.ui.work import start_work

COLUMNS = (
    Column("version", "VERSION", 8),
    Column("at", "DEPLOYED", 13),
    Column("can", "", 12),
    Column("words", "BY", 24, grow=True),
)


class VersionsScreen(Screen[int | None]):
    """The number of the one that was picked; None when it was left."""

    app: Application

    DEFAULT_CSS = """
    VersionsScreen { background: $background; }
    VersionsScreen #versions-title { height: 1; padding: 0 1; margin-bottom: 1; }
    VersionsScreen LiveTable { height: 1fr; background: $background; }
    VersionsScreen #versions-said { height: auto; max-height: 50%; padding: 0 1; margin-top: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,b", "close", "Close", tooltip="Nothing is changed."),
        Binding("enter", "pick", "Go back to it", tooltip="Shows first what that does and costs."),
    ]
    BINDINGS = named("versions", BINDINGS)

    def __init__(self, backend: Backend, deployment: Deployment) -> None:
        super().__init__()
        self._backend = backend
        self._deployment = deployment
        self._question = Question(deployment.platform, Topic.VERSIONS, remote_id=deployment.remote_id)
        self._versions: dict[str, Version] = {}
        self._opened = backend.clock.now()
        self._words: list[Line] = []
        self._error: PeftTuiError | None = None

    def compose(self) -> ComposeResult:
        if self.app.sandbox:
            yield SandboxBanner()
        yield Lines(id="versions-title")
        yield LiveTable(COLUMNS, id="versions")
        yield Lines(id="versions-said")
        yield KeyBar()

    def on_mount(self) -> None:
        for lines in self.query(Lines):
            lines.ascii_only = self.app.ascii_only
        self._table.ascii_only = self.app.ascii_only
        name = clean_line(self._deployment.name, 60)
        self.query_one("#versions-title", Lines).show([(Cell(f"Versions of {name}", "strong"),)])
        self._table.focus()
        self.app.notices.changed.subscribe(self, self._store_changed)
        self._backend.lookups.want(self._question)
        self._say("asking for its versions …")

    def _store_changed(self, changes: Changes) -> None:
        asked = (self._question.platform, self._question.topic.value, self._question.subject)
        if asked in changes.catalog:
            start_work(self, self._read, group="read", exclusive=True)

    async def _read(self) -> None:
        answer = await self._backend.lookups.answer(self._question)
        if answer is None or answer.fetched_at < self._opened:
            return
        if answer.error is not None:
            self._error = answer.error
            self._draw()
            return
        self._error = None
        versions: tuple[Version, ...] = answer.value or ()
        self._versions = {str(version.number): version for version in versions}
        self._table.set_rows([self._row(version) for version in versions])
        none = "" if versions else "The platform tells of no versions."
        self._say(none or "enter goes back to one: what that does is shown first")

    def _row(self, version: Version) -> Row:
        can = "serves" if version.serves else "—" if version.refused else "can be"
        at = clock_words(version.at, self._opened, None) if version.at else "—"
        return Row(
            str(version.number),
            (
                Cell(str(version.number), "strong" if version.serves else ""),
                Cell(at, "dim"),
                Cell(can, "good" if version.serves else "dim"),
                Cell(clean_line(version.words, 120), "dim"),
            ),
        )

    def _say(self, words: str, tone: str = "dim") -> None:
        self._words = [(Cell(words, tone),)]
        self._draw()

    @on(Lines.Resized)
    def _draw(self) -> None:
        width = self._said.width
        lines = error_lines(self._error, width, "bad", "error") if self._error else self._words
        self._said.show([clipped(line, width) for line in lines])

    @on(LiveTable.Chosen)
    def _entered(self) -> None:
        self.action_pick()

    def action_close(self) -> None:
        self.dismiss(None)

    def action_pick(self) -> None:
        version = self._versions.get(self._table.cursor_key or "")
        if version is None:
            return
        if version.serves or version.refused:
            self._say(version.refused or "It serves already.", "warn")
        else:
            self.dismiss(version.number)

    @property
    def _table(self) -> LiveTable:
        return self.query_one(LiveTable)

    @property
    def _said(self) -> Lines:
        return self.query_one("#versions-said", Lines)
