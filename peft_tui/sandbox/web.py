"""What all clouds need of HTTP: refusals, bodies, event streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from peft_tui.sandbox.faults import TRACE, Fault, reset
from peft_tui.sandbox.world import World

WORLD: web.AppKey[World] = web.AppKey("world", World)
STREAM_PORT: web.AppKey[list[int]] = web.AppKey("stream_port", list)


class Refusal(Exception):
    """An answer that is an error, in the words of the platform."""

    def __init__(
        self, status: int, body: Any, headers: dict[str, str] | None = None, kind: str = "application/json"
    ):
        super().__init__(body)
        self.status = status
        self.body = body
        self.headers = headers or {}
        self.kind = kind

    def response(self) -> web.Response:
        """As an HTTP answer."""
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return web.Response(status=self.status, text=text, headers=self.headers, content_type=self.kind)


@dataclass(frozen=True)
class Asked:
    """A request and the world that it is asked of; who asks is added by each cloud's `Call`."""

    request: web.Request
    world: World

    @property
    def now(self) -> float:
        """World time."""
        return self.world.now()

    def arg(self, name: str) -> str:
        """A part of the path."""
        return self.request.match_info[name]


async def answered(result: Awaitable[Any], headers: Mapping[str, str] | None = None) -> web.StreamResponse:
    """What an endpoint gives, as JSON unless it is a response already; `headers` on it, a refusal too."""
    headers = dict(headers or {})
    try:
        given = await result
    except Refusal as refusal:
        refusal.headers = {**headers, **refusal.headers}
        raise
    response = given if isinstance(given, web.StreamResponse) else web.json_response(given)
    if not response.prepared:
        for key, value in headers.items():
            response.headers.setdefault(key, value)
    return response


def world_of(request: web.Request) -> World:
    """The world a request is asked of."""
    return request.app[WORLD]


def origin(request: web.Request) -> str:
    """Scheme, host and port as the client spells them, so that links keep its origin."""
    return f"{request.scheme}://{request.host}"


async def read_json(request: web.Request) -> Any:
    """The JSON body; an empty body counts as an empty object.

    Raises:
        ValueError: Not JSON.
    """
    raw = await request.read()
    if not raw.strip():
        return {}
    return json.loads(raw)


class EventStream:
    """A `text/event-stream` answer that respects the fault `slow_body`."""

    def __init__(self, request: web.Request, headers: dict[str, str] | None = None) -> None:
        self._request = request
        self._fault: Fault | None = TRACE.get().slow
        self._sent = 0
        # A streamed answer that is to be lost is worked off without sending a byte.
        self._mute = TRACE.get().lost
        self.response = web.StreamResponse(headers=headers)
        self.response.content_type = "text/event-stream"
        self.response.charset = "utf-8"
        self.response.headers["Cache-Control"] = "no-cache"

    async def start(self) -> None:
        """Send the headers."""
        if not self._mute:
            await self.response.prepare(self._request)

    async def send(self, text: str) -> None:
        """Send a piece as it is.

        Raises:
            ConnectionResetError: The other side is gone, or a fault cut the line.
        """
        if self._mute:
            return
        data = text.encode()
        if self._fault is not None:
            limit = self._fault.after_bytes
            if limit is not None and self._sent + len(data) > limit:
                await self.response.write(data[: max(0, limit - self._sent)])
                await asyncio.sleep(0.01)
                reset(self._request)
                raise ConnectionResetError("cut by a fault")
            await asyncio.sleep(self._fault.seconds / 10)
        await self.response.write(data)
        self._sent += len(data)

    async def end(self) -> web.StreamResponse:
        """Finish the answer."""
        if not self._mute:
            await self.response.write_eof()
        return self.response
