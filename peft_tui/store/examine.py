"""Looks at the file of the store without changing it, also where it cannot be opened as a store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from peft_tui.store.care import backup_path, quick_check
from peft_tui.store.migrations import MIGRATIONS


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """`problem` is empty for a sound store, and for none yet."""

    path: Path
    size_bytes: int | None
    """None: there is none yet."""
    problem: str = ""
    newer: str = ""
    """The first step of its layout that this version does not know."""
    backup_at: datetime | None = None
    """When the backup was made that takes its place where it is damaged; None: there is none."""


def examine(directory: Path) -> StoreHealth:
    """Takes as long as reading the file does: for a thread."""
    path = directory / "peft-tui.db"
    try:
        size = path.stat().st_size
    except OSError:
        return StoreHealth(path, None)
    try:
        backup_at = datetime.fromtimestamp(backup_path(path).stat().st_mtime, UTC)
    except OSError:
        backup_at = None
    try:
        problem = quick_check(path)
        names = set() if problem else _layout(path)
    except sqlite3.Error as error:
        return StoreHealth(path, size, str(error), backup_at=backup_at)
    newer = sorted(names - MIGRATIONS.keys())
    return StoreHealth(path, size, problem, newer[0] if newer else "", backup_at)


def _layout(path: Path) -> set[str]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2.0)) as connection:
        return {str(row[0]) for row in connection.execute("SELECT name FROM migrations")}
