"""A terminal that is gone, or that takes nothing any more, must not stop the program.

Textual's writing thread dies with the first failed write. What is written after that fills a queue of thirty
and then blocks the event loop for ever: the workers stand still, not even SIGTERM ends it. A lost SSH line
does just that.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TextIO

from textual.drivers.linux_driver import LinuxDriver

PATIENCE_SECONDS = 2.0
"""How long the last bytes may take at the end."""


class _Forgiving:
    """A file whose writes may fail."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class SteadyDriver(LinuxDriver):
    """Never waits for the terminal to read."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._file: Any = _Forgiving(self._file)

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self._writer_thread is not None:
            self._writer_thread._queue.maxsize = 0

    def close(self) -> None:
        if self._writer_thread is not None:
            self._writer_thread._queue.put(None)
            self._writer_thread.join(PATIENCE_SECONDS)
