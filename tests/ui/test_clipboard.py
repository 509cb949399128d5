"""What is copied reaches the person's clipboard through what lies between."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

import pytest

from peft_tui.ui.clipboard import MOST_BYTES, sequence, to_tmux, words


def test_a_terminal_is_told_by_osc_52_and_screen_hands_on_only_what_is_wrapped() -> None:
    code = base64.b64encode("é".encode()).decode()
    assert sequence("é", {}) == f"\x1b]52;c;{code}\a"
    assert sequence("é", {"STY": "1.x"}) == f"\x1bP\x1b]52;c;{code}\a\x1b\\"
    assert sequence("é", {"STY": "1.x", "TMUX": "/tmp/t"}) == f"\x1b]52;c;{code}\a"


@pytest.fixture
def tmux(tmp_path: Path) -> dict[str, str]:
    """A tmux that writes down how it was called."""
    program = tmp_path / "tmux"
    program.write_text(f"#!/bin/sh\n(echo $*; cat; echo; env) > {tmp_path}/called\n")
    program.chmod(0o700)
    return {"TMUX": "/tmp/t,1,0", "PATH": f"{tmp_path}:{os.environ['PATH']}", "TOGETHER_API_KEY": "hush"}


async def test_tmux_takes_it_as_a_buffer_on_its_standard_input_and_learns_no_key(
    tmp_path: Path, tmux: dict[str, str]
) -> None:
    assert await to_tmux("two\nlines", tmux)
    called = (tmp_path / "called").read_text()
    assert called.startswith("load-buffer -w -\ntwo\nlines\n")
    assert "hush" not in called


async def test_where_there_is_no_tmux_or_it_refuses_that_is_known(
    tmp_path: Path, tmux: dict[str, str]
) -> None:
    assert not await to_tmux("x", {"PATH": tmux["PATH"]})
    assert not await to_tmux("x", {"TMUX": "/tmp/t,1,0", "PATH": "/nowhere"})
    (tmp_path / "tmux").write_text("#!/bin/sh\nexit 1\n")
    assert not await to_tmux("x", tmux)


async def test_whoever_waits_no_longer_leaves_no_child_behind(tmp_path: Path, tmux: dict[str, str]) -> None:
    # It says through the pipe who it is, perhaps before asyncio has it wholly made, and waits then for ever.
    os.mkfifo(tmp_path / "ready")
    (tmp_path / "tmux").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/ready\nexec sleep 600\n")
    copying = asyncio.ensure_future(to_tmux("x", tmux))
    child = int(await asyncio.to_thread((tmp_path / "ready").read_text))
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_no_more_is_said_than_is_known() -> None:
    assert "refuses OSC 52" in words("URL", "x", in_tmux=False)
    assert "prefix ]" in words("URL", "x", in_tmux=True)
    assert "kB" in words("JSON", "x" * (MOST_BYTES + 1), in_tmux=False)
