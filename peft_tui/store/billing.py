"""What was seen to bill, and when anybody was looking."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from peft_tui.domain.billing import GAP, Ledger, Mark, Phase, Watch, phase_of
from peft_tui.domain.status import Observation
from peft_tui.store.database import Database, Transaction

INLINE = 20


class Billing:
    """The queries on marks and watches."""

    def __init__(self, database: Database, period: timedelta) -> None:
        self._db = database
        self.gap = max(GAP, 3 * period)
        """After how long a silence nobody was looking: three periods of the refresh loop."""

    async def ledgers(self, deployment_ids: Sequence[str], now: datetime) -> dict[str, Ledger]:
        """What was seen of each; one that was never seen is not in it."""
        rows = await self._db.all(
            "SELECT m.deployment_id, m.at, m.phase, m.instances, m.usd_per_hour, d.platform, d.account"
            " FROM json_each(?) CROSS JOIN deployments AS d ON d.id = value"
            " JOIN billing_marks AS m ON m.deployment_id = d.id ORDER BY m.deployment_id, m.at",
            json.dumps(list(deployment_ids)),
        )
        watched = await self._db.all("SELECT platform, account, begin, until FROM watches ORDER BY begin")

        def work() -> dict[str, Ledger]:
            watches: dict[tuple[str, str], list[Watch]] = defaultdict(list)
            for platform, account, begin, until in watched:
                watches[platform, account].append(
                    Watch(datetime.fromisoformat(begin), datetime.fromisoformat(until))
                )
            marks: dict[str, list[Mark]] = defaultdict(list)
            places: dict[str, tuple[str, str]] = {}
            for id, at, phase, instances, usd_per_hour, platform, account in rows:
                price = None if usd_per_hour is None else Decimal(usd_per_hour)
                marks[id].append(Mark(datetime.fromisoformat(at), Phase(phase), instances, price))
                places[id] = (platform, account)
            return {id: Ledger(found, watches[places[id]], now, self.gap) for id, found in marks.items()}

        return await asyncio.to_thread(work) if len(rows) > INLINE else work()

    async def mark(
        self,
        transaction: Transaction,
        deployment_id: str,
        before: Observation | None,
        observation: Observation,
    ) -> None:
        """Write down what bills from now on, where that differs from before."""
        if before is not None and _billed(before) == _billed(observation):
            return
        phase, instances, usd_per_hour = _billed(observation)
        await transaction.connection.execute(
            "INSERT OR REPLACE INTO billing_marks VALUES (?, ?, ?, ?, ?)",
            (
                deployment_id,
                observation.observed_at.isoformat(),
                phase,
                instances,
                None if usd_per_hour is None else str(usd_per_hour),
            ),
        )

    async def watched(self, transaction: Transaction, platform: str, account: str, now: datetime) -> None:
        """Somebody has just looked: the watch goes on, or another one begins."""
        at, since = now.isoformat(), (now - self.gap).isoformat()
        updated = await transaction.connection.execute(
            "UPDATE watches SET until = max(until, ?1) WHERE platform = ?2 AND account = ?3 AND until >= ?4",
            (at, platform, account, since),
        )
        if not updated.rowcount:
            await transaction.connection.execute(
                "INSERT INTO watches VALUES (?, ?, ?, ?)", (platform, account, at, at)
            )


def _billed(seen: Observation) -> tuple[Phase, int | None, Decimal | None]:
    return phase_of(seen.status, seen.billed_instances), seen.billed_instances, seen.usd_per_hour
