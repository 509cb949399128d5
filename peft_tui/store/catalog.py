"""What was looked up at the platforms for the wizard; the screens read it here, not at a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peft_tui.store.database import Database, error_text


@dataclass(frozen=True, slots=True)
class Entry:
    """The newest answer to one question, or the error it ended with."""

    fetched_at: datetime
    value: str | None
    """JSON."""
    error: Mapping[str, Any] | None


class Catalog:
    """The queries on the catalog."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def get(self, platform: str, topic: str, subject: str = "") -> Entry | None:
        row = await self._db.one(
            "SELECT * FROM catalog WHERE platform = ? AND topic = ? AND subject = ?", platform, topic, subject
        )
        if row is None:
            return None
        return Entry(
            datetime.fromisoformat(row["fetched_at"]),
            row["value"],
            json.loads(row["error"]) if row["error"] else None,
        )

    async def put(
        self,
        platform: str,
        topic: str,
        subject: str,
        at: datetime,
        value: str | None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        async with self._db.transaction() as transaction:
            await transaction.connection.execute(
                "INSERT OR REPLACE INTO catalog VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    platform,
                    topic,
                    subject,
                    at.isoformat(),
                    value,
                    error_text(error) if error else None,
                    transaction.revision,
                ),
            )
