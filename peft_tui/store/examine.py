"""Looks at the file of the store without changing it, also where it cannot be opened as a store."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

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


def examine(directory: Path) -> StoreHealth:
    """Takes as long as reading the file does: for a thread."""
    path = directory / "peft-tui.db"
    try:
        size = path.stat().st_size
    except OSError:
        return StoreHealth(path, None)
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2.0)
        try:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
            names = {str(row[0]) for row in connection.execute("SELECT name FROM migrations")}
        finally:
            connection.close()
    except sqlite3.Error as error:
        return StoreHealth(path, size, str(error))
    newer = sorted(names - MIGRATIONS.keys())
    return StoreHealth(path, size, "" if found == ["ok"] else "; ".join(found), newer[0] if newer else "")
