"""`peft-tui credentials` and `config`: what they say, what they keep, and that no secret is in it."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from peft_tui.backend import Backend
from peft_tui.cli.credentials import credentials
from peft_tui.cli.main import main
from peft_tui.cli.parser import parse
from peft_tui.credentials import Place, sealed
from peft_tui.sandbox import Sandbox
from tests.credentials.conftest import CHEAP
from tests.life import SandboxClock

VALUE = "tgp_v1_never-on-a-screen"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PEFT_TUI_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PEFT_TUI_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(sealed, "COST", CHEAP)
    return tmp_path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command with something on its standard input; status, output and errors."""

    def ran(*words: str, given: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        status = main(words)
        out, err = capsys.readouterr()
        return status, out, err

    return ran


def test_where_everything_is_without_any_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", VALUE)
    monkeypatch.setenv("TOGETHER_BASE_URL", "https://elsewhere.example")
    status, out, _ = run("credentials")
    assert status == 0 and VALUE not in out
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "environment" in lines["TOGETHER_API_KEY"]
    assert "https://elsewhere.example" in lines["TOGETHER_BASE_URL"]
    assert "—" in lines["REPLICATE_API_TOKEN"] and "HF_TOKEN" in lines
    assert "no" in lines["keyring"] and "forgotten at the end" in out


def test_the_same_as_one_document(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", VALUE)
    status, out, _ = run("credentials", "--json")
    document = json.loads(out)
    assert status == 0 and VALUE not in out
    together = next(c for c in document["credentials"] if c["platform"] == "together")
    assert together["fields"][0] == {
        "field": "TOGETHER_API_KEY",
        "title": "API key",
        "secret": True,
        "required": True,
        "source": "environment",
        "kept_in": [],
        "trouble": None,
    }
    assert [s["store"] for s in document["stores"]] == ["keyring", "encrypted file", "this session"]


def test_a_key_from_standard_input_is_kept_found_and_deleted(
    run: Run, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEFT_TUI_PASSPHRASE", "open sesame")
    status, out, err = run("credentials", "set", "together", given=f"{VALUE}\n")
    assert (status, out) == (0, "TOGETHER_API_KEY is kept in the encrypted file.\n") and VALUE not in err
    status, out, _ = run("credentials", "--json")
    assert json.loads(out)["credentials"][0]["fields"][0]["source"] == "encrypted file"
    written = b"".join(p.read_bytes() for p in places.rglob("*") if p.is_file())
    assert VALUE.encode() not in written
    status, out, _ = run("credentials", "delete", "together", "--yes")
    assert (status, out) == (0, "TOGETHER_API_KEY was deleted from the encrypted file.\n")
    assert json.loads(run("credentials", "--json")[1])["credentials"][0]["fields"][0]["source"] is None


def test_where_nothing_can_be_kept_it_says_why_and_what_to_do(run: Run) -> None:
    status, out, err = run("credentials", "set", "together", given=f"{VALUE}\n")
    assert status == 2 and out == "" and VALUE not in err
    assert "there is none on this machine" in err and "PEFT_TUI_PASSPHRASE" in err


def test_a_value_is_taken_from_no_argument(run: Run) -> None:
    status, _, err = run("credentials", "set", "together", "TOGETHER_API_KEY", VALUE)
    assert status == 2 and "unrecognized arguments" in err


def test_the_environment_wins_and_that_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEFT_TUI_PASSPHRASE", "open sesame")
    monkeypatch.setenv("TOGETHER_API_KEY", "another-one")
    _, _, err = run("credentials", "set", "together", given=f"{VALUE}\n")
    assert "TOGETHER_API_KEY is set in the environment too, and that wins" in err
    assert "also kept in: encrypted file, not used" in run("credentials")[1]
    _, _, err = run("credentials", "delete", "together", "--yes")
    assert "still set in the environment" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set",), "set needs a platform"),
        (("set", "nowhere"), "There is no platform “nowhere”"),
        (("set", "together", "NO_SUCH"), "Together AI has no “NO_SUCH”"),
        (("check", "huggingface"), "is asked only when"),
    ],
)
def test_what_cannot_be_is_refused_with_a_next_step(run: Run, words: tuple[str, ...], said: str) -> None:
    status, _, err = run("credentials", *words)
    assert status == 2 and said in err


def test_a_keyring_that_is_not_there_is_no_fault_of_the_words(run: Run) -> None:
    status, _, err = run("credentials", "set", "together", "--store", "keyring")
    assert status == 1 and "The keyring cannot be used" in err


def test_in_the_sandbox_nothing_of_the_person_s_own_is_looked_at(
    run: Run, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEFT_TUI_PASSPHRASE", "open sesame")
    run("credentials", "set", "replicate", given="r8_kept-by-the-person\n")
    index = places / "config" / "credentials.json"
    index.write_text("{")  # whoever reads it complains
    status, out, err = run("--sandbox", "credentials", "--json")
    document = json.loads(out)
    assert status == 0 and err == ""
    assert [s["store"] for s in document["stores"]] == ["this session"]
    assert {f["source"] for c in document["credentials"] for f in c["fields"]} <= {"environment", None}
    assert run("--sandbox", "credentials", "set", "together", given="x")[0] == 2


class TestCheck:
    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[Backend]:
        sandbox = Sandbox(seed=1, speed=0.0)
        await sandbox.start()
        environ = {**sandbox.env, "REPLICATE_API_TOKEN": "r8_wrong"}
        backend = await Backend.open(tmp_path / "data", environ, SandboxClock(sandbox))
        await backend.prepare()
        yield backend
        await backend.close()
        await sandbox.stop()

    async def test_each_platform_is_asked_now(
        self, backend: Backend, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status = await credentials(backend, parse(["credentials", "check", "--json"]))
        checks: dict[str, Any] = {c["platform"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
        assert checks["together"]["ok"] and checks["together"]["source"] == "environment"
        assert "acme" in checks["together"]["account"].lower() or checks["together"]["account"]
        assert checks["replicate"]["ok"] is False
        assert checks["replicate"]["error"]["kind"] == "authentication" and status == 3

    async def test_one_that_works_ends_well_and_the_account_is_named(
        self, backend: Backend, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert await credentials(backend, parse(["credentials", "check", "together"])) == 0
        out = capsys.readouterr().out
        assert out.startswith("✓ Together AI: ") and "(environment)" in out


def test_a_place_has_one_word_everywhere() -> None:
    assert [str(place) for place in Place] == ["environment", "keyring", "encrypted file", "this session"]


class TestConfig:
    def test_it_is_printed_as_a_file_that_means_the_same(self, run: Run, places: Path) -> None:
        (places / "config").mkdir()
        (places / "config" / "config.toml").write_text('theme = "nord"\n')
        status, out, err = run("config")
        assert status == 0 and err == ""
        assert tomllib.loads(out) == {"theme": "nord", "keymap": {}}
        assert '# "deployments.new" = "n"' in out

    def test_mistakes_are_told_and_make_it_fail(self, run: Run, places: Path) -> None:
        (places / "config").mkdir()
        (places / "config" / "config.toml").write_text("thme = 1\n")
        status, out, err = run("config", "--json")
        assert status == 2 and "line 1: there is no setting “thme”; did you mean theme?" in err
        document = json.loads(out)
        assert document["values"]["theme"] == "auto" and document["schema"]["properties"]["mouse"]


@pytest.mark.parametrize("given", ["", "\n", "  \n"])
def test_nothing_is_no_key_and_a_matter_of_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    # BUG: it ended with 3, as if a platform had refused it.
    monkeypatch.setenv("PEFT_TUI_PASSPHRASE", "open sesame")
    status, out, told = run("credentials", "set", "together", given=given)
    assert (status, out) == (2, "") and "Nothing was given." in told


def test_without_any_key_the_list_names_all_that_is_missing(run: Run) -> None:
    status, _, told = run("list")
    assert status == 3
    for name in ("TOGETHER_API_KEY", "REPLICATE_API_TOKEN", "MODAL_TOKEN_ID", "PREDIBASE_API_TOKEN"):
        assert name in told
