"""What is kept where: a file of names and places, and never a value."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from peft_tui.domain.errors import NotUsable
from peft_tui.paths import private_dir, replace_file

INDEX = "credentials.json"


class Place(StrEnum):
    """Where a secret is."""

    ENVIRONMENT = "environment"
    KEYRING = "keyring"
    FILE = "encrypted file"
    SESSION = "this session"


Index = dict[str, tuple[Place, ...]]
"""By name, the first place that is asked first."""


class IndexFile:
    """The index of one directory, which several processes read and change. All of it is for a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / INDEX

    @property
    def exists(self) -> bool:
        return self._path.exists()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else changes the index, or the secrets beside it, meanwhile."""
        lock = os.open(
            private_dir(self._directory) / "credentials.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def signature(self) -> tuple[int, ...]:
        """Tells one index from the next: each change replaces the file, that of a value too."""
        try:
            found = os.stat(self._path)
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> Index:
        """
        Raises:
            NotUsable: it is there, and is no index.
        """
        try:
            kept = json.loads(self._path.read_text("utf-8"))["kept"]
            return {str(name): tuple(Place(place) for place in places) for name, places in kept.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotUsable(
                f"{self._path} cannot be read ({type(error).__name__}).",
                hint="It lists where credentials are kept. Mend it, or remove it and set them again.",
            ) from error

    def note(self, name: str, place: Place, there: bool) -> Index:
        """Write that `name` is at `place` now, or is not there any more; for who is `alone`."""
        index = self.read()
        places = [p for p in index.get(name, ()) if p is not place]
        index[name] = (place, *places) if there else tuple(places)
        index = {name: places for name, places in index.items() if places}
        document = {"format": 1, "kept": {name: list(index[name]) for name in sorted(index)}}
        replace_file(self._path, json.dumps(document, indent=1) + "\n")
        return index
