"""Home: every deployment with its state and what it costs.

the store changed → Notices.changed → re-read those ids → their rows → the table repaints those lines
a row came under the cursor → read its history → the detail
every five seconds → the rows whose age has moved on, if any
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.events import Key
from textual.timer import Timer

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.status import Status
from peft_tui.services.deployments import Summary, summarize
from peft_tui.store import Changes, StoreError
from peft_tui.store.deployments import HistoryLine
from peft_tui.store.platforms import PlatformHealth
from peft_tui.text import clean_line
from peft_tui.ui.attention import Watch
from peft_tui.ui.filter import Filter
from peft_tui.ui.keymap import named
from peft_tui.ui.life import GREYED, LIFE_BINDINGS, LifeScreen, per_hour, sums
from peft_tui.ui.marks import Marks
from peft_tui.ui.order import DOWNWARDS, ordered
from peft_tui.ui.platforms import PlatformWords
from peft_tui.ui.rows import COLUMNS, table_row
from peft_tui.ui.session import View
from peft_tui.ui.status import next_change, seen_at
from peft_tui.ui.theme import plain
from peft_tui.ui.widgets.banner import SandboxBanner
from peft_tui.ui.widgets.detail import Subject, folded, whole
from peft_tui.ui.widgets.headline import freshness, header, nothing_matches, state
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Lines
from peft_tui.ui.widgets.live_table import Cell, LiveTable, Row
from peft_tui.ui.widgets.operations import Rates
from peft_tui.ui.widgets.palette import ActionCommands, PlaceCommands

if TYPE_CHECKING:
    from textual.widgets import Input

    from peft_tui.services.figures import Brief
    from peft_tui.ui.widgets.filter_line import FilterLine

TICK_SECONDS = 5.0
FIGURES_SECONDS = 30.0
"""Between two looks at what everything has cost so far."""
FIRST_READ_SECONDS = 0.2
"""How long the first frame waits for the rows; a store that takes longer fills the screen after it."""
ASKING_SECONDS = 3.0
"""How long "asking" stands there at most: a platform that does not answer says so itself."""
_WITHOUT_ROWS = {"new", "credentials", "try_sandbox", "refresh", "help", "errors"}
"""What there is to do while nothing is deployed."""
REST_SECONDS = 0.5
"""How long the cursor stands still before it is written down where."""
VIEW = "deployments"
STATUS_CYCLE = ("", Status.ACTIVE.value, Status.DEPLOYING.value, Status.FAILED.value, Status.STOPPED.value)


class DeploymentTable(LiveTable):
    """The table, with what Enter does here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Open", tooltip="All about it, section by section."),
    ]
    BINDINGS = named("deployments", BINDINGS)


class DeploymentsScreen(LifeScreen):
    """The live table, and beside or below it what matters of the row under the cursor."""

    CSS_PATH = "deployments.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "#table"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (80, "-normal"), (140, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (14, "-short"), (22, "-tall")]
    COMMANDS = {ActionCommands, PlaceCommands}

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New", tooltip="Deploy an adapter."),
        *LIFE_BINDINGS,
        Binding("slash", "filter", "Filter", tooltip="Narrow the list while typing."),
        Binding("t", "console", "Test", tooltip="Ask it something: the test console."),
        Binding("space", "mark", "Mark", tooltip="What is done then is done to all marked."),
        Binding("v", "mark_range", "Mark to here", tooltip="From the last mark.", show=False),
        Binding("asterisk", "mark_all", "Mark all", tooltip="All that are shown, or none.", show=False),
        Binding("m", "metrics", "Metrics", tooltip="Its figures, live."),
        Binding("M", "overview", "All figures", tooltip="The figures of all, side by side.", show=False),
        Binding("y", "copy_endpoint", "Copy URL", tooltip="The endpoint, over SSH too."),
        Binding("s", "sort", "Sort", tooltip="By the next column; last newest first."),
        Binding("r", "refresh", "Refresh", tooltip="Ask every platform now."),
        Binding("S", "reverse", "Reverse", tooltip="Turn the order round.", show=False),
        Binding("f", "cycle_status", "Status", tooltip="Active, deploying, failed, stopped, all."),
        Binding("C", "credentials", "Credentials", tooltip="Where each key is; set, check.", show=False),
        Binding("b", "try_sandbox", "Sandbox", tooltip="All of it without an account.", show=False),
        Binding("p", "cycle_platform", "Platform", tooltip="One platform after the other, or all."),
        Binding("e", "errors", "Errors", tooltip="What went wrong in this session, and what to do."),
        Binding("question_mark", "help", "Help", tooltip="Every key of this place."),
        Binding("escape", "back", "Back", tooltip="Without the marks; then the filter.", show=False),
    ]
    BINDINGS = named("deployments", BINDINGS)

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._backend = backend
        self._deployments: dict[str, Deployment] = {}
        self._health: dict[str, PlatformHealth] = {}
        self._drawn: dict[str, tuple[Row, datetime]] = {}
        """The row of each, and until when it stays as it is if nothing is heard."""
        self._shown: list[str] = []
        self._ages: dict[str, str] = {}
        """How old each platform's list looked at the last tick."""
        self._unread: set[str] = set()
        self._unread_health = True
        self._reading = False
        self._loaded = False
        self._empty_handed = True
        self._briefs: dict[str, Brief] = {}
        self._briefing = False
        self._brief_wanted: set[str] | None = None
        """Whose figures are to be read anew; None: everybody's."""
        self._history: dict[str, list[HistoryLine]] = {}
        self._history_wanted = False
        self._rates = Rates()
        self._sought = Filter()
        self._sort: tuple[str, bool] | None = None
        self._asking = False
        self._typing = False
        self._line: FilterLine | None = None
        self._wizard_waits = False
        self._adapter: str | None = None
        self._go_to: str | None = None
        self._platforms = PlatformWords(backend, lambda: (self.app.sandbox, self.app.ready))
        self._marks = Marks()
        self._watch = Watch()
        self._kept = View()
        self._keeping: Timer | None = None
        self._refused: tuple[bool, ...] = ()

    def compose(self) -> ComposeResult:
        if self.app.sandbox:
            yield SandboxBanner()
        yield Lines(id="header")
        with Horizontal(id="state-bar"):
            yield Lines(id="state")
        with Container(id="body"):
            yield DeploymentTable(COLUMNS, id="table")
            yield Lines(id="empty")
            yield Lines(id="detail")
        yield KeyBar()

    async def on_mount(self) -> None:
        for lines in self.query(Lines):
            lines.ascii_only = self.app.ascii_only
        self._table.ascii_only = self.app.ascii_only
        self.app.notices.changed.subscribe(self, self._store_changed)
        self.watch(self.app, "trouble", self._draw_lines, init=False)
        self.watch(self.app, "ready", self._ready, init=False)
        self.set_interval(TICK_SECONDS, self.tick)
        self.set_interval(FIGURES_SECONDS, self._want_figures)
        reading = asyncio.ensure_future(self._read())
        try:
            await asyncio.wait_for(asyncio.shield(reading), FIRST_READ_SECONDS)
        except TimeoutError:
            self.run_worker(reading_done(reading), group="read", exit_on_error=False)

    # What the store says

    def _store_changed(self, changes: Changes) -> None:
        self._unread |= changes.deployments
        self._unread_health |= bool(changes.platforms)
        self._asking &= not changes.platforms
        if changes.requests:
            self._want_figures(changes.requests)
        if not self._reading and (self._unread or self._unread_health):
            self.run_worker(self._read(), group="read", exit_on_error=False)

    async def _read(self) -> None:
        """Read what changed until nothing is unread; one run at a time."""
        self._reading = True
        try:
            while not self._loaded or self._unread or self._unread_health:
                ids, self._unread = self._unread, set()
                health, self._unread_health = self._unread_health, False
                store = self._backend.store
                if self._loaded:
                    found = await store.deployments.some(ids) if ids else []
                else:
                    await self._restore_view()
                    found = await store.deployments.all()
                if health:
                    self._health = await store.platforms.all()
                first, self._loaded = not self._loaded, True
                if first:
                    self.call_after_refresh(self._want_figures)
                for vanished in ids - {deployment.id for deployment in found}:
                    self._deployments.pop(vanished, None)
                    self._drawn.pop(vanished, None)
                self._take(found, first=first)
        finally:
            self._reading = False

    def _take(self, found: list[Deployment], *, first: bool) -> None:
        now = self._backend.clock.now()
        self.app.tell(self._watch.news(found, first=first))
        for health in self._health.values():
            self.app.troubles.note_platform(health, now)
        if self._marks.keep_only(self._deployments.keys() | {deployment.id for deployment in found}):
            self._table.mark(self._marks.keys)
        for deployment in found:
            self.app.troubles.note_deployment(deployment)
            self._deployments[deployment.id] = deployment
            self._drawn.pop(deployment.id, None)
            self._history.pop(deployment.id, None)
            if deployment.operation is not None:
                self._rates.note(deployment.operation, now)
        self._draw()

    def _want_figures(self, ids: frozenset[str] | None = None) -> None:
        """Have figures read anew, of these or of all, when the rows are there; never two readings at once."""
        if ids is None:
            self._brief_wanted = None
        elif self._brief_wanted is not None:
            self._brief_wanted |= ids
        if self._loaded and not self._briefing:
            self.run_worker(self._read_figures(), group="figures", exit_on_error=False)

    async def _read_figures(self) -> None:
        """Put the figures into the rows that they change."""
        self._briefing = True
        try:
            figures = await self._backend.with_figures()
            while self._brief_wanted is None or self._brief_wanted:
                wanted, self._brief_wanted = self._brief_wanted, set()
                chosen = [d for d in self._deployments.values() if wanted is None or d.id in wanted]
                for key, brief in (await figures.briefs(chosen)).items():
                    if self._briefs.get(key) != brief:
                        self._briefs[key] = brief
                        self._drawn.pop(key, None)
                self._draw()
        except StoreError:
            # The rows are still true; what can be written again is read again at the next turn.
            self._brief_wanted = None
        finally:
            self._briefing = False

    def _ready(self) -> None:
        self._draw_lines()
        self._greyed()
        if self._wizard_waits:
            self._wizard_waits = False
            self.open_wizard(self._adapter)

    # Drawing

    def tick(self) -> None:
        """Move on what grows older by itself; nothing is written when nothing did."""
        self._redraw_rows()
        self._draw_lines()

    def _draw(self) -> None:
        """All of it, after news, another filter or another order. What is equal is not repainted."""
        visible = [d for d in self._deployments.values() if self._sought.admits(d)]
        order = [deployment.id for deployment in ordered(visible, self._sort, self._briefs)]
        if len(self._marks):
            # While one marks, nothing changes places under one's hands.
            places = {key: place for place, key in enumerate(self._shown)}
            order.sort(key=lambda key: places.get(key, len(places)))
        self._shown = order
        self._redraw_rows(always=True)
        if self._go_to in self._shown and self._table.move_to(self._go_to or ""):
            self._go_to = None
        self._draw_lines()
        self._greyed()

    def _redraw_rows(self, always: bool = False) -> None:
        now = self._backend.clock.now()
        ages = {platform: self._platforms.age(health, now) for platform, health in self._health.items()}
        moved = {platform for platform, age in ages.items() if self._ages.get(platform) != age}
        self._ages = ages
        news = always
        for key in self._shown:
            deployment = self._deployments[key]
            drawn = self._drawn.get(key)
            if drawn is not None and now < drawn[1] and deployment.platform not in moved:
                continue
            seen = self._seen(deployment)
            row = table_row(deployment, now, seen, self._briefs.get(key))
            if self.app.ascii_only:
                row = Row(row.key, tuple(Cell(plain(c.text), c.tone, plain(c.short)) for c in row.cells))
            self._drawn[key] = (row, next_change(deployment, now, seen))
            news |= drawn is None or drawn[0] != row
        if news:
            self._table.set_rows([self._drawn[key][0] for key in self._shown])

    def _draw_lines(self) -> None:
        """Everything that is not the table."""
        if not self.is_mounted:
            return
        if self._empty_handed is not (not self._deployments):
            self._empty_handed = not self._deployments
            self.refresh_bindings()
        self.set_class(self._loaded and not self._shown, "-empty")
        # What is hidden would keep the focus, and its keys in the footer.
        self._table.can_focus = bool(self._shown)
        if self._shown and self.focused is None:
            self._table.focus()
        elif not self._shown and self.focused is self._table:
            self.set_focus(None)
        self._header.show([header(self._summary(), self._header.width)])
        self._draw_state()
        if self._loaded and not self._shown:
            filtered = bool(self._deployments)
            self._empty.show(nothing_matches(self._sought) if filtered else self._platforms.nothing_yet())
        self._draw_detail()

    def _draw_state(self) -> None:
        width = self._state.width
        troubles, old = self._platforms.troubles(
            self._deployments.values(), self._health, now=self._backend.clock.now(), own=self.app.trouble
        )
        seen = any(deployment.observation for deployment in self._deployments.values())
        listed = any(health.listed_at for health in self._health.values())
        if self.app.sandbox and not self.app.ready:
            old.insert(0, "starting the sandbox")
        fresh = freshness(
            troubles, old, any_seen=seen or listed, asking=self._asking, width=max(width - 14, 10)
        )
        title = next((c.title.lower() for c in COLUMNS if self._sort and c.key == self._sort[0]), "")
        self._state.show(
            [
                state(
                    self._sought,
                    len(self._shown),
                    len(self._deployments),
                    title,
                    fresh,
                    width,
                    typing=self._typing,
                    marked=self._marked_words(),
                )
            ]
        )

    def _marked_words(self) -> str:
        marked = [self._deployments[key] for key in self._marks.keys if key in self._deployments]
        return f"{len(marked)} marked · {per_hour(sums(marked))}" if marked else ""

    def _draw_detail(self) -> None:
        """The detail of the row under the cursor, once its history is there."""
        key = self._table.cursor_key
        deployment = self._deployments.get(key) if key else None
        if deployment is None:
            self._detail.show([])
            return
        if deployment.id not in self._history:
            if not self._history_wanted:
                self._history_wanted = True
                self.run_worker(self._read_history(), group="history", exit_on_error=False)
            return
        now = self._backend.clock.now()
        health = self._health.get(deployment.platform)
        operation = deployment.operation
        step = operation.current if operation and not operation.state.ended else None
        subject = Subject(
            deployment,
            now,
            self._seen(deployment),
            self._history[deployment.id],
            self._rates.per_second(operation, step, now) if operation and step else None,
            health.error if health else None,
        )
        width = self._detail.width
        if self.has_class("-wide"):
            self._detail.show(whole(subject, width))
        else:
            self._detail.show(folded(subject, width, self._detail.size.height or 6))

    async def _read_history(self) -> None:
        """Read for the row under the cursor; when it has moved meanwhile, for the next one."""
        try:
            while (key := self._table.cursor_key) and key not in self._history:
                lines = await self._backend.store.deployments.history(key)
                if len(self._history) > 200:
                    self._history.clear()
                self._history[key] = lines
        finally:
            self._history_wanted = False
        self._draw_detail()

    def _summary(self) -> Summary:
        return summarize(self._deployments.values())

    def _seen(self, deployment: Deployment) -> datetime | None:
        health = self._health.get(deployment.platform)
        return seen_at(deployment, health.listed_at if health else None)

    # What happens

    @on(Lines.Resized)
    def _measured(self) -> None:
        self._draw_lines()

    @on(LiveTable.Highlighted)
    def _another_row(self) -> None:
        self._detail.scroll_to(y=0, animate=False)
        self._draw_detail()
        self._greyed()
        self._keep_view()

    @on(LiveTable.Chosen)
    def _row_chosen(self, event: LiveTable.Chosen) -> None:
        from peft_tui.ui.screens.deployment import DeploymentScreen

        if deployment := self._deployments.get(event.key):
            self.app.push_screen(DeploymentScreen(self._backend, deployment), self.go_to)

    def on_input_changed(self, event: Input.Changed) -> None:
        """The filter is in force while it is typed."""
        if self._typing:
            self._seek(Filter.parse(event.value))

    def on_filter_line_left(self, event: FilterLine.Left) -> None:
        self._typing = False
        if self._line is not None:
            self._show_filter_line(self._line)
        self.set_focus(self._table if self._table.can_focus else None)
        if not event.kept:
            self._seek(Filter())
        self._draw_state()

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While there is nothing, only what can bring something is offered."""
        if action == "try_sandbox":
            return not self._deployments and not self.app.sandbox
        mine = f"action_{action}" in vars(DeploymentsScreen) or f"action_{action}" in vars(LifeScreen)
        return bool(self._deployments) or not mine or action in _WITHOUT_ROWS

    def action_new(self) -> None:
        self.open_wizard()

    def open_wizard(self, adapter: str | None = None) -> None:
        """Ask for a new deployment; the cursor goes to it. In the sandbox as soon as that stands."""
        if self.app.sandbox and not self.app.ready:
            self._wizard_waits, self._adapter = True, adapter
            return
        from peft_tui.ui.screens.wizard import WizardScreen

        wizard = WizardScreen(self._backend, adapter=adapter)
        self.app.push_screen(wizard, self._made)
        self.mark_sandbox(wizard)

    def action_credentials(self) -> None:
        from peft_tui.ui.screens.platforms import PlatformsScreen

        screen = PlatformsScreen(self._backend)
        self.app.push_screen(screen, lambda _: self._draw_lines())
        self.mark_sandbox(screen)

    def action_try_sandbox(self) -> None:
        self.app.go_to_sandbox()

    def go_to(self, key: str | None) -> None:
        """Put the cursor on a deployment, as soon as it is there; a filter that hides it gives way."""
        if key is None:
            return
        self._go_to = key
        known = self._deployments.get(key)
        if known is None or not self._sought.admits(known):
            self._sought = Filter()
        self._draw()

    def places(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Every deployment, for the palette."""
        for key, deployment in self._deployments.items():
            yield clean_line(deployment.name, 120), lambda key=key: self.go_to(key)  # type: ignore[misc]

    def action_back(self) -> None:
        if len(self._marks):
            self._marks.clear()
            self._marked()
        elif self._sought:
            self._seek(Filter())

    def action_filter(self) -> None:
        self._typing = True
        line = self._make_filter_line()
        line.value = f"{self._sought} " if self._sought else ""
        line.cursor_position = len(line.value)
        self._show_filter_line(line)
        # At once, not when the queue comes to it: what is typed on must land in the line.
        self.set_focus(line)
        self._draw_state()

    def _make_filter_line(self) -> FilterLine:
        """The `/` line. Made when it is wanted: Input costs more to load than the first frame can give."""
        from peft_tui.ui.widgets.filter_line import FilterLine

        if self._line is None:
            self._line, slash = FilterLine(), Lines(id="slash")
            slash.ascii_only = self.app.ascii_only
            slash.show([(Cell(" / ", "accent"),)])
            self.query_one("#state-bar").mount_all([slash, self._line], before=0)
        return self._line

    def _show_filter_line(self, line: FilterLine) -> None:
        line.display = self.query_one("#slash").display = self._typing

    def on_key(self, event: Key) -> None:
        """Keys that came in one go were given to the table all: after `/` they belong into the line."""
        if event.character == "/" and not self._typing and self.check_action("filter", ()):
            self.action_filter()
            event.stop()
        elif self._typing and self._line is not None and event.is_printable and event.character:
            self._line.insert_text_at_cursor(event.character)
            event.stop()

    def _seek(self, sought: Filter) -> None:
        if sought != self._sought:
            self._sought = sought
            self._draw()
            self._keep_view()

    def action_cycle_status(self) -> None:
        place = STATUS_CYCLE.index(self._sought.status) if self._sought.status in STATUS_CYCLE else 0
        self._seek(replace(self._sought, status=STATUS_CYCLE[(place + 1) % len(STATUS_CYCLE)]))

    def action_cycle_platform(self) -> None:
        cycle = ["", *sorted({deployment.platform for deployment in self._deployments.values()})]
        place = cycle.index(self._sought.platform) if self._sought.platform in cycle else 0
        self._seek(replace(self._sought, platform=cycle[(place + 1) % len(cycle)]))

    def action_sort(self) -> None:
        """By the next column that is shown and can be compared; after the last one newest first."""
        cycle = [None, *(key for key in self._table.shown_columns if key in DOWNWARDS)]
        place = cycle.index(self._sort[0]) if self._sort and self._sort[0] in cycle else 0
        column = cycle[(place + 1) % len(cycle)]
        self._sort_by((column, DOWNWARDS[column]) if column else None)

    def action_reverse(self) -> None:
        if self._sort:
            self._sort_by((self._sort[0], not self._sort[1]))

    def _sort_by(self, sort: tuple[str, bool] | None) -> None:
        self._sort = self._table.sort = sort
        self._draw()
        self._keep_view()

    def action_refresh(self) -> None:
        """Said in one word where "live" stands: a toast a press would lie over the list."""
        self._backend.refresh_now()
        self._asking = True
        self.set_timer(ASKING_SECONDS, self._asked)
        self._draw_state()

    def _asked(self) -> None:
        if self._asking:
            self._asking = False
            self._draw_state()

    # Marks

    def action_mark(self) -> None:
        """Mark the row, and go on to the next."""
        if key := self._table.cursor_key:
            self._marks.toggle(key)
            self._table.action_move_by(1)
            self._marked()

    def action_mark_range(self) -> None:
        if key := self._table.cursor_key:
            self._marks.extend(key, self._shown)
            self._marked()

    def action_mark_all(self) -> None:
        self._marks.toggle_all(self._shown)
        self._marked()

    def action_overview(self) -> None:
        from peft_tui.ui.screens.metrics import OverviewScreen

        self.app.push_screen(OverviewScreen(self._backend))

    def _marked(self) -> None:
        self._table.mark(self._marks.keys)
        self._draw()
        self._greyed()

    # What verbs apply to

    def targets(self) -> list[Deployment]:
        keys = self._marks.keys or ((self._table.cursor_key or ""),)
        return [self._deployments[key] for key in keys if key in self._deployments]

    @property
    def chosen(self) -> Deployment | None:
        return self._deployments.get(self._table.cursor_key or "")

    def carried_out(self, done: Sequence[str]) -> None:
        """What was refused stays marked."""
        self._marks.drop(done)
        self._marked()

    def _greyed(self) -> None:
        """The footer changes when what is possible does."""
        refused = tuple(bool(self.refusal(action)) for action in GREYED)
        if refused != self._refused:
            self._refused = refused
            self.refresh_bindings()

    # How it was left

    def _keep_view(self) -> None:
        """Write it down when it has been so for a moment."""
        if self._keeping is not None:
            self._keeping.stop()
        self._keeping = self.set_timer(REST_SECONDS, self._write_view)

    def _write_view(self) -> None:
        view = View(self._sought, self._sort, self._table.cursor_key)
        if view != self._kept and self._loaded:
            self._kept = view
            self.run_worker(self._put_view(view), group="view", exit_on_error=False)

    async def _put_view(self, view: View) -> None:
        with suppress(StoreError):
            await self._backend.store.views.put(VIEW, view.as_dict())

    async def _restore_view(self) -> None:
        """Before the first rows are shown."""
        with suppress(StoreError):
            self._kept = View.from_dict(await self._backend.store.views.get(VIEW))
        self._sought, self._go_to = self._kept.sought, self._kept.cursor
        self._sort = self._table.sort = self._kept.sort

    # Children

    @property
    def _table(self) -> LiveTable:
        return self.query_one("#table", LiveTable)

    @property
    def _header(self) -> Lines:
        return self.query_one("#header", Lines)

    @property
    def _state(self) -> Lines:
        return self.query_one("#state", Lines)

    @property
    def _detail(self) -> Lines:
        return self.query_one("#detail", Lines)

    @property
    def _empty(self) -> Lines:
        return self.query_one("#empty", Lines)


async def reading_done(reading: asyncio.Future[None]) -> None:
    """Await a reading that took longer than the first frame could wait."""
    await reading
