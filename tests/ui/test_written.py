"""What reaches the terminal of what is drawn: nothing that steers it, and nothing that nobody can see."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.widgets import Static

from peft_tui.ui.last_line import LastLine
from peft_tui.ui.widgets.live_table import LiveTable
from tests.driving import drive
from tests.seeds import populated, still_app
from tests.unit.test_text import PAYLOADS

BLACK = Color(0, 0, 0)


def filtered(*segments: Segment) -> list[Segment]:
    return LastLine().apply(list(segments), BLACK)


def test_what_is_harmless_is_handed_on_as_it_is() -> None:
    segments = [Segment("● active  é 日本", Style(bold=True)), Segment("──"), Segment("  ", None)]
    assert LastLine().apply(segments, BLACK) is segments


def test_every_payload_loses_its_power_and_no_width() -> None:
    for payload, _ in PAYLOADS.values():
        (out,) = filtered(Segment(f"a{payload}b", Style(bold=True)))
        assert cell_len(out.text) == cell_len(f"a{payload}b") and out.style == Style(bold=True)
        assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in out.text), payload


def test_a_link_is_text() -> None:
    (out,) = filtered(Segment("here", Style(link="http://evil", bold=True)))
    assert out.text == "here" and out.style and out.style.link is None and out.style.bold


async def test_it_stands_behind_every_widget(tmp_path: Path) -> None:
    async with drive(still_app(tmp_path)) as at:
        await at.app.screen.mount(Static("a\x1b[31mb\x9b2Jc\u202ed", markup=False))
        await at.sees("a[31mb2Jcd")
        assert "\x1b" not in at.text and "\u202e" not in at.text


async def test_what_changes_below_an_opaque_screen_writes_nothing(tmp_path: Path) -> None:
    async with drive(still_app(tmp_path, populated)) as at:
        await at.sees("support-bot")
        home = at.app.screen
        await at.press("C")
        await at.sees("the environment always wins")
        await at.pilot.pause(0.1)
        top, repainted = at.app.screen, []
        refresh = top.refresh
        top.refresh = lambda *a, **k: (repainted.append(a), refresh(*a, **k))[1]  # type: ignore
        home.query_one(LiveTable).set_rows([])
        for _ in range(5):
            await at.pilot.pause(0.02)
        assert repainted == []
        await at.press("escape")
        await at.gone("support-bot")


@pytest.mark.parametrize("key", ["e", "question_mark"])
async def test_a_screen_of_16_colours_shows_nothing_of_what_is_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("PEFT_TUI_THEME", "peft-ansi")
    async with drive(still_app(tmp_path, populated), size=(60, 20)) as at:
        await at.sees("newest first", "support-bot")
        await at.press(key)
        await at.gone("newest first")
