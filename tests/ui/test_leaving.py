"""The application is left in the middle of something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widget import Widget

from peft_tui.ui.screens.deployment import DeploymentScreen
from tests.driving import drive
from tests.seeds import populated, still_app


async def test_a_signal_while_a_screen_is_being_opened_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # BUG: on a busy machine SIGTERM ended with status 1 and a crash report.
    compose = DeploymentScreen.compose

    def left_meanwhile(screen: DeploymentScreen) -> Iterator[Widget]:
        screen.app.exit(return_code=143)
        # What is closing takes no more children, and is told that it is mounted all the same.
        screen._closing = True
        yield from compose(screen)

    monkeypatch.setattr(DeploymentScreen, "compose", left_meanwhile)
    app = still_app(tmp_path, populated)
    async with drive(app) as at:
        await at.sees("support-bot")
        await at.press("enter")
        await at.until(lambda: app.return_code is not None)
    assert app.return_code == 143
