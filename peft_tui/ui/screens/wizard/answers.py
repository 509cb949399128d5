"""What the wizard asked the platforms, and what it knows. It asks and goes on; a notice brings the answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from peft_tui.backend import Backend
from peft_tui.domain.adapter import Adapter, AdapterSource
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.offers import (
    Account,
    Assessment,
    PlatformModel,
)
from peft_tui.services.lookups import Answer, Question, Topic

T = TypeVar("T")

AGAIN_AFTER = timedelta(minutes=1)
"""A page that is opened asks again for what is older than this."""
TOO_OLD = timedelta(minutes=10)
"""Nothing is deployed on the strength of an answer older than this."""


@dataclass(frozen=True, slots=True)
class Look(Generic[T]):
    """What is known of one question now."""

    value: T | None = None
    error: PeftTuiError | None = None
    fetched_at: datetime | None = None
    asking: bool = False
    """Asked, and nothing has come since; `value` is then what was known before."""
    too_old: bool = False

    @property
    def usable(self) -> T | None:
        """The value, unless it is too old to rely on."""
        return None if self.too_old else self.value


class Answers:
    """Questions of one wizard."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._asked: dict[Question, datetime] = {}
        self._known: dict[Question, Answer[Any]] = {}

    def ask(self, question: Question, *, again: bool = False) -> bool:
        """Have it found out unless that was done a moment ago; True when the store is worth a look."""
        now = self._backend.clock.now()
        asked = self._asked.get(question)
        if asked is not None and now - asked < AGAIN_AFTER and not again:
            return False
        self._asked[question] = now
        if again:
            self._known.pop(question, None)
        self._backend.lookups.want(question)
        return True

    def concerned(self, catalog: Iterable[tuple[str, str, str]]) -> list[Question]:
        """Which of our questions a notice of the store is about."""
        keys = set(catalog)
        return [q for q in self._asked if (q.platform, str(q.topic), q.subject) in keys]

    async def read(self, question: Question) -> None:
        """Take the answer from the store, if there is one."""
        answer = await self._backend.lookups.answer(question)
        known = self._known.get(question)
        if answer is not None and (known is None or known.fetched_at <= answer.fetched_at):
            self._known[question] = answer

    def look(self, question: Question) -> Look[Any]:
        """What is known of `question`."""
        answer, asked = self._known.get(question), self._asked.get(question)
        if answer is None:
            return Look(asking=asked is not None)
        asking = asked is not None and answer.fetched_at < asked
        if asking and answer.error is not None:
            # An error of another day says nothing of today.
            return Look(asking=True)
        too_old = self._backend.clock.now() - answer.fetched_at > TOO_OLD
        return Look(answer.value, answer.error, answer.fetched_at, asking, too_old)

    def account(self, platform: str) -> Look[Account]:
        return self.look(Question(platform, Topic.ACCOUNT))

    def models(self, platform: str) -> Look[tuple[PlatformModel, ...]]:
        return self.look(Question(platform, Topic.MODELS))

    def adapter(self, source: AdapterSource) -> Look[Adapter]:
        return self.look(Question.adapter(source))

    def assessment(self, platform: str, source: AdapterSource) -> Look[Assessment]:
        return self.look(Question(platform, Topic.ASSESSMENT, source))
