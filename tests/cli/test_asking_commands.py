"""test and bench for scripts: the text on standard output, the figures beside it, honest exit statuses."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from peft_tui.cli.bench import bench
from peft_tui.cli.parser import parse
from peft_tui.cli.testing import _Shown
from peft_tui.cli.testing import test as ask
from peft_tui.domain.errors import AuthenticationFailed, ConfigurationInvalid, NotFound
from peft_tui.domain.inference import Sent
from peft_tui.drivers import streaming
from tests.life import Life, at_platform, life


class Shell:
    """Runs commands on one life."""

    def __init__(self, lived: Life, capsys: pytest.CaptureFixture[str]) -> None:
        self.lived, self._capsys = lived, capsys

    async def run(self, *words: str) -> tuple[int, str, str]:
        args = parse(list(words))
        status = await {"test": ask, "bench": bench}[args.command](self.lived.backend, args)
        written = self._capsys.readouterr()
        return status, written.out, written.err

    def predictions(self) -> int:
        return sum(path.endswith("/predictions") for path in self.lived.sent())


@pytest.fixture
async def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Shell]:
    async with life(tmp_path, "replicate") as lived:
        made = await lived.intend(at_platform("acme/llm-support"), instance_type="gpu-l40s")
        await lived.run(made)
        capsys.readouterr()
        yield Shell(lived, capsys)


async def test_the_answer_is_standard_output_and_the_figures_are_not(shell: Shell) -> None:
    status, out, err = await shell.run("test", "bot", "--prompt", "Where is my order 4711?", "--seed", "7")
    assert status == 0
    assert "order 4711" in out and "201" not in out
    assert "201" in err and "(estimated)" in err
    (kept,) = await shell.lived.backend.store.requests.history(
        (await shell.lived.backend.deployments.find("bot")).id
    )
    assert kept.request.seed == 7


async def test_with_json_there_is_one_document_with_nulls_for_what_is_not_known(shell: Shell) -> None:
    status, out, _ = await shell.run("test", "bot", "--prompt", "Hello", "--no-stream", "--json")
    document: dict[str, Any] = json.loads(out)
    assert status == 0
    assert (document["outcome"], document["status"], document["first_text_s"]) == ("ok", 201, None)
    assert document["text"] and document["tokens_out"] and document["cost_basis"] == "time"


@pytest.mark.parametrize(
    "words",
    [
        ("--prompt", " "),
        ("--prompt", "a", "--temperature", "3"),
        ("--prompt", "a", "--max-tokens", "0"),
        ("--prompt", "a", "--seed", "x"),
        ("--prompt", "a", "--model", "other"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_sent(
    shell: Shell, words: tuple[str, ...]
) -> None:
    before = shell.predictions()
    with pytest.raises(ConfigurationInvalid):
        await shell.run("test", "bot", *words)
    assert shell.predictions() == before


async def test_who_is_not_there_is_not_found(shell: Shell) -> None:
    with pytest.raises(NotFound):
        await shell.run("test", "nobody", "--prompt", "a")


async def test_a_load_run_says_its_price_asks_and_exports(shell: Shell, tmp_path: Path) -> None:
    before = shell.predictions()
    with pytest.raises(ConfigurationInvalid, match="not agreed"):
        await shell.run("bench", "bot", "--prompt", "a", "-n", "4")
    assert shell.predictions() == before
    file = tmp_path / "run.csv"
    status, out, err = await shell.run(
        "bench", "bot", "--prompt", "a", "-n", "4", "-c", "2", "--cap", "0", "--yes", "--export", str(file)
    )
    assert status == 0, out + err
    assert "4 ok, 0 failed" in out and "needs n ≥ 72" in out
    # Of the refused run too: what it would cost was said before it was asked about.
    assert err.count("It bills by time") == 2 and err.count("at the latest (--cap)") == 1
    assert len(list(csv.DictReader(file.open()))) == 4
    assert shell.predictions() == before + 4


async def test_what_is_not_sent_is_not_said_to_boot_anything(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def missing(*_: object) -> None:
        raise AuthenticationFailed("No credentials.")

    shell.lived.sandbox.clock.advance(3600)
    with monkeypatch.context() as patch:
        patch.setattr(streaming, "secret_of", missing)
        status, _, err = await shell.run("test", "bot", "--prompt", "a")
    assert (status, "boots" in err, "No credentials" in err) == (3, False, True)
    shown = _Shown(False, "It boots one.")
    for _ in range(2):
        shown.take(Sent(0.0))
    assert shell._capsys.readouterr().err.count("It boots one.") == 1
