"""A theme is looked at before it is chosen, and what was chosen is there the next time."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.color import Color

from peft_tui.ui.theme import CONTRAST, THEMES
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


def test_high_contrast_is_what_it_says() -> None:
    (theme,) = [theme for theme in THEMES if theme.name == CONTRAST]
    variables = theme.variables
    pairs = [
        (words, ground)
        for name, words in variables.items()
        if name.startswith("text-")
        for ground in (theme.background, theme.panel)
    ]
    pairs += [(variables["block-cursor-foreground"], variables["block-cursor-background"])]
    for words, ground in pairs:
        assert ground is not None
        lighter, darker = sorted((luminance(words), luminance(ground)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 7, f"{words} on {ground}"


def luminance(colour: str) -> float:
    """As WCAG 2 defines it."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
             for part in Color.parse(colour).normalized]  # fmt: skip
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))
