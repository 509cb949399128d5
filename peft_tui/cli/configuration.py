"""`peft-tui config`: the settings in force, as a file with comments."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from peft_tui.cli.output import data, talk
from peft_tui.config import Settings, as_toml, schema


def configuration(settings: Settings, args: argparse.Namespace) -> int:
    """Print them; the exit status says whether all of the file was taken."""
    for problem in settings.problems:
        talk(str(problem))
    if args.json:
        data(
            {
                "path": str(settings.path),
                "values": {**asdict(settings.config), "keymap": dict(settings.config.keymap)},
                "sources": dict(settings.sources),
                "problems": [str(problem) for problem in settings.problems],
                "schema": schema(),
            }
        )
    else:
        # The names of keys are those of the screens, the only thing here that needs them.
        from peft_tui.app import key_names

        print(f"# {settings.path}")
        print(as_toml(settings, key_names()))
    return 2 if settings.problems else 0
