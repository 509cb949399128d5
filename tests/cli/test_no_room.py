"""The real program on a disk that is full, and in a home that cannot be written: what bills is stopped."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from peft_tui.domain.operation import OperationState
from tests.doubles import PATIENCE_SECONDS
from tests.life import at_platform, life

ROOT = Path(__file__).parents[2]
MOUNT = ["unshare", "--user", "--map-root-user", "--mount"]
FULL = """
mount -t tmpfs -o size=2m none "$1" && cp "$2"/peft-tui.db "$1"/ || exit 99
cat /dev/zero > "$1"/ballast 2>/dev/null
"""
READ_ONLY = """
mount -t tmpfs none "$1" && cp "$2"/peft-tui.db "$1"/ && mount -o remount,ro "$1" || exit 99
"""
STOP = """
shift 2
exec "$@"
"""


def can_mount(directory: Path) -> bool:
    """A file system of one's own: not every machine lets its users have one."""
    words = [*MOUNT, "mount", "-t", "tmpfs", "none", str(directory)]
    try:
        return subprocess.run(words, capture_output=True, timeout=PATIENCE_SECONDS).returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize("disk", [FULL, READ_ONLY], ids=["full", "read-only"])
async def test_it_is_stopped_all_the_same(disk: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    if not can_mount(place):
        pytest.skip("no file system can be mounted here")
    async with life(tmp_path, "replicate") as lived:
        made = await lived.intend(at_platform("acme/llm-support"), instance_type="gpu-l40s", min_instances=1)
        assert (await lived.run(made)).state is OperationState.DONE
        await lived.backend.close()
        words = ("stop", "bot", "--platform", "replicate", "--yes")
        process = await asyncio.create_subprocess_exec(
            *(*MOUNT, "sh", "-c", disk + STOP, "sh", str(place), str(tmp_path / "data")),
            *(sys.executable, "-m", "peft_tui", *words),
            cwd=ROOT,
            env={
                **os.environ,
                **{name: value for name, value in lived.sandbox.env.items() if "REPLICATE" in name},
                "PEFT_TUI_DATA_DIR": str(place),
                "PEFT_TUI_CONFIG_DIR": str(place),
            },
            stderr=asyncio.subprocess.PIPE,
        )
        telling = asyncio.create_task(process.communicate())
        while not telling.done():
            lived.sandbox.clock.advance(2)
            await asyncio.wait({telling}, timeout=0.05)
        told = (await telling)[1].decode()
        assert process.returncode == 0, told
        assert "nothing is remembered" in told
        lived.sandbox.clock.advance(600)
        assert [row["billing"] for row in await lived.resources()] == [False]
