"""The settings from within: the file with its comments, in the person's own editor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from textual.app import App

from peft_tui.config import FILE, Settings, as_toml, documentation, load
from peft_tui.domain.errors import PeftTuiError
from peft_tui.paths import config_dir, replace_file
from peft_tui.text import clean, clean_line
from peft_tui.ui.programs import edited


def described(settings: Settings) -> list[tuple[str, str]]:
    """Each setting and, in a sentence, how it is set now and what it does."""
    found = []
    for name, words in documentation().items():
        value = getattr(settings.config, name)
        now = f"{len(value)} of your own" if name == "keymap" else str(value).lower()
        found.append((name, clean_line(f"now {now} · {words}", 200)))
    return found


async def edit(app: App[Any], settings: Settings) -> None:
    """Begins with what is in force. Nothing is written where nothing was changed."""
    from peft_tui.ui.keymap import all_names

    path = settings.path or config_dir() / FILE
    try:
        before = _text(path) or as_toml(settings, all_names())
        text = await edited(app, before, path.name)
        if text == before:
            return
        # Whoever keeps it elsewhere has a link here.
        replace_file(path.resolve(), text)
    except (OSError, UnicodeDecodeError, PeftTuiError) as error:
        app.notify(clean_line(error, 300), severity="error", timeout=8, markup=False)
        return
    problems = [clean_line(str(problem), 200) for problem in load(path.parent, os.environ).problems[:5]]
    if problems:
        app.notify(clean("\n".join(problems)), title="Settings", severity="warning", timeout=12, markup=False)
    else:
        app.notify(f"{clean_line(path, 200)} is in force at the next start.", timeout=6, markup=False)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""
