"""The sandbox as servers on sockets: one port for all clouds, one for Replicate's streams, one for gRPC."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

from aiohttp import web

from peft_tui.sandbox import control, faults, hub
from peft_tui.sandbox.clock import Clock
from peft_tui.sandbox.hubrepos import HF_TOKEN
from peft_tui.sandbox.modal import routes as modal_routes
from peft_tui.sandbox.modal.port import RpcPort
from peft_tui.sandbox.modal.proxy import refuse as modal_refusal
from peft_tui.sandbox.modal.state import ACME as MODAL_ACME
from peft_tui.sandbox.modal.state import PROXY_TOKEN as MODAL_PROXY_TOKEN
from peft_tui.sandbox.modal.state import TOKENS as MODAL_TOKENS
from peft_tui.sandbox.predibase import routes as predibase_routes
from peft_tui.sandbox.predibase.errors import refuse as predibase_refusal
from peft_tui.sandbox.predibase.state import ACME_TOKEN as ACME_PREDIBASE
from peft_tui.sandbox.replicate import routes as replicate_routes
from peft_tui.sandbox.replicate import streams as replicate_streams
from peft_tui.sandbox.replicate.errors import refuse as replicate_refusal
from peft_tui.sandbox.replicate.state import ACME_TOKEN
from peft_tui.sandbox.saving import Saver, load
from peft_tui.sandbox.together import routes as together_routes
from peft_tui.sandbox.together.errors import refuse as together_refusal
from peft_tui.sandbox.together.state import ACME_KEY
from peft_tui.sandbox.web import STREAM_PORT, WORLD, Refusal, world_of
from peft_tui.sandbox.world import LoggedRequest, World, fresh_data

log = logging.getLogger("peft_tui.sandbox")

HOST = "127.0.0.1"
LARGEST_BODY = 128 * 1024 * 1024
LONGEST_LOG = 200_000
RECEIVED_AHEAD, SEGMENT = 16 * 1024, 1400
"""Bytes that the system takes in unasked, and those of one segment, as on a real line. With loopback's own,
both ends take most of an upload at once, whatever its pace."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def split_path(path: str) -> tuple[str | None, str]:
    """The platform of a path and the vendor's own path; no platform for the control surface."""
    head, _, rest = path.lstrip("/").partition("/")
    if head in control.PLATFORMS:
        return head, "/" + rest
    return None, path


async def date(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer tells the time of this world, which need not be the machine's."""
    response.headers["Date"] = formatdate(world_of(request).now(), usegmt=True)


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log the call, let faults happen, and turn what went wrong into the platform's words."""
    platform: str | None
    if request.app.get(STREAMS_ONLY):
        platform, path = "replicate", request.path
    else:
        platform, path = split_path(request.path)
    if platform is None:
        return await handler(request)
    world = world_of(request)
    trace = faults.Trace()
    faults.TRACE.set(trace)
    entry = LoggedRequest(platform, request.method, path, None, world.now())
    if len(world.data.requests) < LONGEST_LOG:
        world.data.requests.append(entry)
    fault = next(
        (f for f in world.data.faults if f.matches(platform, request.method, path) and f.take()), None
    )
    try:
        if fault is None:
            response = await _guarded(platform, request, handler)
        else:
            answer: Callable[[web.Request], Awaitable[web.StreamResponse]]

            async def answer(r: web.Request) -> web.StreamResponse:
                return await _guarded(platform, r, handler)

            response = await faults.apply(fault, request, answer)
        entry.status = 0 if trace.cut else response.status
        return response
    except ConnectionError:
        # The client left in the middle of a stream; there is nobody to answer.
        entry.status = 0
        return web.Response(status=499)
    except asyncio.CancelledError:
        # It left while nothing was written.
        entry.status = 0
        raise
    finally:
        entry.bytes_in = getattr(request.content, "total_bytes", 0)
        world.touch(soon=request.method not in ("GET", "HEAD", "QUERY"))


async def _guarded(platform: str, request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return refusal.response()
    except web.HTTPRequestEntityTooLarge:
        return _refusal(platform, 413, "The request body is too large.").response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _refusal(platform, error.status, f"{request.method} {request.path}: {error.reason}").response()
    except ConnectionError:
        raise
    except Exception:
        log.exception("%s %s", request.method, request.path)
        return _refusal(platform, 500, "The sandbox failed on this request; see its log.").response()


def _refusal(platform: str, status: int, message: str) -> Refusal:
    match platform:
        case "together":
            return together_refusal(status, message)
        case "replicate":
            return replicate_refusal(status, message)
        case "modal":
            return modal_refusal(status, message)
        case "predibase":
            return predibase_refusal(status, message)
    return hub.refuse(status, message)


STREAMS_ONLY: web.AppKey[bool] = web.AppKey("streams_only", bool)


def make_app(world: World, stream_port: list[int]) -> web.Application:
    """The application on the main port."""
    app = web.Application(middlewares=[observe], client_max_size=LARGEST_BODY)
    app[WORLD] = world
    app[STREAM_PORT] = stream_port
    app.on_response_prepare.append(date)
    app.add_routes(control.routes())
    app.add_routes(together_routes.routes("/together"))
    app.add_routes(replicate_routes.routes("/replicate"))
    app.add_routes(modal_routes.routes("/modal"))
    app.add_routes(predibase_routes.routes("/predibase"))
    app.add_routes(hub.routes("/huggingface"))
    return app


def make_stream_app(world: World) -> web.Application:
    """The application on Replicate's stream port."""
    app = web.Application(middlewares=[observe])
    app[WORLD] = world
    app[STREAMS_ONLY] = True
    app.on_response_prepare.append(date)
    app.add_routes(replicate_streams.routes())
    return app


class PortBusy(Exception):
    """The port is taken; the text says which."""


class Sandbox:
    """A running sandbox.

    Attributes:
        world: Its accounts, resources and knobs.
        clock: Its time; `clock.advance(seconds)` moves it.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        speed: float = 1.0,
        port: int = 0,
        state: Path | str | None = None,
    ) -> None:
        self._port = port
        self._stream_port: list[int] = [0]
        self._rpc_port = 0
        self._rpc: RpcPort | None = None
        self._runners: list[web.AppRunner] = []
        path = Path(state) if state is not None else None
        data = load(path, speed) if path is not None else None
        self.clock = Clock(speed, None if data is None else data.now)
        self.world = World(data or fresh_data(seed, self.clock.now()), self.clock)
        self._saver = Saver(self.world, path) if path is not None else None
        if self._saver is not None:
            saver = self._saver
            self.world.on_change = lambda soon: saver.touch(soon=soon)

    @property
    def port(self) -> int:
        """The main port; known after `start`."""
        return self._port

    @property
    def url(self) -> str:
        """Base of everything, without a trailing slash."""
        return f"http://{HOST}:{self._port}"

    @property
    def stream_url(self) -> str:
        """Base of Replicate's streams."""
        return f"http://{HOST}:{self._stream_port[0]}"

    @property
    def env(self) -> dict[str, str]:
        """The vendors' own variables, so that their SDKs speak to this sandbox."""
        return {
            "TOGETHER_BASE_URL": f"{self.url}/together",
            "TOGETHER_API_KEY": ACME_KEY,
            "TOGETHER_PROJECT_ID": "proj_acme",
            "REPLICATE_BASE_URL": f"{self.url}/replicate",
            "REPLICATE_API_TOKEN": ACME_TOKEN,
            "MODAL_SERVER_URL": f"http://{HOST}:{self._rpc_port}",
            "MODAL_TOKEN_ID": MODAL_TOKENS[MODAL_ACME][0],
            "MODAL_TOKEN_SECRET": MODAL_TOKENS[MODAL_ACME][1],
            "MODAL_ENVIRONMENT": "main",
            "MODAL_PROXY_TOKEN_ID": MODAL_PROXY_TOKEN[0],
            "MODAL_PROXY_TOKEN_SECRET": MODAL_PROXY_TOKEN[1],
            # A file of the person's own must not be mixed with these.
            "MODAL_CONFIG_PATH": "/nonexistent/modal.toml",
            "PREDIBASE_GATEWAY": f"{self.url}/predibase",
            "PREDIBASE_SERVING_URL": f"{self.url}/predibase",
            "PREDIBASE_API_TOKEN": ACME_PREDIBASE,
            "HF_ENDPOINT": f"{self.url}/huggingface",
            "HF_TOKEN": HF_TOKEN,
        }

    async def start(self) -> None:
        """Listen. A second start after a stop uses the same ports.

        Raises:
            PortBusy: Somebody else listens there.
        """
        if self._runners:
            return
        # The stream port is tried next to the main one, so that a fixed port means two fixed ports.
        self._port = await self._listen(make_app(self.world, self._stream_port), self._port)
        wanted = self._stream_port[0] or self._port + 1
        streams = make_stream_app(self.world)
        try:
            self._stream_port[0] = await self._listen(streams, wanted if wanted < 65536 else 0)
        except PortBusy:
            self._stream_port[0] = await self._listen(make_stream_app(self.world), 0)
        self._listen_rpc()

    def _listen_rpc(self) -> None:
        wanted = self._rpc_port or self._port + 2
        for port in (wanted if wanted < 65536 else 0, 0):
            server = RpcPort(self.world, f"{self.url}/modal")
            try:
                self._rpc_port = server.start(HOST, port)
            except OSError:
                if port == 0:
                    raise
                continue
            self._rpc = server
            return

    async def _listen(self, app: web.Application, port: int) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await runner.setup()
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_AHEAD)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        try:
            listening.bind((HOST, port))
            await web.SockSite(runner, listening).start()
        except OSError as error:
            listening.close()
            await runner.cleanup()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                reason = "is already in use" if error.errno == errno.EADDRINUSE else "may not be used"
                raise PortBusy(
                    f"Port {port} on {HOST} {reason}. Choose another one, or 0 for a free one."
                ) from None
            raise
        self._runners.append(runner)
        address: tuple[Any, ...] = runner.addresses[0]
        return int(address[1])

    async def stop(self) -> None:
        """Stop listening and save; open connections are cut."""
        runners, self._runners = self._runners, []
        if self._rpc is not None:
            await self._rpc.stop()
            self._rpc = None
        for runner in runners:
            await runner.cleanup()
        if self._saver is not None:
            self._saver.flush()


@asynccontextmanager
async def run_sandbox(
    *, seed: int = 1, speed: float = 0.0, port: int = 0, state: Path | str | None = None
) -> AsyncIterator[Sandbox]:
    """A sandbox for tests, with a frozen clock unless told otherwise.

    Args:
        seed: Same seed, same ids and same texts.
        speed: World seconds per real second; 0 is frozen.
        port: 0 for a free one.
        state: File that keeps the world between runs.
    """
    sandbox = Sandbox(seed=seed, speed=speed, port=port, state=state)
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.stop()
