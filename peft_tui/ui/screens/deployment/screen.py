"""Everything about one deployment, section by section.

the store changed → Notices.changed → read again what concerns it → the section is drawn anew
events or logs are looked at → Lookups.want … a worker asks … notice of the catalog → answer → drawn
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.money import per_hour
from peft_tui.drivers import capabilities
from peft_tui.services.lookups import Question, Topic
from peft_tui.store import Changes
from peft_tui.ui.keymap import named
from peft_tui.ui.life import LifeScreen
from peft_tui.ui.places import Place, PlaceChanged
from peft_tui.ui.screens.deployment.sections import Known, Section, lines_of
from peft_tui.ui.status import in_time, seen_at
from peft_tui.ui.verbs import GREYED, LIFE_BINDINGS
from peft_tui.ui.widgets.banner import SandboxBanner
from peft_tui.ui.widgets.detail import title_line
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Line, Lines, spread, width_of
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.widgets.operations import Rates
from peft_tui.ui.widgets.palette import ActionCommands
from peft_tui.ui.widgets.sized import sized
from peft_tui.ui.work import start_work

TICK_SECONDS = 5.0
LOOK_SECONDS = 10.0
"""How often events or logs are asked for while somebody looks at them."""
_SECTIONS = {section.value for section in Section}
_SHORT = {Section.OPERATIONS: "ops", Section.OBSERVATIONS: "seen"}
_TOPICS = {Section.EVENTS: Topic.EVENTS, Section.LOGS: Topic.LOGS}


class DeploymentScreen(LifeScreen):
    """Sections on number keys; on a wide terminal the overview stays in sight beside them."""

    CSS_PATH = "deployment.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (80, "-normal"), (140, "-wide")]
    COMMANDS = {ActionCommands}

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", tooltip="To the list."),
        *LIFE_BINDINGS,
        Binding("tab,right,l", "turn(1)", "Next section", tooltip="1 to 5 go there at once."),
        Binding("shift+tab,left,h", "turn(-1)", "Previous section", show=False),
        Binding("1", "section('overview')", "Overview", show=False),
        Binding("2", "section('events')", "Events", tooltip="What the platform tells of it.", show=False),
        Binding("3", "section('logs')", "Logs", tooltip="What it puts out.", show=False),
        Binding("4", "section('operations')", "Operations", tooltip="What was asked of it.", show=False),
        Binding("5", "section('observations')", "Observations", tooltip="How it changed.", show=False),
        Binding("b", "rollback", "Versions", tooltip="Let an earlier one serve again.", show=False),
        Binding("t", "console", "Test", tooltip="Ask it something: the test console."),
        Binding("m", "metrics", "Metrics", tooltip="Its figures, live."),
        Binding("r", "refresh", "Refresh", tooltip="Ask the platform now."),
        Binding("y", "copy", "Copy", tooltip="URL, id, curl, Python, JSON; over SSH too."),
        Binding("e", "errors", "Errors", tooltip="What went wrong in this session.", show=False),
        Binding("question_mark,f1", "help", "Help", tooltip="Every key of this place."),
    ]
    BINDINGS = named("deployment", BINDINGS)

    def __init__(self, backend: Backend, deployment: Deployment, section: str = "") -> None:
        super().__init__()
        self._backend = backend
        self._known = Known(deployment, backend.clock.now())
        self._section = Section(section) if section in _SECTIONS else Section.OVERVIEW
        self._rates = Rates()
        self._seen: datetime | None = None
        self._removed = False
        self._refused: tuple[str, ...] = ()
        self._stale = True
        self._reading = False

    def compose(self) -> ComposeResult:
        sized(self)
        if self.app.sandbox:
            yield SandboxBanner()
        yield Lines(id="title")
        yield Lines(id="sections")
        with Horizontal(id="columns"):
            yield Lines(id="overview")
            yield Lines(id="content")
        yield KeyBar()

    def on_mount(self) -> None:
        for lines in self.query(Lines):
            lines.ascii_only = self.app.ascii_only
        self._content.can_focus = True
        self._content.focus()
        self.app.notices.changed.subscribe(self, self._store_changed)
        self.watch(self.app, "ready", self._draw, init=False)
        self.set_interval(TICK_SECONDS, self._draw)
        self.set_interval(LOOK_SECONDS, self._look)
        self._read_again()

    # What the store says

    def _store_changed(self, changes: Changes) -> None:
        mine = self._known.deployment
        answers = any(
            platform == mine.platform and subject == mine.remote_id
            for platform, _, subject in changes.catalog
        )
        if mine.id in changes.deployments or mine.platform in changes.platforms or answers:
            self._read_again()

    def _read_again(self) -> None:
        self._stale = True
        if not self._reading:
            start_work(self, self._read, group="read")

    async def _read(self) -> None:
        """Until nothing changed meanwhile; one run at a time."""
        self._reading = True
        store, known = self._backend.store, self._known
        try:
            while self._stale:
                self._stale = False
                found = await store.deployments.some([known.deployment.id])
                self._removed = not found
                known.deployment = found[0] if found else known.deployment
                known.history = await store.deployments.history(known.deployment.id)
                known.operations = await store.operations.of_deployment(known.deployment.id)
                health = (await store.platforms.all()).get(known.deployment.platform)
                known.trouble = health.error if health else None
                self._seen = seen_at(known.deployment, health)
                if known.deployment.remote_id and self._section in _TOPICS:
                    known.events = await self._backend.lookups.answer(self._question(Topic.EVENTS))
                    known.logs = await self._backend.lookups.answer(self._question(Topic.LOGS))
        finally:
            self._reading = False
        if known.deployment.operation is not None:
            self._rates.note(known.deployment.operation, self._backend.clock.now())
        self._draw()

    def _question(self, topic: Topic) -> Question:
        deployment = self._known.deployment
        return Question(deployment.platform, topic, remote_id=deployment.remote_id)

    def _look(self) -> None:
        """Have the section found out that is looked at, where the platform has such a thing."""
        topic, offers = _TOPICS.get(self._section), self._known.offers
        if topic is None or not self._known.deployment.remote_id or not self.app.app_focus:
            return
        reason = "" if offers is None else offers.no_events if topic is Topic.EVENTS else offers.no_logs
        if self.app.ready and not reason:
            self._backend.lookups.want(self._question(topic))

    # Drawing

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        known = self._known
        known.now = self._backend.clock.now()
        known.seen = in_time(self._seen, known.now, self._backend.pace.fresh_seconds)
        operation = known.deployment.operation
        step = operation.current if operation and not operation.state.ended else None
        known.rate = self._rates.per_second(operation, step, known.now) if operation and step else None
        if self.app.ready and known.offers is None:
            try:
                known.offers = capabilities(known.deployment.platform)
            except PeftTuiError:
                # A newer version wrote it: it is shown all the same.
                known.offers = None
        self._title.show([self._title_line(self._title.width)])
        self._tabs.show([self._tab_line(self._tabs.width)])
        if self._beside:
            self._overview.show(lines_of(Section.OVERVIEW, known, self._overview.width))
        self._draw_content()
        self._greyed()

    def _draw_content(self) -> None:
        content = self._content
        at_end = content.scroll_offset.y >= content.max_scroll_y
        content.show(lines_of(self._shown_section, self._known, content.width))
        if self._shown_section is Section.LOGS and at_end:
            # Whoever reads the newest lines goes on reading the newest lines.
            self.call_after_refresh(content.scroll_to, y=content.max_scroll_y, animate=False)

    def _greyed(self) -> None:
        """The footer changes when what is possible does."""
        refused = tuple(action for action in GREYED if self.refusal(action))
        if refused != self._refused:
            self._refused = refused
            self.refresh_bindings()

    def _title_line(self, width: int) -> Line:
        deployment = self._known.deployment
        if self._removed:
            return (Cell(deployment.name, "strong"), Cell("  deleted: nothing of it is left", "dim"))
        seen = deployment.observation
        hourly = deployment.usd_per_hour if seen else None
        price = "" if hourly is None else per_hour(hourly, deployment.is_guess) + " now"
        right = (Cell(price, "strong" if hourly else "dim"),) if price else ()
        return spread(title_line(self._known.subject, width - width_of(right) - 2), right, width)

    def _tab_line(self, width: int) -> Line:
        """`1 overview  2 events …`, with shorter words where there is no room."""
        for short, gap, words in ((False, 2, True), (True, 2, True), (True, 0, True), (True, 1, False)):
            cells: list[Cell] = []
            for number, section in enumerate(Section, 1):
                if section is Section.OVERVIEW and self._beside:
                    continue
                here = section is self._shown_section
                word = _SHORT.get(section, section.value) if short else section.value
                word = f" {word}" if here or words else ""
                cells += [Cell(str(number), "accent"), Cell(word, "strong" if here else "dim")]
                cells.append(Cell((" ●" if here else "  ") + " " * gap, "accent"))
            if width_of(tuple(cells)) <= width:
                break
        return tuple(cells)

    # What happens

    @on(Lines.Resized)
    def _measured(self) -> None:
        self._draw()

    def targets(self) -> list[Deployment]:
        return [] if self._removed else [self._known.deployment]

    @property
    def chosen(self) -> Deployment | None:
        return self._known.deployment

    def carried_out(self, done: Sequence[str]) -> None:
        self._read_again()

    def go_to(self, key: str | None) -> None:
        """Another one is shown by the list."""
        if key is not None and key != self._known.deployment.id:
            self.dismiss(key)

    # Actions

    def place(self) -> Place:
        mine = self._known.deployment.id
        return {"screen": "deployment", "deployment": mine, "section": self._section.value}

    def action_back(self) -> None:
        self.dismiss(None)

    def action_section(self, name: str) -> None:
        """Go to a section; what it needs is asked for."""
        section = Section(name)
        if section is not self._section:
            self._section = section
            self.post_message(PlaceChanged())
            self._content.scroll_to(y=0, animate=False)
            self._read_again()
        self._draw()
        self._look()

    def action_turn(self, by: int) -> None:
        sections = [s for s in Section if not (self._beside and s is Section.OVERVIEW)]
        place = sections.index(self._shown_section)
        self.action_section(sections[(place + by) % len(sections)].value)

    def action_refresh(self) -> None:
        self._backend.refresh_now()
        self._look()

    @property
    def _beside(self) -> bool:
        """The overview stands at the left, always."""
        return self.has_class("-wide")

    @property
    def _shown_section(self) -> Section:
        """Beside the overview something else is of more use."""
        if self._beside and self._section is Section.OVERVIEW:
            return Section.OPERATIONS
        return self._section

    # Children

    @property
    def _title(self) -> Lines:
        return self.query_one("#title", Lines)

    @property
    def _tabs(self) -> Lines:
        return self.query_one("#sections", Lines)

    @property
    def _overview(self) -> Lines:
        return self.query_one("#overview", Lines)

    @property
    def _content(self) -> Lines:
        return self.query_one("#content", Lines)
