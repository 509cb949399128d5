"""How each platform is doing, as far as the refresh loop can tell."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from peft_tui.store.database import Database, Transaction, error_text


@dataclass(frozen=True, slots=True)
class PlatformHealth:
    """`error` is what the last look ended with; None after a good one."""

    platform: str
    listed_at: datetime | None = None
    """The last time that its whole list was read."""
    failing_since: datetime | None = None
    error: Mapping[str, Any] | None = None
    ahead: timedelta | None = None
    """How far its clock is ahead of this machine's, where it tells the time."""
    looks: Mapping[str, datetime] = field(default_factory=dict)
    """When the whole list of each account was last read."""

    def looked_at(self, account: str) -> datetime | None:
        """When this account's list was last read; any one's where it is not known whose it is."""
        return self.looks.get(account) if account else self.listed_at


class Platforms:
    """The queries on platforms."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def all(self) -> dict[str, PlatformHealth]:
        """By platform; one that was never asked is not in it."""
        return {
            row["platform"]: PlatformHealth(
                row["platform"],
                datetime.fromisoformat(row["listed_at"]) if row["listed_at"] else None,
                datetime.fromisoformat(row["failing_since"]) if row["failing_since"] else None,
                json.loads(row["error"]) if row["error"] else None,
                None if row["ahead_s"] is None else timedelta(seconds=row["ahead_s"]),
                {account: datetime.fromisoformat(at) for account, at in json.loads(row["looks"]).items()},
            )
            for row in await self._db.all(
                "SELECT *, (SELECT json_group_object(account, at) FROM looks"
                " WHERE looks.platform = platforms.platform) AS looks FROM platforms"
            )
        }

    async def failing(self, platform: str) -> str:
        """Whose error it is that stands there; empty where there is none, or it is not known."""
        row = await self._db.one("SELECT failing FROM platforms WHERE platform = ?", platform)
        return row["failing"] if row is not None else ""

    async def listed(
        self,
        transaction: Transaction,
        platform: str,
        at: datetime,
        ahead: timedelta | None = None,
        *,
        account: str = "",
        clears: Collection[str] = (),
    ) -> None:
        """Its whole list was read, for `account`.

        Args:
            clears: whose errors are over with that, beside its own.
        """
        connection = transaction.connection
        await connection.execute(
            "INSERT INTO platforms (platform, listed_at, revision, ahead_s) VALUES (?1, ?2, ?3, ?4)"
            " ON CONFLICT (platform) DO UPDATE SET listed_at = ?2, revision = ?3, ahead_s = ?4",
            (
                platform,
                at.isoformat(),
                transaction.revision,
                None if ahead is None else round(ahead.total_seconds(), 1),
            ),
        )
        await connection.execute(
            "UPDATE platforms SET error = NULL, failing_since = NULL, failing = '' WHERE platform = ?"
            " AND failing IN (SELECT value FROM json_each(?))",
            (platform, json.dumps(["", account, *clears])),
        )
        await connection.execute(
            "INSERT INTO looks VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET at = ?3",
            (platform, account, at.isoformat()),
        )

    async def failed(self, platform: str, error: Mapping[str, Any], at: datetime, account: str = "") -> None:
        async with self._db.transaction() as transaction:
            await transaction.connection.execute(
                "INSERT INTO platforms (platform, failing_since, error, revision, failing)"
                " VALUES (?1, ?2, ?3, ?4, ?5)"
                " ON CONFLICT (platform) DO UPDATE SET error = ?3, revision = ?4, failing = ?5,"
                " failing_since = coalesce(failing_since, ?2)",
                (platform, at.isoformat(), error_text(error), transaction.revision, account),
            )
