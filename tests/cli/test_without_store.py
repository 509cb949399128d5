"""What bills is found and stopped, whatever has become of the store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_tui.backend import Backend
from peft_tui.cli.main import _command
from peft_tui.cli.parser import parse
from peft_tui.config import Config
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.operation import OperationState
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.store.operations import Operations
from tests.life import SandboxClock, at_platform, life


def newer(directory: Path) -> None:
    with sqlite3.connect(directory / "peft-tui.db") as connection:
        connection.execute("INSERT INTO migrations VALUES ('from the future', '')")
    connection.close()


def no_file(directory: Path) -> None:
    """A directory stands where the file should be: like a home that cannot be written, for root too."""
    for name in directory.glob("peft-tui.db*"):
        name.unlink()
    (directory / "peft-tui.db").mkdir()


@pytest.mark.parametrize("harm", [newer, no_file])
async def test_it_is_listed_and_stopped_all_the_same(
    harm: Callable[[Path], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with life(tmp_path, "replicate") as lived:
        made = await lived.intend(at_platform("acme/llm-support"), instance_type="gpu-l40s", min_instances=1)
        assert (await lived.run(made)).state is OperationState.DONE
        await lived.backend.close()
        directory = tmp_path / "data"
        harm(directory)
        before = {name.name: name.stat().st_size for name in directory.iterdir()}
        monkeypatch.setattr("peft_tui.backend.SystemClock", lambda: SandboxClock(lived.sandbox))
        environ = {name: value for name, value in lived.sandbox.env.items() if "REPLICATE" in name}

        async def run(*words: str) -> int:
            return await _command(parse(list(words)), directory, environ, None, Config())

        assert await run("list", "--json") == 0
        written = capsys.readouterr()
        rows = json.loads(written.out)["deployments"]
        assert [row["origin"] for row in rows] == ["orphan"]
        assert "Going on without it" in written.err
        assert await run("stop", "bot", "--platform", "replicate", "--yes", "--wait") == 0
        assert [row["billing"] for row in await lived.resources()] == [False]
        with pytest.raises(ConfigurationInvalid):
            await run("delete", "bot", "--yes")
        assert {name.name: name.stat().st_size for name in directory.iterdir()} == before, (
            "nothing is touched"
        )


async def test_without_a_store_that_lasts_nothing_is_deployed(tmp_path: Path) -> None:
    trouble = ConfigurationInvalid("The store is broken.")
    backend = await Backend.without_store(trouble, {})
    try:
        spec = DeploymentSpec("bot", "replicate", at_platform("a/b"))
        with pytest.raises(ConfigurationInvalid, match="store cannot be used: The store is broken"):
            await backend.deployments.deploy(spec)
        assert await backend.store.deployments.all() == []
        room = backend.store.database.path.parent
    finally:
        await backend.close()
    assert not room.exists()


async def test_a_full_disk_does_not_keep_a_stop_from_the_platform(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with life(tmp_path, "replicate") as lived:
        made = await lived.intend(at_platform("acme/llm-support"), instance_type="gpu-l40s", min_instances=1)
        assert (await lived.run(made)).state is OperationState.DONE
        await lived.backend.close()
        directory = tmp_path / "data"
        monkeypatch.setattr("peft_tui.backend.SystemClock", lambda: SandboxClock(lived.sandbox))
        insert = Operations.insert

        async def full(self: Operations, *what: Any) -> None:
            if self._db.path.parent == directory:
                raise sqlite3.OperationalError("database or disk is full")
            await insert(self, *what)

        monkeypatch.setattr(Operations, "insert", full)
        args = parse(["stop", "bot", "--yes", "--wait"])
        assert await _command(args, directory, lived.sandbox.env, None, Config()) == 0
        assert "disk is full" in capsys.readouterr().err
        assert [row["billing"] for row in await lived.resources()] == [False]
