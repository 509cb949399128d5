"""A theme is looked at before it is chosen, and what was chosen is there the next time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.driving import drive
from tests.seeds import populated, still_app
from tests.ui.test_deployments_screen import at_home


async def test_a_theme_is_seen_while_choosing_and_kept_only_when_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    for name in ("NO_COLOR", "COLORFGBG", "PEFT_TUI_THEME"):
        monkeypatch.delenv(name, raising=False)
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.until(lambda: at.app.theme == "peft-dark")
        for leave, wanted in (("escape", "peft-dark"), ("enter", "peft-light")):
            at.app.action_change_theme()
            await at.sees("Theme enter keeps", "▸ peft-dark dark")
            await at.press("j")
            await at.until(lambda: at.app.theme == "peft-light")
            await at.press(leave)
            await at.until(lambda wanted=wanted: at.app.theme == wanted)  # type: ignore[misc]
    async with drive(still_app(tmp_path)) as at:
        await at.sees("support-bot")
        assert at.app.theme == "peft-light"
    monkeypatch.setenv("NO_COLOR", "1")
    async with drive(still_app(tmp_path)) as at:
        await at.sees("support-bot")
        assert at.app.theme == "peft-ansi"
