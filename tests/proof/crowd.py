"""Several processes on one store at once: no name twice, no lost update, no lock that shows."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
from collections import Counter
from pathlib import Path

from peft_tui.backend import Backend
from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.errors import Conflict, NotFound
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers import capabilities
from tests.proof.faults import Figures

ROOT = Path(__file__).parents[2]


async def member(directory: Path, number: int, turns: int) -> dict[str, int]:
    """One process: deploys names that the others want too, changes rows that the others change, deletes."""
    counts: Counter[str] = Counter()
    backend = await Backend.open(directory, {})
    try:
        for turn in range(turns):
            name = f"bot-{turn}"
            try:
                made = await backend.deployments.deploy(_spec(name))
                counts["made"] += 1
            except Conflict:
                counts["taken"] += 1
                made = await backend.deployments.find(name)
            try:
                async with backend.store.database.transaction(durable=True) as transaction:
                    changes = {f"of-{number}": turn}
                    await backend.store.deployments.change(transaction, made.id, changes)
                counts["changed"] += 1
                if turn % 10 == 9:
                    await backend.life.delete(made.id)
                    counts["deleted"] += 1
            except (Conflict, NotFound):
                counts["refused"] += 1
            except sqlite3.Error as error:
                counts[f"error: {error}"] += 1
    finally:
        await backend.close()
    return dict(counts)


def _spec(name: str) -> DeploymentSpec:
    chosen = {**capabilities("together").defaults(), "instance_type": "1xnvidia-h100-80gb"}
    return DeploymentSpec(name, "together", AdapterSource(SourceKind.DIRECTORY, "/x"), "base", chosen)


async def crowd(processes: int, turns: int) -> Figures:
    """All of them at once, then the store compared with what each says it did."""
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="peft-tui-crowd-") as room:
        members = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.proof.crowd", room, str(number), str(turns)),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
            )
            for number in range(processes)
        ]
        told = [json.loads((await one.communicate())[0] or "{}") for one in members]
        figures.cases = processes * turns
        total: Counter[str] = Counter()
        for counts in told:
            total += Counter(counts)
        figures.ends = Counter({key: value for key, value in total.items() if not key.startswith("error")})
        figures.wrong = [f"{key} ({value} times)" for key, value in total.items() if key.startswith("error")]
        backend = await Backend.open(Path(room), {})
        try:
            rows = await backend.store.database.all("SELECT name, settings, removed FROM deployments")
        finally:
            await backend.close()
        living = Counter(row["name"] for row in rows if not row["removed"])
        figures.wrong += [f"{name} was made {count} times" for name, count in living.items() if count > 1]
        if total["made"] != len(rows):
            figures.wrong.append(f"{total['made']} were made and {len(rows)} are there")
        changed = sum(f"of-{n}" in json.loads(row["settings"]) for row in rows for n in range(processes))
        if changed != total["changed"]:
            figures.wrong.append(f"{total['changed']} changes were made and {changed} are there")
    return figures


if __name__ == "__main__":
    print(json.dumps(asyncio.run(member(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))
