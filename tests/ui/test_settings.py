"""What the configuration does to the application, and that no mistake in it does harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_tui.app import PeftTui
from peft_tui.config import Config, Problem, Settings
from peft_tui.ui.keymap import all_names, problems
from peft_tui.ui.screens.deployments import DeploymentsScreen
from tests.driving import Driver, drive
from tests.seeds import populated, still_opener


def app_with(tmp_path: Path, *problems: Problem, **config: object) -> PeftTui:
    settings = Settings(Config(**config), problems=problems)  # type: ignore[arg-type]
    return PeftTui(still_opener(tmp_path, populated), settings=settings)


async def home(at: Driver) -> None:
    await at.until(lambda: isinstance(at.app.screen, DeploymentsScreen))
    await at.sees("support-bot")


async def test_own_keys_do_what_they_are_given_to(tmp_path: Path) -> None:
    keymap = {"deployments.help": "h,f1", "deployments.cycle_status": "ctrl+f"}
    async with drive(app_with(tmp_path, keymap=keymap)) as at:
        await home(at)
        await at.press("question_mark", "f")
        await at.sees("7 deployments")
        assert not at.shows("status:active")
        await at.press("ctrl+f")
        await at.sees("status:active")
        await at.press("h")
        await at.sees("type to search the keys")
        await at.type("every key")
        await at.sees("h f1 Help")


async def test_what_was_not_taken_is_told_once_in_one_toast(tmp_path: Path) -> None:
    keymap = {"deployments.nwe": "x", "deployments.sort": "n"}
    wrong = Problem("config.toml, line 3", "there is no setting “themes”; did you mean theme?")
    async with drive(app_with(tmp_path, wrong, theme="no-such", keymap=keymap), size=(100, 40)) as at:
        await home(at)
        await at.sees("Settings", "config.toml, line 3: there is no setting")
        (toast,) = at.app._notifications
        assert "theme: there is none called “no-such”" in toast.message
        assert "nothing is called “deployments.nwe”; did you mean deployments.new?" in toast.message
        assert "deployments.sort takes n from deployments.new" in toast.message
        await at.press("j", "k")
        assert len(at.app._notifications) == 1


@pytest.mark.parametrize(("ascii", "mark"), [("always", "* active"), ("never", "● active")])
async def test_the_marks_follow_the_setting(tmp_path: Path, ascii: str, mark: str) -> None:
    async with drive(app_with(tmp_path, ascii=ascii)) as at:
        await home(at)
        await at.sees(mark)


async def test_the_theme_follows_the_setting(tmp_path: Path) -> None:
    async with drive(app_with(tmp_path, theme="nord")) as at:
        await home(at)
        assert at.app.theme == "nord"


def test_every_action_of_every_screen_has_a_name_of_its_own_place() -> None:
    names = all_names()
    assert {"deployments.new", "deployments.sort", "app.quit", "wizard.continue", "table.up"} <= names.keys()
    assert names["deployments.filter"] == "slash"
    assert all(name.count(".") == 1 for name in names)
    assert problems({}) == [] and problems({"app.quit": "x"}) == []
    assert problems({"deployments.new": "s", "deployments.sort": "n"}) == [], "exchanged"
