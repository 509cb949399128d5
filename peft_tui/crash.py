"""The report that is left when the program itself fails."""

from __future__ import annotations

import platform
import traceback
from datetime import datetime
from pathlib import Path

from peft_tui import __version__
from peft_tui.paths import replace_file
from peft_tui.redaction import redact
from peft_tui.text import clean

KEPT = 5


def write_report(directory: Path, error: BaseException, at: datetime) -> Path:
    """Write what is needed to mend it, without secrets and without the values of any variable.

    Raises:
        OSError: it cannot be written.
    """
    lines = [
        f"peft-tui {__version__}, Python {platform.python_version()}, {platform.platform()}",
        at.isoformat(),
        "",
        "".join(traceback.format_exception(error)),
    ]
    path = directory / f"crash-{at:%Y%m%d-%H%M%S}.txt"
    replace_file(path, redact(clean("\n".join(lines))))
    for old in sorted(directory.glob("crash-*.txt"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def last_words(error: BaseException, report: Path | None) -> str:
    """What the terminal says after it was restored."""
    where = f"The report, without secrets, is {report}\n" if report else "No report could be written.\n"
    return (
        f"peft-tui failed: {clean(redact(f'{type(error).__name__}: {error}'), 300)}\n{where}"
        "What was asked for goes on at the next start; peft-tui list shows how things stand.\n"
    )
