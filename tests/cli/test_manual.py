"""Completions and manual are those of the commands that there are."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from peft_tui.cli.main import main
from peft_tui.cli.parser import COMMANDS


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_its_flags_are_in_it(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    text = printed(capsys, "completions", shell)
    for word in (*COMMANDS, "platform", "together", "cached", "wait", "check"):
        assert word in text
    if shutil.which(shell) and shell != "bash":
        assert subprocess.run([shell, "-n"], input=text, text=True).returncode == 0


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (["dep"], ["deploy"]),
        (["deploy", "x", "--pl"], ["--platform"]),
        (["deploy", "x", "--platform", "tog"], ["together"]),
        (["--sandbox", "credentials", "ch"], ["check"]),
        (["completions", "zs"], ["zsh"]),
    ],
)
def test_bash_completes(capsys: pytest.CaptureFixture[str], line: list[str], wanted: list[str]) -> None:
    script = printed(capsys, "completions", "bash")
    words = " ".join(["peft-tui", *line])
    asked = f'COMP_WORDS=({words}); COMP_CWORD={len(line)}; _peft_tui; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (wanted, "")


def test_the_manual_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "man")
    assert all(f".SS {command}" in text for command in COMMANDS)
    assert "\\-\\-platform" in text and ".SH EXIT STATUS" in text
    if shutil.which("man"):
        done = subprocess.run(["man", "-l", "-"], input=text, text=True, capture_output=True)
        assert "SYNOPSIS" in done.stdout or done.returncode != 0


def test_help_says_what_each_command_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    out = capsys.readouterr().out
    assert left.value.code == 0
    for command in COMMANDS:
        (line,) = (line for line in out.splitlines() if line.startswith(f"  {command} "))
        assert len(line.split()) > 2, f"{command} has no sentence"
