"""Roll-ups: what requests come to by the minute and coarser, folded from the rows in the order they ended.

Rows are folded by whoever reads, or by the metrics worker, a batch a transaction, each row once: the number
of the last one is written with the cells. A row that comes late, for a minute long gone, is just added.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from peft_tui.domain.measure import Outcome
from peft_tui.domain.money import Provenance
from peft_tui.domain.tally import Sample, Tally, counted
from peft_tui.store.database import Database, Transaction

LEVELS = (60, 600, 3600, 86400, 0)
"""Seconds of a cell; the last holds everything there ever was."""
BATCH = 2000
INLINE = 40
"""So many rows are added up without leaving the event loop."""
KEPT_DAYS = {60: 8, 600: 40, 3600: 400}
"""How long cells of so many seconds are kept; those of a day and the whole are kept for ever."""

_SAMPLE = "at, outcome, latency_s, ttft_s, tokens_in, tokens_out, cost_usd, cold, error_kind"
_MEASURED = """
    SELECT id, deployment_id, at, outcome, latency_s, ttft_s, tokens_in, tokens_out,
        CASE WHEN cost_basis = 'tokens' THEN cost_usd END, cold, error_kind
    FROM requests
"""
_REPORTED = f"SELECT id, deployment_id, {_SAMPLE} FROM reported_requests"
_SOURCES = {Provenance.MEASURED: _MEASURED, Provenance.REPORTED: _REPORTED}

T = TypeVar("T")
Key = tuple[str, int, int]
"""Deployment, seconds of the cell, where it begins."""


@dataclass(slots=True)
class _Cell:
    tally: Tally = field(default_factory=Tally)
    busy: int = 0
    """Of a minute: a bit for each second in which anything was worked on."""


class Figures:
    """The queries on roll-ups and on what they are made of."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._folded: dict[Provenance, int] = {}

    async def fold(self) -> int:
        """Add what is new to the cells, to the last row; how many there were. Next to nothing when none."""
        count = 0
        for source in _SOURCES:
            while batch := await self._fold(source):
                count += batch
        return count

    async def _fold(self, source: Provenance) -> int:
        table = "requests" if source is Provenance.MEASURED else "reported_requests"
        newest = await self._db.one(f"SELECT max(id) FROM {table}")
        if newest is None or (newest[0] or 0) <= self._folded.get(source, -1):
            return 0
        async with self._db.transaction() as transaction:
            connection = transaction.connection
            state = list(
                await connection.execute_fetchall(
                    "SELECT folded FROM figure_sources WHERE source = ?", (source,)
                )
            )
            since = int(state[0]["folded"]) if state else 0
            rows = list(
                await connection.execute_fetchall(
                    f"{_SOURCES[source]} WHERE id > ? ORDER BY id LIMIT {BATCH}", (since,)
                )
            )
            if rows:
                last = int(rows[-1]["id"])
                fresh = await _off_the_loop(len(rows), lambda: _gathered(rows))
                known = await self._read(transaction, source, fresh)
                written = await _off_the_loop(len(rows), lambda: _merged(source, fresh, known))
                await connection.executemany(
                    "INSERT OR REPLACE INTO figure_cells (deployment_id, source, seconds, start, busy, cell)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    written,
                )
                await connection.execute(
                    "INSERT OR REPLACE INTO figure_sources VALUES (?, ?)", (source, last)
                )
                since = last
        self._folded[source] = since
        return len(rows)

    async def _read(
        self, transaction: Transaction, source: Provenance, wanted: Iterable[Key]
    ) -> dict[Key, tuple[int, str]]:
        rows = await transaction.connection.execute_fetchall(
            "SELECT c.deployment_id, c.seconds, c.start, c.busy, c.cell FROM json_each(?) AS k"
            " CROSS JOIN figure_cells AS c ON c.deployment_id = json_extract(k.value, '$[0]')"
            " AND c.source = ? AND c.seconds = json_extract(k.value, '$[1]')"
            " AND c.start = json_extract(k.value, '$[2]')",
            (json.dumps(list(wanted)), source),
        )
        return {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows}

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
        return await _off_the_loop(
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

        return await _off_the_loop(len(rows), work)

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
        return await _off_the_loop(len(rows), lambda: {row[0]: Tally.from_json(row[1]) for row in rows})

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
            f"{_SOURCES[source]} WHERE deployment_id = ? AND at >= ? AND at < ? ORDER BY at LIMIT ?",
            deployment_id,
            begin.isoformat(),
            end.isoformat(),
            most + 1,
        )
        if len(rows) > most:
            return None
        return await _off_the_loop(len(rows), lambda: [_sample(row) for row in rows])

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
        await self.fold()
        oldest = now - timedelta(days=keep_days)
        async with self._db.transaction() as transaction:
            connection = transaction.connection
            await connection.execute(
                "INSERT INTO figure_sources VALUES ('kept since', ?1)"
                " ON CONFLICT (source) DO UPDATE SET folded = max(folded, ?1)",
                (int(oldest.timestamp()),),
            )
            for table in ("requests", "reported_requests"):
                await connection.execute(f"DELETE FROM {table} WHERE at < ?", (oldest.isoformat(),))
            for seconds, days in KEPT_DAYS.items():
                await connection.execute(
                    "DELETE FROM figure_cells WHERE seconds = ? AND start < ?",
                    (seconds, int((now - timedelta(days=days)).timestamp())),
                )


async def _off_the_loop(size: int, work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work) if size > INLINE else work()


def _sample(row: sqlite3.Row) -> Sample:
    _, _, at, outcome, latency, first, tokens_in, tokens_out, cost, cold, kind = row
    return Sample(
        datetime.fromisoformat(at),
        Outcome(outcome),
        latency,
        first,
        tokens_in,
        tokens_out,
        None if cost is None else Decimal(cost),
        None if cold is None else bool(cold),
        kind or "",
    )


def _gathered(rows: Sequence[sqlite3.Row]) -> dict[Key, _Cell]:
    """The rows' cells of a minute, and under which coarser ones they fall."""
    cells: dict[Key, _Cell] = defaultdict(_Cell)
    for row in rows:
        deployment_id, sample = row[1], _sample(row)
        begin = sample.at.timestamp()
        cells[deployment_id, 60, int(begin // 60) * 60].tally.add(sample)
        if sample.busy_s > 0 and sample.latency_s is not None:
            end = begin + sample.latency_s
            for second in range(int(end - sample.busy_s), int(-(-end // 1))):
                cells[deployment_id, 60, second // 60 * 60].busy |= 1 << (second % 60)
    for deployment_id, _, start in tuple(cells):
        for seconds in LEVELS[1:]:
            cells[deployment_id, seconds, _floor(start, seconds)]  # noqa: B018  made by being asked for
    return dict(cells)


def _merged(
    source: Provenance, fresh: dict[Key, _Cell], known: dict[Key, tuple[int, str]]
) -> list[tuple[str, str, int, int, int, str]]:
    """What is to be written: minutes first, and what is new in them added to every coarser cell."""
    news: dict[Key, Tally] = defaultdict(Tally)
    busy: dict[Key, int] = {}
    for key, cell in fresh.items():
        if key[1] != 60:
            continue
        before = known[key][0] if key in known else 0
        busy[key] = before | cell.busy
        added = cell.tally
        added.occupied_s = (cell.busy & ~before).bit_count()
        for seconds in LEVELS:
            news[key[0], seconds, _floor(key[2], seconds)].merge(added)
    written = []
    for key, tally in news.items():
        if key in known:
            whole = Tally.from_json(known[key][1])
            whole.merge(tally)
        else:
            whole = tally
        written.append((key[0], source.value, key[1], key[2], busy.get(key, 0), whole.to_json()))
    return written


def _floor(start: int, seconds: int) -> int:
    return start // seconds * seconds if seconds else 0
