"""`peft-tui doctor`"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from peft_tui.backend import PASSPHRASE
from peft_tui.cli.output import data, line
from peft_tui.config import Settings
from peft_tui.credentials import Credentials, Vault
from peft_tui.doctor import Level, examine_everything
from peft_tui.redaction import redact, redacted

_MARKS = {Level.GOOD: "✓", Level.NOTE: "!", Level.BAD: "✖"}


async def doctor(
    directory: Path, config: Path, settings: Settings, environ: Mapping[str, str], args: argparse.Namespace
) -> int:
    """The exit status is 1 when something will not work. Needs no store: that may be what is broken."""
    credentials = Credentials(environ, Vault(config, passphrase=environ.get(PASSPHRASE, "")))
    await credentials.load()
    # The themes and the names of the keys are those of the screens: not for the other commands.
    from peft_tui.app import unfit

    wrong = unfit(settings.config)
    found = await examine_everything(directory, config, settings, wrong, credentials, environ)
    worst = Level.BAD if any(f.level is Level.BAD for f in found) else Level.GOOD
    if args.json:
        data({"ok": worst is Level.GOOD, "findings": redacted([asdict(finding) for finding in found])})
        return int(worst is Level.BAD)
    area = ""
    for finding in found:
        if finding.area != area:
            area = finding.area
            line(area)
        line(redact(f"  {_MARKS[finding.level]} {finding.message}"))
        if finding.hint:
            line(redact(f"    → {finding.hint}"))
    return int(worst is Level.BAD)
