"""Deployments, what was last seen of them, and the history of it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.spec import DeploymentSpec, Settings
from peft_tui.domain.status import Condition, Observation, Status, gone
from peft_tui.redaction import redact
from peft_tui.store.database import Database, Transaction
from peft_tui.store.operations import Operations

if TYPE_CHECKING:
    from peft_tui.store.billing import Billing

_SELECT = """
    SELECT id, name, platform, source_kind, source_reference, base_model, settings, origin, account,
        remote_name, remote_id, created_at, since, listed, status, observed_at, platform_status, reason,
        condition, ready_instances, billed_instances, min_instances, max_instances, instance_type,
        usd_per_hour,
        endpoint_url, model, price_source, start_min, start_max,
        CASE WHEN account = '' THEN platforms.listed_at ELSE looks.at END
    FROM deployments LEFT JOIN platforms USING (platform) LEFT JOIN looks USING (platform, account)
"""
"""In the order in which `_deployment` takes them."""
_SHOWN = "(condition IS NOT 'gone' OR (origin = 'ours' AND NOT removed))"
"""What others made and removed again, or what was deleted from here, is of no use to anybody. Should it be
listed again it is shown again, for it may bill."""
_OBSERVED = """status = ?, condition = ?, platform_status = ?, reason = ?, ready_instances = ?,
    billed_instances = ?, min_instances = ?, max_instances = ?, instance_type = ?, usd_per_hour = ?,
    endpoint_url = ?, model = ?, price_source = ?"""


INLINE = 1000
"""How many rows are read without leaving the event loop: about fifteen milliseconds' worth."""


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One change of what the platform said."""

    observed_at: datetime
    status: Status
    condition: Condition
    platform_status: str
    reason: str
    ready_instances: int | None


class Deployments:
    """The queries on deployments and observations."""

    def __init__(self, database: Database, operations: Operations, billing: Callable[[], Billing]) -> None:
        self._db = database
        self._operations = operations
        self._billing = billing

    async def all(self) -> list[Deployment]:
        """Every deployment, oldest first."""
        rows = await self._db.all(f"{_SELECT} WHERE {_SHOWN} ORDER BY created_at, name")
        return await self._with_operations(await _read(rows))

    async def some(self, ids: Iterable[str]) -> list[Deployment]:
        """Those of `ids` that there are to show."""
        wanted = json.dumps(list(ids))
        rows = await self._db.all(
            f"{_SELECT} WHERE {_SHOWN} AND id IN (SELECT value FROM json_each(?))", wanted
        )
        return await self._with_operations([_deployment(row) for row in rows])

    async def any_at(self, platform: str) -> bool:
        """True when there is one of that platform."""
        row = await self._db.one("SELECT 1 FROM deployments WHERE platform = ? LIMIT 1", platform)
        return row is not None

    async def any_moving(self, platform: str) -> bool:
        """True when one of that platform is being changed, starts up, scales or stops."""
        row = await self._db.one(
            "SELECT 1 FROM deployments WHERE platform = ? AND (status IN (?, ?) OR condition IN (?, ?)"
            " OR EXISTS (SELECT 1 FROM operations WHERE deployment_id = deployments.id"
            " AND state IN ('queued', 'running'))) LIMIT 1",
            platform,
            *(Status.PENDING, Status.DEPLOYING),
            *(Condition.SCALING, Condition.STOPPING),
        )
        return row is not None

    async def get(self, deployment_id: str) -> Deployment | None:
        """Any that there ever was, whether it is shown or not."""
        rows = await self._db.all(f"{_SELECT} WHERE id = ?", deployment_id)
        return next(iter(await self._with_operations([_deployment(row) for row in rows])), None)

    async def named(self, name: str) -> list[Deployment]:
        """Those that a person may mean by `name`: its name, its remote name or its id."""
        rows = await self._db.all(
            f"{_SELECT} WHERE {_SHOWN} AND (name = ?1 OR remote_name = ?1 OR id = ?1) ORDER BY created_at",
            name,
        )
        return await self._with_operations([_deployment(row) for row in rows])

    async def name_is_taken(
        self, name: str, transaction: Transaction | None = None, *, but: str = ""
    ) -> bool:
        """True when one of ours has it, unless nothing of that one is left or ever was.

        Args:
            transaction: to be sure of it until the transaction ends.
            but: the one that gives way to it, by its id.
        """
        sql = (
            "SELECT 1 FROM deployments WHERE name = ? AND id <> ? AND origin = 'ours'"
            " AND condition IS NOT 'gone' AND (status IS NOT NULL OR EXISTS (SELECT 1 FROM operations"
            " WHERE deployment_id = deployments.id AND (state IN ('queued', 'running') OR EXISTS ("
            "SELECT 1 FROM operation_steps WHERE operation_id = operations.id AND bills"
            " AND operation_steps.state IN ('done', 'sent')))))"
        )
        if transaction is None:
            return await self._db.one(sql, name, but) is not None
        return bool(list(await transaction.connection.execute_fetchall(sql, (name, but))))

    async def of_account(self, platform: str, account: str) -> list[Deployment]:
        """What the platform may list for this account, those included whose account is not known yet."""
        rows = await self._db.all(f"{_SELECT} WHERE platform = ? AND account IN (?, '')", platform, account)
        return await _read(rows)

    async def history(self, deployment_id: str, limit: int = 50) -> list[HistoryLine]:
        """The newest `limit` changes, oldest first."""
        rows = await self._db.all(
            "SELECT * FROM observations WHERE deployment_id = ?"
            " ORDER BY observed_at DESC, rowid DESC LIMIT ?",
            deployment_id,
            limit,
        )
        return [
            HistoryLine(
                datetime.fromisoformat(row["observed_at"]),
                Status(row["status"]),
                Condition(row["condition"]),
                row["platform_status"],
                row["reason"],
                row["ready_instances"],
            )
            for row in reversed(rows)
        ]

    async def insert(self, transaction: Transaction, deployment: Deployment) -> None:
        spec = deployment.spec
        await transaction.connection.execute(
            "INSERT INTO deployments (id, name, platform, account, origin, source_kind, source_reference,"
            " base_model, settings, remote_name, remote_id, created_at, revision)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                deployment.id,
                spec.name,
                spec.platform,
                deployment.account,
                deployment.origin,
                spec.source.kind,
                spec.source.reference,
                spec.base_model,
                json.dumps(dict(spec.settings)),
                deployment.remote_name,
                deployment.remote_id,
                deployment.created_at.isoformat(),
                transaction.revision,
            ),
        )

    async def belongs_to(self, deployment_id: str, account: str) -> bool:
        """Write down whose it is, as soon as that is known; False when it is another one's."""
        async with self._db.transaction(durable=True) as transaction:
            rows = await transaction.connection.execute_fetchall(
                "UPDATE deployments SET account = ?1, revision = ?2 WHERE id = ?3 AND account IN ('', ?1)"
                " RETURNING id",
                (account, transaction.revision, deployment_id),
            )
        return bool(list(rows))

    async def observe(
        self,
        transaction: Transaction,
        deployment: Deployment,
        observation: Observation,
        *,
        remote_id: str = "",
        account: str = "",
        listed: bool = True,
    ) -> None:
        """Write what was seen of one deployment; a line of history when it says something new."""
        observation = replace(observation, reason=redact(observation.reason))
        before = deployment.observation
        news = before is None or not before.says_the_same_as(observation)
        same_status = before is not None and before.status is observation.status
        since = deployment.since if same_status and deployment.since else observation.observed_at
        when = observation.observed_at.isoformat()
        await transaction.connection.execute(
            f"UPDATE deployments SET {_OBSERVED}, observed_at = ?, since = ?, listed = ?, revision = ?,"
            " remote_id = CASE WHEN ? <> '' THEN ? ELSE remote_id END,"
            " account = CASE WHEN account = '' THEN ? ELSE account END,"
            " start_min = coalesce(?, start_min), start_max = coalesce(?, start_max) WHERE id = ?",
            (
                observation.status,
                observation.condition,
                observation.platform_status,
                observation.reason,
                observation.ready_instances,
                observation.billed_instances,
                observation.min_instances,
                observation.max_instances,
                observation.instance_type,
                None if observation.usd_per_hour is None else str(observation.usd_per_hour),
                observation.endpoint_url,
                observation.model,
                observation.price_source,
                when,
                since.isoformat(),
                listed,
                transaction.revision,
                remote_id,
                remote_id,
                account,
                observation.min_instances if observation.max_instances else None,
                observation.max_instances or None,
                deployment.id,
            ),
        )
        await self._billing().mark(transaction, deployment.id, before, observation)
        if news:
            await transaction.connection.execute(
                "INSERT INTO observations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    deployment.id,
                    when,
                    observation.status,
                    observation.condition,
                    observation.platform_status,
                    observation.reason,
                    observation.ready_instances,
                    observation.min_instances,
                    observation.max_instances,
                    observation.instance_type,
                ),
            )

    async def missed(self, transaction: Transaction, deployment: Deployment) -> None:
        """The platform's list left it out: what is known of it is no younger than before."""
        assert deployment.observation is not None
        await transaction.connection.execute(
            "UPDATE deployments SET listed = 0, observed_at = ?, revision = ? WHERE id = ?",
            (deployment.observation.observed_at.isoformat(), transaction.revision, deployment.id),
        )

    async def adopt(self, transaction: Transaction, deployment_id: str, spec: DeploymentSpec) -> None:
        """From here on it is ours, under this name and with these settings."""
        await transaction.connection.execute(
            "UPDATE deployments SET origin = ?, name = ?, settings = ?, revision = ? WHERE id = ?",
            (Origin.OURS, spec.name, json.dumps(dict(spec.settings)), transaction.revision, deployment_id),
        )

    async def adopted(self, platform: str) -> set[str]:
        """The ids of those that were made elsewhere and are managed here; without what is being changed."""
        rows = await self._db.all(
            "SELECT id FROM deployments WHERE platform = ? AND origin = 'ours' AND NOT removed"
            " AND NOT EXISTS (SELECT 1 FROM operations WHERE deployment_id = deployments.id"
            " AND (kind = 'create' OR state IN ('queued', 'running')))",
            platform,
        )
        return {row["id"] for row in rows}

    async def change(self, transaction: Transaction, deployment_id: str, changes: Settings) -> None:
        """Write settings that are different now; an empty text takes one away. What else there is, stays."""
        patch = {key: None if value == "" else value for key, value in changes.items()}
        await transaction.connection.execute(
            "UPDATE deployments SET settings = json_patch(settings, ?), revision = ? WHERE id = ?",
            (json.dumps(patch), transaction.revision, deployment_id),
        )

    async def start_with(self, transaction: Transaction, deployment_id: str, bounds: tuple[int, int]) -> None:
        """The bounds of its next start."""
        await transaction.connection.execute(
            "UPDATE deployments SET start_min = ?, start_max = ?, revision = ? WHERE id = ?",
            (*bounds, transaction.revision, deployment_id),
        )

    async def remove(
        self, transaction: Transaction, deployment: Deployment, now: datetime, reason: str
    ) -> None:
        """Nothing of it is left, as was asked for from here."""
        if deployment.condition is not Condition.GONE:
            await self.observe(transaction, deployment, gone(now, reason), listed=False)
        await transaction.connection.execute(
            "UPDATE deployments SET removed = 1, revision = ? WHERE id = ?",
            (transaction.revision, deployment.id),
        )

    async def _with_operations(self, deployments: list[Deployment]) -> list[Deployment]:
        """The same with the operation that each one's row should show, and what else has not ended."""
        shown = await self._operations.shown({deployment.id for deployment in deployments})
        return [
            replace(deployment, operation=shown[deployment.id][0], others=tuple(shown[deployment.id][1:]))
            if deployment.id in shown
            else deployment
            for deployment in deployments
        ]


_STATUS = {status.value: status for status in Status}
_CONDITION = {condition.value: condition for condition in Condition}


async def _read(rows: list[sqlite3.Row]) -> list[Deployment]:
    """Many rows are turned into values in a thread: no key should wait for it."""
    if len(rows) <= INLINE:
        return [_deployment(row) for row in rows]
    return await asyncio.to_thread(lambda: [_deployment(row) for row in rows])


def _deployment(row: sqlite3.Row) -> Deployment:
    # A thousand of these stand between the start and the first frame: by position, not by name.
    (
        id, name, platform, source_kind, source_reference, base_model, settings, origin, account,
        remote_name, remote_id, created_at, since, listed, status, observed_at, platform_status, reason,
        condition, ready_instances, billed_instances, min_instances, max_instances, instance_type,
        usd_per_hour,
        endpoint_url, model, price_source, start_min, start_max, looked_at,
    ) = row  # fmt: skip
    observation = None
    if status is not None:
        # Unchanged rows are not rewritten: being on their account's last list is their last observation.
        if listed and looked_at and looked_at > observed_at:
            observed_at = looked_at
        observation = Observation(
            _STATUS[status],
            datetime.fromisoformat(observed_at),
            platform_status,
            reason,
            _CONDITION[condition],
            ready_instances,
            billed_instances,
            min_instances,
            max_instances,
            instance_type,
            None if usd_per_hour is None else Decimal(usd_per_hour),
            endpoint_url,
            model,
            price_source,
        )
    source = AdapterSource(SourceKind(source_kind), source_reference)
    return Deployment(
        id,
        DeploymentSpec(name, platform, source, base_model, json.loads(settings)),
        Origin(origin),
        account,
        remote_name,
        remote_id,
        datetime.fromisoformat(created_at),
        observation,
        datetime.fromisoformat(since) if since else None,
        bool(listed),
        None,
        None if start_min is None or start_max is None else (start_min, start_max),
        asked=looked_at is not None,
    )
