"""Folding: requests become cells of a minute and coarser ones, each request once.

A batch is read and added up with nothing locked; written it is in one short transaction, together with the
number of its last row, and only if nobody else has folded meanwhile. Cells that would be too fine for their
age are not made at all: the first fold of what lay there for a month takes seconds.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from peft_tui.domain.buckets import Buckets
from peft_tui.domain.measure import Outcome
from peft_tui.domain.money import Provenance
from peft_tui.domain.sample import Sample
from peft_tui.domain.tally import Tally
from peft_tui.store.database import Database

LEVELS = (60, 600, 3600, 86400, 0)
"""Seconds of a cell; the last holds everything there ever was."""
KEPT_DAYS = {60: 8, 600: 40, 3600: 400}
"""How long cells of so many seconds are kept; those of a day and the whole are kept for ever."""
BATCH = 20_000
INLINE = 40
"""So many rows are added up without leaving the event loop."""

_SAMPLE = "at, outcome, latency_s, ttft_s, tokens_in, tokens_out, cost_usd, cold, error_kind, NULL, ''"
_MEASURED = """
    SELECT id, deployment_id, at, outcome, latency_s, ttft_s, tokens_in, tokens_out,
        CASE WHEN cost_basis = 'tokens' THEN cost_usd END, cold, error_kind, gaps, source
    FROM requests
"""
_REPORTED = f"SELECT id, deployment_id, {_SAMPLE} FROM reported_requests"
SOURCES = {Provenance.MEASURED: _MEASURED, Provenance.REPORTED: _REPORTED}
_TABLES = {Provenance.MEASURED: "requests", Provenance.REPORTED: "reported_requests"}

T = TypeVar("T")
Place = tuple[str, int]
"""Deployment, and where the cell begins."""
Cells = dict[int, dict[Place, Tally]]
"""By seconds of the cell."""


async def off_the_loop(size: int, work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work) if size > INLINE else work()


def sample_of(row: sqlite3.Row) -> Sample:
    _, _, at, outcome, latency, first, tokens_in, tokens_out, cost, cold, kind, gaps, source = row
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
        Buckets.from_list(json.loads(gaps)) if gaps else None,
        source,
    )


class Folding:
    """What has been folded, and the folding of the rest."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._folded: dict[Provenance, int] = {}
        self._busy = asyncio.Lock()

    async def behind(self) -> int:
        """About how many rows wait to be folded."""
        rows = 0
        for source in SOURCES:
            rows += max(await self._newest(source) - await self._since(source), 0)
        return rows

    async def fold(self, now: datetime | None = None) -> int:
        """Fold everything; how many rows there were. Next to nothing when there are none.

        Args:
            now: what is old by then gets no fine cells; None makes them all.
        """
        count = 0
        # Two at once would do the same work twice, and one would find it done.
        async with self._busy:
            for source in SOURCES:
                if await self._newest(source) > self._folded.get(source, -1):
                    count += await self._fold(source, now)
        return count

    async def _fold(self, source: Provenance, now: datetime | None) -> int:
        count, since = 0, await self._since(source)
        batch = await self._gather(source, since, now)
        while batch is not None:
            # While one is written, the next one is read and added up.
            written, following = await asyncio.gather(
                self._write(source, since, batch), self._gather(source, batch.last, now)
            )
            if written:
                count, since, batch = count + batch.size, batch.last, following
            else:
                since = await self._since(source)
                batch = await self._gather(source, since, now)
        self._folded[source] = since
        return count

    async def _newest(self, source: Provenance) -> int:
        row = await self._db.one(f"SELECT max(id) FROM {_TABLES[source]}")
        return int(row[0] or 0) if row else 0

    async def _since(self, source: Provenance) -> int:
        row = await self._db.one("SELECT folded FROM figure_sources WHERE source = ?", source)
        return int(row["folded"]) if row else 0

    async def _gather(self, source: Provenance, since: int, now: datetime | None) -> Batch | None:
        rows = await self._db.all(f"{SOURCES[source]} WHERE id > ? ORDER BY id LIMIT {BATCH}", since)
        return await off_the_loop(len(rows), lambda: Batch(rows, now)) if rows else None

    async def _write(self, source: Provenance, since: int, batch: Batch) -> bool:
        """False when another process was quicker: what it was added to here is no longer what is there."""
        rows = await self._read(source, batch.wanted)
        written = await off_the_loop(batch.size, lambda: batch.written(source, rows))
        async with self._db.transaction() as transaction:
            connection = transaction.connection
            found = await connection.execute_fetchall(
                "SELECT folded FROM figure_sources WHERE source = ?", (source,)
            )
            if next((int(row["folded"]) for row in found), 0) != since:
                return False
            await connection.executemany(
                # A deployment may have been forgotten meanwhile.
                "INSERT OR REPLACE INTO figure_cells (deployment_id, source, seconds, start, busy, cell)"
                " SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM deployments WHERE id = ?1)",
                written,
            )
            await connection.execute(
                "INSERT OR REPLACE INTO figure_sources VALUES (?, ?)", (source, batch.last)
            )
        return True

    async def _read(self, source: Provenance, wanted: str) -> list[sqlite3.Row]:
        return await self._db.all(
            "SELECT c.deployment_id, c.seconds, c.start, c.busy, c.cell FROM json_each(?) AS k"
            " CROSS JOIN figure_cells AS c ON c.deployment_id = json_extract(k.value, '$[0]')"
            " AND c.source = ? AND c.seconds = json_extract(k.value, '$[1]')"
            " AND c.start = json_extract(k.value, '$[2]')",
            wanted,
            source,
        )


class Batch:
    """Some rows as cells, each request in the finest one that is kept of its time."""

    def __init__(self, rows: Sequence[sqlite3.Row], now: datetime | None) -> None:
        self.size = len(rows)
        self.last = int(rows[-1]["id"])
        kept = [
            (seconds, (now - timedelta(days=days)).timestamp() if now else -float("inf"))
            for seconds, days in KEPT_DAYS.items()
        ]
        self._cells: Cells = {seconds: defaultdict(Tally) for seconds in LEVELS}
        self._busy: dict[Place, int] = defaultdict(int)
        """Of a minute: a bit for each second in which anything was worked on."""
        self._finest: dict[Place, int] = {}
        """Of a minute: the cells that its seconds are counted in."""
        for row in rows:
            sample, deployment_id = sample_of(row), row[1]
            begin = sample.at.timestamp()
            level = 86400
            for seconds, since in kept:
                if begin >= since:
                    level = seconds
                    break
            self._cells[level][deployment_id, int(begin // level) * level].add(sample)
            busy = sample.busy_s
            if busy > 0 and sample.latency_s is not None:
                end = begin + sample.latency_s
                for second in range(int(end - busy), int(-(-end // 1))):
                    minute = (deployment_id, second // 60 * 60)
                    self._busy[minute] |= 1 << (second % 60)
                    self._finest[minute] = level
        for (deployment_id, start), level in self._finest.items():
            # A long one goes on in minutes in which none began.
            self._cells[level][deployment_id, start // level * level]  # noqa: B018  made by being asked for

        self.wanted = json.dumps(list(self._wanted()))
        """The keys of all cells that it adds to, JSON. Made here, where no key press waits for it."""

    def _wanted(self) -> Iterable[tuple[str, int, int]]:
        places: set[Place] = set()
        for level, coarser in zip(LEVELS, (*LEVELS[1:], None), strict=True):
            places |= self._cells[level].keys()
            yield from ((id, level, start) for id, start in places)
            if coarser is not None:
                places = {(id, start // coarser * coarser if coarser else 0) for id, start in places}

    def written(
        self, source: Provenance, there: Iterable[sqlite3.Row]
    ) -> list[tuple[str, str, int, int, int, str]]:
        """The rows to be written, with what is `there` already in them. To be asked for once."""
        known = {(row[0], row[1], row[2]): (row[3], row[4]) for row in there}
        busy: dict[Place, int] = {}
        for place, seconds in self._busy.items():
            level = self._finest[place]
            before = known.get((place[0], 60, place[1]), (0, ""))[0] if level == 60 else 0
            busy[place] = before | seconds
            cell = self._cells[level][place[0], place[1] // level * level]
            cell.occupied_s += (seconds & ~before).bit_count()
        rows = []
        for level, coarser in zip(LEVELS, (*LEVELS[1:], None), strict=True):
            for (id, start), cell in self._cells[level].items():
                if coarser is not None:
                    self._cells[coarser][id, start // coarser * coarser if coarser else 0].merge(cell)
                key = (id, level, start)
                seconds = 0
                if key in known:
                    seconds, text = known[key]
                    cell.merge(Tally.from_json(text))
                if level == 60:
                    seconds = busy.get((id, start), seconds)
                rows.append((id, source.value, level, start, seconds, cell.to_json()))
        # In the order in which they lie in the file.
        return sorted(rows)
