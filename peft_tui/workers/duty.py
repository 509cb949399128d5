"""Who does the work, when several processes have the same store open.

A lock of the operating system on a file per platform and account: it is given up by itself when the process
dies, however it dies, so that nothing has to expire before another one may go on. Two windows with keys of
different accounts both work; two of one account never do.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path


class Duty:
    """The right to act for one account at one platform on one store."""

    def __init__(self, directory: Path, platform: str, account: str = "") -> None:
        # What an account's id may hold is the platform's to say; a file's name is not.
        mark = f"-{hashlib.sha256(account.encode()).hexdigest()[:12]}" if account else ""
        self._path = directory / f"{platform}{mark}.lock"
        self._file: int | None = None

    def take(self) -> bool:
        """True when it is ours, now or already."""
        if self._file is not None:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        self._file = file
        return True

    def leave(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
