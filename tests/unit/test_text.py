"""The one gate for foreign text: nothing that a terminal would obey gets through."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_tui.text import clean, clean_line

PAYLOADS = {
    "title": ("\x1b]0;owned\x07", ""),
    "title, other end": ("\x1b]0;owned\x1b\\", ""),
    "colour": ("\x1b[31m", ""),
    "clear": ("\x1b[2J\x1b[H", ""),
    "private mode": ("\x1b[?1049l", ""),
    "clipboard": ("\x1b]52;c;cm0gLXJm\x1b\\", ""),
    "hyperlink": ("\x1b]8;;https://evil.example\x1b\\go\x1b]8;;\x1b\\", "go"),
    "C1 CSI": ("\x9b31m", ""),
    "C1 OSC": ("\x9d0;owned\x9c", ""),
    "DCS": ("\x1bPq#0\x1b\\", ""),
    "C1 DCS": ("\x90q#0\x9c", ""),
    "APC": ("\x1b_Gf=100\x1b\\", ""),
    "unfinished CSI": ("\x1b[é", "·[é"),
    "unfinished OSC": ("\x1b]0;owned", "·]0;owned"),
    "reset": ("\x1bc", "·c"),
    "escape alone": ("\x1b", "·"),
    "bell": ("\x07", "·"),
    "backspace": ("\x08", "·"),
    "carriage return": ("\r", "·"),
    "delete": ("\x7f", "·"),
    "nul": ("\0", "·"),
    "bidi override": ("\u202e", "·"),
    "bidi isolate": ("\u2066\u2069", "··"),
    "arabic letter mark": ("\u061c", "·"),
    "zero width": ("\u200b\u200d\ufeff", "···"),
    "tag": ("\U000e0041", "·"),
    "lone surrogate": ("\ud800", "·"),
    "a sequence that another one hides": ("\x1b\x1b[0m[31m", "·[31m"),
}
KEPT = ("plain", "two\nlines", "a\ttab", "żółć", "日本語", "emoji 🙂", "[/markup] {braces}", "α=32 · 84 MB")


@pytest.mark.parametrize(("payload", "left"), PAYLOADS.values(), ids=PAYLOADS)
def test_a_payload_is_taken_out_and_the_text_around_it_stays(payload: str, left: str) -> None:
    assert clean(f"before {payload} after") == f"before {left} after"


@pytest.mark.parametrize("text", KEPT)
def test_text_that_can_do_no_harm_is_left_alone(text: str) -> None:
    assert clean(text) == text


def test_windows_line_ends_become_plain_ones() -> None:
    assert clean("a\r\nb") == "a\nb"


def test_anything_is_shown_by_its_words() -> None:
    assert clean(ValueError("a\x1b[31mb")) == "ab"


@pytest.mark.parametrize(
    ("text", "limit", "short"), [("abcdef", 4, "abc…"), ("abcd", 4, "abcd"), ("ab", 1, "…")]
)
def test_a_limit_shortens_to_that_many_characters(text: str, limit: int, short: str) -> None:
    assert clean(text, limit) == short


@pytest.mark.parametrize("text", ["a\nb", "a \t b", " a\r\n\r\nb ", "a\x0bb", "a\u2028b", "a\x85b"])
def test_a_line_is_one_line(text: str) -> None:
    assert clean_line(text) == "a b"


# Format characters that shape letters and do nothing to a terminal: soft hyphen and its like.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


@given(st.text(st.characters(codec=None), max_size=60))
def test_nothing_unsafe_survives(text: str) -> None:
    safe = clean(text)
    assert not UNSAFE.search(safe)
    assert not any(unicodedata.category(letter) == "Cs" for letter in safe)
    safe.encode()


@given(
    st.lists(st.sampled_from([p for p, _ in PAYLOADS.values()] + ["\x1b", "[", "]", "m", "\x07"]), max_size=6)
)
def test_no_mixture_of_payloads_survives(parts: list[str]) -> None:
    assert not UNSAFE.search(clean("".join(parts)))


@given(st.text(st.characters(codec=None), max_size=60))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.text(st.characters(codec=None), max_size=60), st.integers(1, 40))
def test_no_line_is_longer_than_its_limit(text: str, limit: int) -> None:
    line = clean_line(text, limit)
    assert len(line) <= limit and len(line.splitlines()) <= 1


@pytest.mark.parametrize("opener", ["\x9d", "\x90", "\x1b]", "\x1b[", "\x9b", "\x1b"], ids=ascii)
def test_the_time_it_takes_grows_with_the_text_and_not_with_its_square(opener: str) -> None:
    # Else an adapter_config.json of 1 MB freezes the application: the search holds the interpreter's lock.
    def seconds(count: int) -> float:
        begin = time.thread_time()
        clean(opener * count)
        return time.thread_time() - begin

    seconds(100)
    assert seconds(8_000) < 0.1 + 40 * seconds(800)
    assert seconds(8_000) < 0.2
