"""Roll-ups: what requests come to by the minute and coarser, as `folding.py` makes them of the rows.

Rows are folded by whoever reads, or by the metrics worker. A row that comes late, for a minute long gone, is
just added.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from peft_tui.domain.money import Provenance
from peft_tui.domain.sample import Sample
from peft_tui.domain.tally import Tally, counted
from peft_tui.store.database import Database
from peft_tui.store.folding import KEPT_DAYS, SOURCES, Folding, off_the_loop, sample_of

DELETED_AT_ONCE = 5000
"""Rows of one transaction when old ones are deleted: a console that records waits for no more."""


class Figures:
    """The queries on roll-ups and on what they are made of."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.folding = Folding(database)

    async def fold(self, now: datetime | None = None) -> int:
        """Add what is new to the cells, to the last row; how many there were."""
        return await self.folding.fold(now)

    async def behind(self) -> int:
        """About how many requests are in no cell yet."""
        return await self.folding.behind()

    async def cells(
        self,
        deployment_ids: Sequence[str],
        seconds: int,
        begin: datetime,
        end: datetime,
        source: Provenance = Provenance.MEASURED,
    ) -> list[tuple[str, datetime, Tally]]:
        """The cells of one size that begin in [begin, end), by deployment and time."""
        rows = await self._db.all(
            "SELECT deployment_id, start, cell FROM json_each(?) CROSS JOIN figure_cells"
            " ON deployment_id = value WHERE source = ? AND seconds = ? AND start >= ? AND start < ?"
            " ORDER BY deployment_id, start",
            json.dumps(list(deployment_ids)),
            source,
            seconds,
            int(begin.timestamp()),
            -int(-end.timestamp() // 1),
        )
        return await off_the_loop(
            len(rows),
            lambda: [(row[0], datetime.fromtimestamp(row[1], UTC), Tally.from_json(row[2])) for row in rows],
        )

    async def sums(
        self, deployment_ids: Sequence[str], seconds: int, begin: datetime, end: datetime, *, whole: bool
    ) -> tuple[dict[str, Tally], dict[str, list[tuple[int, int]]]]:
        """Of measured cells as above: what each deployment's come to, and when (Unix time) how many requests.

        Args:
            whole: False leaves out what they come to, for where `totals` knows it.
        """
        rows = await self._db.all(
            "SELECT deployment_id, start, cell FROM json_each(?) CROSS JOIN figure_cells"
            " ON deployment_id = value WHERE source = ? AND seconds = ? AND start >= ? AND start < ?",
            json.dumps(list(deployment_ids)),
            Provenance.MEASURED,
            seconds,
            int(begin.timestamp()),
            -int(-end.timestamp() // 1),
        )

        def work() -> tuple[dict[str, Tally], dict[str, list[tuple[int, int]]]]:
            tallies: dict[str, Tally] = {}
            counts: dict[str, list[tuple[int, int]]] = {}
            for id, start, text in rows:
                if whole:
                    cell = Tally.from_json(text)
                    tallies.setdefault(id, Tally()).merge(cell)
                    count = cell.total
                else:
                    count = counted(text)
                counts.setdefault(id, []).append((start, count))
            return tallies, counts

        return await off_the_loop(len(rows), work)

    async def totals(
        self, deployment_ids: Sequence[str], source: Provenance = Provenance.MEASURED
    ) -> dict[str, Tally]:
        """Everything there ever was, by deployment; one without a request is not in it."""
        rows = await self._db.all(
            "SELECT deployment_id, cell FROM json_each(?) CROSS JOIN figure_cells ON deployment_id = value"
            " WHERE source = ? AND seconds = 0",
            json.dumps(list(deployment_ids)),
            source,
        )
        return await off_the_loop(len(rows), lambda: {row[0]: Tally.from_json(row[1]) for row in rows})

    async def first(self, deployment_id: str, source: Provenance = Provenance.MEASURED) -> datetime | None:
        """Where the oldest day with a request begins."""
        row = await self._db.one(
            "SELECT min(start) FROM figure_cells WHERE deployment_id = ? AND source = ? AND seconds = 86400",
            deployment_id,
            source,
        )
        return datetime.fromtimestamp(row[0], UTC) if row and row[0] is not None else None

    async def samples(
        self,
        deployment_id: str,
        begin: datetime,
        end: datetime,
        most: int,
        source: Provenance = Provenance.MEASURED,
    ) -> list[Sample] | None:
        """The requests themselves, oldest first; None where they are more than `most`, or not kept."""
        if begin < await self.kept_since():
            return None
        rows = await self._db.all(
            f"{SOURCES[source]} WHERE deployment_id = ? AND at >= ? AND at < ? ORDER BY at LIMIT ?",
            deployment_id,
            begin.isoformat(),
            end.isoformat(),
            most + 1,
        )
        if len(rows) > most:
            return None
        return await off_the_loop(len(rows), lambda: [sample_of(row) for row in rows])

    async def sent_since(self, since: datetime, deployment_ids: Sequence[str]) -> dict[str, int]:
        """How many requests were sent from then on, by deployment."""
        rows = await self._db.all(
            "SELECT deployment_id, count(*) FROM json_each(?) CROSS JOIN requests ON deployment_id = value"
            " WHERE at >= ? GROUP BY deployment_id",
            json.dumps(list(deployment_ids)),
            since.isoformat(),
        )
        return {row[0]: row[1] for row in rows}

    async def kept_since(self) -> datetime:
        """From when on every request is still there by itself."""
        row = await self._db.one("SELECT folded FROM figure_sources WHERE source = 'kept since'")
        return datetime.fromtimestamp(row[0] if row else 0, UTC)

    async def prune(self, now: datetime, keep_days: int) -> None:
        """Delete requests older than that, and cells too fine for their age. What they come to stays."""
        await self.fold(now)
        oldest = now - timedelta(days=keep_days)
        async with self._db.transaction() as transaction:
            connection = transaction.connection
            await connection.execute(
                "INSERT INTO figure_sources VALUES ('kept since', ?1)"
                " ON CONFLICT (source) DO UPDATE SET folded = max(folded, ?1)",
                (int(oldest.timestamp()),),
            )
            for seconds, days in KEPT_DAYS.items():
                await connection.execute(
                    "DELETE FROM figure_cells WHERE seconds = ? AND start < ?",
                    (seconds, int((now - timedelta(days=days)).timestamp())),
                )
        for table in ("requests", "reported_requests"):
            while await self._delete_some(table, oldest):
                pass

    async def _delete_some(self, table: str, before: datetime) -> bool:
        async with self._db.transaction() as transaction:
            deleted = await transaction.connection.execute(
                f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE at < ? LIMIT ?)",
                (before.isoformat(), DELETED_AT_ONCE),
            )
            return deleted.rowcount == DELETED_AT_ONCE
