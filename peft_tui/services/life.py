"""The verbs on deployments that exist: each writes an intent, and the operations worker carries it out."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from peft_tui.clock import Clock
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import NotFound, NotLikeThis, NotPossible, read_only
from peft_tui.domain.offers import PlannedStep, planned
from peft_tui.domain.operation import (
    VERSION,
    WATCHED,
    Operation,
    OperationKind,
    OperationState,
    StepState,
)
from peft_tui.domain.spec import Settings, Value
from peft_tui.domain.status import Condition
from peft_tui.drivers import capabilities
from peft_tui.services.changes import local_part, read_changes
from peft_tui.services.reasons import why_not, why_not_adopt, why_not_again
from peft_tui.services.versions import changes_to, settings_of
from peft_tui.store import Store, Transaction

NEVER_MADE = "given up before anything was made"
GIVES_WAY = frozenset(
    {OperationKind.CREATE, OperationKind.UPDATE, OperationKind.START, OperationKind.ROLLBACK}
)
"""What a stop or a delete puts an end to."""
FOR_THE_DELETE = "given up for the delete, which stops it as well"
FORGOTTEN = "taken off the list"
ENDS = frozenset({OperationKind.STOP, OperationKind.DELETE})


class LifeService:
    """Stop, start, update, delete, adopt, cancel.

    Each is refused with a sentence when it is not possible now; `services.reasons.why_not` tells it before.
    """

    def __init__(self, store: Store, clock: Clock, *, looks_only: bool = False) -> None:
        self._looks_only = looks_only
        self._store = store
        self._clock = clock

    async def stop(self, deployment_id: str) -> Operation:
        """End the billing. What is being created, started or updated is given up for it."""
        return await self._intend(deployment_id, OperationKind.STOP)

    async def start(self, deployment_id: str) -> Operation:
        """Let it serve again, with the bounds that it had."""
        return await self._intend(deployment_id, OperationKind.START)

    async def delete(self, deployment_id: str, *, keep_adapter: bool = False) -> Operation:
        """Leave nothing of it at the platform. What is gone there already is only taken off the list.

        Args:
            keep_adapter: what was uploaded or imported for it stays there.
        """
        options: Settings = {"keep_adapter": "yes"} if keep_adapter else {}
        return await self._intend(deployment_id, OperationKind.DELETE, options)

    async def give_way(self, transaction: Transaction, deployment_id: str) -> None:
        """Delete what failed, where the one that takes its place is written down.

        Raises:
            NotPossible: it has not failed, or has come up since it was looked at.
        """
        failed = await self._read(deployment_id)
        if reason := why_not_again(failed):
            raise NotPossible(
                f"“{failed.name}” stays: {reason}", hint="Nothing was sent, and nothing of it is deleted."
            )
        await self._write(transaction, deployment_id, OperationKind.DELETE)

    async def update(self, deployment_id: str, changes: Mapping[str, str]) -> Operation:
        """Change settings.

        Args:
            changes: text by setting, as a person typed it; an empty one takes the setting away.

        Raises:
            ConfigurationInvalid: with the setting and a sentence; nothing was written.
        """
        return await self._intend(deployment_id, OperationKind.UPDATE, typed=changes)

    async def going_back(self, deployment_id: str, version: int) -> Settings:
        """The changes of a rollback to `version`: its number, and what is set differently then, if known."""
        deployment = await self._read(deployment_id)
        operations = await self._store.operations.of_deployment(deployment_id)
        settings = settings_of(operations, deployment.remote_id, version)
        different = {} if settings is None else changes_to(deployment, settings)
        return {**different, VERSION: version}

    async def rollback(self, deployment_id: str, version: int) -> Operation:
        """Let an earlier version serve again, by its number at the platform."""
        changes = await self.going_back(deployment_id, version)
        return await self._intend(deployment_id, OperationKind.ROLLBACK, changes)

    async def adopt(self, deployment_id: str, name: str = "") -> Deployment:
        """Manage from here on what was made elsewhere. Nothing is sent.

        Args:
            name: what it is called here; its name at the platform when empty.
        """
        self._check()
        async with self._store.database.transaction(durable=True) as transaction:
            found = await self._read(deployment_id)
            if reason := why_not_adopt(found):
                raise NotPossible(reason)
            name = name or found.name
            if await self._store.deployments.name_is_taken(name, transaction):
                raise NotLikeThis(
                    f"There is a deployment named “{name}” already.", hint="Give it another name."
                )
            seen = found.observation
            known: dict[str, Value | None] = {
                "instance_type": (seen.instance_type or None) if seen else None,
                **dict(zip(("min_instances", "max_instances"), found.bounds_to_start or (), strict=False)),
            }
            settings = {key: value for key, value in known.items() if value is not None}
            spec = found.spec.changed(settings)
            await self._store.deployments.adopt(transaction, found.id, spec.named(name))
        return await self._read(deployment_id)

    async def cancel(self, operation_id: str) -> Operation:
        """Give up an operation that has not ended.

        A create is undone: the operation that does it is returned. A start is stopped. An update is left as
        far as it came. Once a stop was sent there is nothing to give up; a delete can be until it is sent.
        """
        self._check()
        operation = await self._store.operations.get(operation_id)
        if operation is None:
            raise NotFound("There is no such operation.")
        if operation.kind is OperationKind.CREATE:
            return await self._intend(operation.deployment_id, OperationKind.DELETE)
        if operation.kind is OperationKind.START:
            return await self._intend(operation.deployment_id, OperationKind.STOP)
        async with self._store.database.transaction(durable=True) as transaction:
            current = await self._store.operations.get(operation_id)
            if current is None or current.state.ended:
                raise NotPossible("It has ended already.")
            sent = {step.key for step in current.steps if step.started_at is not None}
            if current.kind is OperationKind.STOP and sent:
                raise NotPossible("The stop was sent: start it again when it is stopped.")
            if current.kind is OperationKind.DELETE and any(key.startswith("delete") for key in sent):
                raise NotPossible("The delete was sent: it cannot be taken back.")
            await self._give_up(transaction, current, self._clock.now())
        return await self._operation(operation_id)

    def _check(self) -> None:
        if self._looks_only:
            raise read_only()

    async def _intend(
        self,
        deployment_id: str,
        kind: OperationKind,
        changes: Settings | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> Operation:
        """Write the intent, under the lock that no other window can hold meanwhile."""
        self._check()
        async with self._store.database.transaction(durable=True) as transaction:
            return await self._write(transaction, deployment_id, kind, changes, typed)

    async def _write(
        self,
        transaction: Transaction,
        deployment_id: str,
        kind: OperationKind,
        changes: Settings | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> Operation:
        now, store = self._clock.now(), self._store
        deployment = await self._read(deployment_id)
        earlier = await store.operations.of_deployment(deployment.id)
        if kind is OperationKind.STOP and (stopping := await self._stop_again(transaction, earlier)):
            return stopping
        if reason := why_not(deployment, kind):
            raise NotPossible(reason, hint="Nothing was sent.")
        ended = True
        if kind in ENDS:
            ended = await self._end_earlier(transaction, earlier, kind, now)
        if typed is not None:
            changes = await self._take_local_part(transaction, deployment, typed)
        if kind is OperationKind.START:
            self._check_create(earlier)
            low, high = deployment.bounds_to_start or (0, 0)
            changes = {"min_instances": low, "max_instances": high}
        changes = changes or {}
        plan = capabilities(deployment.platform).verbs[kind]
        steps: Sequence[PlannedStep] = plan(deployment.spec.changed(changes), changes)
        if kind in ENDS and ended and _never_made(deployment, earlier):
            kind, steps, reason = OperationKind.DELETE, (), NEVER_MADE
        if kind is OperationKind.DELETE and ended and deployment.condition is Condition.GONE:
            steps, reason = (), FORGOTTEN
        if kind is OperationKind.UPDATE and not changes:
            steps = ()
        done = not steps
        state = OperationState.DONE if done else OperationState.QUEUED
        operation = Operation(
            uuid.uuid4().hex, deployment.id, kind, state, now, now, planned(steps), None, changes
        )
        await store.operations.insert(transaction, operation)
        if done and kind is OperationKind.DELETE:
            await store.deployments.remove(transaction, deployment, now, reason)
        return operation

    async def _stop_again(self, transaction: Transaction, earlier: Sequence[Operation]) -> Operation | None:
        """The stop that is under way, when something was to follow it that is not wanted any more."""
        coming = [operation for operation in earlier if not operation.state.ended]
        stop = next((one for one in coming if one.kind is OperationKind.STOP), None)
        after = [one for one in coming if one.kind in GIVES_WAY and not one.given_up]
        if stop is None or not after:
            return None
        for operation in after:
            await self._give_up(transaction, operation, self._clock.now())
        return stop

    async def _end_earlier(
        self, transaction: Transaction, earlier: Sequence[Operation], kind: OperationKind, now: datetime
    ) -> bool:
        """Give up what gives way; True when all of it has ended with that.

        A stop that may never be read back gives way to a delete: nothing could end it otherwise.
        """
        ended = True
        for operation in earlier:
            if operation.state.ended:
                continue
            if operation.kind in GIVES_WAY or not operation.begun:
                ended &= await self._give_up(transaction, operation, now)
            elif kind is OperationKind.DELETE and operation.kind is OperationKind.STOP:
                ended &= await self._give_up(transaction, operation, now, FOR_THE_DELETE)
            else:
                ended = False
        return ended

    async def _give_up(
        self, transaction: Transaction, operation: Operation, now: datetime, note: str = ""
    ) -> bool:
        """True when it has ended with that: of what was never sent there is nothing to find out."""
        if not operation.begun:
            await self._store.operations.write_state(transaction, operation, OperationState.CANCELLED, now)
            return True
        await self._store.operations.give_up(transaction, operation, note)
        return False

    async def _take_local_part(
        self, transaction: Transaction, deployment: Deployment, typed: Mapping[str, str]
    ) -> Settings:
        """Write what is kept here only; what is left must be sent."""
        changes = read_changes(deployment, typed)
        local, bounds = local_part(deployment, changes)
        if local:
            await self._store.deployments.change(transaction, deployment.id, local)
        if bounds:
            await self._store.deployments.start_with(transaction, deployment.id, bounds)
        return {key: value for key, value in changes.items() if key not in local}

    def _check_create(self, earlier: Sequence[Operation]) -> None:
        """What was given up half-way lacks something: it is not started."""
        create = next((one for one in earlier if one.kind is OperationKind.CREATE), None)
        if create is None or create.state not in (OperationState.CANCELLED, OperationState.FAILED):
            return
        left = [s for s in create.steps if s.state is not StepState.DONE and s.key not in WATCHED]
        if left:
            raise NotPossible(
                f"Its create did not get past “{left[0].title}”.", hint="Delete it and deploy again."
            )

    async def _read(self, deployment_id: str) -> Deployment:
        found = await self._store.deployments.get(deployment_id)
        if found is None:
            raise NotFound("There is no such deployment.", hint="peft-tui list shows them all.")
        return found

    async def _operation(self, operation_id: str) -> Operation:
        found = await self._store.operations.get(operation_id)
        assert found is not None
        return found


def _never_made(deployment: Deployment, earlier: Sequence[Operation]) -> bool:
    """No call for it was ever sent."""
    seen = deployment.observation is not None or deployment.remote_id
    return not seen and not any(operation.begun for operation in earlier)
