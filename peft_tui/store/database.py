"""The connection: write-ahead log, short transactions, and notices of what changed.

Every row that a screen shows carries the number of the transaction that wrote it last. After a commit, ours
or another process's, the rows above the last known number are what changed: one way to tell a screen, whoever
did the writing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite

from peft_tui.domain.errors import NotUsable, PeftTuiError
from peft_tui.paths import private_dir
from peft_tui.redaction import redacted
from peft_tui.store.care import Damage, back_up, forget_backup, identity, is_damage, not_while_mended
from peft_tui.store.migrations import is_behind, migrate

log = logging.getLogger(__name__)

StoreError = sqlite3.Error
"""What a read or a write ends with when the disk is full or another process holds the file for too long."""

BUSY_TIMEOUT_MS = 5_000
_LOCK_ATTEMPTS = 4
MOVED = "the file was moved away or replaced"
_CHANGED = """\
SELECT 'revision' AS kind, revision AS a, (SELECT coalesce(max(id), 0) FROM requests) AS b, '' AS c
    FROM clockwork
UNION ALL SELECT 'deployment', id, '', '' FROM deployments WHERE revision > ?1
UNION ALL SELECT 'platform', platform, '', '' FROM platforms WHERE revision > ?1
UNION ALL SELECT 'catalog', platform, topic, subject FROM catalog WHERE revision > ?1
UNION ALL SELECT * FROM
    (SELECT DISTINCT 'request', deployment_id, '', '' FROM requests NOT INDEXED WHERE id > ?2)
"""
"""All that was written since, in one look: its kind and its key."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What one or several transactions touched."""

    deployments: frozenset[str] = frozenset()
    platforms: frozenset[str] = frozenset()
    catalog: frozenset[tuple[str, str, str]] = frozenset()
    """platform, topic, subject"""
    requests: frozenset[str] = frozenset()
    """Deployments that were asked something."""

    def __bool__(self) -> bool:
        return bool(self.deployments or self.platforms or self.catalog or self.requests)


def error_text(error: Mapping[str, Any]) -> str:
    """An error as it is kept: what a platform quotes of a request may hold the key it was sent with."""
    return json.dumps(redacted(error))


@dataclass(slots=True)
class Transaction:
    """An open writing transaction. `revision` goes into every row that it writes."""

    connection: aiosqlite.Connection
    revision: int


class Database:
    """Two connections: one that writes, one that reads and never waits for a disk."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader
        self._writing = asyncio.Lock()
        self._announcing = asyncio.Lock()
        self._durable: bool | None = False
        """Whether the writer was last told to wait for the disk; None when that is not known."""
        self._announced = 0
        self._announced_request = 0
        self._data_version = -1
        self._listeners: list[Callable[[Changes], None]] = []
        self._file = identity(path)
        self.damage: Damage | None = None
        """Why nothing is read or written any more; None while all is well."""
        self.when_damaged: Callable[[Damage], None] | None = None
        """Told once."""

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Open or make the file (0600, in a directory of mode 0700) and bring it to the newest layout.

        Raises:
            NotUsable: not a store, written by a newer version, or not accessible.
        """
        connections: list[aiosqlite.Connection] = []
        try:
            private_dir(path.parent)
            async with not_while_mended(path):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                path.chmod(0o600)
                for _ in range(2):
                    connection = await aiosqlite.connect(path, isolation_level=None)
                    connections.append(connection)
                    connection.row_factory = sqlite3.Row
                    await connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
                    await _check_whose(connection, path)
                    await _use_wal(connection)
                    await connection.execute("PRAGMA synchronous = NORMAL")
                    await connection.execute("PRAGMA foreign_keys = ON")
                    # What is deleted is overwritten: prompts may hold what nobody should find later.
                    await connection.execute("PRAGMA secure_delete = ON")
            if await is_behind(connections[0]) and not await asyncio.to_thread(back_up, path):
                raise NotUsable(
                    f"The disk has no room for the backup that is made before {path} is brought up to date.",
                    hint="Nothing was changed. Free some space.",
                )
            await migrate(connections[0])
            database = cls(path, *connections)
            row = await database.one("SELECT revision FROM clockwork")
            database._announced = int(row["revision"]) if row else 0
            database._announced_request = await database._last_request()
            database._data_version = await database._read_data_version()
        except (OSError, sqlite3.Error, PeftTuiError) as error:
            for connection in connections:
                await connection.close()
            if isinstance(error, PeftTuiError):
                raise
            raise NotUsable(
                f"The store {path} cannot be opened: {error}.",
                hint="Nothing was changed. Set PEFT_TUI_DATA_DIR elsewhere, or move the file aside.",
            ) from error
        except BaseException:
            # Cancelled: their threads would keep the process alive for ever.
            for connection in connections:
                connection.stop()
            raise
        return database

    async def close(self) -> None:
        for connection in (self._reader, self._writer):
            with suppress(sqlite3.Error, ValueError):
                await connection.close()

    def listen(self, listener: Callable[[Changes], None]) -> Callable[[], None]:
        """Call `listener` with every change from now on; the answer ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @asynccontextmanager
    async def transaction(self, *, durable: bool = False) -> AsyncIterator[Transaction]:
        """Write, all or nothing, then announce.

        Args:
            durable: on the disk before this returns (`synchronous=FULL`). For intents and what costs money;
                an observation can be made again.
        """
        async with self._writing:
            self._check()
            try:
                if durable != self._durable:
                    # A pragma inside a transaction does nothing, so it is set before. Cancelled meanwhile, it
                    # is not known which it is.
                    self._durable = None
                    await self._writer.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                    self._durable = durable
                await self._begin()
                # In one go: a cancelled task must not leave a half-read answer, which no COMMIT would pass.
                rows = await self._writer.execute_fetchall(
                    "UPDATE clockwork SET revision = revision + 1 RETURNING revision"
                )
                yield Transaction(self._writer, next(int(row["revision"]) for row in rows))
                await self._writer.execute("COMMIT")
            except BaseException as error:
                self._notice_damage(error)
                # Cancelled on its way, a statement still runs in its thread: this one follows it.
                with suppress(sqlite3.Error):
                    await asyncio.shield(self._writer.execute("ROLLBACK"))
                raise
        await self.announce()

    async def forget_deleted(self) -> None:
        """Empty the journal as well, and the backup, in which what was deleted still stands."""
        # The backup first: one that is being written is waited for, and keeps the journal from being emptied.
        await forget_backup(self.path)
        async with self._writing:
            await self._writer.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")

    async def _begin(self) -> None:
        # SQLite's busy handler is not fair: a writer can starve past its time-out while others get in.
        for attempt in range(_LOCK_ATTEMPTS):
            try:
                await self._writer.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or attempt == _LOCK_ATTEMPTS - 1:
                    raise

    async def all(self, sql: str, *parameters: object) -> list[sqlite3.Row]:
        try:
            return list(await self._reader.execute_fetchall(sql, parameters))
        except sqlite3.Error as error:
            self._notice_damage(error)
            raise

    async def one(self, sql: str, *parameters: object) -> sqlite3.Row | None:
        rows = await self.all(sql, *parameters)
        return rows[0] if rows else None

    async def notice_others(self) -> None:
        """Announce what another process wrote since the last look. Cheap when nobody did."""
        self._check()
        version = await self._read_data_version()
        if version != self._data_version:
            await self.announce()
            self._data_version = version

    async def announce(self) -> None:
        """Tell the listeners what changed since they were told last.

        Whoever announces may be cancelled: what was not told yet is told at the next look.
        """
        async with self._announcing:
            since = self._announced
            found: dict[str, list[tuple[str, str, str]]] = {}
            for row in await self.all(_CHANGED, since, self._announced_request):
                found.setdefault(row["kind"], []).append((row["a"], row["b"], row["c"]))
            ((revision, last, _),) = found["revision"]
            if int(revision) == since:
                return
            self._announced, self._announced_request = int(revision), int(last)
        changes = Changes(
            frozenset(a for a, _, _ in found.get("deployment", ())),
            frozenset(a for a, _, _ in found.get("platform", ())),
            frozenset(found.get("catalog", ())),
            frozenset(a for a, _, _ in found.get("request", ())),
        )
        if changes:
            for listener in tuple(self._listeners):
                try:
                    listener(changes)
                except Exception:
                    # What was written is written, whoever cannot hear of it.
                    log.exception("a listener failed")

    def is_damaged(self, why: str) -> None:
        """Use it no more. Whoever has it open closes it and opens it anew: see `care.mend`."""
        self._end_with(Damage(why, self._file))

    def _check(self) -> None:
        """
        Raises:
            StoreError: the file is damaged, or not the one that was opened.
        """
        if self.damage is None and identity(self.path) != self._file:
            # Whoever put it aside has put another one in its place: nothing is written behind its back.
            self._end_with(Damage(MOVED, None))
        if self.damage is not None:
            raise sqlite3.DatabaseError(self.damage.why)

    def _notice_damage(self, error: BaseException) -> None:
        if isinstance(error, sqlite3.Error) and is_damage(error):
            self.is_damaged(str(error))

    def _end_with(self, damage: Damage) -> None:
        if self.damage is not None:
            return
        self.damage = damage
        log.error("%s: %s", self.path, damage.why)
        if self.when_damaged is not None:
            self.when_damaged(damage)

    async def _last_request(self) -> int:
        row = await self.one("SELECT max(id) FROM requests")
        return int(row[0] or 0) if row else 0

    async def _read_data_version(self) -> int:
        row = await self.one("PRAGMA data_version")
        return int(row[0]) if row else 0


async def _check_whose(connection: aiosqlite.Connection, path: Path) -> None:
    """Refuse another program's database before anything in it is changed."""
    names = {row[0] for row in await connection.execute_fetchall("SELECT name FROM sqlite_master")}
    if names and "migrations" not in names:
        raise NotUsable(
            f"{path} is another program's database. Nothing was changed.",
            hint="Set PEFT_TUI_DATA_DIR to another directory.",
        )


async def _use_wal(connection: aiosqlite.Connection) -> None:
    """Changing to it takes the file for itself and, unlike everything else, does not wait."""
    for attempt in range(50):
        try:
            await connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == 49:
                raise
            await asyncio.sleep(random.uniform(0.01, 0.05))
