"""Page 1: the platforms, what each is best for, and whether there are credentials."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.widget import Widget

from peft_tui.credentials import Place
from peft_tui.domain.ages import ago
from peft_tui.drivers import PLATFORMS, capabilities
from peft_tui.services.lookups import Question, Topic
from peft_tui.text import clean_line
from peft_tui.ui.screens.wizard.checks import missing_credentials, platform_problem
from peft_tui.ui.screens.wizard.page import Page, Work
from peft_tui.ui.screens.wizard.words import error_lines
from peft_tui.ui.widgets.lines import Line, marked, wrapped
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.widgets.pick_list import Pick, PickList

_TITLE_CELLS = 16


class PlatformPage(Page):
    """Where should it run?"""

    STEP, TITLE, SHORT = 1, "Platform", "Platform"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._list = PickList()

    def compose(self) -> ComposeResult:
        yield self._list

    def on_mount(self) -> None:
        if not self.draft.platform:
            # The first that can be used; nothing is chosen by it before enter.
            able = [p for p in PLATFORMS if self.work.backend.credentials.state(capabilities(p)).present]
            self.draft.platform = (able or list(PLATFORMS))[0]
        self.answers_came()

    @property
    def headline(self) -> Line:
        return (Cell("Where should it run?", "dim"),)

    @property
    def first(self) -> Widget:
        return self._list

    def questions(self) -> Iterable[Question]:
        state = self.work.backend.credentials.state
        return [Question(p, Topic.ACCOUNT) for p in PLATFORMS if state(capabilities(p)).present]

    def answers_came(self) -> None:
        picks = [Pick(platform, partial(self._row, platform)) for platform in PLATFORMS]
        self._list.set_picks(picks, self.draft.platform)

    async def why_not(self) -> str:
        offers = self.work.offers
        return platform_problem(offers, self.work.backend.credentials.state(offers))

    @on(PickList.Moved)
    def _another_looked_at(self, event: PickList.Moved) -> None:
        self.draft.platform = event.key
        self.post_message(self.Changed())

    @on(PickList.Chosen)
    def _chosen(self, event: PickList.Chosen) -> None:
        self.draft.platform = event.key
        self.post_message(self.Done(self))

    def _row(self, platform: str, width: int) -> list[Line]:
        offers = capabilities(platform)
        beside = width >= 56
        room = width - (_TITLE_CELLS if beside else 0)
        said = [*wrapped(offers.best_for, room, "dim"), *self._state(platform, room), ()]
        if not beside:
            return [(Cell(offers.title),), *said]
        titles = [Cell(offers.title.ljust(_TITLE_CELLS))] + [Cell(" " * _TITLE_CELLS)] * (len(said) - 1)
        return [(title, *line) for title, line in zip(titles, said, strict=True)]

    def _state(self, platform: str, width: int) -> list[Line]:
        state = self.work.backend.credentials.state(capabilities(platform))
        if not state.present:
            return marked("✖", "bad", missing_credentials(state), width)
        found = f"credentials found in {'' if state.source == Place.SESSION else 'the '}{state.source}"
        lines = marked("✓", "good", found, width)
        look = self.work.answers.account(platform)
        if look.value is not None:
            parts = (look.value.title or look.value.id, look.value.detail)
            account = " · ".join(clean_line(part, 80) for part in parts if part)
            age = f"  {ago(look.fetched_at, self.work.now)}, asking…" if look.asking else ""
            first, *rest = marked("✓", "good", account, width)
            return [*lines, (*first, Cell(age, "dim")), *rest]
        if look.error is not None:
            return [*lines, *error_lines(look.error, width, again=True)]
        return [*lines, (Cell("  asking whose they are…", "dim"),)]
