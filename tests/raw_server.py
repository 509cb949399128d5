"""A server on loopback that says exactly the bytes it is told to, and sees when it is hung up on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

HANG = None
"""Among the parts of a body: say nothing more, until the other side hangs up."""


@dataclass
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """One answer. Its parts are written one by one; the connection is closed after them."""

    parts: Sequence[bytes | None] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """A `Content-Length`, true or not; without one the end of the connection is the end of the body."""


def sse(*parts: bytes | str | None) -> Reply:
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return Reply(encoded, headers={"Content-Type": "text/event-stream"})


def events(*data: Any, end: str = "\n\n") -> bytes:
    """Each as a `data:` event."""
    lines = [item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in data]
    return "".join(f"data: {line}{end}" for line in lines).encode()


def whole(data: Any, status: int = 200, **headers: str) -> Reply:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Reply([body], status, {"Content-Type": "application/json", **headers}, len(body))


class RawServer:
    """Answers with `replies` in turn, the last one again and again."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.received: list[Received] = []
        self.hung_up = asyncio.Event()
        self.answering = asyncio.Event()
        self.url = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.received.append(Received(method, path, headers, body))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        said = {"Connection": "close", **reply.headers}
        if reply.length is not None:
            said["Content-Length"] = str(reply.length)
        writer.write(f"HTTP/1.1 {reply.status} X\r\n".encode())
        writer.write("".join(f"{k}: {v}\r\n" for k, v in said.items()).encode() + b"\r\n")
        await writer.drain()
        self.answering.set()
        for part in reply.parts:
            if part is HANG:
                # Nothing more comes from the other side but the end of the connection.
                await reader.read()
                self.hung_up.set()
                return
            writer.write(part)
            await writer.drain()
            # Written and read as a chunk of its own, as far as loopback lets us.
            await asyncio.sleep(0)


@asynccontextmanager
async def raw_server(*replies: Reply) -> AsyncIterator[RawServer]:
    served = RawServer(*replies)
    server = await asyncio.start_server(served._serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()
