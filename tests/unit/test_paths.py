"""Where things lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_tui.paths import config_dir, data_dir


@pytest.mark.parametrize("name", ["PEFT_TUI_DATA_DIR", "XDG_DATA_HOME"])
def test_a_place_that_is_named_from_here_stays_where_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PEFT_TUI_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, "state")
    assert data_dir().is_absolute() and data_dir().is_relative_to(tmp_path / "state")


def test_the_configuration_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PEFT_TUI_CONFIG_DIR", "settings")
    assert config_dir() == tmp_path / "settings"
