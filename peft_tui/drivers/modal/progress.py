"""Counts the bytes of an upload as the SDK tells of them, from its thread to ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _File:
    size: int
    sent: int = 0


class Meter:
    """The progress hook of a volume's upload (`progress_cb` of the SDK's batches).

    It is told of a file (`name`, `size`) and answers with a number for it; then of bytes that went out
    (`advance`), of a part that is begun again (`advance` below 0, or `reset`), and of its end (`complete`),
    which is all there is of what the platform had already.
    """

    def __init__(self, total: int, report: Callable[[int, int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._report = report
        self._total = total
        self._files: list[_File] = []
        self.moved: Callable[[], None] = lambda: None
        """Called on our loop whenever there is anything to tell."""

    def __call__(
        self,
        task_id: int | None = None,
        *,
        name: str = "",
        size: int | None = None,
        advance: int | None = None,
        reset: bool = False,
        complete: bool = False,
    ) -> int | None:
        if name:
            self._files.append(_File(size or 0))
            return len(self._files) - 1
        if task_id is None or not 0 <= task_id < len(self._files):
            return None
        file = self._files[task_id]
        if reset:
            file.sent = 0
        elif complete:
            file.sent = file.size
        elif advance is not None:
            file.sent = max(0, min(file.size, file.sent + advance))
        self._tell()
        return None

    def _tell(self) -> None:
        done = min(self._total, sum(file.sent for file in self._files))
        try:
            self._loop.call_soon_threadsafe(self._told, done)
        except RuntimeError:
            # Our loop has ended: nobody is left to be told.
            pass

    def _told(self, done: int) -> None:
        self.moved()
        self._report(done, self._total)
