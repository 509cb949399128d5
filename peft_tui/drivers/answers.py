"""An answer as it comes: its head, then its parts, within limits of time and size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from peft_tui.clock import Clock
from peft_tui.domain.errors import ConnectionFailed, PeftTuiError
from peft_tui.drivers import streaming_failures as failures
from peft_tui.text import clean_line

if TYPE_CHECKING:
    from peft_tui.drivers.pool import Reply

MAX_ANSWER = 64 * 1024 * 1024
FINISH_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an answer is waited for."""

    first_seconds: float = 600.0
    """Until something comes: the platforms hold a request while an instance boots."""
    idle_seconds: float = 60.0
    """Between two pieces."""
    total_seconds: float = 1800.0


class Answer:
    """The head of an answer, and its body as it comes. To be closed."""

    def __init__(self, reply: Reply, clock: Clock, limits: Limits, title: str, origin: str) -> None:
        self._reply = reply
        self._clock = clock
        self._limits = limits
        self._title, self._origin = title, origin
        self.at = clock.monotonic()
        self.status = reply.status
        self.connect_seconds = reply.connect_seconds

    @property
    def is_event_stream(self) -> bool:
        kind: str = self._reply.headers.get("content-type", "")
        return kind.partition(";")[0].strip().lower() == "text/event-stream"

    def header(self, name: str) -> str:
        return clean_line(self._reply.headers.get(name, ""), 300)

    def number(self, name: str) -> float | None:
        try:
            return float(self._reply.headers.get(name, ""))
        except ValueError:
            return None

    async def chunks(self, first_seconds: float | None = None) -> AsyncGenerator[tuple[bytes, float], None]:
        """The body as it arrives, each chunk with its time; an empty one at the end.

        Args:
            first_seconds: how long the first is waited for, where it is not for as long as may be.

        Raises:
            PeftTuiError: nothing came for too long, it is too large, or the connection broke.
        """
        limits, reply, now = self._limits, self._reply, self._clock.monotonic
        wait = limits.first_seconds if first_seconds is None else first_seconds
        size, end = 0, self.at + limits.total_seconds
        while True:
            try:
                # A timer costs more than what is there already.
                if not (chunk := reply.ready()):
                    async with asyncio.timeout(wait):
                        chunk = await reply.part()
            except TimeoutError as error:
                raise failures.silent(self._title, wait, self.status) from error
            except httpx.HTTPError as error:
                raise failures.broke(error, self._title, self._origin, begun=True) from error
            at = now()
            if not chunk:
                yield b"", at
                return
            wait = limits.idle_seconds
            size += len(chunk)
            if size > MAX_ANSWER:
                raise ConnectionFailed(f"{self._title}: the answer is larger than any sensible one.")
            if at > end:
                raise failures.endless(self._title, limits.total_seconds, self.status)
            yield chunk, at

    async def finish(self) -> None:
        """Read what is left after the end, for a moment: only then can the connection be used again."""
        if self._reply.ended:
            return
        with suppress(TimeoutError, httpx.HTTPError):
            async with asyncio.timeout(FINISH_SECONDS):
                while await self._reply.part():
                    pass

    async def beginning(self, limit: int) -> bytes:
        """At most so much of the body, or what came of it until the connection broke."""
        content = bytearray()
        with suppress(PeftTuiError):
            async with aclosing(self.chunks(self._limits.idle_seconds)) as chunks:
                async for chunk, _ in chunks:
                    content += chunk
                    if len(content) >= limit:
                        break
        return bytes(content[:limit])

    async def json(self) -> Any:
        """The whole body, parsed.

        Raises:
            PeftTuiError: as `chunks`, or it is not JSON.
        """
        async with aclosing(self.chunks()) as chunks:
            content = b"".join([chunk async for chunk, _ in chunks])
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise failures.not_understood(self._title, content) from error

    def close(self) -> None:
        """Hang up, unless all of it has been read: then the connection waits for the next request."""
        self._reply.close()
