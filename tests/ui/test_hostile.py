"""Every screen of the real application, in a real terminal, where all words from outside are an attack."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.terminal import Terminal
from tests.ui.hostile import MARK

ROOT = Path(__file__).parents[2]
HARM = (
    *("\x1b[66;66H", "\x1b[5i", "\x1b[?1049l", "\x9b", "\x9d", "\x90"),  # moves, prints, leaves the screen
    *("\x1b]0;", "\x1b]8;", "\x1bPq", "\x1b]52;c;cHduZWQ"),  # title, link, graphics, clipboard
    *("\u202e", "\0", "\x7f"),
)
CLOSE = "escape"
LIST = "enter open  n new"

Step = tuple[tuple[str, ...], str]
"""Keys, and a pattern that the screen shows when they have done their work and until it is closed."""

WALK: list[Step] = [
    ((), rf"{MARK}n.*active"),
    (("/", *MARK, "enter"), "3 of 3"),
    ((CLOSE,), LIST),
    # One of them, section by section.
    (("enter",), "1 overview"),
    (("2",), rf"V{MARK}"),
    (("3",), rf"L{MARK}"),
    (("4",), "operations ●"),
    (("5",), "observations ●"),
    (("y",), "its key"),
    (("y",), "URL given to"),
    (("?",), "enter does it"),
    ((CLOSE,), "5 observations"),
    ((CLOSE,), LIST),
    # What is done to it.
    (("x",), r"\[ Stop \]"),
    ((CLOSE,), LIST),
    (("D",), "Type"),
    ((CLOSE,), LIST),
    (("u",), "ctrl.s apply"),
    ((CLOSE,), LIST),
    # The console: an answer, each page of it, an old one, two side by side, a load run.
    (("t",), rf"model +S{MARK}"),
    (("h", "i", "ctrl+s"), "● 200"),
    (("ctrl+t",), rf"POST http.*{MARK}"),
    (("ctrl+t",), "connect"),
    (("ctrl+t",), rf"url +http.*{MARK}"),
    (("ctrl+y",), "clipboard"),
    (("ctrl+t", "ctrl+g"), "esc back  q quit|esc back *$"),
    ((CLOSE,), "ctrl.t page"),
    (("ctrl+l",), "closed loop"),
    ((CLOSE,), "ctrl.t page"),
    ((CLOSE,), LIST),
    # Figures.
    (("m",), "requests"),
    (("e",), "CSV"),
    ((CLOSE,), "requests"),
    ((CLOSE,), LIST),
    (("M",), "metrics · 3"),
    ((CLOSE,), LIST),
    # What failed, and what is nobody's.
    (("j",), rf"error +E{MARK}"),
    (("enter",), "1 overview"),
    (("4",), rf"operations ●.*E{MARK}"),
    ((CLOSE,), LIST),
    (("e",), rf"still so.*E{MARK}"),
    ((CLOSE,), LIST),
    (("j", "a"), r"\[ Adopt \]"),
    ((CLOSE,), LIST),
    # Marked, so that there is a question about several.
    (("*", "x"), r"\[ Stop"),
    ((CLOSE,), "marked.*n new"),
    ((CLOSE,), LIST),
    # Keys, log, palette.
    (("C",), "environment always wins"),
    (("enter",), "TOGETHER_API_KEY ·"),
    ((CLOSE,), "environment always wins"),
    ((CLOSE,), LIST),
    (("ctrl+p", *MARK), rf"\s{MARK}\s+{MARK}n{MARK}"),
    ((CLOSE,), LIST),
    (("ctrl+p", *"log"), "What no other screen shows"),
    (("enter",), rf"G{MARK}"),
    ((CLOSE,), LIST),
    # The wizard, page by page.
    (("n",), rf"A{MARK}"),
    (("enter",), "Adapter from"),
    (("tab", "tab", "ctrl+o"), rf"d{MARK}"),
    ((CLOSE,), "Adapter from"),
    (("a", "/", "b"), rf"Fit.*F{MARK}"),
    (("ctrl+n",), rf"I{MARK}"),
    (("ctrl+n",), r"\[ Deploy \]"),
]


async def test_no_screen_hands_an_attack_on_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / f"d{MARK}\x1b[66;66H\x1b]0;pwned\x07[b]").mkdir()
    env = {
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "TZ": "UTC",
        "NO_COLOR": "1",
        "PEFT_TUI_DATA_DIR": str(tmp_path / "data"),
        "PEFT_TUI_CONFIG_DIR": str(tmp_path / "config"),
    }
    program = [sys.executable, "-m", "tests.ui.hostile", str(tmp_path / "data")]
    async with Terminal.run(program, env=env, cwd=tmp_path, size=(80, 24)) as term:
        walked = 0
        for keys, wanted in WALK:
            mark = term.mark()
            term.press(*keys)
            try:
                if keys == (CLOSE,):
                    await term.gone(re.compile(WALK[walked - 1][1], re.S))
                await term.sees(re.compile(wanted, re.S))
            except AssertionError as error:
                raise AssertionError(f"after step {walked}, {keys}: {error}") from None
            await term.quiet(0.03)
            written = term.since(mark).decode("utf-8", "surrogateescape")
            assert [harm for harm in HARM if harm in written] == [], f"step {walked}, {keys}\n{term.text}"
            walked += 1
        assert term.running and term.alternate_screen
