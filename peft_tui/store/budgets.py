"""What a platform lets an account spend, and how much of it is spent, as it was told last."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from peft_tui.domain.money import BUDGET_EVERY, Budget
from peft_tui.store.database import Database


class Budgets:
    """The queries on budgets."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def write(self, platform: str, account: str, budget: Budget | None, at: datetime) -> None:
        """Keep what was told; None: there is none any more."""
        async with self._db.transaction() as transaction:
            connection = transaction.connection
            await connection.execute(
                "DELETE FROM budgets WHERE platform = ? AND account = ?", (platform, account)
            )
            if budget is not None:
                await connection.execute(
                    "INSERT INTO budgets VALUES (?, ?, ?, ?, ?)",
                    (platform, account, str(budget.used_usd), str(budget.limit_usd), at.isoformat()),
                )

    async def current(self, now: datetime, platform: str | None = None) -> dict[tuple[str, str], Budget]:
        """By platform and account, without those that nobody has asked for since: they may be far from it."""
        rows = await self._db.all("SELECT platform, account, used_usd, limit_usd, at FROM budgets")
        return {
            (row[0], row[1]): Budget(Decimal(row[2]), Decimal(row[3]))
            for row in rows
            if platform in (None, row[0]) and now - datetime.fromisoformat(row[4]) <= 2 * BUDGET_EVERY
        }
