"""The sandbox: local servers that speak the vendors' protocols, for tests and for trying things out.

It shares no code with the drivers; the two meet on a socket only. Names are loaded on use, so that
a command line can offer `sandbox` without importing a web server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from peft_tui.sandbox.cli import add_arguments, run

if TYPE_CHECKING:
    from peft_tui.sandbox.clock import Clock
    from peft_tui.sandbox.server import PortBusy, Sandbox, run_sandbox
    from peft_tui.sandbox.world import World

__all__ = ["Clock", "PortBusy", "Sandbox", "World", "add_arguments", "run", "run_sandbox"]

_HOMES = {
    "Clock": "clock",
    "PortBusy": "server",
    "Sandbox": "server",
    "World": "world",
    "run_sandbox": "server",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"peft_tui.sandbox.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
