"""How the figures look: few pictures, looked at by a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.driving import Driver
from tests.figures.test_metrics_screen import Fill, busy, gap, mixed, scene
from tests.seeds import still_app


@pytest.mark.usefixtures("plain_terminal")
@pytest.mark.parametrize(
    ("size", "fill", "keys", "wanted", "theme"),
    [
        pytest.param((80, 24), mixed, "m", "off the scale", "", id="cold"),
        pytest.param((80, 24), gap, "m", "P95 needs 20", "peft-ansi", id="gap-ansi"),
        pytest.param((200, 60), busy, "m", "goodput", "", id="wide"),
        pytest.param((120, 24), busy, "M", "1 deployment", "peft-light", id="overview-light"),
    ],
)
def test_looks(
    snap_compare: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    fill: Fill,
    keys: str,
    wanted: str,
    theme: str,
) -> None:
    monkeypatch.setenv("PEFT_TUI_THEME", theme)

    async def settle(pilot: Any) -> None:
        at = Driver(pilot)
        await at.until(lambda: at.shows("support-bot") and at.app.ready)  # type: ignore[attr-defined]
        await pilot.press(*keys)
        await at.sees(wanted, "live")
        await at.until(lambda: not at.app.screen._reading)  # type: ignore[attr-defined]
        await pilot.pause()

    assert snap_compare(still_app(tmp_path, scene(fill)), terminal_size=size, run_before=settle)
