"""The connections for inference, apart from those for everything else.

The rest of the drivers speak httpx, whose pool looks at each of its connections for each request and whose
parser is Python. What is asked 64 at a time, and answers with a thousand chunks a second, goes by aiohttp:
`python -m tests.bench asking` measures both. Its failures come as httpx's, for which there are words.

Loaded with the first question: an import of it takes as long as the first frame may.
"""

from __future__ import annotations

import io
import ssl
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from yarl import URL

from peft_tui import __version__

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.tracing import Trace

CONNECTIONS = 256
KEPT_SECONDS = 15.0
CONNECT_SECONDS = 10.0
LARGE = 512 * 1024
"""A larger body is written in pieces, so that nothing waits for it."""
SCHEMES = ("http", "https")


class Reply:
    """An answer whose head has come."""

    def __init__(self, response: aiohttp.ClientResponse, connect_seconds: float | None) -> None:
        self._response = response
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self.url = str(response.url)
        self.connect_seconds = connect_seconds
        """Of a fresh connection, TLS included; None when one was there already."""

    @property
    def is_redirect(self) -> bool:
        return self.status in (301, 302, 303, 307, 308) and "location" in self.headers

    @property
    def ended(self) -> bool:
        """All of it has been read."""
        return self._response.content.at_eof()

    def ready(self) -> bytes:
        """What has come since; nothing where that is nothing, or the end.

        Raises:
            httpx.TransportError: the connection broke.
        """
        try:
            return self._response.content.read_nowait()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise failure(error) from error

    async def part(self) -> bytes:
        """What has come since or comes next; nothing at the end.

        Raises:
            httpx.TransportError: the connection broke.
        """
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise failure(error) from error

    def close(self) -> None:
        """Hang up, unless all of it has been read: then the connection waits for the next request."""
        self._response.close()


class _Connector(aiohttp.TCPConnector):
    """Says how long a connection took to be made. aiohttp's own tracing would cost each request as much as it
    costs to send it."""

    took: ClassVar[ContextVar[float | None]] = ContextVar("took", default=None)

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        began = time.monotonic()
        made = await super()._create_connection(req, traces, timeout)
        self.took.set(time.monotonic() - began)
        return made


class Pool:
    """Sends requests; no redirect is followed, no POST is sent twice, no cookie is kept."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """
        Raises:
            ValueError: the environment names a proxy that is none.
        """
        self._proxies = _proxies()
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=CONNECTIONS, ssl=context, keepalive_timeout=KEPT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"peft-tui/{__version__}", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
        )

    async def send(self, method: str, url: str, content: bytes | None, headers: Mapping[str, str]) -> Reply:
        """One request, and the head of its answer.

        Raises:
            httpx.TransportError: there was no answer.
            ValueError: it cannot be written.
        """
        _Connector.took.set(None)
        data = io.BytesIO(content) if content is not None and len(content) > LARGE else content
        try:
            response = await self._session.request(
                method,
                # As it is: a platform's address may be signed.
                URL(url, encoded=True),
                data=data,
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy(url),
            )
        except (aiohttp.ClientError, OSError) as error:
            raise failure(error) from error
        return Reply(response, _Connector.took.get())

    def _proxy(self, url: str) -> str | None:
        if not self._proxies:
            return None
        parts = urlsplit(url)
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all")
        return None if proxy is None or proxy_bypass(parts.netloc) else proxy

    async def close(self) -> None:
        await self._session.close()


def _proxies() -> dict[str, str]:
    """By scheme, from the environment or the system.

    Raises:
        ValueError: one of them cannot be used.
    """
    found = {}
    for scheme, proxy in getproxies().items():
        if scheme in (*SCHEMES, "all") and proxy:
            address = proxy if "://" in proxy else f"http://{proxy}"
            if urlsplit(address).scheme not in SCHEMES:
                raise ValueError(f"a proxy of this kind is not supported: {urlsplit(address).scheme}")
            found[scheme] = address
    return found


def failure(error: Exception) -> httpx.TransportError:
    """The same failure as httpx calls it; what decides is whether anything was sent."""
    words = str(error) or type(error).__name__
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout(words)
        case aiohttp.ServerTimeoutError() | TimeoutError():
            return httpx.ReadTimeout(words)
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
            return httpx.ConnectError(words)
        case aiohttp.ClientConnectorError() | aiohttp.ClientConnectorCertificateError():
            return httpx.ConnectError(words)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return httpx.UnsupportedProtocol(words)
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return httpx.RemoteProtocolError(words)
        case _:
            return httpx.ReadError(words)
