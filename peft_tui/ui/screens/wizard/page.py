"""What the four pages have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual.containers import VerticalScroll
from textual.message import Message
from textual.widget import Widget

from peft_tui.backend import Backend
from peft_tui.domain.adapter import Adapter, SourceKind
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.offers import (
    Account,
    Assessment,
    Capabilities,
)
from peft_tui.services.lookups import Question, Topic
from peft_tui.ui.screens.wizard.answers import Answers, Look
from peft_tui.ui.screens.wizard.draft import Draft
from peft_tui.ui.widgets.lines import Line


@dataclass(slots=True)
class Work:
    """What the pages share: what was typed, what was found out, and whom to ask."""

    backend: Backend
    draft: Draft
    answers: Answers
    instead_of: Deployment | None = None
    """One that failed: its answers are changed, and it is deleted when the new one is asked for."""

    async def name_is_taken(self, name: str) -> bool:
        """By another one than the one that gives way."""
        leaves = self.instead_of.id if self.instead_of else ""
        return await self.backend.deployments.name_is_taken(name, leaves)

    @property
    def offers(self) -> Capabilities:
        return self.draft.offers

    @property
    def now(self) -> datetime:
        return self.backend.clock.now()

    @property
    def account(self) -> Look[Account]:
        return self.answers.account(self.draft.platform)

    @property
    def adapter(self) -> Look[Adapter]:
        source = self.draft.source
        return self.answers.adapter(source) if source else Look()

    @property
    def assessment(self) -> Look[Assessment]:
        source = self.draft.source
        return self.answers.assessment(self.draft.platform, source) if source else Look()

    def questions(self) -> list[Question]:
        """What has to be known of the adapter.

        A directory is read first: half a path need not be asked about at the platform.
        """
        source = self.draft.source
        if source is None:
            return []
        asked = [] if source.kind is SourceKind.PLATFORM else [Question.adapter(source)]
        if source.kind is not SourceKind.DIRECTORY or self.adapter.value is not None:
            asked.append(Question(self.draft.platform, Topic.ASSESSMENT, source))
        return asked


class Page(VerticalScroll, can_focus=False, inherit_bindings=False):
    """One page. It writes into the draft as one types and keeps nothing of its own worth keeping."""

    STEP: ClassVar[int]
    TITLE: ClassVar[str]
    SHORT: ClassVar[str]

    class Changed(Message):
        """Something was typed or chosen."""

    class Wanted(Message):
        """The page needs answers; those questions go out unless they did a moment ago."""

        def __init__(self, *questions: Question, again: bool = False) -> None:
            super().__init__()
            self.questions = questions
            self.again = again

    class Done(Message):
        """The person is through with the page."""

        def __init__(self, page: Page) -> None:
            super().__init__()
            self.page = page

    def __init__(self, work: Work) -> None:
        super().__init__(classes="-scrolls")
        self.work = work

    @property
    def draft(self) -> Draft:
        return self.work.draft

    @property
    def headline(self) -> Line:
        """What stands left above the page."""
        raise NotImplementedError

    @property
    def first(self) -> Widget | None:
        """Where the keys go when the page opens; None is the action line."""
        return None

    @property
    def foot(self) -> str:
        """A sentence for when none of its fields has the keys."""
        return ""

    def questions(self) -> Iterable[Question]:
        """What the page has to know."""
        return self.work.questions()

    def answers_came(self) -> None:
        """Something was found out: show it."""

    async def why_not(self) -> str:
        """Why one cannot go on; empty when one can."""
        return ""

    def help_of(self, widget: Widget) -> str:
        """A sentence about the field that has the keys."""
        return ""
