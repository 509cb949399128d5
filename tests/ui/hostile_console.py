"""For a real terminal: the console of a deployment that answers with whatever could hurt one.

`python tests/ui/hostile_console.py DIRECTORY`
"""

from __future__ import annotations

import sys
from pathlib import Path

from peft_tui.app import run
from peft_tui.backend import Backend
from peft_tui.clock import SystemClock
from tests.endpoints import Say, ScriptedEndpoints
from tests.seeds import populated, still_opener

PAYLOAD = (
    "BEGIN \x1b]52;c;cm0gLXJmIH4=\x1b\\1 \x1b]0;pwned\x07" + "2 \x1b[2J\x1b[31m3 \x9b2J4 \x9d0;pwned\x9c5 "
    "\x1bPq#0\x1b\\6 \u202e7 [/x] [@click=app.quit]8[/] \x1b]8;;http://evil\x1b\\9\x1b]8;;\x1b\\ END"
)


async def open_backend() -> Backend:
    backend = await still_opener(Path(sys.argv[1]), populated)()
    endpoints = ScriptedEndpoints(SystemClock())
    # A character a piece: every border that there is.
    endpoints.answer = lambda request, model: Say(list(PAYLOAD), first_s=0.0, gap_s=0.0)
    backend.prompts.endpoints = endpoints
    return backend


if __name__ == "__main__":
    sys.exit(run(open_backend))
