"""Who does the work, when several processes have the same store open."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from peft_tui.workers.duty import Duty

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from peft_tui.workers.duty import Duty
duty = Duty(Path(sys.argv[1]), "together")
print(duty.take(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
async def holder(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(tmp_path)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and await process.stdout.readline() == b"True\n"
    yield process
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_another_process_cannot_take_it(holder: asyncio.subprocess.Process, tmp_path: Path) -> None:
    assert not Duty(tmp_path, "together").take()


async def test_another_platform_s_is_free(holder: asyncio.subprocess.Process, tmp_path: Path) -> None:
    duty = Duty(tmp_path, "replicate")
    assert duty.take()
    duty.leave()


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, None], ids=["kill -9", "SIGTERM", "its end"]
)
async def test_it_is_free_when_its_holder_has_died_however_it_died(
    holder: asyncio.subprocess.Process, tmp_path: Path, number: signal.Signals | None
) -> None:
    if number is None:
        await holder.communicate(b"end\n")
    else:
        os.kill(holder.pid, number)
        await holder.wait()
    duty = Duty(tmp_path, "together")
    assert duty.take()
    duty.leave()


async def test_a_child_of_the_holder_does_not_keep_it(tmp_path: Path) -> None:
    duty = Duty(tmp_path, "together")
    assert duty.take()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; sys.stdin.readline()", stdin=asyncio.subprocess.PIPE
    )
    duty.leave()
    other = Duty(tmp_path, "together")
    assert other.take()
    other.leave()
    await child.communicate(b"\n")


def test_in_one_process_it_is_taken_once_and_given_back(tmp_path: Path) -> None:
    first, second = Duty(tmp_path, "together"), Duty(tmp_path, "together")
    assert first.take() and first.take() and not second.take()
    second.leave()
    assert not second.take()
    first.leave()
    assert second.take()
    second.leave()


def test_refused_ones_leave_no_file_open(tmp_path: Path) -> None:
    holder = Duty(tmp_path, "together")
    assert holder.take()
    before = len(os.listdir("/proc/self/fd"))
    assert not any(Duty(tmp_path, "together").take() for _ in range(20))
    assert len(os.listdir("/proc/self/fd")) == before
    holder.leave()


def test_its_file_is_for_the_owner_only(tmp_path: Path) -> None:
    duty = Duty(tmp_path, "together")
    duty.take()
    duty.leave()
    assert stat.S_IMODE((tmp_path / "together.lock").stat().st_mode) == 0o600
