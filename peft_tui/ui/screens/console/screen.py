"""Ask a deployment and watch the answer come.

opened → Prompts.target in a worker → which models, what sending does now
ctrl+s → Prompts.ask in a worker of its own → AnswerPanel collects the pieces, draws ten times a second
ended → recorded → the store's notice → HistoryPanel
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.inference import Wake
from peft_tui.domain.request import Exchange
from peft_tui.domain.status import GLYPHS
from peft_tui.drivers import capabilities
from peft_tui.services.snippets import Snippet, snippets
from peft_tui.store import Changes
from peft_tui.text import clean_line
from peft_tui.ui.keymap import named
from peft_tui.ui.places import Place
from peft_tui.ui.screens.console.answer_panel import AnswerPanel
from peft_tui.ui.screens.console.asking import Asking
from peft_tui.ui.screens.console.drafts import draft_document, draft_of
from peft_tui.ui.screens.console.history_panel import HistoryPanel
from peft_tui.ui.screens.console.notice import Notice
from peft_tui.ui.screens.console.parameters import Parameters
from peft_tui.ui.screens.console.prompt_box import PromptBox
from peft_tui.ui.screens.console.side_by_side import SideBySideScreen, side
from peft_tui.ui.screens.help import show_help
from peft_tui.ui.session import ViewKeeper
from peft_tui.ui.widgets.banner import SandboxBanner
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Line, spread
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.widgets.sized import sized
from peft_tui.ui.work import start_work


class ConsoleScreen(Asking):
    """One deployment's console."""

    CSS_PATH = "console.tcss"
    AUTO_FOCUS = "PromptBox"
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (16, "-short"), (24, "-normal"), (36, "-tall")]
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
        Binding("f4", "edit", "Editor", priority=True, tooltip="The prompt, in $EDITOR."),
        Binding("f3", "page", "Pager", priority=True, tooltip="What is shown, in $PAGER."),
        Binding("tab", "app.focus_next", "Next field", show=False, id="console.next_field"),
        Binding("y", "copy", "Copy", tooltip="What is shown, to the terminal's clipboard."),
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
        super().__init__(backend, deployment)
        self._doomed: Exchange | None = None
        self._draft: ViewKeeper | None = None

    def compose(self) -> ComposeResult:
        sized(self)
        if self.app.sandbox:
            yield SandboxBanner()
        yield Block(self._title, id="title")
        yield PromptBox()
        yield Parameters()
        yield Notice()
        yield AnswerPanel(self._backend.clock, self._snippets)
        yield HistoryPanel(self._backend.store.requests, self._deployment.id, self._backend.clock)
        yield KeyBar()

    def place(self) -> Place:
        return {"screen": "console", "deployment": self._deployment.id}

    def on_mount(self) -> None:
        self._answer.flowing.ascii_only = self._past.table.ascii_only = self.app.ascii_only
        self.app.notices.changed.subscribe(self, self._store_changed)
        start_work(self, self._take_up_draft, group="draft")
        self._ask_how()

    # Whom

    def _ask_how(self) -> None:
        start_work(self, self._find_target, group="target", exclusive=True)

    async def _find_target(self) -> None:
        before = self._target
        try:
            self._target, self._trouble = await self._backend.prompts.target(self._deployment), None
        except PeftTuiError as error:
            self._target, self._trouble = None, error
        if not self.is_attached:
            return
        self._answer.target, self._answer.trouble = self._target, self._trouble
        self.query_one(Notice).stand(self._target, self._trouble)
        if self._target is not None and (before is None or before.models != self._target.models):
            await self._parameters.show_models(self._target)
            self._past.table.hide_columns(() if len(self._target.models) > 1 else ("model",))
        if self._impatient:
            self._impatient = False
            self._say("")
            if self._target is not None and self._target.wake is Wake.NOTHING:
                # What it does else is read before it is done.
                self._send()
        self._redraw()
        self.refresh_bindings()

    def _store_changed(self, changes: Changes) -> None:
        if self._deployment.id in changes.deployments:
            start_work(self, self._read_deployment, group="deployment", exclusive=True)
        if self._deployment.id in changes.requests:
            self._past.read()

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

    # Back

    def action_back(self) -> None:
        """Step by step: the question, the search, then the screen. The prompt is there the next time."""
        if self._doomed is not None:
            self._doomed = None
            self._say("")
        elif self._past.is_searching:
            self._past.stop_search()
        else:
            self.dismiss(None)
        self.refresh_bindings()

    # Load run

    def action_load(self) -> None:
        from peft_tui.ui.screens.console.load_screen import LoadScreen

        request = self._parameters.request(self._prompt.text)
        if self._target is None or request is None or self._answer.asking:
            return
        model = self._parameters.model(self._target)
        self.app.push_screen(
            LoadScreen(
                self._backend, self._deployment, self._target, model, request, self._past.typical_seconds
            )
        )

    # History

    @on(HistoryPanel.Chosen)
    def _chosen(self, event: HistoryPanel.Chosen) -> None:
        if not self._answer.asking:
            self._answer.show(event.exchange)
            self._say(event.exchange.error_message if event.exchange.error else "", "bad")

    @on(HistoryPanel.Pair)
    def _two_chosen(self, event: HistoryPanel.Pair) -> None:
        pair = (event.first.request.prompt, side(event.first), side(event.second))
        self.app.push_screen(SideBySideScreen("", "", [pair]))

    @on(HistoryPanel.Left)
    def _search_left(self) -> None:
        self._prompt.focus()

    def action_search(self) -> None:
        self._past.search()

    def action_mark(self) -> None:
        self._past.mark()

    def action_again(self) -> None:
        """The same once more, with the model that was asked then."""
        exchange = self._past.under_cursor
        if exchange is None or self._answer.asking:
            return
        if exchange.texts is None:
            self._say("Its text was not kept, so it cannot be sent again.", "warn")
            return
        self._prompt.put(exchange.request.prompt)
        self._parameters.put(exchange.request)
        if self._target is not None:
            self._parameters.choose(self._target, exchange.model)
        self.action_send()

    def action_forget(self) -> None:
        self._doomed = self._past.under_cursor
        if self._doomed is not None:
            self._say(
                "Delete its prompt and answer for good? Its figures stay counted.   y yes   esc no", "warn"
            )
            self.refresh_bindings()

    def action_confirm(self) -> None:
        doomed, self._doomed = self._doomed, None
        if doomed is not None:
            start_work(self, partial(self._forget, doomed), group="forget")

    async def _forget(self, doomed: Exchange) -> None:
        await self._backend.store.requests.forget([doomed.id])
        if self._answer.exchange is not None and self._answer.exchange.id == doomed.id:
            self._answer.show(None)
        if self._prompt.text == doomed.request.prompt:
            # It is kept with the draft, too.
            self._prompt.put("")
        self._say("Deleted.", "good")
        self._past.read()
        self._redraw()

    # Draft: the prompt and its parameters as they stand, kept until the next time

    async def _take_up_draft(self) -> None:
        if not self._backend.prompts.keep_texts:
            return
        draft = self.app.keeper(f"console/{self._deployment.id}")
        request = draft_of(await draft.read())
        if request is not None and self.is_attached and not self._prompt.text:
            self._prompt.put(request.prompt)
            self._parameters.put(request)
        self._draft = draft

    @on(PromptBox.Changed)
    def _prompt_changed(self) -> None:
        self._keep_draft()

    @on(Parameters.Changed)
    def _parameters_changed(self) -> None:
        self._answer.renew_snippets()
        self._keep_draft()

    def _keep_draft(self) -> None:
        request = self._parameters.request(self._prompt.text)
        if self._draft is not None and request is not None:
            self._draft.keep(draft_document(request))

    # What is shown, elsewhere

    def action_turn_page(self) -> None:
        self._answer.turn_page()
        self.refresh_bindings()

    def action_turn_snippet(self, by: int) -> None:
        self._answer.turn_snippet(by)

    def _snippets(self) -> tuple[Snippet, ...]:
        target, request = self._target, self._parameters.request(self._prompt.text or "Hello")
        if target is None or request is None:
            return ()
        return snippets(self._deployment.platform, target, self._parameters.model(target), request)

    # Drawing

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

    # What there is to do now

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        asking = self.is_mounted and bool(self._answer.asking)
        on_history = self.is_mounted and self.focused is self._past.table
        if action == "cancel":
            return asking
        if action == "back":
            return not asking
        if action in ("send", "compare", "load"):
            return not asking
        if action in ("again", "mark", "forget"):
            return on_history and not asking and self._doomed is None
        if action == "confirm":
            return self._doomed is not None
        if action == "copy":
            return self._doomed is None
        if action == "turn_snippet":
            return self.is_mounted and self._answer.page == "snippets"
        return True

    def on_descendant_focus(self) -> None:
        self.refresh_bindings()

    def action_help(self) -> None:
        show_help(self)

    # Children

    @property
    def _past(self) -> HistoryPanel:
        return self.query_one(HistoryPanel)
