"""Home: every deployment with its state and what it costs.

the store changed → Notices.changed → re-read those ids → their rows → the table repaints those lines
a row came under the cursor → read its history → the detail
every five seconds → the rows whose age has moved on, if any
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import Key
from textual.screen import Screen
from textual.widget import AwaitMount

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.status import Status
from peft_tui.store import Changes, StoreError
from peft_tui.ui.attention import Watch
from peft_tui.ui.costs import per_hour, sums
from peft_tui.ui.filter import Filter
from peft_tui.ui.keymap import named
from peft_tui.ui.life import LifeScreen
from peft_tui.ui.marks import Marks
from peft_tui.ui.order import DOWNWARDS
from peft_tui.ui.platforms import PlatformWords
from peft_tui.ui.rows import COLUMNS
from peft_tui.ui.screens.deployments.listing import Listing
from peft_tui.ui.screens.deployments.pane import DetailPane
from peft_tui.ui.screens.deployments.state_bar import StateBar
from peft_tui.ui.session import View, ViewKeeper
from peft_tui.ui.verbs import GREYED, LIFE_BINDINGS
from peft_tui.ui.widgets.banner import SandboxBanner
from peft_tui.ui.widgets.headline import freshness, header, nothing_matches, state
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Lines
from peft_tui.ui.widgets.live_table import LiveTable
from peft_tui.ui.widgets.palette import ActionCommands, DeploymentCommands
from peft_tui.ui.widgets.sized import sized
from peft_tui.ui.work import start_work

TICK_SECONDS = 5.0
FIGURES_SECONDS = 30.0
"""Between two looks at what everything has cost so far."""
FIRST_READ_SECONDS = 0.2
"""How long the first frame waits for the rows; a store that takes longer fills the screen after it."""
FIRST_ROWS = 100
"""How many rows the first frame waits for: more than any screen has lines."""
ASKING_SECONDS = 3.0
"""How long "asking" stands there at most: a platform that does not answer says so itself."""
_WITHOUT_ROWS = {"new", "credentials", "try_sandbox", "refresh", "help", "errors"}
"""What there is to do while nothing is deployed."""
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
    COMMANDS = {ActionCommands, DeploymentCommands}

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
        Binding("y", "copy", "Copy", tooltip="URL, id, curl, Python, JSON; over SSH too."),
        Binding("s", "sort", "Sort", tooltip="By the next column; last newest first."),
        Binding("r", "refresh", "Refresh", tooltip="Ask every platform now."),
        Binding("S", "reverse", "Reverse", tooltip="Turn the order round.", show=False),
        Binding("greater_than_sign", "sort(1)", "Sort on", tooltip="By the next column.", show=False),
        Binding("less_than_sign", "sort(-1)", "Sort back", tooltip="By the column before.", show=False),
        Binding("E", "export", "Export", tooltip="What is shown, as CSV or JSON.", show=False),
        Binding("w", "columns", "Columns", tooltip="Choose which are shown.", show=False),
        Binding("f", "cycle_status", "Status", tooltip="Active, deploying, failed, stopped, all."),
        Binding("C", "credentials", "Credentials", tooltip="Where each key is; set, check.", show=False),
        Binding("b", "try_sandbox", "Sandbox", tooltip="All of it without an account.", show=False),
        Binding("p", "cycle_platform", "Platform", tooltip="One platform after the other, or all."),
        Binding("e", "errors", "Errors", tooltip="What went wrong in this session, and what to do."),
        Binding("question_mark,f1", "help", "Help", tooltip="Every key of this place."),
        Binding("escape", "back", "Back", tooltip="Without the marks; then the filter.", show=False),
    ]
    BINDINGS = named("deployments", BINDINGS)

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._backend = backend
        self._listing = Listing(backend.pace)
        self._unread: set[str] = set()
        self._unread_health = True
        self._reading = False
        self._loaded = False
        self._empty_handed = True
        self._briefing = False
        self._brief_wanted: set[str] | None = None
        """Whose figures are to be read anew; None: everybody's."""
        self._asking = False
        self._wizard_waits = False
        self._adapter: str | None = None
        self._go_to: str | None = None
        self._platforms = PlatformWords(backend, lambda: (self.app.sandbox, self.app.ready))
        self._watch = Watch()
        self._keeper: ViewKeeper
        self._hidden: frozenset[str] = frozenset()
        self._refused: tuple[bool, ...] = ()

    def compose(self) -> ComposeResult:
        sized(self)
        if self.app.sandbox:
            yield SandboxBanner()
        yield Lines(id="header")
        yield StateBar(id="state-bar")
        with Container(id="body"):
            yield DeploymentTable(COLUMNS, id="table")
            yield Lines(id="empty")
            yield DetailPane(self._backend, id="detail")
        yield KeyBar()

    async def on_mount(self) -> None:
        self._keeper = self.app.keeper(VIEW)
        for lines in self.query(Lines):
            lines.ascii_only = self.app.ascii_only
        ascii_only = self.app.ascii_only
        self._table.ascii_only = self._bar.ascii_only = self._listing.ascii_only = ascii_only
        self.app.notices.changed.subscribe(self, self._store_changed)
        self.watch(self.app, "trouble", self._draw_lines, init=False)
        self.watch(self.app, "ready", self._ready, init=False)
        self.watch(self.app, "resting", self._rested, init=False)
        self.set_interval(TICK_SECONDS, self.tick)
        self.set_interval(FIGURES_SECONDS, self._want_figures)
        reading = asyncio.ensure_future(self._read())
        try:
            await asyncio.wait_for(asyncio.shield(reading), FIRST_READ_SECONDS)
        except TimeoutError:
            self.run_worker(reading, group="read", exit_on_error=False)

    # What the store says

    def _store_changed(self, changes: Changes) -> None:
        self._unread |= changes.deployments
        self._unread_health |= bool(changes.platforms)
        self._asking &= not changes.platforms
        if changes.requests:
            self._want_figures(changes.requests)
        if not self._reading and (self._unread or self._unread_health):
            start_work(self, self._read, group="read")

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
                    self._listing.health = await store.platforms.all()
                first, self._loaded = not self._loaded, True
                if first:
                    self.call_after_refresh(self._want_figures)
                self._listing.drop(ids - {deployment.id for deployment in found})
                self._take(found, first=first)
        finally:
            self._reading = False

    def _take(self, found: list[Deployment], *, first: bool) -> None:
        now = self._backend.clock.now()
        self.app.tell(self._watch.news(found, first=first))
        for health in self._listing.health.values():
            self.app.troubles.note_platform(health, now)
        self._listing.take(found)
        if self._marks.keep_only(self._listing.deployments.keys()) or first:
            self._table.mark(self._marks.keys)
        for deployment in found:
            self.app.troubles.note_deployment(deployment)
            self._detail.heard(deployment, now)
        self._draw(first=first)

    def _want_figures(self, ids: frozenset[str] | None = None) -> None:
        """Have figures read anew, of these or of all, when the rows are there; never two readings at once."""
        if ids is None:
            self._brief_wanted = None
        elif self._brief_wanted is not None:
            self._brief_wanted |= ids
        if self._loaded and not self._briefing:
            start_work(self, self._read_figures, group="figures")

    async def _read_figures(self) -> None:
        """Put the figures into the rows that they change."""
        self._briefing = True
        try:
            figures = await self._backend.with_figures()
            while self._brief_wanted is None or self._brief_wanted:
                wanted, self._brief_wanted = self._brief_wanted, set()
                every = self._listing.deployments.values()
                chosen = [deployment for deployment in every if wanted is None or deployment.id in wanted]
                self._listing.take_figures(await figures.briefs(chosen))
                self._draw()
        except StoreError:
            # The rows are still true; what can be written again is read again at the next turn.
            self._brief_wanted = None
        finally:
            self._briefing = False

    def _rested(self, before: bool, rests: bool) -> None:
        """Said where "live" stands; looked at again, it is as after a refresh by hand."""
        if rests:
            self._draw_state()
        elif before:
            self._say_asking()

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

    def _draw(self, *, first: bool = False) -> None:
        """All of it, after news, another filter or another order. What is equal is not repainted.

        The first time nobody waits for rows that lie far below the screen.
        """
        self._listing.arrange()
        below = self._listing.shown[FIRST_ROWS:] if first else []
        later = bool(below) and self._go_to not in below
        self._redraw_rows(always=True, most=FIRST_ROWS if later else None)
        if later:
            self.call_after_refresh(self._draw)
        if self._go_to in self._listing.shown and self._table.move_to(self._go_to or ""):
            self._go_to = None
        if first:
            # Where the cursor was left and is not: later it would jump there under somebody's finger.
            self._go_to = None
        self._draw_lines()
        self._greyed()

    def _redraw_rows(self, always: bool = False, most: int | None = None) -> None:
        rows = self._listing.rows(self._backend.clock.now(), always=always, most=most)
        if rows is not None:
            self._table.set_rows(rows)

    def _draw_lines(self) -> None:
        """Everything that is not the table."""
        if not self.is_mounted:
            return
        if self._empty_handed is not (not self._listing.deployments):
            self._empty_handed = not self._listing.deployments
            self.refresh_bindings()
        self.set_class(self._loaded and not self._listing.shown, "-empty")
        # What is hidden would keep the focus, and its keys in the footer.
        self._table.can_focus = bool(self._listing.shown)
        if self._listing.shown and self.focused is None:
            self._table.focus()
        elif not self._listing.shown and self.focused is self._table:
            self.set_focus(None)
        summary, looks_only = self._listing.summary(), self._backend.config.read_only
        self._header.show([header(summary, self._header.width, read_only=looks_only)])
        self._draw_state()
        if self._loaded and not self._listing.shown:
            sought = self._listing.sought if self._listing.deployments else None
            width = self.size.width - self._empty.gutter.width
            self._empty.show(nothing_matches(sought) if sought else self._platforms.nothing_yet(width))
        self._draw_detail()

    def _draw_state(self) -> None:
        width, listing = self._bar.width, self._listing
        troubles, old = self._platforms.troubles(
            listing.deployments.values(),
            listing.health,
            now=self._backend.clock.now(),
            own=self.app.trouble,
        )
        seen = any(deployment.observation for deployment in listing.deployments.values())
        listed = any(health.listed_at for health in listing.health.values())
        if self.app.sandbox and not self.app.ready:
            old.insert(0, "starting the sandbox")
        fresh = freshness(
            troubles,
            old,
            any_seen=seen or listed,
            asking=self._asking,
            resting=self.app.resting and not listing.moves,
            width=max(width - 14, 10),
        )
        title = next((c.title.lower() for c in COLUMNS if listing.sort and c.key == listing.sort[0]), "")
        self._bar.show(
            state(
                listing.sought,
                len(listing.shown),
                len(listing.deployments),
                title,
                fresh,
                width,
                typing=self._bar.typing,
                marked=self._marked_words(),
            )
        )

    def _marked_words(self) -> str:
        marked = self._listing.marked()
        return f"{len(marked)} marked · {per_hour(sums(marked))}" if marked else ""

    def _draw_detail(self) -> None:
        """The detail of the row under the cursor, once its history is there."""
        deployment = self.chosen
        health = self._listing.health.get(deployment.platform) if deployment else None
        seen = self._listing.seen(deployment, self._backend.clock.now()) if deployment else None
        self._detail.follow(deployment, seen, health.error if health else None)

    # What happens

    @on(Lines.Resized)
    def _measured(self) -> None:
        self._draw_lines()

    @on(LiveTable.Highlighted)
    def _another_row(self) -> None:
        self._detail.to_top()
        self._draw_detail()
        self._greyed()
        self._keep_view()

    @on(LiveTable.Chosen)
    def _row_chosen(self, event: LiveTable.Chosen) -> None:
        from peft_tui.ui.screens.deployment import DeploymentScreen

        if deployment := self._listing.deployments.get(event.key):
            self.app.push_screen(DeploymentScreen(self._backend, deployment), self.go_to)

    @on(StateBar.Sought)
    def _filter_typed(self, event: StateBar.Sought) -> None:
        self._seek(event.sought)

    @on(StateBar.Ended)
    def _filter_left(self) -> None:
        self.set_focus(self._table if self._table.can_focus else None)
        self._draw_state()

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While there is nothing, only what can bring something is offered."""
        if action == "filter" and self._bar.typing:
            return False
        if action == "try_sandbox":
            return not self._listing.deployments and not self.app.sandbox
        mine = f"action_{action}" in vars(DeploymentsScreen) or f"action_{action}" in vars(LifeScreen)
        return bool(self._listing.deployments) or not mine or action in _WITHOUT_ROWS

    def action_new(self) -> None:
        if refusal := self.refusal("new"):
            self._say(refusal)
        else:
            self.open_wizard()

    def open_wizard(self, adapter: str | None = None) -> None:
        """Ask for a new deployment; the cursor goes to it. In the sandbox as soon as that stands."""
        if self.app.sandbox and not self.app.ready:
            self._wizard_waits, self._adapter = True, adapter
            return
        from peft_tui.ui.screens.wizard import WizardScreen

        self.open(WizardScreen(self._backend, adapter=adapter))

    def open(self, screen: Screen[Any]) -> AwaitMount:
        """Show another screen; what it answers is where the cursor goes."""
        mounted = self.app.push_screen(screen, self._answered)
        self.mark_sandbox(screen)
        return mounted

    def action_credentials(self) -> None:
        from peft_tui.ui.screens.platforms import PlatformsScreen

        self.open(PlatformsScreen(self._backend))

    def action_try_sandbox(self) -> None:
        self.app.go_to_sandbox()

    def _answered(self, answer: object) -> None:
        """A deployment that was asked for, the id of one that is to be shown, or nothing."""
        self._draw_lines()
        if isinstance(answer, Deployment):
            self.go_to(answer.id)
        elif isinstance(answer, str):
            self.go_to(answer)

    def go_to(self, key: str | None) -> None:
        """Put the cursor on a deployment, as soon as it is there; a filter that hides it gives way."""
        if key is None:
            return
        self._go_to = key
        known = self._listing.deployments.get(key)
        if known is None or not self._listing.sought.admits(known):
            self._listing.sought = Filter()
        self._draw()

    def deployments(self) -> Iterator[Deployment]:
        """Every one, for the palette."""
        return iter(self._listing.deployments.values())

    def action_back(self) -> None:
        if len(self._marks):
            self._marks.clear()
            self._marked()
        elif self._listing.sought:
            self._seek(Filter())

    def action_filter(self) -> None:
        self._bar.begin(self._listing.sought)
        self._draw_state()

    def on_key(self, event: Key) -> None:
        """Keys that came in one go were given to the table all: after `/` they belong into the line."""
        if event.character == "/" and not self._bar.typing and self.check_action("filter", ()):
            self.action_filter()
            event.stop()
        elif self._bar.typing and event.is_printable and event.character:
            self._bar.insert(event.character)
            event.stop()

    def _seek(self, sought: Filter) -> None:
        if sought != self._listing.sought:
            self._listing.sought = sought
            self._draw()
            self._keep_view()

    def action_cycle_status(self) -> None:
        sought = self._listing.sought
        place = STATUS_CYCLE.index(sought.status) if sought.status in STATUS_CYCLE else 0
        self._seek(replace(sought, status=STATUS_CYCLE[(place + 1) % len(STATUS_CYCLE)]))

    def action_cycle_platform(self) -> None:
        cycle = ["", *sorted({deployment.platform for deployment in self._listing.deployments.values()})]
        place = cycle.index(self._listing.sought.platform) if self._listing.sought.platform in cycle else 0
        self._seek(replace(self._listing.sought, platform=cycle[(place + 1) % len(cycle)]))

    def action_sort(self, step: int = 1) -> None:
        """By the next column that is shown and can be compared; after the last one newest first."""
        cycle = [None, *(key for key in self._table.shown_columns if key in DOWNWARDS)]
        sort = self._listing.sort
        place = cycle.index(sort[0]) if sort and sort[0] in cycle else 0
        column = cycle[(place + step) % len(cycle)]
        self._sort_by((column, DOWNWARDS[column]) if column else None)

    def action_reverse(self) -> None:
        if sort := self._listing.sort:
            self._sort_by((sort[0], not sort[1]))

    @on(LiveTable.HeaderClicked)
    def _header_clicked(self, event: LiveTable.HeaderClicked) -> None:
        """By that column; clicked again the other way round, then newest first."""
        first = DOWNWARDS.get(event.column)
        if first is None:
            return
        turns: list[tuple[str, bool] | None] = [(event.column, first), (event.column, not first), None]
        place = turns.index(self._listing.sort) if self._listing.sort in turns[:2] else -1
        self._sort_by(turns[place + 1])

    def _sort_by(self, sort: tuple[str, bool] | None) -> None:
        self._listing.sort = self._table.sort = sort
        self._draw()
        self._keep_view()

    def action_columns(self) -> None:
        from peft_tui.ui.screens.columns import ColumnsScreen

        table = self._table
        screen = ColumnsScreen(COLUMNS, self._hidden, table.hide_columns, lambda: table.shown_columns)
        self.app.push_screen(screen, self._columns_chosen)

    def _columns_chosen(self, hidden: frozenset[str] | None) -> None:
        if hidden is not None:
            self._hidden = hidden
            self._keep_view()
        self._table.hide_columns(self._hidden)

    def action_export(self) -> None:
        from peft_tui.ui.screens.exporting import CSV, JSON, ExportScreen

        forms = ((CSV, "a row a deployment, for a spreadsheet"), (JSON, "as list --json has it"))
        self.app.push_screen(ExportScreen(forms), self._export)

    def _export(self, kind: str | None) -> None:
        from peft_tui.ui.screens.exporting import write

        if kind is not None:
            text, now = self._listing.document(kind), self._backend.clock.now()
            start_work(self, partial(write, self.app, "deployments", kind, text, now), group="export")

    def action_refresh(self) -> None:
        """Said in one word where "live" stands: a toast a press would lie over the list."""
        self._backend.refresh_now()
        self._say_asking()

    def _say_asking(self) -> None:
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
            self._marks.extend(key, self._listing.shown)
            self._marked()

    def action_mark_all(self) -> None:
        self._marks.toggle_all(self._listing.shown)
        self._marked()

    def action_overview(self) -> None:
        from peft_tui.ui.screens.metrics import OverviewScreen

        self.app.push_screen(OverviewScreen(self._backend))

    def _marked(self) -> None:
        self._table.mark(self._marks.keys)
        self._draw()
        self._greyed()
        self._keep_view()

    # What verbs apply to

    def targets(self) -> list[Deployment]:
        keys = self._marks.keys or ((self._table.cursor_key or ""),)
        return [self._listing.deployments[key] for key in keys if key in self._listing.deployments]

    @property
    def chosen(self) -> Deployment | None:
        return self._listing.deployments.get(self._table.cursor_key or "")

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
        listing = self._listing
        view = View(listing.sought, listing.sort, self._table.cursor_key, listing.marks.keys, self._hidden)
        if self._loaded:
            self._keeper.keep(view.as_dict(self._backend.clock.now()))

    async def _restore_view(self) -> None:
        """Before the first rows are shown."""
        kept = View.from_dict(await self._keeper.read(), self._backend.clock.now())
        self._listing.sought, self._go_to = kept.sought, kept.cursor
        self._listing.sort = self._table.sort = kept.sort
        self._hidden = kept.hidden
        self._table.hide_columns(kept.hidden)
        self._listing.marks.restore(kept.marks)

    # Children

    @property
    def _marks(self) -> Marks:
        return self._listing.marks

    @property
    def _table(self) -> LiveTable:
        return self.query_one("#table", LiveTable)

    @property
    def _header(self) -> Lines:
        return self.query_one("#header", Lines)

    @property
    def _bar(self) -> StateBar:
        return self.query_one("#state-bar", StateBar)

    @property
    def _detail(self) -> DetailPane:
        return self.query_one("#detail", DetailPane)

    @property
    def _empty(self) -> Lines:
        return self.query_one("#empty", Lines)
