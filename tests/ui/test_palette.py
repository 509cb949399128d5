"""Everything by its name: actions for one deployment, platforms, settings."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.seeds import populated, still_app
from tests.ui.test_deployments_screen import at_home


async def test_the_palette_does_one_thing_to_one_deployment_whatever_is_marked(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.press("space")
        await at.press("colon")
        await at.type("support st")
        await at.sees("Stop support-bot")
        assert not at.shows("Stop old-demo")
        await at.press("down", "up", "enter")
        await at.sees("Stop support-bot on Together AI?")


async def test_the_palette_finds_platforms_and_settings(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.press("ctrl+p")
        await at.type("setting: refresh")
        await at.sees("Setting: refresh_seconds", "now 5 ·")
        await at.press("escape", "ctrl+p")
        await at.type("platform: repl")
        await at.sees("Platform: Replicate")
        await at.press("enter")
        await at.sees("Credentials", "REPLICATE_API_TOKEN")


async def test_the_settings_are_changed_in_ones_own_editor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (program, told) in enumerate(
        (
            ("sed -i 's/^# refresh_seconds = 5/refresh_seconds = 9/'", "is in force at the next start"),
            ("sed -i 's/^refresh_seconds = 9/refresh_seconds = 1/'", "must be a whole number from 5"),
        )
    ):
        monkeypatch.setenv("PEFT_TUI_CONFIG_DIR", str(tmp_path / "config"))
        monkeypatch.setenv("VISUAL", program)
        async with at_home(still_app(tmp_path / str(number), populated)) as at:
            monkeypatch.setattr(at.app, "suspend", nullcontext)
            await at.press("ctrl+p")
            await at.type("setting: refresh")
            await at.sees("Setting: refresh_seconds")
            await at.press("enter")
            said = at.app._notifications
            await at.until(lambda told=told, said=said: any(told in notice.message for notice in said))
    text = (tmp_path / "config" / "config.toml").read_text()
    assert "\nrefresh_seconds = 1\n" in text and "# theme" in text
