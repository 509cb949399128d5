"""The store against `/_sandbox/billing`: what must hold whatever happened."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import httpx

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.operation import OperationKind, OperationState
from peft_tui.domain.status import Condition, Status
from peft_tui.store import Store

COLUMNS = ("duplicates", "lost", "false stopped", "other")
_COLUMN = {
    "duplicate": "duplicates",
    "orphan": "lost",
    "lost": "lost",
    "left": "lost",
    "false stop": "false stopped",
    "hidden": "false stopped",
}
"""By the word that a violation begins with."""


def counted(wrong: Iterable[str]) -> Counter[str]:
    """How many sentences tell of what. Those of a random life stand in one."""
    pattern = re.compile(rf"\b({'|'.join(_COLUMN)}): ")
    counts: Counter[str] = Counter()
    for sentence in wrong:
        found = [_COLUMN[word] for word in pattern.findall(sentence)]
        counts.update(found or ["other"])
    return counts


async def billing(url: str) -> list[dict[str, Any]]:
    """Every resource that there is or ever was."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{url}/_sandbox/billing")
    rows: list[dict[str, Any]] = answer.json()["resources"]
    return rows


async def violations(store: Store, url: str, ours: set[str], *, remakes: bool = False) -> list[str]:
    """What is wrong, in words; empty when all holds.

    Args:
        url: of the sandbox.
        ours: the ids of the deployments that were asked for in this store.
        remakes: that it was made again after it was taken away is in order.
    """
    wrong: list[str] = []
    resources = await billing(url)
    shown = {row.id: row for row in await store.deployments.all()}
    every = [row for row in [await store.deployments.get(id) for id in ours] if row is not None]
    wrong += [f"orphan: {row.remote_name} is in no intent" for row in shown.values() if row.id not in ours]
    for row in every:
        theirs = [r for r in resources if row.remote_name in r["name"] and not _is_import(r)]
        # What only builds an image for it has a longer name, and what Modal's SDK began and never published
        # has no function that could run.
        named = [
            r
            for r in theirs
            if row.remote_name in r["name"].split("/") and (r["state"] != "INITIALIZING" or r["usd_total"])
        ]
        made = Counter(r["id"] for r in named if not (remakes and r["deleted"]))
        if len(made) > 1:
            wrong.append(f"duplicate: {row.remote_name} was made {len(made)} times")
        for resource in theirs:
            if resource["billing"] and not resource["deleted"] and (why := _hides(row, shown)):
                wrong.append(f"hidden: {resource['name']} bills and {why}")
        operations = await store.operations.of_deployment(row.id)
        wrong += [f"unended: {o.kind} {o.current}" for o in operations if not o.state.ended]
        wrong += [
            f"unexplained: {o.kind} failed without a reason"
            for o in operations
            if o.state is OperationState.FAILED and not (o.error or {}).get("message")
        ]
        last = operations[0]
        ends = last.kind in (OperationKind.STOP, OperationKind.DELETE) and last.state is OperationState.DONE
        if ends and any(r["billing"] for r in theirs):
            wrong.append(f"false stop: {row.remote_name} was told {last.kind}ed and bills")
    names = {row.remote_name for row in every}
    for resource in resources:
        known = any(name in resource["name"] for name in names) or _is_import(resource)
        if resource["billing"] and not known:
            wrong.append(f"lost: {resource['name']} bills and nothing here knows it")
    if not any(row.id in shown for row in every):
        wrong += [f"left: {r['name']} bills and no row is left" for r in resources if r["billing"]]
    return wrong


def _hides(row: Deployment, shown: dict[str, Deployment]) -> str:
    """How the row tells less than the truth about something that bills; empty when it does not."""
    if row.id not in shown:
        return "its row is not shown"
    seen = row.observation
    if seen is None:
        return "" if row.under_way or row.operation else "its row says nothing"
    if seen.condition is Condition.GONE:
        return "its row says gone"
    if seen.status is Status.STOPPED and seen.condition is not Condition.STOPPING:
        return "its row says stopped"
    return "its row says that it costs nothing" if seen.usd_per_hour == 0 else ""


def _is_import(resource: dict[str, Any]) -> bool:
    """A training of Replicate: named by its id, and over by itself."""
    return str(resource["name"]).startswith("training")
