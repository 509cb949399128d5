"""A small rotating log file for what no screen can show, without secrets."""

from __future__ import annotations

import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path

from peft_tui.paths import private_dir
from peft_tui.redaction import redact

FILE = "peft-tui.log"


class _PrivateFile(RotatingFileHandler):
    """A log that only its owner may read."""

    def _open(self):  # type: ignore[no-untyped-def]  # the base class declares no type
        os.close(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        return super()._open()


class _Redacted(logging.Formatter):
    """The whole entry, traceback included: that is where a library quotes the request it failed with."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def log_to(directory: Path, level: str = "warning") -> Path:
    """Send this program's log to `directory`/peft-tui.log and nothing to the terminal."""
    logger = logging.getLogger("peft_tui")
    logger.propagate = False
    path = directory / FILE
    try:
        private_dir(directory)
    except OSError:
        # A home that cannot be written: what bills must be stopped without a log too.
        logger.handlers[:] = [logging.NullHandler()]
        return path
    handler = _PrivateFile(path, maxBytes=1_000_000, backupCount=2, encoding="utf-8", delay=True)
    handler.setFormatter(_Redacted("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.setLevel(level.upper())
    logger.handlers[:] = [handler]
    return path
