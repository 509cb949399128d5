"""The pty harness, checked on a ten-line Textual program and on small shell lines."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

from tests.terminal import Screens, Terminal, encode_key, screen_when

PROGRAM = """
from textual.app import App
from textual.widgets import Input, Static

class Echo(App):
    BINDINGS = [("ctrl+t", "say('ctrl+t')"), ("f2", "say('f2')"), ("f6", "say('f6')"), ("f10", "exit(7)"),
                ("ctrl+up", "say('up there')"), ("alt+up", "say('alt up')"), ("escape", "say('esc')")]
    def compose(self):
        yield Static("ready 漢字 [0]", id="said", markup=False)
        yield Input()
    def action_say(self, word): self.query_one("#said").update(f"said {word}")
    def action_exit(self, code): self.exit(return_code=code)
    def on_resize(self, event):
        self.query_one(Input).placeholder = f"{event.size.width}x{event.size.height}"

import sys
app = Echo()
app.run()
sys.exit(app.return_code)
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    path = tmp_path / "echo.py"
    path.write_text(PROGRAM)
    return [sys.executable, str(path)]


async def test_keys_reach_a_textual_program_and_its_screen_is_read(program: list[str]) -> None:
    async with Terminal.run(program) as term:
        await term.sees("ready 漢字 [0]")
        assert term.line(0) == "ready 漢字 [0]"
        for key, said in {
            "ctrl+t": "ctrl+t",
            "f2": "f2",
            "f6": "f6",
            "ctrl+up": "up there",
            "alt+up": "alt up",
            "escape": "esc",
        }.items():
            term.press(key)
            await term.sees(f"said {said}")
        term.press("a", "space", "b", "backspace", "c")
        term.type("typed")
        term.paste(" pasted\x1b")
        await term.sees(re.compile(r"a ctyped pasted"))


async def test_escape_then_a_letter_is_not_alt_and_the_letter(program: list[str]) -> None:
    async with Terminal.run(program) as term:
        await term.sees("ready")
        term.press("escape", "p")
        await term.sees("said esc")
        await term.sees(re.compile(r"^\W*p\W*$", re.M))


async def test_a_resized_window_reaches_the_program(program: list[str]) -> None:
    async with Terminal.run(program, size=(80, 24)) as term:
        await term.sees("80x24")
        term.resize(60, 20)
        await term.sees("60x20")
        await term.gone("80x24")


async def test_modes_and_the_main_screen_come_back_after_a_good_end(program: list[str]) -> None:
    async with Terminal.run(program) as term:
        await term.sees("ready")
        assert term.alternate_screen and term.mouse_tracking and term.running
        term.press("f10")
        assert await term.wait_exit() == 7
        assert not term.alternate_screen and not term.mouse_tracking and not term.running
        assert "ready" not in term.text


async def test_a_bad_end_leaves_the_modes_on(program: list[str]) -> None:
    async with Terminal.run(program) as term:
        await term.sees("ready")
        term.signal(signal.SIGKILL)
        assert await term.wait_exit() == -signal.SIGKILL
        assert term.alternate_screen and term.mouse_tracking


async def test_closing_the_window_hangs_up(program: list[str]) -> None:
    async with Terminal.run(program) as term:
        await term.sees("ready")
        term.hang_up()
        assert await term.wait_exit() != 0


async def test_nothing_is_written_between_marks_when_nothing_happens(program: list[str]) -> None:
    async with Terminal.run(program) as term:
        await term.sees("ready")
        await term.quiet(0.3)
        mark = term.mark()
        assert term.since(mark) == b""
        term.press("f2")
        await term.sees("said f2")
        assert term.since(mark) and term.bytes_written == mark.position + len(term.since(mark))
        assert (seen := screen_when(term, "said f2")) is not None and seen > mark.at
        assert (first := screen_when(term, "ready")) is not None and first < seen
        assert screen_when(term, "never") is None


async def test_what_was_never_seen_is_reported_with_the_screen() -> None:
    async with Terminal.run(["sh", "-c", "echo only this; exec cat"]) as term:
        await term.sees("only this")
        with pytest.raises(AssertionError, match=r"never saw 'that' in 0.2 s[^$]*only this"):
            await term.sees("that", timeout=0.2)
        with pytest.raises(AssertionError, match="still sees"):
            await term.gone("only", timeout=0.2)
        with pytest.raises(AssertionError, match="still running"):
            await term.wait_exit(0.1)


async def test_waiting_ends_at_once_when_the_program_has_ended() -> None:
    async with Terminal.run(["sh", "-c", "echo bye; exit 3"]) as term:
        with pytest.raises(AssertionError, match="the program ended"):
            await term.sees("that", timeout=30)
        assert await term.wait_exit() == 3
        assert "bye" in term.text


async def test_the_environment_is_clean_and_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    async with Terminal.run(["sh", "-c", "env; tty; exec cat"], env={"MINE": "yes", "LANG": None}) as term:
        text = await term.sees("/dev/pts/")
        assert "TERM=xterm-256color" in text and "MINE=yes" in text
        assert not any(word in text for word in ("NO_COLOR", "SECRET", "LANG"))


async def test_a_large_paste_arrives_whole() -> None:
    async with Terminal.run(["sh", "-c", "stty raw -echo; echo go; head -c 200000 | wc -c"]) as term:
        await term.sees("go")
        term.type("x" * 200_000)
        await term.sees("200000")


ASKS = r"""
import os, sys, termios, tty
tty.setraw(0)
os.write(1, b"abc")
asked = ((b"\x1b[c", b"c"), (b"\x1b[6n", b"R"), (b"\x1b[?2026$p", b"y"), (b"\x1b[?2048$p", b"y"),
         (b"\x1b[?u", b"u"), (b"\x1b]11;?\x07", b"\\"))
for query, end in asked:
    for byte in query:
        os.write(1, bytes([byte]))
    answer = b""
    while not answer.endswith(end):
        answer += os.read(0, 1)
    os.write(1, repr(answer).encode() + b"\r\n")
"""


async def test_questions_to_the_terminal_are_answered_even_when_cut() -> None:
    async with Terminal.run([sys.executable, "-c", ASKS]) as term:
        text = await term.sees("rgb:1111")
    for answer in ("[?62;22c", "[?2026;2$y", "[?2048;0$y", "[?0u", "[2;1R"):
        assert answer in text


def test_sequences_that_pyte_takes_for_text_are_not_drawn() -> None:
    data = b"a\x1b[<u\x1b[>4;1mb\x1bP+q544e\x1b\\c\x1b[4:3md\x1b[?2026$pe\x1b_Gx\x1b\\f\x1b[2 qg\xe6\xbc\xa2"
    for step in (1, 2, 7, len(data)):
        screens = Screens(20, 2)
        for start in range(0, len(data), step):
            screens.feed(data[start : start + step])
        assert str(screens).strip() == "abcdefg漢"


def test_keys_have_the_bytes_of_xterm() -> None:
    assert (
        encode_key("ctrl+c") == b"\x03"
        and encode_key("ctrl+up") == b"\x1b[1;5A"
        and encode_key("shift+tab") == b"\x1b[Z"
    )
    assert (
        encode_key("shift+left") == b"\x1b[1;2D"
        and encode_key("alt+enter") == b"\x1b\r"
        and encode_key("é") == "é".encode()
    )
    with pytest.raises(ValueError, match="no terminal"):
        encode_key("ctrl+shift+enter")
