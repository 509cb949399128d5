"""What is shown, in a file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.seeds import populated, still_app
from tests.ui.test_deployments_screen import at_home


async def test_what_is_shown_is_exported_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with at_home(still_app(tmp_path / "store", populated)) as at:
        await at.press("slash")
        await at.type("status:active")
        await at.press("enter")
        for kind, suffix in (("c", "csv"), ("j", "json")):
            await at.press("E")
            await at.sees("as list --json has it")
            assert not at.shows("Prometheus")
            await at.press(kind)
            said = at.app._notifications
            await at.until(lambda s=suffix, said=said: any(f".{s}" in n.message for n in said))
    (table,), (document,) = tmp_path.glob("*.csv"), tmp_path.glob("*.json")
    wanted = ["support-bot", "peft-x-1f3a9c2b", "intents"]
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["name"] for row in rows] == wanted
    assert rows[0]["usd_per_hour"] == "10.98" and rows[0]["reason"] == "" and "operation" not in rows[0]
    deployments = json.loads(document.read_text())["deployments"]
    assert [deployment["name"] for deployment in deployments] == wanted
