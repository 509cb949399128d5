"""Ask a deployment and watch the answer come.

opened → Prompts.target in a worker → which models, what sending does now
ctrl+s → Prompts.ask in a worker of its own → pieces are collected → appended ten times a second
ended → recorded → the store's notice → the history
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Input

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.inference import (
    InferenceTarget,
    PromptRequest,
    Role,
    ServedModel,
    StreamEvent,
    TextPiece,
    Waiting,
    Wake,
)
from peft_tui.domain.measure import Outcome
from peft_tui.domain.request import Exchange
from peft_tui.domain.status import GLYPHS
from peft_tui.drivers import capabilities
from peft_tui.redaction import redact
from peft_tui.services.comparing import Verdict, compare
from peft_tui.services.prompts import Question
from peft_tui.services.snippets import Snippet, snippets
from peft_tui.services.wording import figures, packed
from peft_tui.store import Changes
from peft_tui.text import Cleaner, clean_line
from peft_tui.ui.keymap import named
from peft_tui.ui.places import Place
from peft_tui.ui.screens.console.flowing import Flowing
from peft_tui.ui.screens.console.history import COLUMNS, SHOWN, HistoryTable, history_row
from peft_tui.ui.screens.console.pages import TABS, json_lines, snippet_lines, tab_line, timing_lines
from peft_tui.ui.screens.console.parameters import Parameters, Small
from peft_tui.ui.screens.console.prompt_box import PromptBox
from peft_tui.ui.screens.console.side_by_side import Side, SideBySideScreen
from peft_tui.ui.screens.wizard.blocks import Block
from peft_tui.ui.widgets.banner import SandboxBanner
from peft_tui.ui.widgets.keys import KeyBar, show_help
from peft_tui.ui.widgets.lines import Line, clipped, spread, wrapped
from peft_tui.ui.widgets.live_table import Cell, LiveTable

if TYPE_CHECKING:
    from peft_tui.app import PeftTui

APPEND_SECONDS = 0.1
"""A streaming answer is appended this often at most."""
LAST = 10
FOUND = 200
"""How many a search shows."""
STANDARD = ("Who are you?", "Explain in two sentences what you were trained for.", "Say hello.")
"""Asked of base and adapter besides the prompt at hand."""
COPY_LIMIT = 70_000
"""Longer texts are refused by many terminals without a word."""


class ConsoleScreen(Screen[None]):
    """One deployment's console."""

    CSS_PATH = "console.tcss"
    AUTO_FOCUS = "PromptBox"
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (16, "-short"), (24, "-normal"), (36, "-tall")]
    app: PeftTui

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "send", "Send", priority=True, tooltip="Ask it: this may cost."),
        Binding("escape", "cancel", "Cancel", tooltip="Close the connection; what came stays."),
        Binding("escape", "back", "Back", tooltip="To the deployments."),
        Binding("ctrl+t", "turn_page", "Page", priority=True, tooltip="Text, JSON, timings, snippets."),
        Binding(
            "ctrl+y", "copy", "Copy", priority=True, tooltip="What is shown, to the terminal's clipboard."
        ),
        Binding("ctrl+g", "compare", "Is it applied?", priority=True, tooltip="Base and adapter, greedily."),
        Binding("ctrl+l", "load", "Load run", priority=True, tooltip="Many requests; the price first."),
        Binding("tab", "app.focus_next", "Next field", show=False, id="console.next_field"),
        Binding("y", "copy", "Copy", tooltip="What is shown, to the terminal's clipboard."),
        Binding("ctrl+y", "copy", "Copy", priority=True, show=False),
        Binding("slash", "search", "Search", tooltip="Older ones, by words in them."),
        Binding("r", "again", "Run again", tooltip="Put it back into the fields and send it."),
        Binding("space", "mark", "Mark", tooltip="Two marked ones are shown side by side."),
        Binding("d", "forget", "Delete", tooltip="Its texts, for good; its figures stay counted."),
        Binding("y", "confirm", "Yes", tooltip="Delete it."),
        Binding("left,h", "turn_snippet(-1)", "Previous", show=False),
        Binding("right,l", "turn_snippet(1)", "Next snippet", tooltip="Another language."),
        Binding("f1,question_mark", "help", "Help", tooltip="Every key of this place."),
    ]
    BINDINGS = named("console", BINDINGS)

    def __init__(self, backend: Backend, deployment: Deployment) -> None:
        super().__init__()
        self._backend = backend
        self._deployment = deployment
        self._target: InferenceTarget | None = None
        self._trouble: PeftTuiError | None = None
        self._exchange: Exchange | None = None
        self._asking = ""
        """What is under way, in a word; empty while nothing is."""
        self._began = 0.0
        self._note = ""
        self._note_tone = "dim"
        self._pending: list[str] = []
        self._cleaner = Cleaner()
        self._snippets: tuple[Snippet, ...] = ()
        self._snippet = 0
        self._history: dict[int, Exchange] = {}
        self._marked: list[int] = []
        self._doomed: int | None = None
        self._sought = ""
        self._page = TABS[0]
        self._reading = False
        self._unread = True

    def compose(self) -> ComposeResult:
        if self.app.sandbox:
            yield SandboxBanner()
        yield Block(self._title, id="title")
        yield PromptBox()
        yield Parameters()
        yield Block(self._notice, id="notice")
        yield Block(lambda width: [clipped(tab_line(self._page), width)], id="tabs")
        yield Flowing(id="answer")
        yield Block(self._page_lines, id="page")
        yield Block(self._status, id="status")
        with Horizontal(id="history-head"):
            yield Block(self._history_title, id="history-title")
            yield Small("", 20, id="search", placeholder="words in prompt or answer")
        yield HistoryTable(COLUMNS)
        yield KeyBar()

    def place(self) -> Place:
        return {"screen": "console", "deployment": self._deployment.id}

    def on_mount(self) -> None:
        ascii_only = self.app.ascii_only
        self._answer.ascii_only = self._table.ascii_only = ascii_only
        self.query_one("#page", Block).can_focus = True
        self._flushing = self.set_interval(APPEND_SECONDS, self._flush, pause=True)
        self.app.notices.changed.subscribe(self, self._store_changed)
        self._ask_how()
        self._read_history()

    # Whom

    def _ask_how(self) -> None:
        self.run_worker(self._find_target(), group="target", exclusive=True, exit_on_error=False)

    async def _find_target(self) -> None:
        before = self._target
        try:
            self._target, self._trouble = await self._backend.prompts.target(self._deployment), None
        except PeftTuiError as error:
            self._target, self._trouble = None, error
        if not self.is_attached:
            return
        if self._target is not None and (before is None or before.models != self._target.models):
            await self.query_one(Parameters).show_models(self._target)
        self._redraw()

    def _store_changed(self, changes: Changes) -> None:
        if self._deployment.id in changes.deployments:
            self.run_worker(self._read_deployment(), group="deployment", exclusive=True, exit_on_error=False)
        if self._deployment.id in changes.requests:
            self._read_history()

    async def _read_deployment(self) -> None:
        found = await self._backend.store.deployments.some([self._deployment.id])
        if found:
            before, self._deployment = self._deployment, found[0]
            news = before.observation is None or (
                found[0].observation is not None
                and not before.observation.says_the_same_as(found[0].observation)
            )
            if news or self._target is None:
                self._ask_how()
            self.query_one("#title", Block).redraw()

    # Asking

    def action_send(self) -> None:
        """Ask, after the field at hand has taken what was typed before: keys may come in one go."""
        (self.focused or self).call_later(self._send)

    def _send(self) -> None:
        request = self.query_one(Parameters).request(self._prompt.text)
        if request is None or self._asking:
            return
        if not request.prompt.strip():
            self._say("Write a prompt first.", "warn")
            self._prompt.focus()
        elif self._target is None:
            self._say(self._trouble.message if self._trouble else "Not known yet how it is asked.", "bad")
            self._ask_how()
        elif self._target.wake is Wake.REFUSED:
            self._say(f"Not sent. {self._target.wake_words}", "bad")
        else:
            self._start("waiting")
            model = self.query_one(Parameters).model(self._target)
            question = Question(self._deployment, self._target, model, request)
            self.run_worker(self._ask(question), group="ask", exit_on_error=False)

    def _start(self, word: str) -> None:
        self._asking, self._began = word, self._backend.clock.monotonic()
        self._pending, self._cleaner, self._exchange = [], Cleaner(), None
        self._answer.clear()
        self._turn_to("text")
        self._say("")
        self._flushing.resume()
        self.refresh_bindings()

    async def _ask(self, question: Question) -> None:
        exchange: Exchange | None = None
        try:
            exchange = await self._backend.prompts.ask(question, self._heard)
        finally:
            self._ended(exchange)

    def _heard(self, event: StreamEvent) -> None:
        """Called for each piece: nothing is drawn here."""
        if isinstance(event, TextPiece):
            self._asking = "thinking" if event.thought else "answering"
            if not event.thought:
                self._pending.append(event.text)
        elif isinstance(event, Waiting):
            self._asking = clean_line(event.words, 80)

    def _ended(self, exchange: Exchange | None) -> None:
        self._asking = ""
        if not self.is_attached:
            return
        self._flush()
        self._answer.append(self._cleaner.finish())
        self._flushing.pause()
        if exchange is None:
            self._say("Cancelled: the connection is closed. What came until then may be billed.", "warn")
        else:
            self._exchange = exchange
            if exchange.error is not None:
                words = f"✖ {exchange.error_message} {exchange.error.get('hint', '')}".strip()
                self._say(clean_line(words, 400), "bad")
        self._redraw()
        self.refresh_bindings()

    def _flush(self) -> None:
        if self._pending:
            text, self._pending = "".join(self._pending), []
            self._answer.append(self._cleaner.feed(text))
        self.query_one("#status", Block).redraw()

    def action_cancel(self) -> None:
        self.workers.cancel_group(self, "ask")

    def action_back(self) -> None:
        """Step by step: the question, the search, then the screen."""
        if self._doomed is not None:
            self._doomed = None
            self._say("")
        elif self.has_class("-searching"):
            self._stop_search()
        else:
            self.dismiss(None)
        self.refresh_bindings()

    # Base and adapter

    def action_compare(self) -> None:
        """Is the adapter really applied? The same prompts to both, greedily."""
        target = self._target
        if target is None or self._asking:
            return
        if target.role(Role.BASE) is None or target.role(Role.ADAPTER) is None:
            self._say("Only one of adapter and base is served here: they cannot be compared.", "warn")
            return
        if target.wake is Wake.REFUSED:
            self._say(f"Not sent. {target.wake_words}", "bad")
            return
        request = self.query_one(Parameters).request(self._prompt.text)
        if request is None:
            return
        own = (request.prompt,) if request.prompt.strip() else ()
        asked = [replace(request, prompt=prompt) for prompt in dict.fromkeys((*own, *STANDARD))][:3]
        self._start("comparing")
        self.run_worker(self._compare(target, asked), group="ask", exit_on_error=False)

    async def _compare(self, target: InferenceTarget, asked: list[PromptRequest]) -> None:
        verdict: Verdict | None = None
        try:
            verdict = await compare(
                self._backend.prompts, self._deployment, target, asked, uuid.uuid4().hex, self._compared
            )
        finally:
            self._asking = ""
            if self.is_attached:
                self._flushing.pause()
                self._redraw()
                self.refresh_bindings()
        tone = {True: "good", False: "bad", None: "warn"}[verdict.applied]
        self._say(verdict.words, tone)
        pairs = [(p.prompt, _side(p.base, "base"), _side(p.adapter, "adapter")) for p in verdict.pairs]
        await self.app.push_screen(SideBySideScreen(verdict.words, tone, pairs))

    def _compared(self, model: ServedModel, event: StreamEvent) -> None:
        self._asking = f"comparing: the {model.role} answers"

    # Load run

    def action_load(self) -> None:
        from peft_tui.ui.screens.console.load_screen import LoadScreen

        request = self.query_one(Parameters).request(self._prompt.text)
        if self._target is None or request is None or self._asking:
            return
        known = sorted(
            e.measured.total_s
            for e in self._history.values()
            if e.outcome is Outcome.OK and e.measured.total_s is not None
        )
        self.app.push_screen(
            LoadScreen(
                self._backend,
                self._deployment,
                self._target,
                self.query_one(Parameters).model(self._target),
                request,
                known[len(known) // 2] if known else None,
            )
        )

    # History

    def _read_history(self) -> None:
        self._unread = True
        if not self._reading:
            self.run_worker(self._read(), group="history", exit_on_error=False)

    async def _read(self) -> None:
        self._reading = True
        try:
            while self._unread:
                self._unread = False
                found = await self._backend.store.requests.history(
                    self._deployment.id, FOUND if self._sought else LAST, self._sought, SHOWN
                )
                self._history = {exchange.id: exchange for exchange in found}
                self._marked = [key for key in self._marked if key in self._history]
        finally:
            self._reading = False
        if self.is_attached:
            self._show_history()

    def _show_history(self) -> None:
        self._table.set_rows([history_row(e, e.id in self._marked) for e in self._history.values()])
        self._table.can_focus = bool(self._history)
        self.query_one("#history-title", Block).redraw()
        self.refresh_bindings()

    @property
    def _under_cursor(self) -> Exchange | None:
        key = self._table.cursor_key
        return self._history.get(int(key)) if key else None

    @on(LiveTable.Chosen)
    def _chosen(self) -> None:
        """Show an earlier one as it was."""
        exchange = self._under_cursor
        if exchange is None or self._asking:
            return
        self._exchange = exchange
        self._answer.clear()
        self._answer.append(exchange.texts.response if exchange.texts else "")
        self._say(exchange.error_message if exchange.error else "", "bad")
        self._redraw()

    def action_again(self) -> None:
        """The same once more, with the model that was asked then."""
        exchange = self._under_cursor
        if exchange is None or self._asking:
            return
        if exchange.texts is None:
            self._say("Its text was not kept, so it cannot be sent again.", "warn")
            return
        self._prompt.put(exchange.request.prompt)
        parameters = self.query_one(Parameters)
        parameters.put(exchange.request)
        if self._target is not None:
            parameters.choose(self._target, exchange.model)
        self.action_send()

    def action_mark(self) -> None:
        exchange = self._under_cursor
        if exchange is None:
            return
        if exchange.id in self._marked:
            self._marked.remove(exchange.id)
        else:
            self._marked = [*self._marked, exchange.id][-2:]
        self._show_history()
        if len(self._marked) == 2:
            first, second = (self._history[key] for key in self._marked)
            self._marked = []
            self._show_history()
            pair = (first.request.prompt, _side(first), _side(second))
            self.app.push_screen(SideBySideScreen("", "", [pair]))

    def action_forget(self) -> None:
        exchange = self._under_cursor
        if exchange is not None:
            self._doomed = exchange.id
            self._say(
                "Delete its prompt and answer for good? Its figures stay counted.   y yes   esc no", "warn"
            )
            self.refresh_bindings()

    def action_confirm(self) -> None:
        doomed, self._doomed = self._doomed, None
        if doomed is not None:
            self.run_worker(self._forget(doomed), group="forget", exit_on_error=False)

    async def _forget(self, doomed: int) -> None:
        await self._backend.store.requests.forget([doomed])
        if self._exchange is not None and self._exchange.id == doomed:
            self._exchange = None
            self._answer.clear()
        self._say("Deleted.", "good")
        self._read_history()
        self._redraw()

    def action_search(self) -> None:
        self.add_class("-searching")
        self.query_one("#search", Small).focus()

    def _stop_search(self) -> None:
        self.remove_class("-searching")
        self._sought = self.query_one("#search", Small).value = ""
        self._read_history()
        (self._table if self._history else self._prompt).focus()

    @on(Input.Changed, "#search")
    def _search_typed(self, event: Input.Changed) -> None:
        self._sought = event.value.strip()
        self._read_history()

    @on(Input.Submitted, "#search")
    def _search_done(self) -> None:
        if self._history:
            self._table.focus()

    # Pages

    def action_turn_page(self) -> None:
        self._turn_to(TABS[(TABS.index(self._page) + 1) % len(TABS)])

    def _turn_to(self, page: str) -> None:
        self._page = page
        self.set_class(page != "text", "-paged")
        if page == "snippets":
            self._make_snippets()
        self._redraw()
        self.refresh_bindings()

    def _make_snippets(self) -> None:
        target = self._target
        request = self.query_one(Parameters).request(self._prompt.text or "Hello")
        if target is not None and request is not None:
            model = self.query_one(Parameters).model(target)
            self._snippets = snippets(self._deployment.platform, target, model, request)
            self._snippet = min(self._snippet, len(self._snippets))

    def action_turn_snippet(self, by: int) -> None:
        self._snippet = (self._snippet + by) % (len(self._snippets) + 1)
        self.query_one("#page", Block).redraw()

    @on(Parameters.Changed)
    def _parameters_changed(self) -> None:
        if self._page == "snippets":
            self._make_snippets()
            self.query_one("#page", Block).redraw()

    def _shown_text(self) -> str:
        if self._page == "text":
            return self._answer.text
        if self._page == "snippets" and self._target is not None:
            return self._target.url if self._snippet == 0 else self._snippets[self._snippet - 1].code
        if self._page == "json" and self._exchange is not None and self._exchange.texts is not None:
            return self._exchange.texts.raw
        return "\n".join("".join(cell.text for cell in line) for line in self._page_lines(100))

    def action_copy(self) -> None:
        """By OSC 52, which goes through SSH and tmux; no terminal says whether it took it."""
        text = redact(self._shown_text())
        if not text:
            self._say("There is nothing to copy.", "warn")
        elif len(text.encode("utf-8", "replace")) > COPY_LIMIT:
            self._say(f"Too long for a terminal's clipboard ({len(text):,} characters).", "warn")
        else:
            self.app.copy_to_clipboard(text)
            self._say(
                f"{len(text):,} characters were given to the terminal's clipboard. If they are not there, it"
                " refuses OSC 52: allow it there (tmux: set -g set-clipboard on).",
                "good",
            )

    # Drawing

    def _redraw(self) -> None:
        for block in self.query(Block):
            block.redraw()

    def _say(self, words: str, tone: str = "dim") -> None:
        self._note, self._note_tone = words, tone
        self.query_one("#notice", Block).redraw()

    def _title(self, width: int) -> list[Line]:
        deployment = self._deployment
        word = deployment.condition or deployment.status
        left = (
            Cell(f" {clean_line(deployment.name, 60)}", "strong"),
            Cell(f"  {capabilities(deployment.platform).title}", "dim"),
            Cell(f"  {GLYPHS[deployment.status]} {word}"),
        )
        target = self._target
        label = clean_line(target.models[0].label, 50) if target is not None else ""
        return [spread(left, (Cell(f"{label} ", "accent"),), width)]

    def _notice(self, width: int) -> list[Line]:
        if self._note:
            return wrapped(self._note, width, self._note_tone)
        if self._target is not None and self._target.wake_words:
            return wrapped(self._target.wake_words, width, "warn")
        if self._trouble is not None:
            return wrapped(clean_line(f"{self._trouble.message} {self._trouble.hint}", 400), width, "bad")
        return []

    def _status(self, width: int) -> list[Line]:
        if self._asking:
            seconds = int(self._backend.clock.monotonic() - self._began)
            return [(Cell("▸ ", "accent"), Cell(self._asking), Cell(f"  {seconds} s   esc cancels", "dim"))]
        exchange = self._exchange
        if exchange is None:
            return [()]
        tone = {Outcome.OK: "good", Outcome.FAILED: "bad", Outcome.CANCELLED: "warn"}[exchange.outcome]
        first, *more = packed(figures(exchange), width - 2)
        return [(Cell("● ", tone), Cell(first)), *((Cell("  "), Cell(line)) for line in more)]

    def _history_title(self, width: int) -> list[Line]:
        words = f"found: {len(self._history)}" if self._sought else "history"
        if not self._history and not self._sought:
            words = "history: nothing was asked yet"
        return [(Cell(f" {words}", "dim"),)]

    def _page_lines(self, width: int) -> list[Line]:
        if self._page == "json":
            return json_lines(self._exchange, self._target)
        if self._page == "timings":
            return timing_lines(self._exchange, width)
        return snippet_lines(self._target, self._snippets, self._snippet, self._trouble, width)

    # What there is to do now

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        on_history = self.is_mounted and self.focused is self._table
        if action == "cancel":
            return bool(self._asking)
        if action == "back":
            return not self._asking
        if action in ("send", "compare", "load"):
            return not self._asking
        if action in ("again", "mark", "forget"):
            return on_history and not self._asking and self._doomed is None
        if action == "confirm":
            return self._doomed is not None
        if action == "copy":
            return self._doomed is None
        if action == "turn_snippet":
            return self._page == "snippets"
        return True

    def on_descendant_focus(self) -> None:
        self.refresh_bindings()

    def action_help(self) -> None:
        show_help(self)

    # Children

    @property
    def _prompt(self) -> PromptBox:
        return self.query_one(PromptBox)

    @property
    def _answer(self) -> Flowing:
        return self.query_one("#answer", Flowing)

    @property
    def _table(self) -> HistoryTable:
        return self.query_one(HistoryTable)


def _side(exchange: Exchange, title: str = "") -> Side:
    title = title or exchange.at.astimezone().strftime("%H:%M:%S")
    return Side(f"{title}: {clean_line(exchange.model, 60)}", exchange)
