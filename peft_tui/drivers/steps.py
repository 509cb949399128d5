"""The steps of a platform's plans as a table, and the part of a driver that carries them out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from peft_tui.drivers.protocol import Outputs, StepContext

Api = TypeVar("Api")
"""The calls at one platform that its steps are made of."""


@dataclass(frozen=True, slots=True)
class Step(Generic[Api]):
    """One line of the table; its key is the one in the declaration's plans."""

    act: Callable[[Api, StepContext], Awaitable[Outputs]]
    find: Callable[[Api, StepContext], Awaitable[Outputs | None]] | None = None
    """What an unanswered attempt has left behind; None for a step that may simply be done again."""


class Stepwise(Generic[Api]):
    """The three verbs of a driver that are about steps (`protocol.Driver`)."""

    api: Api
    steps: Mapping[str, Step[Api]]

    def repeatable(self, step: str) -> bool:
        return self.steps[step].find is None

    async def find(self, step: str, context: StepContext) -> Outputs | None:
        find = self.steps[step].find
        return None if find is None else await find(self.api, context)

    async def act(self, step: str, context: StepContext) -> Outputs:
        return await self.steps[step].act(self.api, context)
