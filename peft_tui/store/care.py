"""What becomes of a damaged store, and the backup that it begins again from.

A damaged file is put aside, never deleted. In its place comes the last backup, or an empty store; what was
made since is found again at the platforms, under names of our making. Everything here takes as long as
reading the file does: for a thread.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from peft_tui.domain.errors import Conflict, NotUsable

BACKUP_SECONDS = 24 * 3600.0
"""How old a backup may be."""
LEFT_SECONDS = 3600.0
"""Nobody writes at one for that long."""
STORE_LOCK = "store.lock"
BACKUP_LOCK = "store-backup.lock"
"""Another one: a start should not wait for a backup. Nor is it the duty to make one, held meanwhile."""
PATIENCE_SECONDS = 60.0
"""For whoever holds one of them: they are held as long as it takes to read the file, or to write it."""
PAUSE_SECONDS = 0.01
_COMPANIONS = ("-wal", "-shm")
_SPARE = 1.5
"""How many times its size must be free before a backup is made: the store itself must not run out of room."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Why a file is not to be used any more."""

    why: str
    """In SQLite's words."""
    file: tuple[int, int] | None
    """Which file, by device and inode: another process may have put it aside already."""


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done about a damage."""

    why: str
    aside: Path
    backup_of: datetime | None
    """When what is used now was written down; None: there was no backup, it began empty."""

    @property
    def message(self) -> str:
        """What happened, in one sentence."""
        return f"The store was damaged ({self.why}) and lies aside as {self.aside.name}."

    @property
    def hint(self) -> str:
        """What is there instead, and what to do."""
        found = "what was made since is found at the platforms, as orphans: adopt it, or stop it."
        if self.backup_of is None:
            return f"There was no backup: this one begins empty; {found}"
        return f"This is the backup of {self.backup_of.astimezone():%Y-%m-%d %H:%M}; {found}"


def is_damage(error: sqlite3.Error) -> bool:
    """True for what no waiting and no free space will mend."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is there; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def backup_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.backup")


def quick_check(path: Path) -> str:
    """What is wrong with the file; empty when it is sound.

    Raises:
        sqlite3.Error: it cannot be read now; that says nothing of its content.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2.0)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return str(error)
    return "" if found == ["ok"] else "; ".join(found)


def backup_is_due(path: Path) -> bool:
    try:
        age = time.time() - backup_path(path).stat().st_mtime
    except FileNotFoundError:
        return True
    # One from the future is of a clock that was wrong.
    return not 0 <= age < BACKUP_SECONDS


def back_up(path: Path) -> bool:
    """Write the backup anew, whole or not at all; False where the disk has no room for one.

    Raises:
        OSError, sqlite3.Error: it could not be made; the one before stays.
    """
    if shutil.disk_usage(path.parent).free < _SPARE * path.stat().st_size:
        return False
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    _clear(path.parent.glob(f"{path.name}.part-*"))
    # What is deleted for good while this is written must not come back with it: that waits for the end.
    with _alone(path, BACKUP_LOCK):
        _write_backup(path, part)
    return True


def _write_backup(path: Path, part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(path, timeout=5.0, isolation_level=None)) as connection:
            connection.execute("VACUUM INTO ?", (str(part),))
        _to_disk(part)
        os.replace(part, backup_path(path))
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


async def forget_backup(path: Path) -> None:
    """What was deleted for good must not come back with it, nor with one that is being written."""
    async with _free_of(path, BACKUP_LOCK, "writes a backup of the store"):
        await asyncio.to_thread(backup_path(path).unlink, missing_ok=True)


def mend(path: Path, damage: Damage) -> Mended | None:
    """Put the damaged file aside, and the last sound backup in its place if there is one.

    Returns:
        None when another process has done so meanwhile.

    Raises:
        OSError, sqlite3.Error: it cannot be done; the damaged file is where it was.
    """
    with _alone(path):
        if damage.file is None or identity(path) != damage.file:
            return None
        part = _copy_of_backup(path)
        now = datetime.now(UTC)
        backup_of = datetime.fromtimestamp(backup_path(path).stat().st_mtime, UTC) if part else None
        aside = _free(path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%SZ}"))
        # The journal goes with its file: read beside another one it would damage that too.
        for companion in _COMPANIONS:
            with suppress(FileNotFoundError):
                os.replace(f"{path}{companion}", f"{aside}{companion}")
        os.replace(path, aside)
        if part is not None:
            os.replace(part, path)
        return Mended(damage.why, aside, backup_of)


def _copy_of_backup(path: Path) -> Path | None:
    """A copy that may be put in the store's place; None without a sound backup."""
    backup, part = backup_path(path), path.with_suffix(".restored")
    try:
        if quick_check(backup):
            return None
        shutil.copyfile(backup, part)
        part.chmod(0o600)
        _settle(part, datetime.fromtimestamp(backup.stat().st_mtime, UTC))
        _to_disk(part)
    except (OSError, sqlite3.Error):
        part.unlink(missing_ok=True)
        return None
    return part


def _settle(path: Path, at: datetime) -> None:
    """What had not ended then has gone on since, nobody knows how far: it is not carried out again."""
    error = Conflict(
        f"The store was restored from its backup of {at.astimezone():%Y-%m-%d %H:%M}: what became of this"
        " since is not known.",
        hint="Its row says what the platform shows. Ask for it again if it is still wanted.",
    )
    unfinished = "(SELECT id FROM operations WHERE state IN ('queued', 'running'))"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "UPDATE operation_steps SET state = 'sent', started_at = coalesce(started_at, ?)"
            f" WHERE state IN ('pending', 'sent') AND operation_id IN {unfinished}",
            (at.isoformat(),),
        )
        connection.execute(
            "UPDATE operations SET state = 'failed', error = ?, updated_at = ?"
            " WHERE state IN ('queued', 'running')",
            (json.dumps(error.as_dict()), datetime.now(UTC).isoformat()),
        )
        # Nor is it known what the platforms list since: nothing counts as seen later than it was written.
        newer = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'looks'").fetchone()
        at_last = (
            "(SELECT at FROM looks WHERE (platform, account) = (deployments.platform, deployments.account))"
            if newer
            else "(SELECT listed_at FROM platforms WHERE platform = deployments.platform)"
        )
        connection.execute(
            "UPDATE deployments SET listed = 0,"
            f" observed_at = max(observed_at, coalesce({at_last}, observed_at)) WHERE listed"
        )
        connection.execute("UPDATE platforms SET listed_at = NULL")
        if newer:
            connection.execute("DELETE FROM looks")
        connection.execute("COMMIT")


def _clear(parts: Iterable[Path]) -> None:
    """What a process left that was killed while it wrote a backup."""
    for part in parts:
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > LEFT_SECONDS:
                part.unlink()


def _free(path: Path) -> Path:
    """`path`, or with a number behind it where something is there already."""
    others = (path.with_name(f"{path.name}-{number}") for number in range(2, 1000))
    return next(one for one in (path, *others) if not one.exists())


def not_while_mended(path: Path) -> AbstractAsyncContextManager[None]:
    """Whoever opens the file between the steps of a mend would leave his journal to the restored one."""
    return _free_of(path, STORE_LOCK, "puts a damaged store aside")


@asynccontextmanager
async def _free_of(path: Path, name: str, doing: str) -> AsyncIterator[None]:
    """
    Raises:
        NotUsable: another process has not let go of it for too long.
    """
    lock = _opened(path, name)
    try:
        # Asked for again and again, not waited for in a thread: that could not be cancelled.
        for _ in range(round(PATIENCE_SECONDS / PAUSE_SECONDS)):
            if _taken(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                break
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            raise NotUsable(
                f"Another process {doing} in {path.parent}, and does not come to an end.",
                hint="Nothing was changed. End it, or set PEFT_TUI_DATA_DIR to another directory.",
            )
        yield
    finally:
        os.close(lock)


@contextmanager
def _alone(path: Path, name: str = STORE_LOCK) -> Iterator[None]:
    """Two processes that find the damage together must not put each other's new file aside."""
    lock = _opened(path, name)
    try:
        _taken(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _opened(path: Path, name: str) -> int:
    return os.open(path.with_name(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _taken(lock: int, how: int) -> bool:
    """False when another process has it. A file system without locks is gone without: it has no others."""
    try:
        fcntl.flock(lock, how)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    return True


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
