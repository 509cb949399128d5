"""What the platforms reported, kept apart from what was measured, and never twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

from peft_tui.domain.metrics import Told
from peft_tui.domain.reported import SUMMED, Metric, Report
from peft_tui.store.database import Database

COUNTER = 0


class Reported:
    """The queries on reports."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def write(self, deployment_id: str, report: Report, at: datetime) -> None:
        """Keep what is new; a stretch that is told again replaces itself, a request is kept once."""
        async with self._db.transaction() as transaction:
            connection = transaction.connection
            await connection.execute(
                "INSERT OR REPLACE INTO report_looks VALUES (?, ?, ?)",
                (deployment_id, report.source, at.isoformat()),
            )
            await connection.executemany(
                "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?)",
                [
                    (deployment_id, reading.metric, reading.seconds, reading.at.isoformat(), reading.value)
                    for reading in report.readings
                ],
            )
            await connection.executemany(
                "INSERT OR IGNORE INTO reported_requests (deployment_id, remote_id, at, outcome, latency_s,"
                " ttft_s, tokens_in, tokens_out, cost_usd, cold, error_kind)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        deployment_id,
                        request.remote_id,
                        (s := request.sample).at.isoformat(),
                        s.outcome,
                        s.latency_s,
                        s.first_text_s,
                        s.tokens_in,
                        s.tokens_out,
                        None if s.cost_usd is None else str(s.cost_usd),
                        s.cold,
                        s.error_kind,
                    )
                    for request in report.requests
                ],
            )

    async def looks(self, deployment_ids: Sequence[str]) -> dict[str, datetime]:
        """When the platform was asked for figures last, by deployment."""
        rows = await self._db.all(
            "SELECT deployment_id, at FROM json_each(?) CROSS JOIN report_looks ON deployment_id = value",
            json.dumps(list(deployment_ids)),
        )
        return {row["deployment_id"]: datetime.fromisoformat(row["at"]) for row in rows}

    async def told(self, deployment_id: str, begin: datetime, end: datetime) -> Told | None:
        """What the platform says of the time from `begin` to `end`; None where it never said anything."""
        look = await self._db.one(
            "SELECT source, at FROM report_looks WHERE deployment_id = ?", deployment_id
        )
        if look is None:
            return None
        rows = await self._db.all(
            "SELECT metric, seconds, at, value FROM readings WHERE deployment_id = ? AND at >= ? AND at < ?"
            " ORDER BY metric, at",
            deployment_id,
            begin.isoformat(),
            end.isoformat(),
        )
        sums: dict[str, Decimal] = {}
        newest: dict[str, tuple[float, int]] = {}
        counted: dict[str, Decimal] = {}
        billed: tuple[datetime, datetime] | None = None
        for metric, seconds, at, text in rows:
            try:
                value = Decimal(text)
            except InvalidOperation:
                continue
            if metric == Metric.COST_USD:
                hour = datetime.fromisoformat(at)
                billed = (billed[0] if billed else hour, hour + timedelta(seconds=seconds))
            if metric not in SUMMED:
                newest[metric] = (float(value), seconds)
            elif seconds != COUNTER:
                sums[metric] = sums.get(metric, Decimal(0)) + value
            elif metric in counted:
                # A counter that fell began anew: what it shows now came since.
                grown = value - counted[metric] if value >= counted[metric] else value
                sums[metric] = sums.get(metric, Decimal(0)) + grown
                counted[metric] = value
            else:
                counted[metric] = value
                sums.setdefault(metric, Decimal(0))
        return Told(
            look["source"],
            datetime.fromisoformat(look["at"]),
            _whole(sums.get(Metric.REQUESTS)),
            _whole(sums.get(Metric.FAILED)),
            _whole(sums.get(Metric.TOKENS_IN)),
            _whole(sums.get(Metric.TOKENS_OUT)),
            sums.get(Metric.COST_USD),
            billed,
            newest=newest,
        )

    async def billed(self, deployment_ids: Sequence[str]) -> dict[str, Decimal]:
        """What the platform has billed so far, by deployment; one that it told nothing of is not in it."""
        rows = await self._db.all(
            "SELECT deployment_id, r.value FROM json_each(?) AS wanted CROSS JOIN readings AS r"
            " ON deployment_id = wanted.value WHERE metric = ?",
            json.dumps(list(deployment_ids)),
            Metric.COST_USD,
        )
        found: dict[str, Decimal] = {}
        for id, text in rows:
            with suppress(InvalidOperation):
                found[id] = found.get(id, Decimal(0)) + Decimal(text)
        return found

    async def prune(self, before: datetime) -> None:
        """Delete what is older; bills stay, for they add up to what it cost."""
        async with self._db.transaction() as transaction:
            await transaction.connection.execute(
                "DELETE FROM readings WHERE at < ? AND metric <> ?", (before.isoformat(), Metric.COST_USD)
            )


def _whole(value: Decimal | None) -> int | None:
    return None if value is None else int(value)
