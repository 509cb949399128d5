"""The frame of the form: the page, the difference below it, and the question before anything is sent.

typed → Page.Changed → the difference is drawn anew → ctrl+s → confirmation → dismiss(changes)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.money import usd_range
from peft_tui.store.database import Changes
from peft_tui.text import clean_line
from peft_tui.ui.costs import per_hour, sums
from peft_tui.ui.keymap import named
from peft_tui.ui.screens.dialogs import ConfirmScreen
from peft_tui.ui.screens.dialogs.question import LeftOut, asked_about
from peft_tui.ui.screens.help import show_help
from peft_tui.ui.screens.update.page import UpdatePage
from peft_tui.ui.screens.update.work import UpdateWork
from peft_tui.ui.screens.wizard.foot import Foot
from peft_tui.ui.screens.wizard.page import Page
from peft_tui.ui.status import status_text
from peft_tui.ui.widgets.banner import SandboxBanner
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.fields import ActionLine
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Line, spread
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.widgets.palette import ActionCommands
from peft_tui.ui.widgets.sized import sized
from peft_tui.ui.work import start_work


class UpdateScreen(Screen[Mapping[str, str] | None]):
    """The changes that were agreed to, as text by setting; None when it was left."""

    CSS_PATH = ["../wizard/wizard.tcss", "update.tcss"]
    AUTO_FOCUS = ""
    COMMANDS = {ActionCommands}
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-wide")]

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", tooltip="Nothing is changed."),
        Binding("tab", "next_field", "Next field", tooltip="shift+tab goes back."),
        Binding("ctrl+s", "apply", "Apply", tooltip="Shows once more what changes, then does it."),
        Binding("ctrl+r", "ask_again", "Ask again", tooltip="Ask for prices anew.", show=False),
        Binding("f1,question_mark", "help", "Help", tooltip="Every key of this place."),
        Binding("up,k", "step(-1)", "Up", show=False),
        Binding("down,j", "step(1)", "Down", show=False),
        Binding("pageup", "scroll_page(-1)", "Page up", show=False),
        Binding("pagedown", "scroll_page(1)", "Page down", show=False),
    ]
    BINDINGS = named("update", BINDINGS)

    def __init__(
        self, backend: Backend, deployments: Sequence[Deployment], left_out: Sequence[LeftOut] = ()
    ) -> None:
        """`left_out` were chosen too, and cannot be changed now."""
        super().__init__()
        self._left_out = left_out
        self._work = UpdateWork.on(backend, deployments)
        self._page = UpdatePage(self._work)
        self._unlisten: Callable[[], None] = lambda: None

    def compose(self) -> ComposeResult:
        sized(self)
        if getattr(self.app, "sandbox", False):
            yield SandboxBanner()
        yield Block(self._draw_head, id="steps")
        yield self._page
        yield self._page.difference
        yield Foot()
        yield KeyBar()

    def on_mount(self) -> None:
        self._unlisten = self._work.backend.store.database.listen(self._changed_below)
        self._foot.action.call_it("Apply")
        (self._page.first or self._foot.action).focus()
        self._want()

    def on_unmount(self) -> None:
        self._unlisten()

    def _draw_head(self, width: int) -> list[Line]:
        deployments = self._work.deployments
        title = self._work.offers.title
        if len(deployments) > 1:
            left: Line = (
                Cell(f"Update {len(deployments)} deployments", "strong"),
                Cell(f" on {title}", "dim"),
            )
            return [spread(left, (Cell(per_hour(sums(deployments)) + " now", "dim"),), width)]
        deployment = deployments[0]
        status = status_text(deployment, self._work.now)
        left = (
            Cell("Update ", "strong"),
            Cell(clean_line(deployment.name, 60), "strong"),
            Cell(f" · {title} · ", "dim"),
            Cell(f"{status.glyph} {status.word}", status.tone),
        )
        return [spread(left, (Cell(per_hour(sums(deployments)) + " now", "dim"),), width)]

    # Prices

    def action_ask_again(self) -> None:
        self._want(again=True)

    def _want(self, *, again: bool = False) -> None:
        asked = [q for q in self._work.questions() if self._work.answers.ask(q, again=again)]
        if asked:
            start_work(self, self._read, group="answers")

    def _changed_below(self, changes: Changes) -> None:
        if self._work.answers.concerned(changes.catalog):
            start_work(self, self._read, group="answers")

    async def _read(self) -> None:
        for question in self._work.questions():
            await self._work.answers.read(question)
        if self._page.is_attached:
            self._page.answers_came()
            self._page.difference.redraw()

    # What is typed

    @on(Page.Changed)
    def _typed(self) -> None:
        self._foot.say("")
        self._page.difference.redraw()

    @on(Page.Done)
    @on(ActionLine.Acted)
    def _through(self) -> None:
        self.action_apply()

    def on_descendant_focus(self) -> None:
        focused = self.focused
        inside = focused is not None and self._page in focused.ancestors
        self._foot.help(self._page.help_of(focused) if focused is not None and inside else "")

    def action_help(self) -> None:
        show_help(self)

    def action_next_field(self) -> None:
        """To the next field; our own name for it, so that the foot and the help show it."""
        self.focus_next()

    def action_step(self, by: int) -> None:
        if by < 0:
            self.focus_previous()
        else:
            self.focus_next()

    def action_scroll_page(self, by: int) -> None:
        self._page.scroll_relative(y=by * max(self._page.size.height - 2, 1), animate=False)

    # The end

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_apply(self) -> None:
        """Say what is wrong, or ask once more."""
        if problem := self._work.problem:
            self._foot.say(problem, "bad")
        elif not any(worker.group == "apply" and not worker.is_finished for worker in self.workers):
            start_work(self, self._apply, group="apply")

    async def _apply(self) -> None:
        work = self._work
        changes, after = work.changes, work.bounds(work.changes)
        costs = usd_range(after.low, after.high) + (" once it is started" if work.are_stopped else "")
        if after.low is None:
            costs = "what it costs is not known"
        asked = asked_about(work.previews(), sums(work.deployments), costs, left_out=self._left_out)
        if await self.app.push_screen_wait(ConfirmScreen(asked)):
            self.dismiss(changes)

    @property
    def _foot(self) -> Foot:
        return self.query_one(Foot)
