"""What a hostile answer writes to a real terminal: its visible glyphs, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]


async def test_a_hostile_answer_writes_nothing_but_its_glyphs(tmp_path: Path) -> None:
    program = [sys.executable, str(Path(__file__).with_name("hostile_console.py")), str(tmp_path)]
    env = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "TZ": "UTC"}
    async with Terminal.run(program, env=env, cwd=ROOT) as term:
        await term.sees("support-bot")
        term.press("t")
        await term.sees("max tokens")
        term.type("hello")
        mark = term.mark()
        term.press("ctrl+s")
        await term.sees("BEGIN 1 2 3 4 5 6 ·7 [/x] [@click=app.quit]8[/] 9 END")
        await term.quiet(0.2)
        written = term.since(mark)
        text = written.decode()
        for harm in ("\x1b]", "\x1b[2J", "\x1bP", "\x9b", "\x9d", "\x90", "\u202e", "pwned", "evil"):
            assert harm not in text, harm
        assert term.running
