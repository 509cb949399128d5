"""The frame round the four pages: where one is, what it costs, on and back, deploy.

typed → Page.Changed → the draft is shown anew
needed → Page.Wanted → Lookups.want … a worker … change notice → answers read → page.answers_came()
done → Page.Done → why_not? → next page … Deploy → DeploymentService.deploy → dismiss(deployment)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen

from peft_tui.backend import Backend
from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.services.lookups import Question
from peft_tui.store.database import Changes
from peft_tui.text import clean_line
from peft_tui.ui.places import Place, PlaceChanged
from peft_tui.ui.screens.help import show_help
from peft_tui.ui.screens.wizard.answers import Answers
from peft_tui.ui.screens.wizard.configuration_page import ConfigurationPage
from peft_tui.ui.screens.wizard.directory_picker import DirectoryPicker
from peft_tui.ui.screens.wizard.draft import Draft
from peft_tui.ui.screens.wizard.foot import Foot
from peft_tui.ui.screens.wizard.frame import context_line, step_line
from peft_tui.ui.screens.wizard.model_page import ModelPage
from peft_tui.ui.screens.wizard.page import Page, Work
from peft_tui.ui.screens.wizard.platform_page import PlatformPage
from peft_tui.ui.screens.wizard.review_page import ReviewPage
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.fields import ActionLine
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.sized import sized
from peft_tui.ui.work import start_work

PAGES: tuple[type[Page], ...] = (PlatformPage, ModelPage, ConfigurationPage, ReviewPage)
AGES_S = 30


class WizardScreen(Screen[Deployment | None]):
    """From nothing to a deployment that was asked for. The answer is None when it was left."""

    CSS_PATH = "wizard.tcss"
    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-wide")]

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", tooltip="To the page before, or out.", id="wizard.back"),
        Binding("tab", "next_field", "Next field", tooltip="shift+tab goes back.", id="wizard.next_field"),
        Binding("ctrl+n", "go_on", "Continue", tooltip="To the next page.", id="wizard.continue"),
        Binding(
            "ctrl+s", "deploy", "Deploy", tooltip="Ask for it: from here on it may bill.", id="wizard.deploy"
        ),
        Binding("ctrl+o", "browse", "Browse", tooltip="Pick a directory by keys.", id="wizard.browse"),
        Binding("C", "credentials", "Credentials", tooltip="Set or check a key.", id="wizard.credentials"),
        Binding("y,ctrl+y", "copy", "Copy command", tooltip="The same for a shell.", id="wizard.copy"),
        Binding("ctrl+r", "ask_again", "Ask again", tooltip="Ask anew.", show=False, id="wizard.again"),
        Binding("y", "discard", "Discard", tooltip="Leave and forget what was typed.", id="wizard.discard"),
        Binding("n", "keep", "Keep", tooltip="Stay here.", id="wizard.keep"),
        Binding("f1,question_mark", "help", "Help", tooltip="Every key of this place.", id="wizard.help"),
        Binding("up,k", "step(-1)", "Up", show=False, id="wizard.up"),
        Binding("down,j", "step(1)", "Down", show=False, id="wizard.down"),
        Binding("pageup", "scroll_page(-1)", "Page up", show=False, id="wizard.page_up"),
        Binding("pagedown", "scroll_page(1)", "Page down", show=False, id="wizard.page_down"),
    ]

    def __init__(
        self,
        backend: Backend,
        *,
        adapter: str | None = None,
        again: Deployment | None = None,
        draft: Draft | None = None,
        step: int = 1,
    ) -> None:
        """
        Args:
            adapter: a directory or a repository to begin with.
            again: it failed: its answers are there already, and it gives way to what is made of them.
            draft: one to go on with, from the page `step`.
        """
        super().__init__()
        if again is not None and draft is None:
            draft = Draft.of_deployment(again, {k: str(v) for k, v in again.spec.settings.items()})
            step = ConfigurationPage.STEP
        self._work = Work(backend, draft or Draft.of(adapter), Answers(backend), again)
        page = PAGES[step - 1] if 0 < step <= len(PAGES) and self._work.draft.platform else PlatformPage
        self._page: Page = page(self._work)
        self._confirming = False
        self._deploying = False
        self._unlisten: Callable[[], None] = lambda: None

    def compose(self) -> ComposeResult:
        sized(self)
        yield Block(lambda width: [step_line(PAGES, self._page.STEP, width)], id="steps")
        yield Block(lambda width: [context_line(self._page, width)], id="context")
        yield Container(id="body")
        yield Foot()
        yield KeyBar()

    async def on_mount(self) -> None:
        self._unlisten = self._work.backend.store.database.listen(self._changed_below)
        self.set_interval(AGES_S, self._age)
        await self._open(self._page)

    def on_unmount(self) -> None:
        self._unlisten()

    def place(self) -> Place:
        again = self._work.instead_of
        return {
            "screen": "wizard",
            "step": self._page.STEP,
            "draft": self._work.draft.as_dict(),
            "again": again.id if again is not None else None,
        }

    # On and back

    async def action_go_on(self) -> None:
        """To the next page, or say why not."""
        page = self._page
        if why := await page.why_not():
            self._foot.say(why, "bad")
        elif page is self._page and page.STEP < len(PAGES):
            await self._open(PAGES[page.STEP](self._work))

    async def action_back(self) -> None:
        """To the page before; from the first one out, after a question if anything would be lost."""
        if self._deploying:
            return
        if self._confirming:
            self.action_keep()
        elif self._page.STEP > 1:
            await self._open(PAGES[self._page.STEP - 2](self._work))
        elif self._work.draft.touched:
            self._confirming = True
            self._foot.say("Discard what was typed?   y discard   n keep", "warn")
            self.refresh_bindings()
        else:
            self.dismiss(None)

    def action_discard(self) -> None:
        """Leave."""
        self.dismiss(None)

    def action_keep(self) -> None:
        """Stay after all."""
        self._confirming = False
        self._foot.say("")
        self.refresh_bindings()

    async def _open(self, page: Page) -> None:
        self._page, self._confirming = page, False
        self.post_message(PlaceChanged())
        self._foot.say("")
        with self.app.batch_update():
            await self._body.remove_children()
            await self._body.mount(page)
            self._want(page.questions())
            self._foot.action.call_it("Deploy" if isinstance(page, ReviewPage) else "Continue")
            self._show_frame()
            (page.first or self._foot.action).focus()
        self.refresh_bindings()
        # Only the laid out page knows whether there is more of it than fits.
        self.call_after_refresh(self._show_help)

    def action_next_field(self) -> None:
        """To the next field; our own name for it, so that the foot and the help show it."""
        self.focus_next()

    def action_step(self, by: int) -> None:
        """Between fields; on the last page, which has none, by lines."""
        if isinstance(self._page, ReviewPage):
            self._page.scroll_relative(y=by, animate=False)
        elif by < 0:
            self.focus_previous()
        else:
            self.focus_next()

    def action_scroll_page(self, by: int) -> None:
        """By most of a page."""
        self._page.scroll_relative(y=by * max(self._page.size.height - 2, 1), animate=False)

    # Questions and answers

    @on(Page.Wanted)
    def _answers_wanted(self, event: Page.Wanted) -> None:
        self._want(event.questions, again=event.again)

    def action_ask_again(self) -> None:
        """Ask everything that this page needs once more."""
        self._want(self._page.questions(), again=True)
        self._page.answers_came()
        self._foot.say("")

    def _want(self, questions: Iterable[Question], *, again: bool = False) -> None:
        asked = [q for q in questions if self._work.answers.ask(q, again=again)]
        if asked and not again:
            # What was known before stands there, with its age, until the answer comes.
            self._read(asked)

    def _changed_below(self, changes: Changes) -> None:
        if concerned := self._work.answers.concerned(changes.catalog):
            self._read(concerned)

    def _read(self, questions: list[Question]) -> None:
        async def read() -> None:
            for question in questions:
                await self._work.answers.read(question)
            if self._page.is_attached:
                self._page.answers_came()
                self._refused_no_more()
                self._show_frame()
                self.call_after_refresh(self._show_help)

        start_work(self, read, group="answers")

    def _age(self) -> None:
        self._page.answers_came()
        self._show_frame()

    # What the page says

    @on(Page.Changed)
    def _draft_changed(self) -> None:
        self._confirming = False
        self.post_message(PlaceChanged())
        self._refused_no_more()
        self._show_frame()

    @on(Page.Done)
    async def _page_done(self, event: Page.Done) -> None:
        # A second enter may still come from a page that is gone.
        if event.page is self._page:
            await self.action_go_on()

    @on(ActionLine.Acted)
    async def _acted(self) -> None:
        if isinstance(self._page, ReviewPage):
            self.action_deploy()
        else:
            await self.action_go_on()

    def on_descendant_focus(self) -> None:
        self._show_help()

    # What only one page has

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys exist where they mean something."""
        review = isinstance(self._page, ReviewPage)
        if action in ("deploy", "copy"):
            return review
        if action == "go_on":
            return not review
        if action == "browse":
            takes = SourceKind.DIRECTORY in self._work.offers.sources if self._work.draft.platform else False
            return isinstance(self._page, ModelPage) and takes
        if action == "credentials":
            return isinstance(self._page, PlatformPage)
        if action in ("discard", "keep"):
            return self._confirming
        return True

    def action_browse(self) -> None:
        """Pick a directory by keys."""
        draft, page = self._work.draft, self._page
        typed = draft.reference if draft.kind is SourceKind.DIRECTORY else ""

        def picked(path: str | None) -> None:
            if path is not None and isinstance(page, ModelPage) and page is self._page:
                page.browsed(path)

        self.app.push_screen(DirectoryPicker(typed), picked)

    def action_credentials(self) -> None:
        """Where keys come from; with a new one the page asks anew."""
        from peft_tui.ui.screens.platforms import PlatformsScreen

        def back(_: object) -> None:
            self._foot.say("")
            self.action_ask_again()

        self.app.push_screen(PlatformsScreen(self._work.backend, self._work.draft.platform), back)

    def action_help(self) -> None:
        """Every key of this page; in a text field by f1, for there `?` is a letter."""
        show_help(self)

    def action_copy(self) -> None:
        """Put the command on the clipboard of the terminal."""
        if isinstance(self._page, ReviewPage):
            self.app.copy_to_clipboard(self._page.command)
            self._foot.say("The command was given to the terminal's clipboard.", "good")

    def action_deploy(self) -> None:
        """Write the intent, once."""
        if self._deploying or not isinstance(self._page, ReviewPage):
            return
        self._deploying = True
        self._foot.say("Writing it down…")
        start_work(self, partial(self._deploy, self._page), group="deploy")

    async def _deploy(self, page: ReviewPage) -> None:
        try:
            if why := await page.why_not():
                self._want(page.questions())
                refusal = why
            else:
                deployment = await self._ask_for(page.spec)
                # From here on no key deploys again: the screen is on its way out.
                self.dismiss(deployment)
                return
        except PeftTuiError as error:
            refusal = f"{error.message} {error.hint}".strip()
        except Exception as error:
            # A full disk, say. Whatever it was: the person must not be left without a word.
            refusal = f"It could not be written down: {clean_line(error, 120)}. Nothing was sent."
        self._deploying = False
        self._foot.say(refusal, "bad")

    async def _ask_for(self, spec: DeploymentSpec) -> Deployment:
        backend, account, failed = self._work.backend, self._work.account.value, self._work.instead_of
        return await backend.deployments.deploy(
            spec,
            account.id if account is not None else "",
            instead_of=failed.id if failed is not None else "",
        )

    # The frame

    def _refused_no_more(self) -> None:
        if self._foot.message and not self._deploying:
            self._foot.say("")

    def _show_help(self) -> None:
        focused = self.focused
        inside = focused is not None and self._page in focused.ancestors
        self._foot.help(self._page.help_of(focused) if focused is not None and inside else self._page.foot)

    def _show_frame(self) -> None:
        for block in self.query("#steps, #context").results(Block):
            block.redraw()

    @property
    def _body(self) -> Container:
        return self.query_one("#body", Container)

    @property
    def _foot(self) -> Foot:
        return self.query_one(Foot)
