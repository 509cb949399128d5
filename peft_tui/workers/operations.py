"""Carries out what was asked for, step by step, exactly once.

A step is written down as sent before its first byte. Found sent and unanswered, after a time-out or after a
restart, it is looked up first, and only what is certainly not there is sent again.

Of one deployment one operation is carried out at a time, in the order in which they were asked for. One that
was given up is ended first: what it sent is looked up, so that the stop behind it knows what there is.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from peft_tui.clock import Clock
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectionFailed,
    Effect,
    PeftTuiError,
    PlatformFailed,
    ResourceUnavailable,
)
from peft_tui.domain.offers import left_behind, planned
from peft_tui.domain.operation import (
    WATCHED,
    Operation,
    OperationKind,
    OperationState,
    OperationStep,
    StepState,
)
from peft_tui.domain.status import Condition, gone
from peft_tui.drivers.protocol import Driver, StepContext
from peft_tui.redaction import redact
from peft_tui.store import Changes, Store, StoreError, Transaction
from peft_tui.workers.progress import Progress
from peft_tui.workers.watching import PATIENCE_SECONDS, AskAgain, Watch

log = logging.getLogger(__name__)

LOOKS = (0.0, 2.0, 5.0)
"""Seconds before each look for what a lost answer left behind: a list may lag."""
SENDS = 3
"""How often a step is sent whose answers are lost and of which nothing is found. Then a person must look."""
BACKOFF_SECONDS, BACKOFF_MAX_SECONDS = 2.0, 60.0
STOP_PAUSE_SECONDS = 15.0
"""However long a platform asks us to stay away: what bills is not left running for politeness."""
SETTING = frozenset({"start", "update", "stop", "delete", "rollback"})
"""Steps that write something at the platform. Given up, they are finished: a request that is broken off may
still be carried out, after the stop that follows it."""
DELETED = "deleted from here"
NOT_THERE = "the platform has no such deployment"


class OperationRunner:
    """All operations of one platform; each in a task of its own."""

    def __init__(
        self,
        platform: str,
        driver: Driver,
        store: Store,
        clock: Clock,
        account: str = "",
        nobody_serves: Callable[[str], AbstractContextManager[bool]] = lambda account: nullcontext(False),
    ) -> None:
        """
        Args:
            account: only its operations are carried out; those of all when empty.
            nobody_serves: whether no process works for another account, and none begins to while it is open.
        """
        self._account = account
        self._nobody_serves = nobody_serves
        self._platform = platform
        self._driver = driver
        self._store = store
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._whole: set[str] = set()
        """Those that are at something which is not to be broken off."""
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Pick up what is unfinished, then what is asked for; cancel to end."""
        unlisten = self._store.database.listen(self._notice)
        try:
            while True:
                self._changed.clear()
                try:
                    await self._take_up()
                except Exception:
                    # A store that cannot be read now. What is under way goes on; what was asked for waits.
                    log.exception("what is to do at %s cannot be read", self._platform)
                    await self._clock.sleep(BACKOFF_SECONDS)
                    continue
                await self._changed.wait()
        finally:
            unlisten()
            tasks = tuple(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_up(self) -> None:
        """Begin the first operation of each deployment, and break off what was given up."""
        first: dict[str, Operation] = {}
        for operation in await self._store.operations.unfinished(self._platform, self._account):
            first.setdefault(operation.deployment_id, operation)
        for operation in first.values():
            running = self._tasks.get(operation.id)
            if running is not None:
                if operation.given_up and operation.id not in self._whole:
                    running.cancel()
                continue
            if operation.given_up:
                self._whole.add(operation.id)
            task = asyncio.create_task(self.carry_out(operation.id))
            self._tasks[operation.id] = task
            task.add_done_callback(partial(self._ended, operation.id))
        if self._account:
            await self._tell_others()

    async def _tell_others(self) -> None:
        """What belongs to accounts that no window has a key of waits, and says so."""
        journal = self._store.operations
        for account, operation in await journal.elsewhere(self._platform, self._account):
            # As the store keeps it: a note that never looks written would be written for ever.
            note = redact(f"It belongs to the account {account}: start peft-tui with that account's key.")
            step = operation.current
            if step is None or operation.given_up or step.note == note:
                continue
            with self._nobody_serves(account) as nobody:
                if nobody:
                    await journal.progress(operation, step, None, None, note)

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
            except Exception:
                # A bug of ours. Nothing is sent in a hurry because of it.
                log.exception("operation %s", operation_id)
                await self._clock.sleep(BACKOFF_MAX_SECONDS)

    async def _advance(self, operation_id: str, tries: _Tries) -> bool:
        """One step further, or one failure later; False when it has ended."""
        operation = await self._store.operations.get(operation_id)
        if operation is None or operation.state.ended:
            return False
        deployment = await self._store.deployments.get(operation.deployment_id)
        if deployment is None:
            return False
        step = operation.current
        if operation.given_up:
            return await self._give_up(operation, deployment, step, tries)
        if step is None:
            await self._finish(operation, deployment)
            return False
        try:
            if step.key not in WATCHED and not tries.account_checked:
                await self._check_account(operation, deployment)
                tries.account_checked = True
            with self._unbroken(operation, step):
                outputs = await self._step(operation, deployment, step, tries)
                await self._store.operations.step_done(operation, step, outputs, self._clock.now())
        except _GivenUp:
            return True
        except _Elsewhere:
            return False
        except AskAgain as doubt:
            log.warning("operation %s: %s", operation.id, doubt.note)
            if not await self._store.operations.again(operation, doubt.key, doubt.note):
                await self._clock.sleep(BACKOFF_MAX_SECONDS)
            return True
        except PeftTuiError as error:
            # What may have been done is looked for, whatever else is wrong; and a stop is not given up
            # because something else than the platform answered, or for want of room, which it needs none of.
            stops = step.key == "stop" and isinstance(error, ConnectionFailed | ResourceUnavailable)
            if not error.transient and error.effect is Effect.NONE and not stops:
                await self._fail(operation, deployment, step, error)
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
            await self._fail(operation, deployment, step, told)
            return False
        tries.failures = 0
        return True

    @contextmanager
    def _unbroken(self, operation: Operation, step: OperationStep) -> Iterator[None]:
        """Whoever gives the operation up meanwhile waits for the end of this step, unless it only waits.

        Of a stop all that is sent is finished: what it writes down must not come after the delete.
        """
        waits = step.key in WATCHED or (
            self._driver.repeatable(step.key)
            and not step.bills
            and step.key not in SETTING
            and operation.kind is not OperationKind.STOP
        )
        if not waits:
            self._whole.add(operation.id)
        try:
            yield
        finally:
            self._whole.discard(operation.id)

    async def _finish(self, operation: Operation, deployment: Deployment) -> None:
        """All steps are done: what it changed is written with its end."""
        store, now = self._store, self._clock.now()
        async with store.database.transaction(durable=True) as transaction:
            await store.operations.write_state(transaction, operation, OperationState.DONE, now)
            if operation.settings:
                await store.deployments.change(transaction, deployment.id, operation.settings)
            if operation.kind is OperationKind.DELETE:
                await store.deployments.remove(transaction, deployment, now, DELETED)
            elif operation.outputs.get("absent") and deployment.condition is not Condition.GONE:
                nothing = gone(now, NOT_THERE)
                await store.deployments.observe(transaction, deployment, nothing, listed=False)

    async def _give_up(
        self, operation: Operation, deployment: Deployment, step: OperationStep | None, tries: _Tries
    ) -> bool:
        """Find out what was sent and not answered; then it has ended."""
        if step is not None and step.state is StepState.SENT and step.key not in WATCHED:
            if not self._driver.repeatable(step.key):
                try:
                    await self._resolve(operation, deployment, step)
                except PeftTuiError as error:
                    await self._wait(operation, step, error, tries)
                    return True
        store, now = self._store, self._clock.now()
        async with store.database.transaction(durable=True) as transaction:
            await store.operations.write_state(transaction, operation, OperationState.CANCELLED, now)
            current = await store.deployments.get(deployment.id)
            if operation.kind is OperationKind.CREATE and current is not None and not current.remote_id:
                await self._clean_up_instead(transaction, current)
        return False

    async def _resolve(self, operation: Operation, deployment: Deployment, step: OperationStep) -> None:
        await self._check_account(operation, deployment)
        progress = Progress(self._store, operation, step, self._clock)
        progress.report(None, None, "given up: looking for what was sent before")
        try:
            context = await self._context(operation, deployment, step, progress)
            found = await self._look(step, context)
        finally:
            await progress.end()
        if found is not None:
            await self._store.operations.step_done(operation, step, found, self._clock.now())
        else:
            await self._store.operations.step_pending(operation, step, "nothing is found of it")

    async def _clean_up_instead(self, transaction: Transaction, deployment: Deployment) -> None:
        """Nothing was made that could be stopped: what was made before it is taken away."""
        for operation in await self._store.operations.of_deployment(deployment.id):
            if operation.kind is OperationKind.STOP and not operation.state.ended:
                plan = self._driver.capabilities.verbs[OperationKind.DELETE]
                steps = planned(plan(deployment.spec, {}))
                await self._store.operations.become(
                    transaction, replace(operation, kind=OperationKind.DELETE, steps=steps)
                )

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
            if not await self._store.deployments.belongs_to(deployment.id, account.id):
                raise _Elsewhere
            await self._store.operations.set_state(operation, OperationState.RUNNING, self._clock.now())

    async def _step(
        self, operation: Operation, deployment: Deployment, step: OperationStep, tries: _Tries
    ) -> Mapping[str, Any]:
        progress = Progress(self._store, operation, step, self._clock)
        context = await self._context(operation, deployment, step, progress)
        try:
            return await self._carry_out_step(operation, step, context, tries)
        finally:
            await progress.end()

    async def _carry_out_step(
        self, operation: Operation, step: OperationStep, context: StepContext, tries: _Tries
    ) -> Mapping[str, Any]:
        journal = self._store.operations
        if step.key in WATCHED:
            await self._send(operation, step)
            patience = self._driver.capabilities.patience.get(step.key, PATIENCE_SECONDS[step.key])
            return await Watch(self._store, self._clock, operation, context, patience).until(step.key)
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
        await self._send(operation, step)
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

    async def _send(self, operation: Operation, step: OperationStep) -> None:
        """Write down that it goes out now.

        Raises:
            _GivenUp: nobody wants it any more: it must not.
        """
        if not await self._store.operations.step_sent(operation, step, self._clock.now()):
            raise _GivenUp

    async def _context(
        self, operation: Operation, deployment: Deployment, step: OperationStep, progress: Progress
    ) -> StepContext:
        made: Mapping[str, Any] = {}
        if operation.kind is not OperationKind.CREATE:
            earlier = await self._store.operations.of_deployment(deployment.id)
            made = next((one.outputs for one in earlier if one.kind is OperationKind.CREATE), {})
        return StepContext(
            deployment.spec.changed(operation.changes),
            deployment.remote_name,
            operation.outputs,
            step.started_at or self._clock.now(),
            self._clock,
            progress.report,
            deployment.remote_id,
            operation.changes,
            made,
        )

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

    async def _wait(
        self, operation: Operation, step: OperationStep, error: PeftTuiError, tries: _Tries
    ) -> None:
        """Say why and for how long, then let the caller try again."""
        pause = min(BACKOFF_MAX_SECONDS, BACKOFF_SECONDS * 2.0 ** min(tries.failures, 10))
        tries.failures += 1
        pause = max(error.retry_after or 0.0, random.uniform(pause / 2, pause))
        if step.key == "stop":
            pause = min(pause, STOP_PAUSE_SECONDS)
        note = f"{error.message} Trying again in {pause:.0f} s."
        # The error speaks of this attempt alone: what an earlier one did is still not known.
        if error.effect is Effect.NONE and step.state is not StepState.SENT:
            await self._store.operations.step_pending(operation, step, note)
        else:
            await self._store.operations.progress(operation, step, None, None, note)
        await self._clock.sleep(pause)

    async def _fail(
        self, operation: Operation, deployment: Deployment, step: OperationStep, error: PeftTuiError
    ) -> None:
        told = error.as_dict()
        unknown = error.effect is Effect.UNKNOWN or step.state is StepState.SENT
        if operation.kind in (OperationKind.STOP, OperationKind.DELETE):
            ending = self._driver.capabilities.how_to_stop
            told["hint"] = f"{told['hint']} What is left of it may bill: see its row. {ending}".strip()
        elif operation.made_something or (step.bills and unknown):
            ending = self._driver.capabilities.how_to_stop
            told["hint"] = f"{told['hint']} What was created before may bill: see its row. {ending}".strip()
        elif operation.kind is OperationKind.CREATE:
            plan = self._driver.capabilities.plan(deployment.spec)
            if left := left_behind(plan, operation.steps):
                words = f"Left there, and not billed by the hour: {', '.join(left)}."
                told["hint"] = f"{told['hint']} {words} A delete takes it away.".strip()
        if not (step.bills and unknown):
            # Otherwise it stays "sent": its name is not free while it may exist.
            await self._store.operations.step_failed(operation, step, error.message)
        await self._store.operations.set_state(operation, OperationState.FAILED, self._clock.now(), told)

    def _ended(self, operation_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(operation_id, None)
        self._whole.discard(operation_id)
        # The next one of its deployment, or this one again where it was broken off.
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("operation %s stopped", operation_id, exc_info=error)

    def _notice(self, changes: Changes) -> None:
        if changes.deployments:
            self._changed.set()


class _GivenUp(Exception):
    """Nobody wants the operation any more."""


class _Elsewhere(Exception):
    """A window with another account's key has taken it up."""


@dataclass(slots=True)
class _Tries:
    """How often things were tried since this process took the operation up."""

    sends: Counter[int] = field(default_factory=Counter)
    """By step."""
    failures: int = 0
    """In a row."""
    account_checked: bool = False
