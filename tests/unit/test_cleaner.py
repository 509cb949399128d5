"""Text that comes in pieces does no more to a terminal than text that comes whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_tui.text import HELD, Cleaner, clean

PAYLOADS = [
    "\x1b]0;pwned\x07after",
    "\x1b]52;c;cm0gLXJmIH4=\x1b\\after",
    "\x1b]52;c;cm0gLXJmIH4=\x07after",
    "\x1b[2J\x1b[31mred\x1b[0m",
    "\x9b2Jafter",
    "\x9d0;pwned\x9cafter",
    "\x1bPq#0;2;0;0;0\x1b\\after",
    "\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\after",
    "admin\u202etxt.exe\u2066\u2069",
    "a\u200bb\ufeffc\u200ed",
    "one\r\ntwo\rthree\n\tfour",
    "\x00\x07\x08\x0c\x7f",
    "lone \ud83d and \udc00",
    "\x1b]0;without an end, and a line\nafter it",
    "\x1b",
    "\x1b\x1b]0;x\x07y",
    "\x1b]0;x\x1b[31mred",
    "[/x] [@click=app.quit]no[/] plain",
    "größe 🐭 日本",
]
UNSAFE = [chr(n) for n in (*range(0x20), *range(0x7F, 0xA0)) if chr(n) not in "\n\t"]


def pieces(*parts: str) -> str:
    cleaner = Cleaner()
    return "".join(cleaner.feed(part) for part in parts) + cleaner.finish()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_border_anywhere_changes_nothing(payload: str) -> None:
    for border in range(len(payload) + 1):
        assert pieces(payload[:border], payload[border:]) == clean(payload)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_character_by_character_it_is_the_same(payload: str) -> None:
    assert pieces(*payload) == clean(payload)


@given(st.lists(st.sampled_from([*PAYLOADS, "\x1b", "]", "[", "\\", "\r", "\n", "x", "\x9c"]), max_size=8))
def test_whatever_comes_after_what(parts: list[str]) -> None:
    assert pieces(*parts) == clean("".join(parts))


@given(st.text(st.characters(min_codepoint=0, max_codepoint=0xFF), max_size=60), st.data())
def test_no_control_ever_passes(text: str, data: st.DataObject) -> None:
    border = data.draw(st.integers(0, len(text)))
    cleaner = Cleaner()
    shown = cleaner.feed(text[:border]) + cleaner.feed(text[border:]) + cleaner.finish()
    assert not set(shown) & set(UNSAFE)


def test_a_sequence_without_end_does_not_hold_the_rest_back_for_ever() -> None:
    cleaner = Cleaner()
    shown = cleaner.feed("\x1b]0;") + "".join(cleaner.feed("x" * 100) for _ in range(HELD // 100 + 2))
    assert shown.startswith("·]0;xxx")


def test_ordinary_text_is_shown_at_once() -> None:
    cleaner = Cleaner()
    assert cleaner.feed("Hello") == "Hello"
    assert cleaner.finish() == ""
