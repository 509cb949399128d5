"""What was asked of the platforms on the person's behalf: the last few hundred requests, in memory only.

Kept by the network as it sends; read by whoever wants to look. A path stands here without its query, and no
header and no body does; an address that is a secret in itself does not either.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from peft_tui.clock import Clock
from peft_tui.redaction import redact
from peft_tui.text import clean_line

MOST = 500
UNDER_WAY = ""


@dataclass(slots=True)
class Call:
    """One request as it was sent, repetitions apart; its end is written in when it comes."""

    number: int
    at: datetime
    platform: str
    method: str
    """`GET`, `RPC`…"""
    host: str
    path: str
    began: float
    """Monotonic."""
    status: str = UNDER_WAY
    """`200`, `NOT_FOUND`, or the kind of failure."""
    seconds: float | None = None
    """Until the answer began."""
    failed: bool = False


class Calls:
    """A ring. The SDK of one platform sends from a thread of its own, so that it is locked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ring: deque[Call] = deque(maxlen=MOST)
        self._lock = threading.Lock()
        self.changes = 0
        """Goes up with whatever is written: who looks need not compare."""

    def begin(self, platform: str, method: str, host: str, path: str) -> Call:
        """It is about to be sent."""
        words = (clean_line(platform, 40), clean_line(method, 10), clean_line(host, 120))
        shown = redact(clean_line(path.partition("?")[0], 300))
        with self._lock:
            self.changes += 1
            call = Call(self.changes, self._clock.now(), *words, shown, self._clock.monotonic())
            self._ring.append(call)
        return call

    def end(self, call: Call, status: str, *, failed: bool = False) -> None:
        """It was answered, or never will be."""
        with self._lock:
            self.changes += 1
            call.status, call.failed = clean_line(status, 40), failed
            call.seconds = max(self._clock.monotonic() - call.began, 0.0)

    def __iter__(self) -> Iterator[Call]:
        """Oldest first, as they stand now."""
        with self._lock:
            return iter(tuple(self._ring))

    def __len__(self) -> int:
        return len(self._ring)
