"""The person's own clipboard, reached through the terminal: the program may run on another machine.

OSC 52 passes SSH. tmux drops it from programs unless `set-clipboard` is on, but takes a buffer from its own
client and hands that on (`load-buffer -w`); screen wants it wrapped. No terminal says whether it took it.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from contextlib import suppress

MOST_BYTES = 74_000
"""Several terminals drop what is longer in base64 than 100,000."""
TMUX_SECONDS = 2.0
_FOR_TMUX = ("PATH", "HOME", "TMUX", "TMUX_TMPDIR", "TERM", "LANG", "LC_ALL", "LC_CTYPE")
"""What the child is given: no key of any platform."""


def sequence(text: str, environ: Mapping[str, str]) -> str:
    """What makes the terminal take `text`."""
    code = base64.b64encode(text.encode("utf-8", "replace")).decode()
    plain = f"\x1b]52;c;{code}\a"
    return f"\x1bP{plain}\x1b\\" if environ.get("STY") and not environ.get("TMUX") else plain


async def to_tmux(text: str, environ: Mapping[str, str]) -> bool:
    """Give it to tmux as a buffer, and through tmux to the terminal; False where that cannot be done."""
    if not environ.get("TMUX"):
        return False
    given = {name: environ[name] for name in _FOR_TMUX if name in environ}
    try:
        tmux = await asyncio.create_subprocess_exec(
            *("tmux", "load-buffer", "-w", "-"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=given,
        )
    except OSError:
        return False
    try:
        await asyncio.wait_for(tmux.communicate(text.encode("utf-8", "replace")), TMUX_SECONDS)
    except (TimeoutError, OSError):
        return False
    finally:
        if tmux.returncode is None:
            with suppress(ProcessLookupError):
                tmux.kill()
            await tmux.wait()
    return tmux.returncode == 0


def words(what: str, text: str, *, in_tmux: bool) -> str:
    """What may be said of it, and no more."""
    size = len(text.encode("utf-8", "replace"))
    if size > MOST_BYTES:
        return f"{what} given to the terminal: {size // 1000} kB, and some take {MOST_BYTES // 1000} at most."
    if in_tmux:
        return f"{what} given to tmux (prefix ] pastes it) and through it to the terminal's clipboard."
    return (
        f"{what} given to the terminal's clipboard. Not there? It refuses OSC 52: allow it in its settings."
    )
