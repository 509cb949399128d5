"""The application in a real terminal: what it writes, how it ends, what it loads."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peft_tui.ui.terminal import ASK_BACKGROUND
from tests.doubles import until
from tests.terminal import PATIENCE_SECONDS, Terminal

ROOT = Path(__file__).parent.parent.parent


def still(directory: Path, scene: str = "populated") -> list[str]:
    """A program that shows a scene nothing refreshes."""
    return [sys.executable, "-m", "tests.seeds", str(directory), scene]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
async def test_a_signal_restores_the_terminal(tmp_path: Path, number: signal.Signals, status: int) -> None:
    async with Terminal.run(still(tmp_path), cwd=ROOT) as term:
        await term.sees("support-bot")
        await term.quiet()
        assert term.alternate_screen and term.mouse_tracking
        term.signal(number)
        assert await term.wait_exit() == status
        assert not term.alternate_screen and not term.mouse_tracking


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_leaving_restores_the_terminal(tmp_path: Path, key: str) -> None:
    async with Terminal.run(still(tmp_path), cwd=ROOT) as term:
        await term.sees("support-bot")
        await term.quiet()
        term.press(key)
        assert await term.wait_exit() == 0
        assert not term.alternate_screen and not term.mouse_tracking


async def test_stopped_it_gives_the_terminal_back_and_continued_it_is_there_again(tmp_path: Path) -> None:
    # BUG: the screen stayed empty until the window was resized.
    async with Terminal.run(still(tmp_path), cwd=ROOT) as term:
        await term.sees("support-bot")
        await term.quiet()
        term.press("/")
        await term.sees("esc clear")
        term.type("1f3a")
        await term.sees("1 of 7")
        term.press("enter")
        await term.sees("/ 1f3a")
        term.press("ctrl+z")
        await until(lambda: state_of(term) == "T", "it does not stop")
        await term.until(lambda: not term.alternate_screen and not term.mouse_tracking)
        term.resize(100, 30)
        term.signal(signal.SIGCONT)
        await term.until(lambda: term.alternate_screen and term.mouse_tracking)
        await term.sees(re.compile(r"/ 1f3a(.|\n)*peft-x-1f3a9c2b(.|\n)*\? help"))
        term.press("escape")
        await term.sees("support-bot")


def state_of(term: Terminal) -> str:
    """As the kernel has it: R, S, T for stopped."""
    return Path(f"/proc/{term.process.pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_a_window_that_is_closed_ends_it(tmp_path: Path) -> None:
    async with Terminal.run(still(tmp_path), cwd=ROOT) as term:
        await term.sees("support-bot")
        term.hang_up()
        assert await term.wait_exit() in (129, -signal.SIGHUP)


async def test_while_nothing_changes_nothing_is_written(tmp_path: Path) -> None:
    async with Terminal.run(still(tmp_path), cwd=ROOT) as term:
        await term.sees("step 2/8")
        # A silence can only be heard for a while: one tick of the ages, several looks for other processes.
        # What writes again and again never leaves that much; what is drawn late on a busy machine does.
        await term.quiet(5.5)
        term.press("/", *"sup")
        await term.sees("1 of 7")
        # A cursor that blinks writes twice in that time.
        await term.quiet(1.2)


async def test_moving_the_cursor_writes_little(tmp_path: Path) -> None:
    async with Terminal.run(
        still(tmp_path, "many"), cwd=ROOT, env={"COLORTERM": "truecolor"}, size=(120, 36)
    ) as term:
        await term.sees("bot-0001")
        await term.quiet(0.3)
        # The details name the selected row.
        term.press(*"jjjjjj")
        await term.sees("bot-0003  ● active")
        await term.quiet(0.3)
        mark = term.mark()
        term.press("j")
        await term.sees("bot-0004  ● active")
        await term.quiet(0.3)
        assert len(term.since(mark)) < 1100


@pytest.mark.parametrize(
    ("env", "allowed"),
    [
        ({"NO_COLOR": "1"}, r"[0-9]|39|49|22"),
        ({"TERM": "linux"}, r"[0-9]|3[0-79]|4[0-79]|9[0-7]|22"),
        ({"TERM": "screen"}, r"[0-9]|3[0-79]|4[0-79]|9[0-7]|22"),
    ],
    ids=["no colour", "linux console", "screen"],
)
async def test_no_more_colours_than_the_terminal_has(
    tmp_path: Path, env: dict[str, str], allowed: str
) -> None:
    async with Terminal.run(still(tmp_path), cwd=ROOT, env={**env, "COLORTERM": None}) as term:
        await term.sees("support-bot")
        await term.quiet(0.2)
        codes = {
            code for found in re.findall(rb"\x1b\[([\d;]*)m", bytes(term.raw)) for code in found.split(b";")
        }
        assert {code.decode() for code in codes if not re.fullmatch(allowed, code.decode() or "0")} == set()
        assert ASK_BACKGROUND.encode() not in term.raw, "there is one theme for it"


def test_the_first_frame_loads_no_network() -> None:
    code = (
        "import sys; import peft_tui.app; from peft_tui.drivers import PLATFORMS, capabilities;"
        "[capabilities(p) for p in PLATFORMS];"
        "heavy = {'httpx', 'pydantic', 'keyring', 'aiohttp', 'ssl', 'textual.widgets._markdown',"
        " 'textual.widgets._data_table', 'peft_tui.workers', 'peft_tui.ui.screens.wizard'};"
        "print(*sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded <= {"ssl"}, "asyncio itself brings ssl along"


def test_the_first_frame_loads_neither_what_is_offered_nor_what_only_a_key_opens() -> None:
    code = (
        "import sys; import peft_tui.app, peft_tui.backend;"
        "print(*sorted(name for name in sys.modules if name.startswith('peft_tui.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "peft_tui.domain.offers" not in loaded and "peft_tui.services.life" not in loaded
    screens = [name for name in loaded if name.startswith("peft_tui.ui.screens.")]
    assert all(name.startswith("peft_tui.ui.screens.deployments") for name in screens)


async def test_a_terminal_that_stops_reading_does_not_keep_it(tmp_path: Path) -> None:
    async with Terminal.run(still(tmp_path, "many"), cwd=ROOT) as term:
        await term.sees("bot-0001")
        await term.quiet()
        # The line is stalled: nothing reads, keys still come.
        asyncio.get_running_loop().remove_reader(term._master)
        for _ in range(60):
            term.press("enter")
            await asyncio.sleep(0.01)
        term.signal(signal.SIGTERM)
        assert await asyncio.wait_for(term.process.wait(), PATIENCE_SECONDS) == 143
