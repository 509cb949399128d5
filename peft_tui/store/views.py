"""How the screens were left, so that they open like that again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from peft_tui.store.database import Database


class Views:
    """One row a screen."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def get(self, name: str) -> dict[str, Any]:
        """Empty when it was never kept."""
        row = await self._db.one("SELECT value FROM views WHERE name = ?", name)
        value = json.loads(row["value"]) if row is not None else {}
        return value if isinstance(value, dict) else {}

    async def put(self, name: str, value: Mapping[str, Any]) -> None:
        async with self._db.transaction() as transaction:
            await transaction.connection.execute(
                "INSERT OR REPLACE INTO views VALUES (?, ?)", (name, json.dumps(dict(value)))
            )
