"""Staying with operations until they have come as far as was asked, and asking before they begin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from peft_tui.backend import Backend
from peft_tui.cli.asking import agrees, anybody_there
from peft_tui.cli.output import talk
from peft_tui.domain.errors import ConfigurationInvalid, NotPossible, PeftTuiError, TimedOut
from peft_tui.domain.operation import AWAIT_ACTIVE, WATCHED, Operation, OperationState, StepState
from peft_tui.store import Changes


@dataclass(slots=True)
class Followed:
    """One operation, and how it ended."""

    name: str
    operation_id: str
    error: PeftTuiError | None = None
    over: bool = False
    _told: str = ""

    def hear(self, operation: Operation, wait: bool, alone: bool) -> None:
        """Tell what is new of it on standard error, and find out whether that is all that was asked."""
        said = saying(operation)
        if said and said != self._told:
            self._told = said
            talk(said if alone else f"{self.name}: {said}")
        if operation.state is OperationState.FAILED:
            self.error = PeftTuiError.from_dict(dict(operation.error or {}))
        elif operation.state is OperationState.CANCELLED:
            self.error = NotPossible("It was given up meanwhile.", hint=f"See peft-tui show {self.name}.")
        self.over = operation.state.ended or (not wait and only_waiting(operation))


async def follow(
    backend: Backend, followed: Sequence[Followed], *, wait: bool, timeout: float, hint: str
) -> None:
    """Stay until each has ended or, without `wait`, until everything of it was asked for.

    Raises:
        TimedOut: after `timeout` seconds.
    """
    async with Waiter(backend, lambda changes: bool(changes.deployments)) as waiter:
        async with deadline(timeout, f"Not done after {timeout:.0f} s.", hint):
            while True:
                for one in followed:
                    if not one.over:
                        operation = await backend.store.operations.get(one.operation_id)
                        assert operation is not None
                        one.hear(operation, wait, len(followed) == 1)
                if all(one.over for one in followed):
                    return
                await waiter.change()


def saying(operation: Operation) -> str:
    """Where it is, in one line; empty where there is nothing new to say."""
    step = operation.current
    if operation.state.ended:
        kept = operation.outputs.get("kept")
        return f"{operation.kind}: {operation.state}" + (f". Kept there: {kept}" if kept else "")
    if step is None:
        # All of it is carried out, and that is being written down.
        return ""
    note = f" ({step.note})" if step.note else ""
    progress = f" {100 * step.done // step.total}%" if step.done is not None and step.total else ""
    return f"[{step.seq + 1}/{len(operation.steps)}] {step.title}{progress}{note}"


def only_waiting(operation: Operation) -> bool:
    """Everything that had to be asked for was asked for."""
    rest = [step for step in operation.steps if step.state is not StepState.DONE]
    return bool(rest) and (rest[0].key == AWAIT_ACTIVE or all(step.key in WATCHED for step in rest))


async def confirm(words: Sequence[str], question: str, without: str, refused: str) -> None:
    """Say what would happen and ask.

    Args:
        without: what would happen, in half a sentence, for where nobody can be asked.
        refused: what was not done, after a no.

    Raises:
        ConfigurationInvalid: nobody can be asked.
        PeftTuiError: the answer is not yes.
    """
    if not anybody_there():
        raise ConfigurationInvalid(
            f"{without} and asks for a confirmation.", hint="Add --yes to do it without being asked."
        )
    for sentence in words:
        talk(sentence)
    if not await agrees(question):
        raise PeftTuiError(refused, hint="Nothing was sent.")


class Waiter:
    """Wakes on change notices that matter, other processes' included."""

    def __init__(self, backend: Backend, matters: Callable[[Changes], bool]) -> None:
        self._backend = backend
        self._matters = matters
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Waiter:
        self._unlisten = self._backend.store.database.listen(self._notice)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unlisten()

    async def change(self) -> None:
        """Return after the next change; at the latest after a second, having looked at the store."""
        try:
            async with asyncio.timeout(1.0):
                await self._changed.wait()
        except TimeoutError:
            await self._backend.store.database.notice_others()
        self._changed.clear()

    def _notice(self, changes: Changes) -> None:
        if self._matters(changes):
            self._changed.set()


class deadline:
    """`asyncio.timeout` that ends in our own error."""

    def __init__(self, seconds: float, message: str, hint: str = "") -> None:
        self._timeout = asyncio.timeout(seconds)
        self._error = TimedOut(message, hint=hint)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *exc: Any) -> None:
        try:
            await self._timeout.__aexit__(*exc)
        except TimeoutError as error:
            raise self._error from error
