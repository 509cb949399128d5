"""Light terminals get light colours, and nobody notices how that was found out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from peft_tui.ui.terminal import ASK_BACKGROUND, Answers, is_light
from tests.terminal import Terminal
from tests.ui.test_app import ROOT, still

WHITE = "\x1b]11;rgb:ffff/ffff/ffff\x1b\\"
LIGHT, DARK = "251;251;249", "21;23;28"
"""The backgrounds of our themes, as they are written."""


@pytest.mark.parametrize(
    ("colour", "light"),
    [
        ("rgb:ffff/ffff/ffff", True),
        ("rgb:fd/f6/e3", True),
        ("rgba:fdfd/f6f6/e3e3/8000", True),
        ("rgb:f/f/f", True),
        ("rgb:0000/2b2b/3636", False),
        ("rgb:0000/0000/ffff", False),
        ("#ffffff", None),
        ("", None),
        ("rgb:fffff/0/0", None),
    ],
)
def test_a_colour_is_light_or_dark_or_not_understood(colour: str, light: bool | None) -> None:
    assert is_light(colour) is light


@pytest.mark.parametrize("end", ["\x07", "\x1b\\"])
@pytest.mark.parametrize("cut", range(24))
def test_an_answer_is_taken_out_of_what_is_typed_wherever_it_is_cut(end: str, cut: int) -> None:
    stream = f"ab\x1b]11;rgb:ffff/ffff/ffff{end}cd"
    answers = Answers()
    parts = [answers.take(part) for part in (stream[: 2 + cut], stream[2 + cut :]) if part]
    typed = "".join(text for text, _ in parts)
    # Cut behind its first character, that one has been taken for the escape key already.
    assert typed == ("ab\x1bcd" if cut == 1 else "abcd")
    assert [colour for _, colours in parts for colour in colours] == ["rgb:ffff/ffff/ffff"]


def test_a_key_that_begins_like_an_answer_waits_for_one_look_only() -> None:
    answers = Answers()
    assert answers.take("\x1b]") == ("", [])
    assert answers.take("") == ("\x1b]", [])
    assert answers.take("") == ("", [])


def test_the_half_of_an_answer_is_never_typed() -> None:
    answers = Answers()
    assert answers.take("x\x1b]11;rgb:ff") == ("x", [])
    assert all(answers.take("") == ("", []) for _ in range(19))
    assert answers.take("ff/ffff/ffff\x07j") == ("j", ["rgb:ffff/ffff/ffff"])
    assert answers.take("\x1b]11;rgb:ff") == ("", [])
    assert all(answers.take("") == ("", []) for _ in range(20))
    assert answers.take("j") == ("j", [])


@pytest.mark.parametrize(
    "keys", ["j", "\x1b", "\x1bj", "\x1b[A", "\x1b[200~]11;rgb\x1b[201~", "]", "11;", "\x1b]x"]
)
def test_what_is_typed_passes_as_it_is(keys: str) -> None:
    answers = Answers()
    assert answers.take(keys)[0] + answers.take("")[0] == keys


@pytest.mark.parametrize(
    ("background", "environ", "wanted"),
    [
        ("ffff/ffff/ffff", {"COLORFGBG": "15;0"}, LIGHT),
        (None, {"COLORFGBG": "0;15"}, LIGHT),
        ("ffff/ffff/ffff", {"PEFT_TUI_THEME": "peft-dark"}, DARK),
    ],
    ids=["light, whatever a variable says", "no answer, a variable", "the person's own"],
)
async def test_the_theme_goes_with_the_background(
    tmp_path: Path, background: str | None, environ: dict[str, str], wanted: str
) -> None:
    env = {"COLORTERM": "truecolor", **environ}
    async with Terminal.run(still(tmp_path), cwd=ROOT, env=env, background=background) as term:
        await term.sees("support-bot")
        await term.until(lambda: background_of(term) == wanted)
        await term.quiet(0.3)
        assert background_of(term) == wanted
        asked = bytes(term.raw).count(ASK_BACKGROUND.encode())
        assert asked == ("PEFT_TUI_THEME" not in environ)


async def test_an_answer_that_comes_late_is_not_typed(tmp_path: Path) -> None:
    # BUG: over a slow line the answer was read as keys: r, g and b do something on the first screen.
    env = {"COLORTERM": "truecolor"}
    async with Terminal.run(still(tmp_path), cwd=ROOT, env=env, background=None) as term:
        await term.sees("support-bot")
        await term.quiet(0.3)
        assert background_of(term) == DARK
        term.type(WHITE)
        await term.until(lambda: background_of(term) == LIGHT)
        await term.quiet(0.3)
        assert "No deployment matches" not in term.text, "it was typed into the filter"


async def test_bytes_that_are_no_text_do_not_end_it(tmp_path: Path) -> None:
    # BUG: a single byte of a keyboard that is not UTF-8 ended the application.
    async with Terminal.run(still(tmp_path), cwd=ROOT) as term:
        await term.sees("support-bot")
        term._send(b"\xff\xe9", 0.0)
        term.press("?")
        await term.sees("type to search the keys")


def background_of(term: Terminal) -> str:
    """Of the last cell that was written with a background of its own."""
    return re.findall(rb"48;2;(\d+;\d+;\d+)", bytes(term.raw))[-1].decode()
