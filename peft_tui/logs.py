"""A small rotating log file for what no screen can show."""

from __future__ import annotations

import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path

from peft_tui.paths import private_dir


class _PrivateFile(RotatingFileHandler):
    """A log that only its owner may read."""

    def _open(self):  # type: ignore[no-untyped-def]  # the base class declares no type
        os.close(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        return super()._open()


def log_to(directory: Path) -> Path:
    """Send this program's log to `directory`/peft-tui.log and nothing to the terminal."""
    path = private_dir(directory) / "peft-tui.log"
    handler = _PrivateFile(path, maxBytes=1_000_000, backupCount=2, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("peft_tui")
    logger.handlers[:] = [handler]
    logger.propagate = False
    return path
