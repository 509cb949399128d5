"""How each platform is doing, as far as the refresh loop can tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
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
            )
            for row in await self._db.all("SELECT * FROM platforms")
        }

    async def listed(
        self, transaction: Transaction, platform: str, at: datetime, ahead: timedelta | None = None
    ) -> None:
        await transaction.connection.execute(
            "INSERT INTO platforms (platform, listed_at, revision, ahead_s) VALUES (?1, ?2, ?3, ?4)"
            " ON CONFLICT (platform) DO UPDATE SET listed_at = ?2, error = NULL, failing_since = NULL,"
            " revision = ?3, ahead_s = ?4",
            (
                platform,
                at.isoformat(),
                transaction.revision,
                None if ahead is None else round(ahead.total_seconds(), 1),
            ),
        )

    async def failed(self, platform: str, error: Mapping[str, Any], at: datetime) -> None:
        async with self._db.transaction() as transaction:
            await transaction.connection.execute(
                "INSERT INTO platforms (platform, failing_since, error, revision) VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT (platform) DO UPDATE SET error = ?3, revision = ?4,"
                " failing_since = coalesce(failing_since, ?2)",
                (platform, at.isoformat(), error_text(error), transaction.revision),
            )
