"""The journal: what was asked for, step by step, and how far it has come."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from peft_tui.domain.operation import Operation, OperationKind, OperationState, OperationStep, StepState
from peft_tui.redaction import redact
from peft_tui.store.database import Database, Transaction, error_text


class Operations:
    """The queries on operations and their steps."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def unfinished(self, platform: str) -> list[Operation]:
        """What is still to do at one platform, oldest first."""
        rows = await self._db.all(
            "SELECT operations.* FROM operations JOIN deployments ON deployments.id = deployment_id"
            " WHERE state IN ('queued', 'running') AND platform = ? ORDER BY operations.created_at",
            platform,
        )
        return await self._with_steps(rows)

    async def get(self, operation_id: str) -> Operation | None:
        rows = await self._db.all("SELECT * FROM operations WHERE id = ?", operation_id)
        return next(iter(await self._with_steps(rows)), None)

    async def shown(self, deployment_ids: Iterable[str]) -> dict[str, Operation]:
        """By deployment: its newest operation, when that is under way or has failed."""
        rows = await self._db.all(
            "SELECT *, max(created_at) FROM operations"
            " WHERE deployment_id IN (SELECT value FROM json_each(?)) GROUP BY deployment_id",
            json.dumps(list(deployment_ids)),
        )
        rows = [row for row in rows if row["state"] != OperationState.DONE]
        return {operation.deployment_id: operation for operation in await self._with_steps(rows)}

    async def of_deployment(self, deployment_id: str) -> list[Operation]:
        """All of one deployment, newest first."""
        rows = await self._db.all(
            "SELECT * FROM operations WHERE deployment_id = ? ORDER BY created_at DESC", deployment_id
        )
        return await self._with_steps(rows)

    async def insert(self, transaction: Transaction, operation: Operation) -> None:
        connection = transaction.connection
        await connection.execute(
            "INSERT INTO operations VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (
                operation.id,
                operation.deployment_id,
                operation.kind,
                operation.state,
                operation.created_at.isoformat(),
                operation.updated_at.isoformat(),
            ),
        )
        await connection.executemany(
            "INSERT INTO operation_steps (operation_id, seq, key, title, state, bills, outputs, note)"
            " VALUES (?, ?, ?, ?, ?, ?, '{}', '')",
            [(operation.id, s.seq, s.key, s.title, s.state, s.bills) for s in operation.steps],
        )

    async def set_state(
        self,
        operation: Operation,
        state: OperationState,
        now: datetime,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        async with self._db.transaction(durable=True) as transaction:
            await transaction.connection.execute(
                "UPDATE operations SET state = ?, updated_at = ?, error = ? WHERE id = ?",
                (state, now.isoformat(), error_text(error) if error else None, operation.id),
            )
            await self._touch(transaction, operation)

    async def step_sent(self, operation: Operation, step: OperationStep, now: datetime) -> None:
        """Before the first byte: from here on the step may have been carried out."""
        async with self._db.transaction(durable=True) as transaction:
            await transaction.connection.execute(
                "UPDATE operation_steps SET state = ?, started_at = coalesce(started_at, ?), note = ''"
                " WHERE operation_id = ? AND seq = ?",
                (StepState.SENT, now.isoformat(), operation.id, step.seq),
            )
            await self._touch(transaction, operation)

    async def step_pending(self, operation: Operation, step: OperationStep, note: str) -> None:
        """The platform has certainly done nothing: it may be sent afresh."""
        await self._write_step(operation, step, StepState.PENDING, note)

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
            await self._touch(transaction, operation)

    async def progress(
        self, operation: Operation, step: OperationStep, done: int | None, total: int | None, note: str
    ) -> None:
        async with self._db.transaction() as transaction:
            await transaction.connection.execute(
                "UPDATE operation_steps SET done = ?, total = ?, note = ? WHERE operation_id = ? AND seq = ?",
                (done, total, redact(note), operation.id, step.seq),
            )
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
