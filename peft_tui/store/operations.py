"""The journal: what was asked for, step by step, and how far it has come."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from peft_tui.domain.operation import (
    WATCHED,
    Operation,
    OperationKind,
    OperationState,
    OperationStep,
    StepState,
)
from peft_tui.redaction import redact
from peft_tui.store.database import Database, Transaction, error_text


class Operations:
    """The queries on operations and their steps."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def unfinished(self, platform: str, account: str = "") -> list[Operation]:
        """What is still to do at one platform, in the order in which it was asked for.

        Args:
            account: only what is to be done in it, or of which it is not known yet; of all when empty.
        """
        rows = await self._db.all(
            "SELECT operations.* FROM operations JOIN deployments ON deployments.id = deployment_id"
            " WHERE state IN ('queued', 'running') AND platform = ?1 AND (?2 = '' OR account IN ('', ?2))"
            " ORDER BY operations.rowid",
            platform,
            account,
        )
        return await self._with_steps(rows)

    async def elsewhere(self, platform: str, account: str) -> list[tuple[str, Operation]]:
        """What is to do in other accounts, with the account."""
        rows = await self._db.all(
            "SELECT operations.*, account FROM operations JOIN deployments ON deployments.id = deployment_id"
            " WHERE state IN ('queued', 'running') AND platform = ? AND account NOT IN ('', ?)",
            platform,
            account,
        )
        accounts = {row["id"]: row["account"] for row in rows}
        return [(accounts[operation.id], operation) for operation in await self._with_steps(rows)]

    async def unclear(self, platform: str) -> list[Operation]:
        """The creates that ended as failed although each step may have been carried out."""
        rows = await self._db.all(
            "SELECT operations.* FROM operations JOIN deployments ON deployments.id = deployment_id"
            " WHERE state = 'failed' AND kind = 'create' AND platform = ? AND NOT EXISTS (SELECT 1"
            " FROM operation_steps WHERE operation_id = operations.id"
            " AND operation_steps.state NOT IN ('done', 'sent'))",
            platform,
        )
        return await self._with_steps(rows)

    async def turned_out_well(self, transaction: Transaction, operation: Operation, now: datetime) -> None:
        """What was unclear is done: the platform shows what was asked for."""
        await transaction.connection.execute(
            "UPDATE operation_steps SET state = ?, finished_at = ? WHERE operation_id = ? AND state = ?",
            (StepState.DONE, now.isoformat(), operation.id, StepState.SENT),
        )
        await self.write_state(transaction, operation, OperationState.DONE, now)

    async def get(self, operation_id: str) -> Operation | None:
        rows = await self._db.all("SELECT * FROM operations WHERE id = ?", operation_id)
        return next(iter(await self._with_steps(rows)), None)

    async def shown(self, deployment_ids: Iterable[str]) -> dict[str, list[Operation]]:
        """By deployment: the operation that is under way or next, else the newest if that has failed.

        One that was given up is not it where something else is to come. Behind it, what has not ended either.
        """
        rows = await self._db.all(
            "SELECT * FROM operations WHERE deployment_id IN (SELECT value FROM json_each(?))"
            " AND (state IN ('queued', 'running') OR (state = 'failed' AND rowid = (SELECT max(rowid)"
            " FROM operations AS newest WHERE newest.deployment_id = operations.deployment_id)))"
            " ORDER BY state = 'failed', given_up, rowid",
            json.dumps(list(deployment_ids)),
        )
        found: dict[str, list[Operation]] = {}
        for operation in await self._with_steps(rows):
            of_one = found.setdefault(operation.deployment_id, [])
            if not of_one or not operation.state.ended:
                of_one.append(operation)
        return found

    async def of_deployment(self, deployment_id: str) -> list[Operation]:
        """All of one deployment, newest first."""
        rows = await self._db.all(
            "SELECT * FROM operations WHERE deployment_id = ? ORDER BY rowid DESC", deployment_id
        )
        return await self._with_steps(rows)

    async def insert(self, transaction: Transaction, operation: Operation) -> None:
        await transaction.connection.execute(
            "INSERT INTO operations (id, deployment_id, kind, state, created_at, updated_at, changes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                operation.id,
                operation.deployment_id,
                operation.kind,
                operation.state,
                operation.created_at.isoformat(),
                operation.updated_at.isoformat(),
                json.dumps(dict(operation.changes)),
            ),
        )
        await self._insert_steps(transaction, operation)
        await self._touch(transaction, operation)

    async def become(self, transaction: Transaction, operation: Operation) -> None:
        """One of which nothing was sent yet is another kind with other steps from here on."""
        connection = transaction.connection
        await connection.execute(
            "UPDATE operations SET kind = ? WHERE id = ?", (operation.kind, operation.id)
        )
        await connection.execute("DELETE FROM operation_steps WHERE operation_id = ?", (operation.id,))
        await self._insert_steps(transaction, operation)
        await self._touch(transaction, operation)

    async def _insert_steps(self, transaction: Transaction, operation: Operation) -> None:
        await transaction.connection.executemany(
            "INSERT INTO operation_steps (operation_id, seq, key, title, state, bills, outputs, note)"
            " VALUES (?, ?, ?, ?, ?, ?, '{}', '')",
            [(operation.id, s.seq, s.key, s.title, s.state, s.bills) for s in operation.steps],
        )

    async def give_up(self, transaction: Transaction, operation: Operation, note: str = "") -> None:
        """No step of it is sent any more; the worker finds out what was sent, and ends it.

        Args:
            note: why, at its last step, which is not reached any more.
        """
        await transaction.connection.execute(
            "UPDATE operations SET given_up = 1 WHERE id = ? AND state IN ('queued', 'running')",
            (operation.id,),
        )
        if note:
            await transaction.connection.execute(
                "UPDATE operation_steps SET note = ?1 WHERE operation_id = ?2"
                " AND seq = (SELECT max(seq) FROM operation_steps WHERE operation_id = ?2)",
                (note, operation.id),
            )
        await self._touch(transaction, operation)

    async def set_state(
        self,
        operation: Operation,
        state: OperationState,
        now: datetime,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        async with self._db.transaction(durable=True) as transaction:
            await self.write_state(transaction, operation, state, now, error)

    async def write_state(
        self,
        transaction: Transaction,
        operation: Operation,
        state: OperationState,
        now: datetime,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """The same inside of a transaction. What was cancelled stays so."""
        await transaction.connection.execute(
            "UPDATE operations SET state = ?, updated_at = ?, error = ?"
            " WHERE id = ? AND state <> 'cancelled'",
            (state, now.isoformat(), error_text(error) if error else None, operation.id),
        )
        await self._touch(transaction, operation)

    async def step_sent(self, operation: Operation, step: OperationStep, now: datetime) -> bool:
        """Before the first byte: from here on the step may have been carried out.

        Returns:
            False when it was given up meanwhile: then it must not be sent.
        """
        async with self._db.transaction(durable=True) as transaction:
            rows = await transaction.connection.execute_fetchall(
                "UPDATE operation_steps SET state = ?, started_at = coalesce(started_at, ?), note = ''"
                " WHERE operation_id = ? AND seq = ? AND EXISTS (SELECT 1 FROM operations WHERE"
                " id = operation_id AND state IN ('queued', 'running') AND NOT given_up) RETURNING seq",
                (StepState.SENT, now.isoformat(), operation.id, step.seq),
            )
            await self._touch(transaction, operation)
        return bool(list(rows))

    async def step_pending(self, operation: Operation, step: OperationStep, note: str) -> None:
        """The platform has certainly done nothing: it may be sent afresh."""
        await self._write_step(operation, step, StepState.PENDING, note)

    async def again(self, operation: Operation, key: str, note: str) -> bool:
        """Begin again with the step `key`: what was done since is done anew. False: there is no such step."""
        first = next((step.seq for step in operation.steps if step.key == key), None)
        last = operation.current
        if first is None or last is None:
            return False
        async with self._db.transaction(durable=True) as transaction:
            # A wait begins anew, or what was observed before would end it.
            await transaction.connection.execute(
                "UPDATE operation_steps SET state = ?, finished_at = NULL, outputs = '{}', note = ?,"
                " started_at = CASE WHEN key IN (SELECT value FROM json_each(?)) THEN NULL"
                " ELSE started_at END"
                " WHERE operation_id = ? AND seq BETWEEN ? AND ?",
                (StepState.PENDING, note, json.dumps(sorted(WATCHED)), operation.id, first, last.seq),
            )
            await self._touch(transaction, operation)
        return True

    async def step_failed(self, operation: Operation, step: OperationStep, note: str) -> None:
        await self._write_step(operation, step, StepState.FAILED, note)

    async def step_done(
        self, operation: Operation, step: OperationStep, outputs: Mapping[str, Any], now: datetime
    ) -> None:
        async with self._db.transaction(durable=True) as transaction:
            await transaction.connection.execute(
                "UPDATE operation_steps SET state = ?, started_at = coalesce(started_at, ?), finished_at = ?,"
                " outputs = ?, note = '', done = total WHERE operation_id = ? AND seq = ?",
                (
                    StepState.DONE,
                    now.isoformat(),
                    now.isoformat(),
                    json.dumps(dict(outputs)),
                    operation.id,
                    step.seq,
                ),
            )
            if remote_id := outputs.get("remote_id"):
                await transaction.connection.execute(
                    "UPDATE deployments SET remote_id = ? WHERE id = ?", (remote_id, operation.deployment_id)
                )
            await self._touch(transaction, operation)

    async def progress(
        self, operation: Operation, step: OperationStep, done: int | None, total: int | None, note: str
    ) -> None:
        async with self._db.transaction() as transaction:
            written = await transaction.connection.execute(
                # A wait that was given up has nothing more to say: why it was stays to be read.
                "UPDATE operation_steps SET done = ?, total = ?, note = ? WHERE operation_id = ? AND seq = ?"
                " AND NOT (key IN (SELECT value FROM json_each(?)) AND EXISTS (SELECT 1 FROM operations"
                " WHERE id = operation_id AND given_up))",
                (done, total, redact(note), operation.id, step.seq, json.dumps(sorted(WATCHED))),
            )
            if written.rowcount:
                await self._touch(transaction, operation)

    async def _write_step(
        self, operation: Operation, step: OperationStep, state: StepState, note: str
    ) -> None:
        async with self._db.transaction(durable=True) as transaction:
            await transaction.connection.execute(
                "UPDATE operation_steps SET state = ?, note = ? WHERE operation_id = ? AND seq = ?",
                (state, redact(note), operation.id, step.seq),
            )
            await self._touch(transaction, operation)

    async def _touch(self, transaction: Transaction, operation: Operation) -> None:
        """The deployment's row shows its operation, so it has changed too."""
        await transaction.connection.execute(
            "UPDATE deployments SET revision = ? WHERE id = ?",
            (transaction.revision, operation.deployment_id),
        )

    async def _with_steps(self, rows: list[sqlite3.Row]) -> list[Operation]:
        ids = json.dumps([row["id"] for row in rows])
        steps: dict[str, list[OperationStep]] = {row["id"]: [] for row in rows}
        if rows:
            for row in await self._db.all(
                "SELECT * FROM operation_steps WHERE operation_id IN (SELECT value FROM json_each(?))"
                " ORDER BY operation_id, seq",
                ids,
            ):
                steps[row["operation_id"]].append(_step(row))
        return [
            Operation(
                row["id"],
                row["deployment_id"],
                OperationKind(row["kind"]),
                OperationState(row["state"]),
                datetime.fromisoformat(row["created_at"]),
                datetime.fromisoformat(row["updated_at"]),
                tuple(steps[row["id"]]),
                json.loads(row["error"]) if row["error"] else None,
                json.loads(row["changes"]),
                bool(row["given_up"]),
            )
            for row in rows
        ]


def _step(row: sqlite3.Row) -> OperationStep:
    return OperationStep(
        row["seq"],
        row["key"],
        row["title"],
        StepState(row["state"]),
        bool(row["bills"]),
        datetime.fromisoformat(row["started_at"]) if row["started_at"] else None,
        datetime.fromisoformat(row["finished_at"]) if row["finished_at"] else None,
        json.loads(row["outputs"]),
        row["done"],
        row["total"],
        row["note"],
    )
