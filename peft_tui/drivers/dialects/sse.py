"""Server-sent events, framed as they arrive: bytes in at any border, events out.

Lines may end in LF, CR or CRLF; a character, a line end and an event may be split anywhere; the last event
may lack its empty line.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from peft_tui.domain.errors import ConnectionFailed

MAX_LINE = 1024 * 1024
MAX_EVENT = 4 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class SseEvent(NamedTuple):
    """One event, or one comment line, whose `event` is empty."""

    data: str
    event: str = "message"
    id: str = ""
    """The last id so far, as the standard has it: an event without one keeps the one before."""
    comment: str = ""


class Framer:
    """One stream's state."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_cr = False
        self._begun = False
        self._data: list[str] = []
        self._size = 0
        self._event = ""
        self.last_id = ""

    def take(self, chunk: bytes) -> list[SseEvent]:
        """What the next part of a body completes; an empty one is its end."""
        return self.feed(chunk) if chunk else self.finish()

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """What `chunk` completes.

        Raises:
            ConnectionFailed: a line or an event is longer than any sensible one.
        """
        if self._after_cr and chunk:
            # The LF of a CRLF that was split between two chunks ends no further line.
            self._after_cr = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        self._rest += chunk
        if b"\n" not in chunk and b"\r" not in chunk:
            self._check(len(self._rest), MAX_LINE)
            return []
        text = bytes(self._rest)
        if not self._begun:
            self._begun = True
            text = text.removeprefix(_BOM)
        if text.endswith(b"\r"):
            self._after_cr = True
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = bytearray(rest)
        self._check(len(rest), MAX_LINE)
        found: list[SseEvent] = []
        for line in lines:
            self._line(line, found)
        return found

    def finish(self) -> list[SseEvent]:
        """What was left without an empty line behind it."""
        found: list[SseEvent] = []
        if self._rest:
            rest, self._rest = bytes(self._rest), bytearray()
            self._line(rest if self._begun else rest.removeprefix(_BOM), found)
        self._line(b"", found)
        return found

    def _line(self, line: bytes, found: list[SseEvent]) -> None:
        if not line:
            if self._data:
                found.append(SseEvent("\n".join(self._data), self._event or "message", self.last_id))
            self._data, self._event, self._size = [], "", 0
            return
        self._check(len(line), MAX_LINE)
        text = line.decode("utf-8", "replace")
        if text.startswith("data: "):
            name, value = "data", text[6:]
        else:
            name, _, value = text.partition(":")
            value = value.removeprefix(" ")
        if not name:
            found.append(SseEvent("", "", self.last_id, comment=value.strip()))
        elif name == "data":
            self._size += len(line)
            self._check(self._size, MAX_EVENT)
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self.last_id = value

    def _check(self, size: int, limit: int) -> None:
        if size > limit:
            raise ConnectionFailed(
                "The stream has a line without end; it was given up.",
                hint="Something else than a language model may be answering there.",
            )


async def framed(
    chunks: AsyncGenerator[tuple[bytes, float], None],
) -> AsyncGenerator[tuple[SseEvent, float], None]:
    """The events of a body, each with the time of the chunk that completed it."""
    framer = Framer()
    async with aclosing(chunks) as arriving:
        async for chunk, at in arriving:
            for event in framer.take(chunk):
                yield event, at
