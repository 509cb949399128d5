"""What each screen looks like: once each, at the sizes and in the colours that differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.driving import Driver
from tests.gallery import SCENES, enter, gallery_app

SMALL, NIGHT, USUAL = (60, 20), (40, 12), (80, 24)


@pytest.mark.usefixtures("plain_terminal")
@pytest.mark.parametrize(
    ("name", "size", "theme"),
    [
        pytest.param(name, size, theme, id=name)
        for name, size, theme in (
            ("list", NIGHT, ""),
            ("filter", USUAL, ""),
            ("marked", SMALL, "peft-contrast"),
            ("delete", NIGHT, ""),
            ("outcome", USUAL, "peft-light"),
            ("deployment", NIGHT, ""),
            ("wizard-platform", USUAL, ""),
            ("wizard-model", SMALL, ""),
            ("wizard-configuration", USUAL, "peft-light"),
            ("wizard-review", USUAL, "peft-ansi"),
            ("credentials", USUAL, ""),
            ("errors", USUAL, "peft-contrast"),
            ("help", SMALL, ""),
            ("palette", USUAL, "peft-ansi"),
            ("columns", USUAL, ""),
            ("copy", USUAL, ""),
            ("export", NIGHT, ""),
            ("requests", USUAL, "peft-light"),
        )
    ],
)
def test_looks(
    snap_compare: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    size: tuple[int, int],
    theme: str,
) -> None:
    monkeypatch.setenv("PEFT_TUI_THEME", theme)
    scene = SCENES[name]

    async def settle(pilot: Any) -> None:
        await enter(Driver(pilot), scene)

    assert snap_compare(gallery_app(tmp_path, scene), terminal_size=size, run_before=settle)
