"""The exit status of every kind of end, as one table: `cli.statuses` says what each means."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from peft_tui.cli.main import _carry_out, main
from peft_tui.cli.output import failure
from peft_tui.cli.parser import parse
from peft_tui.cli.statuses import MEANINGS, ending
from peft_tui.domain.errors import PeftTuiError
from tests.life import Life, at_platform, life

README = Path(__file__).parents[2] / "README.md"

SERVING = (
    ("list", 0),
    ("show bot", 0),
    ("show nothing", 4),
    ("stop nothing --yes", 4),
    ("test nothing --prompt Hello", 4),
    ("lsit bot", 2),
    ("stop", 2),
    ("--colour", 2),
    ("stop bot", 2),
    ("update bot --yes", 2),
    ("update bot --set colour=red --yes", 2),
    ("update bot --set probe=no --yes", 2),
    ("update bot --set max_instances=many --yes", 2),
    ("rollback bot --to 3 --yes", 2),
    ("deploy acme/llm-support --platform replicate --name bot --yes", 2),
    ("test bot --prompt Hello --temperature 9", 2),
    ("adopt bot", 1),
    ("start bot --yes", 0),
    ("update bot --set max_instances=2 --yes --wait", 0),
)
"""With `bot` active; nobody is at the terminal."""
STOPPED = (
    ("stop bot --yes --wait --timeout 0", 5),
    ("stop bot --yes --wait", 0),
    ("stop bot --yes", 0),
    ("test bot --prompt Hello", 1),
    ("bench bot --prompt Hello -n 2 --cap 1 --yes", 1),
    ("start bot nothing --yes --wait", 4),
    ("stop bot --yes --wait", 0),
    ("delete bot --yes", 0),
    ("delete bot --yes --wait", 0),
    ("delete bot --yes", 4),
)


async def status_of(lived: Life, line: str) -> int:
    """As `main` would end, in this process."""
    try:
        return await _carry_out(parse(line.split()), lived.backend)
    except PeftTuiError as error:
        return failure(error, as_json=False)


async def test_each_command_ends_as_the_table_says(tmp_path: Path) -> None:
    async with life(tmp_path, "replicate") as lived:
        made = await lived.intend(at_platform("acme/llm-support"), instance_type="gpu-l40s", min_instances=1)
        await lived.run(made)
        ended = [(line, await status_of(lived, line)) for line, _ in (*SERVING, *STOPPED)]
        assert ended == [*SERVING, *STOPPED]
        assert sum(call.startswith("DELETE") for call in lived.sent()) == 1, "a second delete asks nothing"


@pytest.mark.parametrize(
    ("code", "status"),
    [(401, 3), (402, 7), (422, 2)],
)
async def test_what_the_platform_refuses_has_the_status_of_its_kind(
    tmp_path: Path, code: int, status: int
) -> None:
    async with life(tmp_path, "replicate") as lived:
        await lived.fault(
            match="POST /v1/deployments", times=None, action="status", code=code, body={"detail": "No."}
        )
        line = "deploy acme/llm-support --platform replicate --name bot --instance-type cpu --yes --wait"
        assert await status_of(lived, line) == status


def test_a_store_that_cannot_be_opened_is_no_fault_of_the_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PEFT_TUI_DATA_DIR", str(tmp_path / "file" / "data"))
    assert main(["metrics", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "configuration"


def _errors(root: type[PeftTuiError]) -> set[type[PeftTuiError]]:
    return {root}.union(*(_errors(one) for one in root.__subclasses__()))


def test_every_error_has_a_status_that_is_explained() -> None:
    assert {error.exit_status for error in _errors(PeftTuiError)} <= set(MEANINGS)


def test_the_help_and_the_readme_name_the_same_ones() -> None:
    told = {int(status) for status in re.findall(r"^  (\d+) +\S", ending(), re.MULTILINE)}
    table = README.read_text().split("| exit status |")[-1].split("\n\n")[0]
    written = {int(status) for status in re.findall(r"\| (\d+) \|", table)}
    assert told == set(MEANINGS) and written == told
