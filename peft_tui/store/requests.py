"""What was asked of deployments. Figures in one table, texts in another."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from peft_tui.domain.buckets import Buckets
from peft_tui.domain.inference import PromptRequest, Role
from peft_tui.domain.measure import Basis, Cost, Measured, Outcome, Source
from peft_tui.domain.money import Provenance
from peft_tui.domain.request import Exchange, Texts
from peft_tui.store.database import Database, error_text

_COLUMNS = (
    "deployment_id, at, source, run_id, model, role, parameters, streamed, outcome, status, error_kind,"
    " error, reason, remote_id, cold, wait_s, connect_s, ttft_s, latency_s, queue_s, run_s, tokens_in,"
    " tokens_out, tokens_cached, tokens_source, cost_usd, cost_basis, cost_source, gaps"
)
_INSERT = f"INSERT INTO requests (id, {_COLUMNS}) VALUES ({', '.join('?' * (1 + len(_COLUMNS.split(','))))})"
_LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'requests'"
_SELECT = (
    f"SELECT id, {_COLUMNS}, prompt, system, stop, thoughts, response, raw"
    " FROM requests LEFT JOIN request_texts ON request_id = id"
)
_FOUND = r"(prompt || ' ' || system || ' ' || response || ' ' || coalesce(error, '')) LIKE ? ESCAPE '\'"
_LIKE = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})


class Requests:
    """The queries on requests."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def record(self, exchanges: Sequence[Exchange]) -> list[int]:
        """Write what has ended, in one transaction; their ids. Texts are written where there are any."""
        async with self._db.transaction() as transaction:
            connection = transaction.connection
            # Nobody else writes meanwhile; a number that was given once is not given again.
            rows = await connection.execute_fetchall(_LAST)
            last = next((int(row["seq"]) for row in rows), 0)
            ids = list(range(last + 1, last + 1 + len(exchanges)))
            await connection.executemany(
                _INSERT, [(id, *_row(exchange)) for id, exchange in zip(ids, exchanges, strict=True)]
            )
            await connection.executemany(
                "INSERT INTO request_texts VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (id, t.prompt, t.system, json.dumps(t.stop), t.thoughts, t.response, t.raw)
                    for id, exchange in zip(ids, exchanges, strict=True)
                    if (t := exchange.texts) is not None
                ],
            )
        return ids

    async def history(
        self, deployment_id: str, limit: int = 10, search: str = "", sources: Iterable[Source] = ()
    ) -> list[Exchange]:
        """The newest that were not deleted, newest first.

        Args:
            search: a part of the prompt, the system message, the response or the error.
            sources: only of these; of all when empty.
        """
        words = [f"%{word.translate(_LIKE)}%" for word in search.encode("utf-8", "replace").decode().split()]
        where = " AND ".join(
            ["deployment_id = ? AND NOT hidden"]
            + [_FOUND for _ in words]
            + (["source IN (SELECT value FROM json_each(?))"] if (wanted := list(sources)) else [])
        )
        more: list[object] = [json.dumps(wanted)] if wanted else []
        rows = await self._db.all(
            f"{_SELECT} WHERE {where} ORDER BY at DESC, id DESC LIMIT ?",
            deployment_id,
            *words,
            *more,
            limit,
        )
        return [_exchange(row) for row in rows]

    async def get(self, request_id: int) -> Exchange | None:
        rows = await self._db.all(f"{_SELECT} WHERE id = ? AND NOT hidden", request_id)
        return _exchange(rows[0]) if rows else None

    async def of_run(self, run_id: str) -> list[Exchange]:
        """All of one load run or comparison, in the order in which they ended."""
        rows = await self._db.all(f"{_SELECT} WHERE run_id = ? ORDER BY id", run_id)
        return [_exchange(row) for row in rows]

    async def since(self, deployment_ids: Iterable[str], moment: datetime) -> dict[str, int]:
        """How many were sent to each of these after `moment`; those without any are left out."""
        rows = await self._db.all(
            "SELECT deployment_id, count(*) AS number FROM requests"
            " WHERE deployment_id IN (SELECT value FROM json_each(?)) AND at > ? GROUP BY deployment_id",
            json.dumps(list(deployment_ids)),
            moment.isoformat(),
        )
        return {row["deployment_id"]: row["number"] for row in rows}

    async def forget(self, ids: Iterable[int]) -> None:
        """Delete the texts for good and take the rows out of the history; what they cost stays counted."""
        wanted = json.dumps(list(ids))
        async with self._db.transaction() as transaction:
            connection = transaction.connection
            await connection.execute(
                "DELETE FROM request_texts WHERE request_id IN (SELECT value FROM json_each(?))", (wanted,)
            )
            await connection.execute(
                "UPDATE requests SET hidden = 1, error = NULL, parameters = '{}'"
                " WHERE id IN (SELECT value FROM json_each(?))",
                (wanted,),
            )
        await self._db.forget_deleted()


def _row(exchange: Exchange) -> tuple[Any, ...]:
    asked, measured, cost = exchange.request, exchange.measured, exchange.cost
    parameters: dict[str, Any] = {
        "max_tokens": asked.max_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
    }
    if asked.seed is not None:
        parameters["seed"] = asked.seed
    return (
        exchange.deployment_id,
        exchange.at.isoformat(),
        exchange.source,
        exchange.run_id,
        exchange.model,
        exchange.role,
        json.dumps(parameters),
        asked.stream,
        exchange.outcome,
        exchange.status,
        exchange.error_kind,
        error_text(exchange.error) if exchange.error else None,
        exchange.reason,
        exchange.remote_id,
        measured.cold,
        exchange.wait_s,
        measured.connect_s,
        measured.first_text_s,
        measured.total_s,
        measured.queue_s,
        measured.run_s,
        measured.tokens_in,
        measured.tokens_out,
        measured.tokens_cached,
        measured.tokens_from or "",
        None if cost.usd is None else str(cost.usd),
        cost.basis,
        cost.source,
        json.dumps(Buckets.of(measured.gaps_s).as_list()) if measured.gaps_s else None,
    )


def _exchange(row: sqlite3.Row) -> Exchange:
    parameters = json.loads(row["parameters"])
    texts = None
    if row["prompt"] is not None:
        texts = Texts(
            row["prompt"],
            row["system"],
            tuple(json.loads(row["stop"])),
            row["thoughts"],
            row["response"],
            row["raw"],
        )
    request = PromptRequest(
        texts.prompt if texts else "",
        texts.system if texts else "",
        parameters.get("max_tokens", 100),
        parameters.get("temperature", 0.7),
        parameters.get("top_p", 0.9),
        texts.stop if texts else (),
        parameters.get("seed"),
        bool(row["streamed"]),
    )
    measured = Measured(
        row["ttft_s"],
        None,
        row["latency_s"],
        row["connect_s"],
        row["queue_s"],
        row["run_s"],
        row["tokens_in"],
        row["tokens_out"],
        row["tokens_cached"],
        Provenance(row["tokens_source"]) if row["tokens_source"] else None,
        None if row["cold"] is None else bool(row["cold"]),
    )
    usd = row["cost_usd"]
    return Exchange(
        row["deployment_id"],
        datetime.fromisoformat(row["at"]),
        Source(row["source"]),
        row["model"],
        Role(row["role"]),
        request,
        Outcome(row["outcome"]),
        measured,
        Cost(None if usd is None else Decimal(usd), Basis(row["cost_basis"]), row["cost_source"]),
        row["status"],
        json.loads(row["error"]) if row["error"] else None,
        row["reason"],
        row["remote_id"],
        row["run_id"],
        row["wait_s"],
        texts,
        row["id"],
    )
