"""The application: opens the store, shows the first screen, then starts the workers. Wiring only."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.driver import Driver
from textual.events import DescendantFocus
from textual.filter import LineFilter
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from peft_tui.backend import Backend
from peft_tui.config import Config, Settings
from peft_tui.domain.errors import ConfigurationInvalid, PeftTuiError
from peft_tui.paths import data_dir
from peft_tui.redaction import redact
from peft_tui.store import Damage, Mended, StoreError
from peft_tui.text import clean, clean_line
from peft_tui.ui import clipboard
from peft_tui.ui.application import Application
from peft_tui.ui.attention import notice
from peft_tui.ui.keymap import named
from peft_tui.ui.keymap import problems as keymap_problems
from peft_tui.ui.last_line import LastLine
from peft_tui.ui.notices import Notices
from peft_tui.ui.screens.deployments import DeploymentsScreen
from peft_tui.ui.session import REST_SECONDS, ViewKeeper
from peft_tui.ui.theme import (
    ANSI,
    DARK,
    LIGHT,
    THEMES,
    ascii_only,
    choose_theme,
    is_theme,
    offered,
    without_colour,
)
from peft_tui.ui.troubles import Troubles
from peft_tui.ui.widgets.lines import Line, Lines, wrapped
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.widgets.palette import PALETTE_CSS, AppCommands
from peft_tui.ui.work import start_work

if TYPE_CHECKING:
    from peft_tui.ui.terminal import Background

log = logging.getLogger(__name__)
FIRST_FRAME_SECONDS = 0.25
"""How long the first frame waits for the store."""
LAST_LINE = LastLine()
LAST_WORDS_SECONDS = 0.5
TO_SANDBOX = -1
"""The application was left in order to begin again in the sandbox."""
OTHERS_SECONDS = 1.0
"""How often it is looked whether another process wrote."""


class PeftTui(Application):
    """`open_backend` is awaited once; the application closes what it gives."""

    TITLE = "peft-tui"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS = {AppCommands}
    CSS = "#opening { height: 1fr; padding: 1 2; }" + PALETTE_CSS

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit", tooltip="What is under way goes on next time."),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True, tooltip="Leave.", id="app.leave"),
        Binding("at", "requests", "Requests", show=False, tooltip="What was asked of the platforms."),
        Binding(
            "ctrl+p",
            "command_palette",
            "Palette",
            show=False,
            priority=True,
            tooltip="Everything by its name.",
        ),
        Binding("colon", "command_palette", "Palette", show=False, id="app.palette_too"),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, tooltip="To the shell; fg comes back."),
    ]
    BINDINGS = named("app", BINDINGS)

    def __init__(
        self,
        open_backend: Callable[[], Awaitable[Backend]],
        *,
        sandbox: bool = False,
        adapter: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        # Without this Textual would turn our colours into greys instead of sending none.
        super().__init__(ansi_color=True if without_colour(os.environ) else None)
        self.sandbox = sandbox
        self.settings = settings or Settings()
        config = self.settings.config
        always = {"always": True, "never": False}
        self.ascii_only = always.get(config.ascii, ascii_only(os.environ))
        self.wants_sandbox = False
        """Left in order to begin again in the sandbox."""
        self.damage: Damage | None = None
        """Left because of it, in order to begin again on a store that is mended."""
        self.last_words: list[str] = []
        """For below the terminal, once it is restored."""
        self.troubles = Troubles()
        self._open_backend = open_backend
        self._adapter = adapter
        self._opening: asyncio.Future[Backend] | None = None
        self._backend: Backend | None = None
        self._noticing = False
        self._away_since: float | None = None
        """On the backend's clock; None while somebody looks, and where the terminal does not tell."""
        self._keepers: dict[str, ViewKeeper] = {}
        self._open_places: ViewKeeper
        self._home: DeploymentsScreen | None = None
        self._prepared = asyncio.Event()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = choose_theme(os.environ, "" if config.theme == "auto" else config.theme)
        self._theme_is_free = config.theme == "auto" and self.theme != ANSI
        """Neither the settings nor the terminal say which: what was chosen the last time holds, else what
        goes with the terminal's background."""
        self._chosen_theme = ""
        if config.keymap:
            self.set_keymap(config.keymap)

    def on_load(self) -> None:
        # The store opens while Textual is still setting itself up.
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> Backend:
        """The store, and which colours were chosen the last time."""
        backend = await self._open_backend()
        if self._theme_is_free:
            with suppress(StoreError):
                self._chosen_theme = str((await backend.store.views.get("appearance")).get("theme", ""))
        return backend

    async def on_mount(self) -> None:
        self._take_signals()
        # Textual takes the terminal again and leaves it empty.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        assert self._opening is not None
        await asyncio.wait({self._opening}, timeout=FIRST_FRAME_SECONDS)
        if self._opening.done():
            self._opened()
        else:
            self._say([(Cell("Opening the store …", "dim"),)])
            self._opening.add_done_callback(lambda _: self.call_later(self._opened))

    def _opened(self) -> None:
        """The store is there, or cannot be had."""
        assert self._opening is not None
        try:
            backend = self._opening.result()
        except PeftTuiError as error:
            hint = wrapped(clean_line(error.hint, 400), max(self.size.width - 6, 20))
            self._say(
                [
                    *wrapped(clean_line(error.message, 400), max(self.size.width - 6, 20), "bad"),
                    *hint,
                    (),
                    (Cell("q", "accent"), Cell("  quits", "dim")),
                ]
            )
            return
        self._backend = backend
        backend.store.database.when_damaged = self._begin_again
        self.notices = Notices(self, backend.store.database)
        home = DeploymentsScreen(backend)
        self._open_places = self.keeper("places")
        if is_theme(self._chosen_theme):
            self.theme = self._chosen_theme
        self.push_screen(home)
        self.set_interval(OTHERS_SECONDS, self._look_for_others)
        self.set_interval(OTHERS_SECONDS, self.rest_if_away)
        self.call_after_refresh(self._begin, home, backend)

    def _begin(self, home: DeploymentsScreen, backend: Backend) -> None:
        """After the first frame: the network, the wizard where it was asked for, what is wrong."""
        if not gc.isenabled():
            # What the program consists of is not looked through again.
            gc.freeze()
            gc.enable()
        self._say_what_is_wrong()
        if backend.trouble is not None:
            self.notify(
                clean_line(
                    f"{backend.trouble.message} What is shown is what the platforms say; it can be stopped,"
                    " and nothing is remembered.",
                    400,
                ),
                title="Without the store",
                severity="error",
                timeout=3600,
                markup=False,
            )
        if (mended := backend.store.mended) is not None:
            self._say_mended(mended)
        start_work(self, partial(self._start, backend), group="start")
        if self._adapter is not None:
            home.open_wizard(self._adapter)
            self._watch_places(home)
        else:
            start_work(self, partial(self._reopen, home, backend), group="places")

    async def _start(self, backend: Backend) -> None:
        try:
            try:
                await backend.prepare()
            finally:
                self._prepared.set()
            self.ready = True
            await backend.start()
            await backend.keep()
        except PeftTuiError as error:
            self.ready = True
            self.trouble = "✖ nothing is refreshed"
            words = f"{error.message} {error.hint}".strip()
            self.notify(clean_line(words, 400), severity="error", timeout=10, markup=False)

    def _say_what_is_wrong(self) -> None:
        """What was not taken of the settings, once and in one toast."""
        wrong = [*(str(problem) for problem in self.settings.problems), *unfit(self.settings.config)]
        if wrong:
            sentences = [*(clean_line(sentence, 200) for sentence in wrong[:5]), "peft-tui config says more"]
            self.notify(
                clean("\n".join(sentences)), title="Settings", severity="warning", timeout=12, markup=False
            )

    def _say(self, lines: list[Line]) -> None:
        home = self.screen
        opening = next(iter(home.query(Lines)), None) or Lines(id="opening")
        opening.ascii_only = self.ascii_only
        opening.show(lines)
        if not opening.is_attached:
            home.mount(opening)

    def _say_mended(self, mended: Mended) -> None:
        self.notify(
            clean_line(f"{mended.message} {mended.hint}", 600),
            title="The store was damaged",
            severity="error",
            timeout=3600,
            markup=False,
        )
        told = ConfigurationInvalid(mended.message, hint=mended.hint)
        self.troubles.note("peft-tui", "store damaged", told, datetime.now(UTC))

    def _begin_again(self, damage: Damage) -> None:
        """Whoever reads or writes is told; all is closed and opened anew on what is then there: see `run`."""
        self.damage = damage
        self.exit()

    def go_to_sandbox(self) -> None:
        """Leave, and begin again in the sandbox: see `run`."""
        self.wants_sandbox = True
        self.exit()

    # How it was left

    def keeper(self, name: str) -> ViewKeeper:
        """What writes something down in the store; it ends with the application."""
        assert self._backend is not None
        return self._keepers.setdefault(name, ViewKeeper(self._backend.store.views, name))

    async def _reopen(self, home: DeploymentsScreen, backend: Backend) -> None:
        """The screens that stood open above the list, unless a key was quicker."""
        kept = (await self._open_places.read()).get("open")
        places = [place for place in kept if isinstance(place, dict)] if isinstance(kept, list) else []
        try:
            if any(place.get("screen") == "wizard" for place in places):
                # In the sandbox there are no credentials before it stands.
                await self._prepared.wait()
            if places:
                # A screen that crashes while it opens must not do so at every start.
                await self._open_places.write({"open": []})
            top: Screen[Any] = home
            for place in places:
                from peft_tui.ui.reopening import screen_at

                above = await screen_at(place, backend)
                if above is None or self.screen is not top:
                    break
                await home.open(above)
                top = above
        finally:
            self._watch_places(home)
        if places or self.screen is not home:
            self._keep_places()

    def _watch_places(self, home: DeploymentsScreen) -> None:
        self._home = home
        # At once: a wizard that was left for a deployment must not be there again after a kill.
        self.screen_change_signal.subscribe(self, lambda _: self._keep_places(after=0.0))

    def on_place_changed(self) -> None:
        self._keep_places()

    def _keep_places(self, after: float = REST_SECONDS) -> None:
        if self._home is not None and self._home in self.screen_stack and self._exception is None:
            from peft_tui.ui.places import places_of

            above = self.screen_stack[self.screen_stack.index(self._home) + 1 :]
            self._open_places.keep({"open": places_of(above)}, after)

    # Other processes on the same store

    def _look_for_others(self) -> None:
        if self._backend is not None and not self._noticing:
            start_work(self, partial(self._notice_others, self._backend), group="others")

    async def _notice_others(self, backend: Backend) -> None:
        self._noticing = True
        try:
            await backend.store.database.notice_others()
            await backend.credentials.notice_others()
        finally:
            self._noticing = False

    # Where text leaves

    def copy_to_clipboard(self, text: str) -> None:
        """What Textual's own widgets call: it is seen that they have cut or copied."""
        self.copy(text)

    def copy(self, text: str, what: str = "") -> None:
        """Without secrets: whatever is copied lands in a window that others look at."""
        self._clipboard = redact(text)
        start_work(self, partial(self._copy, self._clipboard, what), group="clipboard")

    async def _copy(self, text: str, what: str) -> None:
        in_tmux = await clipboard.to_tmux(text, os.environ)
        if not in_tmux and self._driver is not None:
            self._driver.write(clipboard.sequence(text, os.environ))
        if what:
            self.notify(clean(clipboard.words(what, text, in_tmux=in_tmux)), timeout=5, markup=False)

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        from peft_tui.ui.picture import without_secrets

        return without_secrets(super().export_screenshot(title=title, simplify=simplify))

    def _handle_exception(self, error: Exception) -> None:
        if self._exit and isinstance(error, NoMatches):
            # A screen that was being opened when the application was left has no children to be found.
            log.info("a screen was not opened any more: %s", error)
            return
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Textual would print the traceback with the values of all variables, keys among them."""
        from rich.text import Text

        from peft_tui.crash import last_words, write_report

        error = self._exception or RuntimeError("unknown")
        if self.damage is not None:
            # A screen could not read any more; it begins anew on what is mended.
            self._close_messages_no_wait()
            return
        try:
            directory = data_dir() / "sandbox" if self.sandbox else data_dir()
            report: Path | None = write_report(directory, error, datetime.now(UTC))
        except (OSError, PeftTuiError):
            report = None
        self._exit_renderables.append(Text(last_words(error, report)))
        self._close_messages_no_wait()

    # Somebody who looks elsewhere

    def tell(self, sentences: Sequence[str]) -> None:
        """Bell and desktop notice, unless the person looks at this terminal or wants none."""
        if not sentences or self.app_focus or not self.settings.config.notifications:
            return
        more = f", and {len(sentences) - 1} more" if len(sentences) > 1 else ""
        if self._driver is not None:
            self._driver.write(notice(redact(sentences[0] + more), os.environ))
            self._driver.flush()

    def watch_app_focus(self, focus: bool) -> None:
        """Looked at again, everything is asked for at once."""
        if self._backend is None:
            return
        self._away_since = None if focus else self._backend.clock.monotonic()
        if focus and self.resting:
            self._backend.rest(False)
            self.resting = False

    def rest_if_away(self) -> None:
        """After a while without the focus."""
        if self._backend is None or self._away_since is None or self.resting:
            return
        passed = self._backend.clock.monotonic() - self._away_since
        if 0 < self.settings.config.rest_minutes * 60 <= passed:
            self._backend.rest(True)
            self.resting = True

    @property
    def wants_background(self) -> bool:
        """Whether the terminal is to be asked for its colour."""
        return self._theme_is_free and "PEFT_TUI_THEME" not in os.environ

    def on_terminal_background(self, event: Background) -> None:
        """A theme that goes with it, unless one was chosen."""
        if self.wants_background and not is_theme(self._chosen_theme):
            self.theme = LIGHT if event.light else DARK

    # Palette, errors, the end

    @property
    def _background_screens(self) -> list[Screen[Any]]:
        """What shows through the current screen.

        Textual counts the one below an opaque screen in: whatever changed there would have all of the upper
        one written anew, twice, at each tick.
        """
        return [] if self._screen_stack[-1].styles.background.a == 1 else super()._background_screens

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, and ours behind them."""
        return [*super().get_line_filters(), LAST_LINE]

    def get_driver_class(self) -> type[Driver]:
        """Textual's, which a lost line would block; any other that was asked for stays."""
        chosen = super().get_driver_class()
        if chosen.__name__ != "LinuxDriver":
            return chosen
        from peft_tui.ui.terminal import SteadyDriver

        return SteadyDriver

    def everywhere(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        """What the palette offers on every screen."""
        yield "Theme", "Change the colours, with a look at each", self.action_change_theme
        yield "Log", "What no other screen shows, without secrets", self.show_log
        yield "Requests", "What was asked of the platforms", self.action_requests
        yield "Save a picture", "The screen as SVG", self.deliver_screenshot
        if self._backend is not None:
            from peft_tui.ui.everywhere import commands

            yield from commands(self, self._backend, self.settings, self.action_change_theme)

    def action_change_theme(self) -> None:
        """What is chosen stays, unless the settings name a theme: then for this session."""
        from peft_tui.ui.screens.themes import ThemesScreen

        def chosen(name: str | None) -> None:
            if name is not None and self._backend is not None and self._theme_is_free:
                self._chosen_theme = name
                self.keeper("appearance").keep({"theme": name})
            elif name is not None:
                self.notify(
                    "For this session: config.toml or the terminal says otherwise.", timeout=5, markup=False
                )

        self.push_screen(ThemesScreen(offered(self.available_themes)), chosen)

    def action_requests(self) -> None:
        from peft_tui.ui.screens.requests import RequestsScreen

        if self._backend is not None and not isinstance(self.screen, RequestsScreen):
            self.push_screen(RequestsScreen(self._backend))

    def show_overview(self) -> None:
        from peft_tui.ui.screens.metrics import OverviewScreen

        if any(isinstance(screen, OverviewScreen) for screen in self.screen_stack):
            self.pop_screen()
        elif self._backend is not None:
            self.push_screen(OverviewScreen(self._backend))

    def show_log(self) -> None:
        from peft_tui.logs import FILE
        from peft_tui.ui.screens.log import LogScreen

        directory = data_dir() / "sandbox" if self.sandbox else data_dir()
        self.push_screen(LogScreen(directory / FILE))

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Nothing blinks: a blinking cursor writes two kilobytes a second for nobody."""
        if hasattr(event.widget, "cursor_blink"):
            event.widget.cursor_blink = False

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A worker that failed is said so; the application goes on."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            words = f"{type(error).__name__}: {error}" if error is not None else "unknown"
            self.notify(
                f"Internal error: {clean_line(words, 300)}", severity="error", timeout=10, markup=False
            )
            told = PeftTuiError(
                clean_line(words, 300),
                hint="Please report it, with the log: peft-tui doctor says where it is.",
            )
            self.troubles.note("peft-tui", "internal error", told, datetime.now(UTC))

    def _take_signals(self) -> None:
        """Restore the terminal before ending: by itself Textual leaves it as it is."""
        if self.is_headless:
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            loop.add_signal_handler(number, self._end, 128 + number)

    def _end(self, status: int) -> None:
        self.exit(return_code=status)

    async def on_unmount(self) -> None:
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
        if self._backend is not None:
            self.notices.close()
            self.last_words = await self._parting_words(self._backend)
            if self._exception is not None:
                # What was opened just before a crash may be what crashed.
                self._open_places.drop()
            for keeper in self._keepers.values():
                await keeper.close()
            await self._backend.close()

    async def _parting_words(self, backend: Backend) -> list[str]:
        """What goes on without us. A store that does not answer at once keeps nobody from leaving."""
        from peft_tui.services.parting import parting_words

        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                everything = await backend.store.deployments.all()
        except (TimeoutError, StoreError):
            return []
        return parting_words(everything, backend.clock.now(), sandbox=self.sandbox)


def key_names() -> dict[str, str]:
    """What a keymap can name, with the default keys."""
    from peft_tui.ui.keymap import all_names

    return all_names()


def unfit(config: Config) -> list[str]:
    """What the settings ask of the screens and cannot have, a sentence each."""
    wrong = []
    if config.theme != "auto" and not is_theme(config.theme):
        wrong.append(f"theme: there is none called “{config.theme}”")
    return wrong + keymap_problems(config.keymap)


def run(
    open_backend: Callable[[], Awaitable[Backend]],
    *,
    sandbox: bool = False,
    adapter: str | None = None,
    settings: Settings | None = None,
    on_damage: Callable[[Damage], None] | None = None,
) -> int:
    """Run the application until it is left; the exit status, or `TO_SANDBOX`.

    Args:
        on_damage: told where it was left because its store is damaged.
    """
    app = PeftTui(open_backend, sandbox=sandbox, adapter=adapter, settings=settings)
    try:
        # While the mouse is reported, GNU screen keeps a lone escape back until the next key.
        app.run(mouse=app.settings.config.mouse and "STY" not in os.environ)
    finally:
        gc.enable()
    if app.damage is not None and on_damage is not None:
        on_damage(app.damage)
    # Ended by a signal, the terminal may be gone or read by nobody: what is written there would not return.
    if not app.wants_sandbox and app.damage is None and (app.return_code or 0) < 128:
        _say_farewell(app.last_words)
    return TO_SANDBOX if app.wants_sandbox else app.return_code or 0


def _say_farewell(words: Sequence[str]) -> None:
    """Below the restored terminal, if there still is one."""
    import shutil
    import textwrap

    with suppress(OSError):
        for sentence in words:
            said = redact(clean_line(sentence, 400))
            print(textwrap.fill(said, max(shutil.get_terminal_size().columns, 20)), flush=True)
