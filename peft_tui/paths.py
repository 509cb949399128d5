"""Where things lie: XDG places, or where `PEFT_TUI_DATA_DIR` and `PEFT_TUI_CONFIG_DIR` say."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from peft_tui.domain.errors import ConfigurationInvalid


def data_dir() -> Path:
    """State: the store, the log. Not made here."""
    return _place("PEFT_TUI_DATA_DIR", "XDG_DATA_HOME", ".local/share")


def config_dir() -> Path:
    """What a person edits."""
    return _place("PEFT_TUI_CONFIG_DIR", "XDG_CONFIG_HOME", ".config")


def private_dir(path: Path) -> Path:
    """`path`, made when it is not there, closed to other users if it is ours alone to close."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.stat()
    # Somebody may name /tmp or their home: what is shared, or holds more than our files, stays as it is.
    shared = status.st_mode & stat.S_ISVTX or status.st_uid != os.getuid() or path == Path.home()
    if status.st_mode & 0o077 and not shared:
        path.chmod(0o700)
    return path


def _place(own: str, xdg: str, fallback: str) -> Path:
    try:
        if os.environ.get(own):
            return Path(os.environ[own]).expanduser().absolute()
        base = os.environ.get(xdg)
        return (Path(base).absolute() if base else Path.home() / fallback) / "peft-tui"
    except RuntimeError as error:
        raise ConfigurationInvalid("There is no home directory.", hint=f"Set HOME or {own}.") from error


def replace_file(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    private_dir(path.parent)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(part, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
