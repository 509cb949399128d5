"""What is wrong with this machine or this account, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from peft_tui.clock import SystemClock
from peft_tui.config import Settings
from peft_tui.credentials import Credentials
from peft_tui.doctor import machine
from peft_tui.doctor.finding import Finding, Level
from peft_tui.doctor.network import network
from peft_tui.doctor.terminal import terminal

__all__ = ["Finding", "Level", "examine_everything"]


async def examine_everything(
    data: Path,
    config: Path,
    settings: Settings,
    wrong: Sequence[str],
    credentials: Credentials,
    environ: Mapping[str, str],
) -> list[Finding]:
    """Look at all of it; nothing is changed, and no key is sent.

    Args:
        wrong: what the settings ask of the screens and cannot have.
    """
    found = [*machine.versions(), *terminal(environ), *machine.places(data, config)]
    found += machine.settings(settings, wrong)
    found += await machine.store(data)
    found += await machine.keys(credentials)
    return [*found, *await network(credentials, SystemClock())]
