"""Questions to the platforms that a screen may have, and their answers in the store.

A screen asks with `want` and goes on; a worker writes the answer, and a notice brings the screen back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from peft_tui.domain.adapter import AdapterSource
from peft_tui.domain.errors import PeftTuiError
from peft_tui.store import Store

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


class Topic(StrEnum):
    ACCOUNT = "account"
    """Who the credentials belong to → `Account`."""
    CHECK = "check"
    """The same asked anew, however lately it was: whether they are good now → `Account`."""
    INSTANCE_TYPES = "instance types"
    """→ `tuple[InstanceType, ...]`"""
    MODELS = "models"
    """What lies at the platform already → `tuple[PlatformModel, ...]`."""
    ADAPTER = "adapter"
    """What the adapter's own files say → `Adapter`. Asked of no platform."""
    ASSESSMENT = "assessment"
    """How it fits the platform → `Assessment`."""
    EVENTS = "events"
    """What the platform says happened to a deployment, newest first → `tuple[Event, ...]`."""
    LOGS = "logs"
    """The last lines that a deployment put out, oldest first → `tuple[str, ...]`."""

    VERSIONS = "versions"
    """What was deployed under a deployment's name, newest first → `tuple[Version, ...]`."""


LOG_LINES = 500
"""How many lines of output are asked for."""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to find out."""

    platform: str
    topic: Topic
    source: AdapterSource | None = None
    """For ADAPTER and ASSESSMENT."""
    base_model: str = ""
    """For ASSESSMENT, where the adapter's own files do not say."""
    remote_id: str = ""
    """For EVENTS, LOGS and VERSIONS: the deployment, by the platform's own id."""

    @property
    def subject(self) -> str:
        if self.source is None:
            return self.remote_id
        named = f"{self.source.kind}:{self.source.reference}"
        return f"{named}\n{self.base_model}" if self.base_model else named

    @staticmethod
    def adapter(source: AdapterSource) -> Question:
        return Question("", Topic.ADAPTER, source)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The newest answer; exactly one of `value` and `error` is there."""

    fetched_at: datetime
    value: T | None
    error: PeftTuiError | None


class Lookups:
    """Ask, and read what is known."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._carry_out: Callable[[Question], None] | None = None
        self._waiting: list[Question] = []

    @property
    def carry_out(self) -> Callable[[Question], None] | None:
        """Set by the worker that finds out; what was asked before it came is asked of it then."""
        return self._carry_out

    @carry_out.setter
    def carry_out(self, carry_out: Callable[[Question], None] | None) -> None:
        self._carry_out = carry_out
        if carry_out is not None:
            waiting, self._waiting = self._waiting, []
            for question in waiting:
                carry_out(question)

    def want(self, question: Question) -> None:
        """Have it found out, soon; asking twice while it is under way is one question."""
        if self._carry_out is not None:
            self._carry_out(question)
        else:
            self._waiting.append(question)

    async def answer(self, question: Question) -> Answer[Any] | None:
        """What is known; None when it was never found out."""
        entry = await self._store.catalog.get(question.platform, question.topic, question.subject)
        if entry is None:
            return None
        try:
            value = (
                _adapter_for(question.topic).validate_json(entry.value) if entry.value is not None else None
            )
        except ValueError:
            # Written by another version: as good as nothing.
            return None
        error = PeftTuiError.from_dict(dict(entry.error)) if entry.error else None
        return Answer(entry.fetched_at, value, error)

    async def write(
        self, question: Question, at: datetime, value: object = None, error: PeftTuiError | None = None
    ) -> None:
        """For the worker: keep what was found out."""
        text = None if error else _adapter_for(question.topic).dump_json(value).decode()
        await self._store.catalog.put(
            question.platform,
            question.topic,
            question.subject,
            at,
            text,
            error.as_dict() if error else None,
        )


@cache
def _adapter_for(topic: Topic) -> TypeAdapter[Any]:
    # They cost more than the first frame may: loaded when the first question is asked.
    from pydantic import TypeAdapter

    from peft_tui.domain.adapter import Adapter
    from peft_tui.domain.event import Event
    from peft_tui.domain.offers import Account, Assessment, InstanceType, PlatformModel
    from peft_tui.domain.version import Version

    types: dict[Topic, Any] = {
        Topic.ACCOUNT: Account,
        Topic.CHECK: Account,
        Topic.INSTANCE_TYPES: tuple[InstanceType, ...],
        Topic.MODELS: tuple[PlatformModel, ...],
        Topic.ADAPTER: Adapter,
        Topic.ASSESSMENT: Assessment,
        Topic.EVENTS: tuple[Event, ...],
        Topic.LOGS: tuple[str, ...],
        Topic.VERSIONS: tuple[Version, ...],
    }
    return TypeAdapter(types[topic])
