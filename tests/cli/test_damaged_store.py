"""A store that is damaged is mended by the next command, which says so; nothing that bills begins with it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from peft_tui.cli.main import _command
from peft_tui.cli.parser import parse
from peft_tui.config import Config
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.operation import OperationState
from peft_tui.store.care import back_up
from tests.life import Life, SandboxClock, at_platform, life

Run = Callable[..., Awaitable[int]]


def header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"no database at all, but long enough to look like one" * 4)


def page(path: Path) -> None:
    """The first page of the operations: the file opens, and `list` fails when it reads them."""
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'operations'"
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)


async def deployed(lived: Life) -> Path:
    """Something that bills, and its store, closed."""
    made = await lived.intend(at_platform("acme/llm-support"), instance_type="gpu-l40s", min_instances=1)
    assert (await lived.run(made)).state is OperationState.DONE
    await lived.backend.close()
    return lived.backend.store.database.path


def commands(lived: Life, path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("peft_tui.backend.SystemClock", lambda: SandboxClock(lived.sandbox))
    environ = {name: value for name, value in lived.sandbox.env.items() if "REPLICATE" in name}

    async def run(*words: str) -> int:
        return await _command(parse(list(words)), path.parent, environ, None, Config())

    return run


@pytest.mark.parametrize("harm", [header, page])
async def test_what_bills_is_listed_and_stopped_whatever_has_become_of_the_file(
    harm: Callable[[Path], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with life(tmp_path, "replicate") as lived:
        path = await deployed(lived)
        run = commands(lived, path, monkeypatch)
        harm(path)
        assert await run("list", "--json") == 0
        written = capsys.readouterr()
        assert [row["origin"] for row in json.loads(written.out)["deployments"]] == ["orphan"]
        assert "The store was damaged" in written.err and "begins empty" in written.err
        (aside,) = path.parent.glob("*.damaged-*")
        assert aside.name in written.err
        assert await run("stop", "bot", "--platform", "replicate", "--yes", "--wait") == 0
        assert "damaged" not in capsys.readouterr().err, "it is said once"
        assert [row["billing"] for row in await lived.resources()] == [False]


async def test_from_the_backup_it_is_known_as_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with life(tmp_path, "replicate") as lived:
        path = await deployed(lived)
        run = commands(lived, path, monkeypatch)
        back_up(path)
        header(path)
        assert await run("list", "--json") == 0
        written = capsys.readouterr()
        assert [(r["name"], r["origin"]) for r in json.loads(written.out)["deployments"]] == [("bot", "ours")]
        assert "This is the backup of" in written.err


async def test_what_cannot_be_mended_is_said_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with life(tmp_path, "replicate") as lived:
        path = await deployed(lived)
        page(path)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("peft_tui.store.mend", full)
        with pytest.raises(ConfigurationInvalid, match="cannot be put aside"):
            await commands(lived, path, monkeypatch)("delete", "bot", "--yes")


@pytest.mark.parametrize("harm", [header, page])
async def test_a_deploy_that_meets_the_damage_sends_nothing(
    harm: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would make may be there already: the name of it was in the store."""
    async with life(tmp_path, "replicate") as lived:
        path = await deployed(lived)
        run = commands(lived, path, monkeypatch)
        harm(path)
        sent = lived.sent()
        words = ("deploy", "acme/llm-support", "--platform", "replicate", "--name", "other", "--yes")
        with pytest.raises(ConfigurationInvalid, match="The store was damaged") as caught:
            await run(*words, "--instance-type", "gpu-l40s")
        assert "peft-tui list" in caught.value.hint
        assert lived.sent() == sent
        assert sqlite3.connect(path).execute("SELECT count(*) FROM deployments").fetchone() == (0,)
