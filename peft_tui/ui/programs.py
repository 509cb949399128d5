"""The person's own editor and pager, which get the terminal for a while.

The event loop goes on meanwhile: what is being deployed does not wait for somebody who reads.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from textual.app import App, SuspendNotSupported

from peft_tui.domain.errors import ConfigurationInvalid

LARGEST = 4_000_000
"""Bytes of a text that is taken back from an editor."""


def command(environ: Mapping[str, str], names: Sequence[str], otherwise: Sequence[str]) -> list[str]:
    """The first of these variables that is set, or the first of these programs that is there.

    Raises:
        ConfigurationInvalid: there is none, or it cannot be found.
    """
    words: list[str] = []
    for name in names:
        with suppress(ValueError):
            words = words or shlex.split(environ.get(name, ""))
    words = words or next(([program] for program in otherwise if shutil.which(program)), [])
    if not words or shutil.which(words[0]) is None:
        raise ConfigurationInvalid(
            f"{words[0]} is not there." if words else "There is no such program here.",
            hint=f"Set {names[-1]} to one that is.",
        )
    return words


async def edited(app: App[Any], text: str, name: str = "prompt.md") -> str:
    """`text` as it comes back from `$VISUAL` or `$EDITOR`.

    Args:
        name: of the file, by which an editor knows what it is.

    Raises:
        ConfigurationInvalid: there is no editor, or it ended with an error: nothing was changed.
    """
    words = command(os.environ, ("VISUAL", "EDITOR"), ("vi", "nano"))
    # A directory of its own, which nobody else may read: an editor leaves copies beside the file.
    with TemporaryDirectory(prefix="peft-tui-") as directory:
        file = Path(directory) / name
        file.write_text(text, "utf-8")
        if await _carry_out(app, [*words, str(file)]):
            raise ConfigurationInvalid(f"{words[0]} ended with an error; nothing was changed.")
        try:
            content = file.read_bytes()[:LARGEST]
        except OSError:
            return text
    found = content.decode("utf-8", "replace")
    # Editors end every file with a line end that nobody typed.
    return found.removesuffix("\n") if not text.endswith("\n") else found


async def paged(app: App[Any], text: str) -> None:
    """Show it in `$PAGER`.

    Raises:
        ConfigurationInvalid: there is none.
    """
    words = command(os.environ, ("PAGER",), ("less", "more"))
    with TemporaryDirectory(prefix="peft-tui-") as directory:
        file = Path(directory) / "answer.txt"
        file.write_text(text if text.endswith("\n") else f"{text}\n", "utf-8")
        await _carry_out(app, [*words, str(file)])


async def _carry_out(app: App[Any], words: Sequence[str]) -> int:
    status = 1
    try:
        # Nothing is drawn over the other program.
        with app.suspend(), app.batch_update():
            with suppress(OSError):
                process = await asyncio.create_subprocess_exec(*words)
                status = await process.wait()
    except SuspendNotSupported as error:
        raise ConfigurationInvalid("This terminal cannot be given to another program.") from error
    return status
