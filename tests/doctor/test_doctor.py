"""`peft-tui doctor`: what is wrong is found, with a next step, and no secret is told."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from peft_tui.cli.main import main
from peft_tui.config import load
from peft_tui.credentials import Credentials, Secret, Vault
from peft_tui.doctor import Finding, Level, machine
from peft_tui.doctor.network import certificates, network
from peft_tui.doctor.terminal import ancestors, terminal
from peft_tui.drivers import reach
from peft_tui.sandbox import Sandbox, run_sandbox
from peft_tui.store import Store
from peft_tui.store.examine import examine
from tests.credentials.conftest import Open, keyring, open_vault
from tests.doubles import VirtualClock

__all__ = ["keyring", "open_vault"]
GOOD_TERMINAL = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


def bad(found: list[Finding]) -> list[str]:
    assert all(f.hint for f in found if f.level is Level.BAD), "each has a next step"
    return [f.message for f in found if f.level is Level.BAD]


class TestStore:
    async def test_a_sound_one(self, tmp_path: Path) -> None:
        await (await Store.open(tmp_path)).close()
        (found,) = await machine.store(tmp_path)
        assert found.level is Level.GOOD and "is sound" in found.message

    async def test_none_yet(self, tmp_path: Path) -> None:
        (found,) = await machine.store(tmp_path)
        assert found.level is Level.GOOD and not list(tmp_path.iterdir()), "nothing is made by looking"

    @pytest.mark.parametrize("damage", ["header", "page", "none of ours"])
    async def test_a_damaged_one(self, tmp_path: Path, damage: str) -> None:
        path = tmp_path / "peft-tui.db"
        if damage == "none of ours":
            connection = sqlite3.connect(path)
            connection.execute("CREATE TABLE x (y)")
            connection.close()
        else:
            await (await Store.open(tmp_path)).close()
            raw = bytearray(path.read_bytes())
            start = 0 if damage == "header" else 4096
            raw[start : start + 4096] = b"\xff" * 4096
            path.write_bytes(raw)
        assert len(bad(await machine.store(tmp_path))) == 1

    async def test_one_of_a_newer_version(self, tmp_path: Path) -> None:
        await (await Store.open(tmp_path)).close()
        connection = sqlite3.connect(tmp_path / "peft-tui.db")
        connection.execute("INSERT INTO migrations VALUES ('of tomorrow', '')")
        connection.commit()
        connection.close()
        assert examine(tmp_path).newer == "of tomorrow"
        assert "a newer peft-tui wrote it" in bad(await machine.store(tmp_path))[0]


class TestTerminal:
    def said(self, environ: dict[str, str]) -> str:
        return "\n".join(f"{f.level}: {f.message} → {f.hint}" for f in terminal(environ))

    def test_a_good_one(self) -> None:
        assert "good: TERM=xterm-256color, COLORTERM=truecolor" in self.said(GOOD_TERMINAL)

    @pytest.mark.parametrize(
        ("environ", "words"),
        [
            ({"TERM": "dumb"}, "This terminal cannot draw"),
            ({"COLORTERM": ""}, "SendEnv COLORTERM"),
            ({"NO_COLOR": "1"}, "no colours are sent"),
            ({"STY": "1.pts"}, "Use tmux"),
            ({"SSH_CONNECTION": "a b"}, "OSC 52"),
        ],
    )
    def test_what_is_worth_knowing_of_others(self, environ: dict[str, str], words: str) -> None:
        assert words in self.said({**GOOD_TERMINAL, **environ})

    def test_how_tmux_is_set_is_asked_of_tmux(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = {"set-clipboard": "external", "allow-passthrough": "on", "focus-events": "off"}

        def run(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
            return subprocess.CompletedProcess(words, 0, f"{answers[words[-1]]}\n", "")

        monkeypatch.setattr(subprocess, "run", run)
        said = self.said({**GOOD_TERMINAL, "TMUX": "/tmp/x,1,0"})
        assert "tmux set -g set-clipboard on" in said and "tmux set -g focus-events on" in said
        assert "good: tmux has allow-passthrough on" in said

    def test_the_processes_above_are_known_by_name(self) -> None:
        assert any("python" in name or "pytest" in name for name in ancestors())


class TestPlaces:
    def test_what_others_can_read_is_told(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        found = list(machine.places(tmp_path, tmp_path / "none"))
        assert found[0].level is Level.NOTE and "chmod 700" in found[0].hint
        assert "made when it is needed" in found[1].message

    def test_a_full_disk_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda path: type("", (), {"free": 1_000_000})())
        assert "0.0 GB are free" in bad(list(machine.places(tmp_path, tmp_path)))[0]

    def test_mistakes_in_the_settings_are_told(self, tmp_path: Path) -> None:
        (tmp_path / "config.toml").write_text("thme = 1")
        assert "did you mean theme?" in bad(list(machine.settings(load(tmp_path, {}))))[0]


class TestKeys:
    async def test_a_locked_file_and_a_missing_keyring_are_told(self, open_vault: Open) -> None:
        sealed = open_vault(without_keyring=True, passphrase="open sesame")
        await sealed.put("TOGETHER_API_KEY", Secret("a-key-in-the-file"))
        credentials = Credentials({}, open_vault(without_keyring=True))
        await credentials.load()
        found = await machine.keys(credentials)
        assert "TOGETHER_API_KEY: the encrypted file is locked" in bad(found)
        assert any("no keyring: there is none" in f.message and f.hint for f in found)

    async def test_a_keyring_that_works_is_named(self, open_vault: Open) -> None:
        found = await machine.keys(Credentials({}, open_vault()))
        assert found[0].message == "the keyring works: Fake Secret Service"


class TestNetwork:
    @pytest.fixture
    async def sandbox(self) -> AsyncIterator[Sandbox]:
        async with run_sandbox() as made:
            yield made

    async def test_a_platform_that_answers_is_timed_and_given_no_key(self, sandbox: Sandbox) -> None:
        environ = {name: sandbox.env[name] for name in ("TOGETHER_API_KEY", "TOGETHER_BASE_URL")}
        found = await network(Credentials(environ), VirtualClock())
        assert bad(found) == []
        assert any("Together AI: http://127.0.0.1:" in f.message and " ms" in f.message for f in found)
        assert not any("Replicate" in f.message for f in found), "without credentials it is not asked"

    async def test_one_that_speaks_grpc_and_no_http_is_reached(self, sandbox: Sandbox) -> None:
        """Its address hung up on a HEAD, which was told as a broken platform."""
        environ = {name: value for name, value in sandbox.env.items() if name.startswith("MODAL_")}
        found = await network(Credentials(environ), VirtualClock())
        assert bad(found) == []
        address = sandbox.env["MODAL_SERVER_URL"]
        assert any(f"Modal: {address} answers in" in f.message for f in found)

    async def test_a_grpc_address_where_nobody_listens_is_told(self, unused_tcp_port: int) -> None:
        environ = {
            "MODAL_TOKEN_ID": "ak-x",
            "MODAL_TOKEN_SECRET": "as-x",
            "MODAL_SERVER_URL": f"http://127.0.0.1:{unused_tcp_port}",
        }
        (said,) = bad(await network(Credentials(environ), VirtualClock()))
        assert "refuses the connection" in said

    async def test_one_that_does_not_answer_is_told(self, unused_tcp_port: int) -> None:
        environ = {"TOGETHER_API_KEY": "x", "TOGETHER_BASE_URL": f"http://127.0.0.1:{unused_tcp_port}"}
        (said,) = bad(await network(Credentials(environ), VirtualClock()))
        assert "refuses the connection" in said

    async def test_a_wrong_clock_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def ahead(url: str, title: str, line: object, *, grpc: bool) -> reach.Reach:
            return reach.Reach(url, "", 0.1, 95.0)

        monkeypatch.setattr(reach, "reach", ahead)
        found = await network(Credentials({"TOGETHER_API_KEY": "x"}), VirtualClock())
        assert found[-1].level is Level.NOTE and "clock is 95 s ahead" in found[-1].message

    def test_a_proxy_is_named_without_its_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "http://me:s3cret@proxy.example:3128")
        monkeypatch.setenv("no_proxy", "near.example")
        assert reach.proxy_for("https://far.example") == "proxy.example:3128"
        assert reach.proxy_for("https://near.example") == ""

    @pytest.mark.parametrize("proxy", ["http://proxy.example:port", "http://[proxy.example:3128"])
    async def test_a_proxy_that_is_no_address_is_a_finding(
        self, monkeypatch: pytest.MonkeyPatch, proxy: str
    ) -> None:
        """The very mistake that a doctor is asked about ended it."""
        monkeypatch.setenv("https_proxy", proxy)
        (message,) = bad(await network(Credentials({"TOGETHER_API_KEY": "x"}), VirtualClock()))
        assert "Together AI" in message and "proxy" in message

    async def test_an_address_that_is_none_is_a_finding(self) -> None:
        environ = {"TOGETHER_API_KEY": "x", "TOGETHER_BASE_URL": "https://[api.example"}
        (message,) = bad(await network(Credentials(environ), VirtualClock()))
        assert "Together AI" in message

    def test_certificates_that_are_not_there_are_told(self, tmp_path: Path) -> None:
        assert "is not there" in bad(certificates({"SSL_CERT_FILE": str(tmp_path / "none.pem")}))[0]
        (found,) = certificates({"REQUESTS_CA_BUNDLE": "/etc/ca.pem"})
        assert "export SSL_CERT_FILE=$REQUESTS_CA_BUNDLE" in found.hint


class TestCommand:
    @pytest.fixture(autouse=True)
    def places(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("PEFT_TUI_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setenv("PEFT_TUI_CONFIG_DIR", str(tmp_path / "config"))
        return tmp_path

    def test_a_document_with_everything_in_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        status = main(["doctor", "--json"])
        document = json.loads(capsys.readouterr().out)
        areas = {f["area"] for f in document["findings"]}
        assert {"versions", "terminal", "places", "settings", "store", "credentials", "network"} <= areas
        assert document["ok"] is (status == 0)

    def test_what_will_not_work_makes_it_fail_and_has_a_next_step(
        self, places: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (places / "data").mkdir()
        (places / "data" / "peft-tui.db").write_bytes(b"no store at all, but long enough" * 64)
        assert main(["doctor"]) == 1
        out = capsys.readouterr().out
        assert "✖ " in out and "→ The next start puts it aside and goes on with an empty one." in out

    def test_what_the_screens_cannot_follow_is_told(
        self, places: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (places / "config").mkdir()
        (places / "config" / "config.toml").write_text('theme = "solarised"\n[keymap]\n"no.such" = "n"\n')
        assert main(["doctor", "--json"]) == 1
        found = json.loads(capsys.readouterr().out)["findings"]
        told = [one["message"] for one in found if one["area"] == "settings"]
        assert [words.partition(":")[0] for words in told] == ["theme", "keymap"], told

    def test_it_is_not_for_the_sandbox(self) -> None:
        assert main(["--sandbox", "doctor"]) == 2
        assert Vault(None).settled
