"""Server-sent events at any border."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_tui.domain.errors import ConnectionFailed
from peft_tui.drivers.dialects import sse
from peft_tui.drivers.dialects.sse import Framer, SseEvent

STREAM = (
    "\ufeff: hello\n"
    "data: one\n\n"
    "event: output\r\nid: 7:1\r\ndata: zwölf Mäuse 🐭\r\ndata:\r\ndata:  indented\r\n\r\n"
    "retry: 100\ndata\n\n"
    ": ping\n\n"
    "event: done\rdata: {}\r\r"
    "data: the last one, without an empty line"
).encode()
EVENTS = [
    SseEvent("", "", "", "hello"),
    SseEvent("one"),
    SseEvent("zwölf Mäuse 🐭\n\n indented", "output", "7:1"),
    SseEvent("", "message", "7:1"),
    SseEvent("", "", "7:1", "ping"),
    SseEvent("{}", "done", "7:1"),
    SseEvent("the last one, without an empty line", "message", "7:1"),
]


def framed(*chunks: bytes) -> list[SseEvent]:
    framer = Framer()
    found = [event for chunk in chunks for event in framer.feed(chunk)]
    return found + framer.finish()


def test_all_of_the_format_is_understood() -> None:
    assert framed(STREAM) == EVENTS


def test_byte_by_byte_it_is_the_same() -> None:
    assert framed(*(bytes([byte]) for byte in STREAM)) == EVENTS


@pytest.mark.parametrize("border", range(len(STREAM) + 1))
def test_a_border_anywhere_changes_nothing(border: int) -> None:
    assert framed(STREAM[:border], STREAM[border:]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_several_borders_change_nothing(borders: list[int]) -> None:
    cuts = [0, *sorted(borders), len(STREAM)]
    assert framed(*(STREAM[a:b] for a, b in zip(cuts, cuts[1:], strict=False))) == EVENTS


def test_an_event_comes_with_its_empty_line_not_before() -> None:
    framer = Framer()
    assert framer.feed(b"data: one\n") == []
    assert framer.feed(b"\n") == [SseEvent("one")]


def test_a_line_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_LINE", 1000)
    framer = Framer()
    with pytest.raises(ConnectionFailed):
        for _ in range(12):
            framer.feed(b"x" * 100)


def test_an_event_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    framer = Framer()
    with pytest.raises(ConnectionFailed):
        for _ in range(200):
            framer.feed(b"data: 12345\n")


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert framed(b"data: a\xffb\n\n") == [SseEvent("a\ufffdb")]


def test_an_id_with_a_zero_in_it_is_none() -> None:
    assert framed(b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n")[1].id == "1"
