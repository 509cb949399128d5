"""Carries out what was asked for, step by step, exactly once.

A step is written down as sent before its first byte. Found sent and unanswered, after a time-out or after a
restart, it is looked up first, and only what is certainly not there is sent again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from peft_tui.clock import Clock
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import AuthenticationFailed, Conflict, Effect, PeftTuiError, PlatformFailed
from peft_tui.domain.operation import AWAIT_ACTIVE, Operation, OperationState, OperationStep, StepState
from peft_tui.domain.status import Condition, Status
from peft_tui.drivers.protocol import Driver, StepContext
from peft_tui.store import Changes, Store, StoreError

log = logging.getLogger(__name__)

LOOKS = (0.0, 2.0, 5.0)
"""Seconds before each look for what a lost answer left behind: a list may lag."""
SENDS = 3
"""How often a step is sent whose answers are lost and of which nothing is found. Then a person must look."""
BACKOFF_SECONDS, BACKOFF_MAX_SECONDS = 2.0, 60.0
PROGRESS_SECONDS = 0.25
"""Between two writes of a step's progress."""


class OperationRunner:
    """All operations of one platform; each in a task of its own."""

    def __init__(self, platform: str, driver: Driver, store: Store, clock: Clock) -> None:
        self._platform = platform
        self._driver = driver
        self._store = store
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Pick up what is unfinished, then what is asked for; cancel to end."""
        unlisten = self._store.database.listen(self._notice)
        try:
            while True:
                self._changed.clear()
                for operation in await self._store.operations.unfinished(self._platform):
                    if operation.id not in self._tasks:
                        task = asyncio.create_task(self.carry_out(operation.id))
                        self._tasks[operation.id] = task
                        task.add_done_callback(partial(self._ended, operation.id))
                await self._changed.wait()
        finally:
            unlisten()
            tasks = tuple(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def carry_out(self, operation_id: str) -> None:
        """Go on with one operation until it has ended."""
        tries = _Tries()
        while True:
            try:
                if not await self._advance(operation_id, tries):
                    return
            except StoreError:
                # A full disk, a lock: what was sent is written as sent, and looked up when this has passed.
                log.exception("operation %s cannot be written down", operation_id)
                await self._clock.sleep(BACKOFF_SECONDS)

    async def _advance(self, operation_id: str, tries: _Tries) -> bool:
        """One step further, or one failure later; False when it has ended."""
        operation = await self._store.operations.get(operation_id)
        if operation is None or operation.state.ended:
            return False
        deployment = await self._store.deployments.get(operation.deployment_id)
        if deployment is None:
            return False
        step = operation.current
        if step is None:
            await self._store.operations.set_state(operation, OperationState.DONE, self._clock.now())
            return False
        try:
            if step.key != AWAIT_ACTIVE and not tries.account_checked:
                await self._check_account(operation, deployment)
                tries.account_checked = True
            outputs = await self._step(operation, deployment, step, tries)
        except PeftTuiError as error:
            # What may have been done is looked for, whatever else is wrong.
            if not error.transient and error.effect is Effect.NONE:
                await self._fail(operation, step, error)
                return False
            await self._wait(operation, step, error, tries)
            return True
        except StoreError:
            raise
        except Exception as error:
            # A bug of ours: asked again it would fail again, perhaps after sending something twice.
            log.exception("operation %s, step %s", operation.id, step.key)
            told = PeftTuiError(
                f"peft-tui itself failed at “{step.title}” ({type(error).__name__}).",
                hint="Please report it, with the log. The platform's own page shows what exists.",
                effect=Effect.UNKNOWN,
            )
            await self._fail(operation, step, told)
            return False
        tries.failures = 0
        await self._store.operations.step_done(operation, step, outputs, self._clock.now())
        return True

    async def _check_account(self, operation: Operation, deployment: Deployment) -> None:
        """What was asked for, and priced, in one account is not carried out in another."""
        account = await self._driver.account()
        if deployment.account not in ("", account.id):
            raise AuthenticationFailed(
                f"It belongs to the account {deployment.account}; the key here is of {account.id}.",
                hint="Start peft-tui with that account's key: it goes on then.",
                transient=True,
            )
        if operation.state is OperationState.QUEUED:
            await self._store.deployments.belongs_to(deployment.id, account.id)
            await self._store.operations.set_state(operation, OperationState.RUNNING, self._clock.now())

    async def _step(
        self, operation: Operation, deployment: Deployment, step: OperationStep, tries: _Tries
    ) -> Mapping[str, Any]:
        progress = Progress(self._store, operation, step, self._clock)
        context = StepContext(
            deployment.spec,
            deployment.remote_name,
            operation.outputs,
            step.started_at or self._clock.now(),
            self._clock,
            progress.report,
        )
        try:
            return await self._carry_out_step(operation, step, context, tries)
        finally:
            await progress.end()

    async def _carry_out_step(
        self, operation: Operation, step: OperationStep, context: StepContext, tries: _Tries
    ) -> Mapping[str, Any]:
        journal = self._store.operations
        if step.key == AWAIT_ACTIVE:
            await journal.step_sent(operation, step, self._clock.now())
            return await self._await_active(operation, context)
        repeatable = self._driver.repeatable(step.key)
        if step.state is StepState.SENT and not repeatable:
            await journal.progress(operation, step, None, None, "looking for what an earlier attempt left")
            found = await self._look(step, context)
            if found is not None:
                return found
            if tries.sends[step.seq] >= SENDS:
                raise PlatformFailed(
                    f"“{step.title}” was sent {SENDS} times and never answered, and nothing is found of it.",
                    hint="Look at the platform's own page before you try again.",
                )
        tries.sends[step.seq] += 1
        await journal.step_sent(operation, step, self._clock.now())
        try:
            return await self._driver.act(step.key, context)
        except PeftTuiError as error:
            # The name is of our making: who has it is an earlier attempt of ours. And whatever the platform
            # calls a name that is taken, after a lost answer a refusal may mean just that.
            taken = isinstance(error, Conflict) or step.state is StepState.SENT
            if repeatable or not taken or error.effect is Effect.UNKNOWN:
                raise
            found = await self._look(step, context)
            if found is None:
                raise
            return found

    async def _look(self, step: OperationStep, context: StepContext) -> Mapping[str, Any] | None:
        for pause in LOOKS:
            if pause:
                await self._clock.sleep(pause)
            try:
                found = await self._driver.find(step.key, context)
            except PeftTuiError as error:
                # Looking did nothing, but what was sent before it may have: that is still not known.
                error.effect = Effect.UNKNOWN
                raise
            if found is not None:
                return found
        return None

    async def _await_active(self, operation: Operation, context: StepContext) -> Mapping[str, Any]:
        """Watch what the refresh loop writes: waiting asks the platform nothing more."""
        changed = asyncio.Event()

        def notice(changes: Changes) -> None:
            if operation.deployment_id in changes.deployments or self._platform in changes.platforms:
                changed.set()

        unlisten = self._store.database.listen(notice)
        try:
            while True:
                changed.clear()
                deployment = await self._store.deployments.get(operation.deployment_id)
                seen = deployment.observation if deployment else None
                if seen is not None and seen.observed_at > context.started_at:
                    if seen.status is Status.ACTIVE and seen.condition is not Condition.STOPPING:
                        return {}
                    if seen.condition is Condition.ASLEEP and context.outputs.get("never_asked"):
                        return {}
                    if seen.status in (Status.FAILED, Status.STOPPED):
                        raise PlatformFailed(
                            f"It is {seen.status}, not active: {seen.reason or seen.platform_status}",
                            detail=seen.platform_status,
                        )
                await changed.wait()
        finally:
            unlisten()

    async def _wait(
        self, operation: Operation, step: OperationStep, error: PeftTuiError, tries: _Tries
    ) -> None:
        """Say why and for how long, then let the caller try again."""
        pause = min(BACKOFF_MAX_SECONDS, BACKOFF_SECONDS * 2.0 ** min(tries.failures, 10))
        tries.failures += 1
        pause = max(error.retry_after or 0.0, random.uniform(pause / 2, pause))
        note = f"{error.message} Trying again in {pause:.0f} s."
        # The error speaks of this attempt alone: what an earlier one did is still not known.
        if error.effect is Effect.NONE and step.state is not StepState.SENT:
            await self._store.operations.step_pending(operation, step, note)
        else:
            await self._store.operations.progress(operation, step, None, None, note)
        await self._clock.sleep(pause)

    async def _fail(self, operation: Operation, step: OperationStep, error: PeftTuiError) -> None:
        told = error.as_dict()
        unknown = error.effect is Effect.UNKNOWN or step.state is StepState.SENT
        if operation.made_something or (step.bills and unknown):
            ending = self._driver.capabilities.how_to_stop
            told["hint"] = f"{told['hint']} What was created before may bill: see its row. {ending}".strip()
        if not (step.bills and unknown):
            # Otherwise it stays "sent": its name is not free while it may exist.
            await self._store.operations.step_failed(operation, step, error.message)
        await self._store.operations.set_state(operation, OperationState.FAILED, self._clock.now(), told)

    def _ended(self, operation_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(operation_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("operation %s stopped", operation_id, exc_info=error)

    def _notice(self, changes: Changes) -> None:
        if changes.deployments:
            self._changed.set()


@dataclass(slots=True)
class _Tries:
    """How often things were tried since this process took the operation up."""

    sends: Counter[int] = field(default_factory=Counter)
    """By step."""
    failures: int = 0
    """In a row."""
    account_checked: bool = False


@dataclass(slots=True)
class Progress:
    """Writes a step's progress now and then, however often it is told."""

    store: Store
    operation: Operation
    step: OperationStep
    clock: Clock
    _latest: tuple[int | None, int | None, str] | None = None
    _writing: asyncio.Task[None] | None = None

    def report(self, done: int | None, total: int | None, note: str) -> None:
        self._latest = (done, total, note)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def end(self) -> None:
        """Nothing is written after this: what the step ended with is written elsewhere."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        written = None
        while self._latest is not None and self._latest != written:
            written = self._latest
            await self.store.operations.progress(self.operation, self.step, *written)
            await self.clock.sleep(PROGRESS_SECONDS)
