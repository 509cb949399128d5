"""The one way out: every HTTP request of the drivers goes through here.

Time-outs on everything; one retry loop with full jitter and a budget shared per host; limits on what is
read; redirects only for GET and only within the origin; a secret goes to the origin it belongs to and nowhere
else.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from peft_tui.credentials import Secret
from peft_tui.domain.errors import ConfigurationInvalid, ConnectionFailed, Effect, PeftTuiError
from peft_tui.drivers.failures import broken, no_answer, refused
from peft_tui.drivers.hosts import Host, Urgency
from peft_tui.drivers.network import Network, check_store, origin_of
from peft_tui.text import clean_line

TOTAL_SECONDS = 60.0
"""For one attempt with everything in it."""
ASK_SECONDS = 10.0
PRESIGNED = "(an address that is a secret)"
MAX_ASKED = 64 * 1024
PART_SECONDS = 30 * 60.0
"""For one part of an upload."""
ATTEMPTS = 3
BACKOFF, BACKOFF_MAX = 0.5, 10.0
MAX_BODY = 32 * 1024 * 1024
MAX_REDIRECTS = 3
CHUNK = 256 * 1024

TEXT = "text/plain"
"""Asked for where an answer is no JSON."""


class Transport:
    """Requests to one platform with one key.

    Every method raises `PeftTuiError` and nothing else.
    """

    def __init__(self, network: Network, base_url: str, secret: Secret | None, platform: str) -> None:
        try:
            parts = urlsplit(base_url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ConfigurationInvalid(
                f"{platform}: “{clean_line(base_url, 120)}” is not an address.",
                hint="It must begin with https:// or http://.",
            )
        self.base_url = base_url.rstrip("/")
        self.origin = origin_of(base_url)
        self._network = network
        self._secret = secret
        self._platform = platform

    @property
    def ahead(self) -> timedelta | None:
        """How far the platform's clock is ahead of this machine's; None before it answered."""
        return self._network.host(self.origin).ahead

    def now(self) -> datetime:
        """The platform's time: what its own times are to be compared with."""
        return self._network.host(self.origin).now()

    async def get(
        self, path: str, params: Mapping[str, Any] | None = None, urgency: Urgency = Urgency.NORMAL
    ) -> Any:
        """The parsed JSON at `path`, or at an absolute URL of the same origin (a `next` link)."""
        return await self.request("GET", path, params=params, urgency=urgency)

    async def text(self, path: str, urgency: Urgency = Urgency.NORMAL) -> str:
        """The plain text at `path`, such as Prometheus'."""
        body = await self.request("GET", path, headers={"Accept": TEXT}, urgency=urgency)
        return body if isinstance(body, str) else ""

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        urgency: Urgency = Urgency.NORMAL,
    ) -> Any:
        """One request, repeated only where that can do no harm: reads, and what was certainly not done."""
        url = self._address(path)
        safe = method in ("GET", "HEAD")
        host = self._network.host(self.origin)
        for attempt in range(1, ATTEMPTS + 1):
            host.check(urgency)
            try:
                async with host.place(urgency):
                    return await self._attempt(host, method, url, params, body, headers, safe)
            except PeftTuiError as error:
                last = attempt == ATTEMPTS or not error.transient or error.effect is Effect.UNKNOWN
                if last or not host.may_retry(urgency):
                    raise
                wait = self._wait(attempt, error)
                if wait is None:
                    raise
            await self._network.clock.sleep(wait)
        raise AssertionError("the loop above returns or raises")

    async def _attempt(
        self,
        host: Host,
        method: str,
        url: str,
        params: Mapping[str, Any] | None,
        body: Any,
        headers: Mapping[str, str] | None,
        safe: bool,
    ) -> Any:
        client = await self._network.client()
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                for _ in range(MAX_REDIRECTS + 1):
                    try:
                        request = client.build_request(
                            method, url, params=params, json=body, headers=self._headers(url, headers)
                        )
                    except (UnicodeError, ValueError, TypeError) as error:
                        # Not sent: `error` is not told, for it may quote the key.
                        raise ConfigurationInvalid(
                            f"{self._platform}: the request cannot be written.",
                            hint="A key or a name holds characters that it cannot hold.",
                        ) from error
                    response = await self._network.send(request, self._platform)
                    host.dated(response.headers)
                    try:
                        if response.is_redirect:
                            url, params = self._redirect(response, safe), None
                            continue
                        content = await self._read(response, safe)
                    finally:
                        await response.aclose()
                    return self._parse(host, response, content, safe)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            host.failed()
            raise no_answer(error, self._platform, self.origin, safe) from error
        raise ConnectionFailed(f"{self._platform}: {self.origin} redirects without end.")

    async def ask(
        self, path: str, headers: Mapping[str, str], urgency: Urgency = Urgency.BACKGROUND
    ) -> tuple[int, str]:
        """Status and the beginning of what a GET of `path` says, whatever it is: asked once, and no failure.

        Raises:
            PeftTuiError: there was no answer.
        """
        client = await self._network.client()
        host = self._network.host(self.origin)
        try:
            async with asyncio.timeout(ASK_SECONDS), host.place(urgency):
                request = client.build_request("GET", self._address(path), headers=dict(headers))
                response = await self._network.send(request, self._platform)
                try:
                    content = bytearray()
                    async for chunk in response.aiter_bytes():
                        content += chunk
                        if len(content) > MAX_ASKED:
                            break
                finally:
                    await response.aclose()
        except (UnicodeError, ValueError, TypeError) as error:
            raise ConfigurationInvalid(f"{self._platform}: the request cannot be written.") from error
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise no_answer(error, self._platform, self.origin, safe=True) from error
        return response.status_code, content[:MAX_ASKED].decode("utf-8", "replace")

    async def upload(
        self,
        url: str,
        path: Path,
        offset: int,
        size: int,
        headers: Mapping[str, str],
        sent: Callable[[int], None],
    ) -> httpx.Headers:
        """PUT `size` bytes of a file to a presigned URL, which is a secret in itself: our key stays here.

        Args:
            sent: called with the number of bytes of each chunk, as it goes out; negative when an attempt is
                begun again.
        """
        check_store(url, urlsplit(self.origin).hostname or "", self._platform)
        origin = origin_of(url)
        client = await self._network.client()
        host = self._network.host(origin)
        for attempt in range(1, ATTEMPTS + 1):
            counted = 0

            async def chunks() -> AsyncIterator[bytes]:
                nonlocal counted
                with path.open("rb") as file:
                    file.seek(offset)
                    left = size
                    while left and (chunk := await asyncio.to_thread(file.read, min(CHUNK, left))):
                        left -= len(chunk)
                        counted += len(chunk)
                        sent(len(chunk))
                        yield chunk

            try:
                async with asyncio.timeout(PART_SECONDS), host.place(Urgency.NORMAL):
                    request = client.build_request(
                        "PUT", url, content=chunks(), headers={**headers, "Content-Length": str(size)}
                    )
                    response = await self._network.send(request, self._platform, PRESIGNED)
                    # What the store says is of no use, however long it is; its status and its tag are.
                    await response.aclose()
                if response.status_code < 300:
                    return response.headers
                now = self._network.clock.now()
                raise refused(response.status_code, response.headers, None, self._platform, now, safe=True)
            except (UnicodeError, ValueError, TypeError) as error:
                raise ConnectionFailed(
                    f"{self._platform} gave an address or headers that no request can have."
                ) from error
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
                failure = no_answer(error, self._platform, origin, safe=True)
            except OSError as error:
                raise ConfigurationInvalid(f"{path} cannot be read: {error.strerror}.") from error
            except PeftTuiError as error:
                failure = error
            sent(-counted)
            wait = self._wait(attempt, failure)
            if attempt == ATTEMPTS or not failure.transient or wait is None:
                raise failure
            await self._network.clock.sleep(wait)
        raise AssertionError("the loop above returns or raises")

    def _address(self, path: str) -> str:
        if not path.startswith(("http://", "https://")):
            return f"{self.base_url}{path}"
        if origin_of(path) != self.origin:
            raise ConnectionFailed(
                f"{self._platform} names a page on a foreign host; it was not followed.",
                detail=origin_of(path),
            )
        return path

    def _headers(self, url: str, extra: Mapping[str, str] | None) -> dict[str, str]:
        headers = {"Accept": "application/json", **(extra or {})}
        if self._secret is not None and origin_of(url) == self.origin:
            headers["Authorization"] = f"Bearer {self._secret.reveal()}"
        return headers

    def _redirect(self, response: httpx.Response, safe: bool) -> str:
        try:
            target: str = urljoin(str(response.url), response.headers.get("location", ""))
            origin = origin_of(target)
        except (ValueError, ConnectionFailed):
            target, origin = "", "what is no address"
        if not safe or origin != self.origin:
            raise ConnectionFailed(
                f"{self._platform} redirects to {origin}; it was not followed.",
                hint="Check the address in the environment.",
                effect=Effect.NONE if safe else Effect.UNKNOWN,
            )
        return target

    async def _read(self, response: httpx.Response, safe: bool) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MAX_BODY:
                raise ConnectionFailed(
                    f"{self._platform}: the answer is larger than {MAX_BODY // 1024 // 1024} MiB; given up.",
                    effect=Effect.NONE if safe else Effect.UNKNOWN,
                )
        return bytes(content)

    def _parse(self, host: Host, response: httpx.Response, content: bytes, safe: bool) -> Any:
        status = response.status_code
        try:
            body = json.loads(content) if content else None
        except (ValueError, RecursionError):
            body, readable = None, False
        else:
            readable = True
        if broken(status):
            host.failed()
        else:
            host.succeeded()
        if status >= 400:
            raise refused(status, response.headers, body, self._platform, self._network.clock.now(), safe)
        if not readable and status < 300 and response.request.headers.get("accept") == TEXT:
            return content.decode("utf-8", "replace")
        if not readable:
            page = content.lstrip()[:1] == b"<"
            raise ConnectionFailed(
                f"{self._platform}: {self.origin} answers with {'a web page' if page else 'something'}"
                " that is not JSON.",
                hint="A proxy or sign-in page may be in between, or the address in the environment is wrong.",
                effect=Effect.NONE if safe else Effect.UNKNOWN,
            )
        return body

    def _wait(self, attempt: int, error: PeftTuiError) -> float | None:
        """Seconds until the next attempt; None when the platform asks for more than is sensible here."""
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= BACKOFF_MAX else None
        return random.uniform(0, min(BACKOFF_MAX, BACKOFF * 2.0**attempt))
