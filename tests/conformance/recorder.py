"""Stands before the sandbox and writes down what was really sent: bodies and headers, not paths alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, ClientTimeout, web

HOP = ("connection", "transfer-encoding", "content-length", "content-encoding", "keep-alive")


@dataclass(frozen=True)
class Sent:
    """One request as it arrived."""

    method: str
    path: str
    """Without the query."""
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    status: int

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def call(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Recorder:
    """What came, oldest first; `env` is the sandbox's with every address leading through here."""

    env: dict[str, str]
    sent: list[Sent] = field(default_factory=list)

    def of(self, method: str, ending: str = "") -> list[Sent]:
        return [one for one in self.sent if one.method == method and one.path.endswith(ending)]


@asynccontextmanager
async def recorder(url: str, env: dict[str, str]) -> AsyncIterator[Recorder]:
    """A server before the one at `url`.

    The name that the client called it by is handed on, so that addresses in answers lead through here too.
    """
    recorded = Recorder({})
    async with ClientSession(timeout=ClientTimeout(total=120), auto_decompress=False) as session:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            async with session.request(
                request.method,
                f"{url}{request.raw_path}",
                headers={k: v for k, v in request.headers.items() if k.lower() not in HOP},
                data=body,
                allow_redirects=False,
            ) as answer:
                recorded.sent.append(
                    Sent(
                        request.method,
                        request.path,
                        dict(request.query),
                        {name.lower(): value for name, value in request.headers.items()},
                        body,
                        answer.status,
                    )
                )
                response = web.StreamResponse(status=answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in HOP:
                        response.headers.add(name, value)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response

        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.add_routes([web.route("*", "/{rest:.*}", pass_on)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = runner.addresses[0][1]
            here = f"http://127.0.0.1:{port}"
            recorded.env = {name: value.replace(url, here) for name, value in env.items()}
            yield recorded
        finally:
            await runner.cleanup()
