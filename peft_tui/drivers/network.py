"""What all connections of a process share: the pools, the TLS context, and what is known of each host."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from peft_tui import __version__
from peft_tui.calls import Calls
from peft_tui.clock import Clock
from peft_tui.domain.errors import ConfigurationInvalid, ConnectionFailed
from peft_tui.drivers.hosts import Host
from peft_tui.text import clean_line

if TYPE_CHECKING:
    from peft_tui.drivers.pool import Pool

log = logging.getLogger(__name__)

CLOSING_SECONDS = 5.0
"""For all that is to be closed together when the program ends."""
TIMEOUT = httpx.Timeout(30.0, connect=5.0, pool=10.0)

UNUSABLE = (ImportError, ValueError, OSError, httpx.InvalidURL)
"""How the libraries say that a proxy or a certificate file cannot be used."""


@lru_cache(maxsize=64)
def origin_of(url: str) -> str:
    """Scheme, host and port: what a secret is bound to.

    Raises:
        ConnectionFailed: it is no address.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConnectionFailed("What should be an address is none.", detail=clean_line(url, 120)) from error
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def check_store(url: str, own: str, platform: str) -> None:
    """Where a platform says that a file is to be sent to, or fetched from, which needs no key of ours.

    Object stores have names and speak TLS. What answers at a number is this machine or one beside it, which
    no platform has to know anything of; only a platform that is itself there (`own`, its host) may name it.

    Raises:
        ConnectionFailed: it is no address of a store.
    """
    origin = origin_of(url)
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host and host == own and parts.scheme in ("http", "https") and not parts.username:
        return
    if parts.scheme != "https":
        raise ConnectionFailed(
            f"{platform} names an upload address without TLS on a foreign host; nothing was sent.",
            detail=origin,
        )
    if not host or parts.username or _is_here(host):
        raise ConnectionFailed(
            f"{platform} names an upload address that no object store has; nothing was sent.", detail=origin
        )


def _is_here(host: str) -> bool:
    """Whether it is a number, in any of its spellings, or a name of this machine."""
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost") or ":" in name:
        return True
    try:
        socket.inet_aton(name)
    except (OSError, UnicodeError):
        return False
    return True


class Network:
    """What all transports of a process share: one connection pool, one TLS context, the hosts' state."""

    def __init__(self, clock: Clock, calls: Calls | None = None) -> None:
        self.clock = clock
        self.calls = calls if calls is not None else Calls(clock)
        self._hosts: dict[str, Host] = {}
        self._client: httpx.AsyncClient | None = None
        self._pool: Pool | None = None
        self._context: ssl.SSLContext | None = None
        self._opening = asyncio.Lock()
        self._finishing: set[asyncio.Future[Any]] = set()
        self._closing: list[Callable[[], Awaitable[None]]] = []

    def host(self, origin: str) -> Host:
        return self._hosts.setdefault(origin, Host(origin, self.clock))

    async def client(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                # The places of each host are the limit: a full pool would hold a stop back.
                limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
                self._client = await self._open(limits)
            return self._client

    async def send(self, request: httpx.Request, platform: str, path: str = "") -> httpx.Response:
        """Send what the client built, and have it noted how that ended; the body is still to be read.

        Args:
            path: what is noted instead of the request's own, where that is a secret.
        """
        client = await self.client()
        with self.noted(platform, request.method, request.url.host, path or request.url.path) as answered:
            response = await client.send(request, stream=True)
            answered(response.status_code)
        return response

    @contextmanager
    def noted(self, platform: str, method: str, host: str, path: str) -> Iterator[Callable[[int], None]]:
        """Note one request; what is given is to be told the status of the answer."""
        call = self.calls.begin(platform, method, host, path)
        try:
            yield lambda status: self.calls.end(call, str(status), failed=status >= 400)
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            self.calls.end(call, "left" if cancelled else type(error).__name__, failed=not cancelled)
            raise

    async def pool(self) -> Pool:
        """The connections for inference: a load run must not keep a stop waiting for one.

        Raises:
            ConfigurationInvalid: the environment names a proxy or certificates that cannot be used.
        """
        if self._pool is not None:
            return self._pool
        async with self._opening:
            if self._pool is None:
                try:
                    context = await self._tls()
                    # An import of a third of a second, which no key should wait for either.
                    module = await asyncio.to_thread(import_module, "peft_tui.drivers.pool")
                    self._pool = module.Pool(context)
                except UNUSABLE as error:
                    raise _unusable(error) from error
            return self._pool

    async def _open(self, limits: httpx.Limits) -> httpx.AsyncClient:
        try:
            return httpx.AsyncClient(
                verify=await self._tls(),
                timeout=TIMEOUT,
                limits=limits,
                headers={"User-Agent": f"peft-tui/{__version__}"},
            )
        except UNUSABLE as error:
            raise _unusable(error) from error

    async def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            # Reading the certificates takes a tenth of a second.
            self._context = await asyncio.to_thread(httpx.create_ssl_context)
        return self._context

    async def finish(self, work: Coroutine[Any, Any, Any]) -> None:
        """Wait for `work`, which goes on when the one who waits is cancelled."""
        task = asyncio.ensure_future(work)
        self._finishing.add(task)
        task.add_done_callback(self._finished)
        await asyncio.shield(task)

    def _finished(self, task: asyncio.Future[Any]) -> None:
        self._finishing.discard(task)
        if not task.cancelled():
            # Looked at, so that nobody complains that nobody did: the one who waited may have gone.
            task.exception()

    def at_close(self, close: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Have `close` awaited when the network ends, unless what is returned is called before.

        For a driver with a connection of its own.
        """
        self._closing.append(close)
        return lambda: self._closing.remove(close) if close in self._closing else None

    async def _close_what_is_not_ours(self) -> None:
        """All at once: whoever quits waits for the slowest only, and not for one that never ends."""
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                results = await asyncio.gather(
                    *(close() for close in tuple(self._closing)), return_exceptions=True
                )
        except TimeoutError:
            log.warning("a connection was not closed in time")
            return
        for error in results:
            if isinstance(error, BaseException):
                log.warning("a connection could not be closed", exc_info=error)

    async def close(self) -> None:
        await asyncio.gather(*self._finishing, return_exceptions=True)
        await self._close_what_is_not_ours()
        # What is being opened is waited for: it could not be closed otherwise.
        async with self._opening:
            if self._client is not None:
                await self._client.aclose()
            if self._pool is not None:
                await self._pool.close()


def _unusable(error: Exception) -> ConfigurationInvalid:
    return ConfigurationInvalid(
        "The proxy or the certificates that the environment names cannot be used.",
        hint="Check HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE.",
        detail=clean_line(error),
    )
