"""The list for ears: one fact a line, no columns, no marks."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_tui.cli.listing import list_all
from peft_tui.cli.parser import parse
from peft_tui.store import Store
from tests.seeds import ENVIRON, FrozenClock, StillBackend, populated


async def test_every_fact_stands_on_a_line_of_its_own_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = StillBackend(await Store.open(tmp_path), ENVIRON, FrozenClock(), tmp_path, None)
    await populated(backend.store)
    assert await list_all(backend, parse(["list", "--plain", "--cached"])) == 0
    await backend.close()
    out = capsys.readouterr().out
    assert out.startswith("7 deployments.\n\nname: ")
    assert "name: support-bot\nplatform: together\nstatus: active\n" in out
    assert all(line == "" or ": " in line for line in out.splitlines()[1:])
    assert not set("●◌◐◼✖│─") & set(out)
