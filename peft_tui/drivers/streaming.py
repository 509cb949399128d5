"""The way out for inference: one request, its answer as it comes, and nothing sent twice.

A POST that costs money is never repeated by itself; nothing is after the first byte. Secrets go to the
origin of the target, headers and all; redirects are followed only where a platform hands out results that
way, by GET and within the origin. Leaving the context closes the connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import httpx

from peft_tui.credentials import Credentials, Secret
from peft_tui.domain.errors import (
    ConfigurationInvalid,
    ConnectionFailed,
    PeftTuiError,
    ResourceUnavailable,
    TimedOut,
)
from peft_tui.domain.inference import AuthHeader, InferenceTarget
from peft_tui.drivers.failures import broken, no_answer, refused
from peft_tui.drivers.network import Network, origin_of
from peft_tui.text import clean_line

log = logging.getLogger(__name__)

MAX_ANSWER = 64 * 1024 * 1024
MAX_ERROR = 64 * 1024
MAX_RESULT_REDIRECTS = 20
WAKE_POLL_SECONDS = 2.0
AFTERWARDS_SECONDS = 10.0
FINISH_SECONDS = 0.25
CONNECTING = {
    "connection.connect_tcp.started": "began",
    "connection.connect_tcp.complete": "ended",
    "connection.start_tls.complete": "ended",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an answer is waited for."""

    first_seconds: float = 600.0
    """Until something comes: the platforms hold a request while an instance boots."""
    idle_seconds: float = 60.0
    """Between two pieces."""
    total_seconds: float = 1800.0


class Answer:
    """The head of an answer, and its body as it comes."""

    def __init__(self, response: httpx.Response, channel: Channel, at: float, connect: float | None) -> None:
        self._response = response
        self._channel = channel
        self.at = at
        self.status = response.status_code
        self.connect_seconds = connect
        # An async generator, as httpx says only in its source.
        self._body = cast(AsyncGenerator[bytes, None], response.aiter_bytes())

    @property
    def is_event_stream(self) -> bool:
        return self.header("content-type").partition(";")[0].strip().lower() == "text/event-stream"

    def header(self, name: str) -> str:
        return clean_line(self._response.headers.get(name, ""), 300)

    def number(self, name: str) -> float | None:
        try:
            return float(self._response.headers.get(name, ""))
        except ValueError:
            return None

    async def chunks(self) -> AsyncGenerator[tuple[bytes, float], None]:
        """The body as it arrives, each chunk with its time; an empty one at the end.

        Raises:
            PeftTuiError: nothing came for too long, it is too large, or the connection broke.
        """
        limits, channel = self._channel.limits, self._channel
        wait, size, end = limits.first_seconds, 0, self.at + limits.total_seconds
        async with aclosing(self._body) as parts:
            while True:
                try:
                    async with asyncio.timeout(wait):
                        chunk = await anext(parts)
                except StopAsyncIteration:
                    break
                except TimeoutError as error:
                    raise channel.silent(wait, self.status) from error
                except (httpx.HTTPError, httpx.StreamError, OSError) as error:
                    raise channel.broke(error, begun=True) from error
                wait = limits.idle_seconds
                size += len(chunk)
                at = channel.now()
                if size > MAX_ANSWER:
                    raise ConnectionFailed(f"{channel.title}: the answer is larger than any sensible one.")
                if at > end:
                    raise channel.endless(self.status)
                if chunk:
                    yield chunk, at
        yield b"", channel.now()

    async def finish(self) -> None:
        """Read what is left after the end, for a moment: only then can the connection be used again."""
        with suppress(TimeoutError, httpx.HTTPError, httpx.StreamError, OSError):
            async with asyncio.timeout(FINISH_SECONDS):
                async for _ in self._body:
                    pass

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
            raise self._channel.not_understood(content) from error


class Asked:
    """A request that was sent, perhaps to something that is asleep."""

    def __init__(self, channel: Channel, url: str, body: Any, headers: Mapping[str, str]) -> None:
        self._channel = channel
        self._request = ("POST", url, body, headers)
        self._answer: Answer | None = None
        self._open: Any = None

    @property
    def answer(self) -> Answer:
        assert self._answer is not None
        return self._answer

    async def send(self) -> None:
        self._open = self._channel.open(*self._request)
        self._answer = await self._open.__aenter__()

    async def close(self) -> None:
        if self._open is not None:
            opened, self._open = self._open, None
            await opened.__aexit__(None, None, None)

    async def waits(self) -> AsyncIterator[str]:
        """Words while an instance boots; ends when the answer is there.

        A 503 of a platform that says so has done nothing but start an instance: asking again is its protocol.
        """
        channel, wake_url = self._channel, self._channel.target.wake_url
        end = channel.now() + channel.limits.first_seconds
        while self._answer is None:
            try:
                await self.send()
            except PeftTuiError as error:
                if not (wake_url and error.status == 503):
                    raise
                yield "an instance is booting"
                await channel.until_awake(wake_url, end)


class Channel:
    """One exchange with one target: its secrets, its limits, its words for what goes wrong."""

    def __init__(
        self,
        network: Network,
        secrets: Mapping[str, tuple[str, Secret]],
        target: InferenceTarget,
        title: str,
        limits: Limits | None = None,
    ) -> None:
        """`secrets` is scheme and value by header; see `connect`."""
        self._network = network
        self._secrets = secrets
        self.target = target
        self.title = title
        self.limits = limits or Limits()
        self.origin = origin_of(target.url)

    @classmethod
    async def connect(
        cls,
        network: Network,
        credentials: Credentials,
        target: InferenceTarget,
        title: str,
        limits: Limits | None = None,
    ) -> Channel:
        """A channel with the secrets that `target` names. Nothing is sent.

        Raises:
            AuthenticationFailed: one of them is not there.
        """
        secrets = {
            auth.header: (auth.scheme, await _secret(credentials, auth, title)) for auth in target.auth
        }
        return cls(network, secrets, target, title, limits)

    def now(self) -> float:
        return self._network.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._network.clock.sleep(seconds)

    @asynccontextmanager
    async def ask(
        self, url: str, body: Any, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Asked]:
        """POST `body`, once. Where the target may be asleep, go through `waits` before the answer is used."""
        asked = Asked(self, url, body, {"Accept": "text/event-stream, application/json", **(headers or {})})
        try:
            if not self.target.wake_url:
                await asked.send()
            yield asked
        finally:
            await asked.close()

    @asynccontextmanager
    async def read(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        """GET something that goes with the exchange, at the target's origin or at one of its friends'.

        Raises:
            ConnectionFailed: its address is another's.
        """
        beside = urlsplit(url).hostname == urlsplit(self.target.url).hostname
        if not (beside or self._is_friend(url)):
            raise self._foreign(url)
        async with self.open("GET", url, None, headers) as answer:
            yield answer

    async def get(self, url: str) -> Any:
        async with self.read(self._own(url), {"Accept": "application/json"}) as answer:
            return await answer.json()

    async def post(self, url: str) -> None:
        """For a POST without a body whose answer is of no use, such as a cancel."""
        async with self.open("POST", self._own(url), None, {"Accept": "application/json"}):
            pass

    async def afterwards(self, work: Coroutine[Any, Any, Any]) -> None:
        """Carry `work` to its end even if the one who waits for it is cancelled, for a limited time."""
        try:
            await self._network.finish(asyncio.wait_for(work, AFTERWARDS_SECONDS))
        except (PeftTuiError, TimeoutError) as error:
            log.warning("%s: could not be cancelled there: %s", self.title, clean_line(error))

    async def until_awake(self, url: str, end: float) -> None:
        """GET until 200. Whatever else is answered meanwhile, an instance may still be coming."""
        while True:
            await self.sleep(WAKE_POLL_SECONDS)
            if self.now() > end:
                raise TimedOut(
                    f"{self.title}: no instance came up in {self.limits.first_seconds:.0f} s.",
                    hint="One may still be booting, and billed. Try again, or stop the deployment.",
                    transient=True,
                )
            try:
                async with self.read(url, {"Accept": "*/*"}):
                    return
            except PeftTuiError as error:
                if error.status is not None and not broken(error.status) and error.status != 429:
                    raise

    @asynccontextmanager
    async def open(
        self, method: str, url: str, body: Any, headers: Mapping[str, str]
    ) -> AsyncIterator[Answer]:
        """One request and the head of its answer.

        Raises:
            PeftTuiError: it was refused, or did not come.
        """
        client = await self._network.inference_client()
        response, connect = await self._send(client, method, url, body, headers)
        try:
            for _ in range(MAX_RESULT_REDIRECTS):
                if not response.is_redirect:
                    break
                url = self._result(response, method)
                await response.aclose()
                # The result waits there: by GET and without the body, or the platform refuses it.
                method = "GET"
                response, _ = await self._send(client, method, url, None, headers)
            if response.is_redirect:
                raise ConnectionFailed(f"{self.title}: {self.origin} redirects without end.")
            if response.status_code >= 400:
                raise await self._refused(response)
            yield Answer(response, self, self.now(), connect)
        finally:
            await response.aclose()

    async def _send(
        self, client: httpx.AsyncClient, method: str, url: str, body: Any, headers: Mapping[str, str]
    ) -> tuple[httpx.Response, float | None]:
        connect: dict[str, float] = {}

        async def trace(event: str, info: Any) -> None:
            which = CONNECTING.get(event)
            if which == "began":
                connect.setdefault(which, self.now())
            elif which is not None:
                connect[which] = self.now()

        try:
            request = client.build_request(
                method,
                url,
                json=body,
                headers={**headers, "Accept-Encoding": "identity", **self._auth(url)},
                extensions={"trace": trace},
                timeout=httpx.Timeout(None, connect=10.0, pool=10.0),
            )
        except (UnicodeError, ValueError, TypeError, httpx.InvalidURL) as error:
            # Not sent: `error` is not told, for it may quote the key.
            raise ConfigurationInvalid(
                f"{self.title}: the request cannot be written.",
                hint="A key, a name or the prompt holds something that it cannot hold.",
            ) from error
        try:
            async with asyncio.timeout(self.limits.first_seconds):
                response = await client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise self.broke(error, begun=False) from error
        took = connect["ended"] - connect["began"] if len(connect) == 2 else None
        return response, took

    def _auth(self, url: str) -> dict[str, str]:
        if origin_of(url) != self.origin and not self._is_friend(url):
            return {}
        return {
            header: f"{scheme} {secret.reveal()}".strip()
            for header, (scheme, secret) in self._secrets.items()
        }

    def _is_friend(self, url: str) -> bool:
        parts = urlsplit(url)
        name = parts.hostname or ""
        if parts.scheme != "https":
            return False
        return any(name == friend or name.endswith(f".{friend}") for friend in self.target.friends)

    def _own(self, url: str) -> str:
        """`url`, made sure that it is of the target's origin."""
        if not url or origin_of(url) != self.origin:
            raise self._foreign(url)
        return url

    def _foreign(self, url: str) -> ConnectionFailed:
        return ConnectionFailed(
            f"{self.title} names an address on a foreign host; it was not followed.",
            detail=clean_line(url, 120),
        )

    def _result(self, response: httpx.Response, method: str) -> str:
        """Where a redirect leads, if it is one that may be followed."""
        url: str = ""
        with suppress(ValueError):
            url = urljoin(str(response.url), response.headers.get("location", ""))
        allowed = self.target.result_redirects and response.status_code == 303
        if not allowed or not url or origin_of(url) != self.origin:
            raise ConnectionFailed(
                f"{self.title} redirects (HTTP {response.status_code}); it was not followed.",
                hint="Check the address in the environment. What was asked may have been carried out.",
                status=response.status_code,
            )
        return url

    async def _refused(self, response: httpx.Response) -> PeftTuiError:
        content = bytearray()
        try:
            async with asyncio.timeout(self.limits.idle_seconds):
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_ERROR:
                        break
        except (httpx.HTTPError, httpx.StreamError, TimeoutError, OSError):
            pass
        try:
            body = json.loads(bytes(content))
        except (ValueError, RecursionError):
            # Gateways answer in plain text; a page is of no use to anybody.
            text = content.decode("utf-8", "replace").strip()
            body = {"message": text} if text and not text.startswith("<") else None
        status = response.status_code
        now = self._network.clock.now()
        error = refused(status, response.headers, body, self.title, now, safe=False)
        if status == 429:
            error.hint = "Send it again then." if error.retry_after else "Send it again later."
            if isinstance(body, dict) and body.get("error_type") == "overloaded":
                error = ResourceUnavailable(
                    f"{self.title} is overloaded.",
                    hint=error.hint,
                    detail=error.detail,
                    transient=True,
                    status=status,
                )
        elif broken(status):
            error.hint = "Send it again. Whether this one was billed is not known."
            if error.detail and error.detail != f"HTTP {status}":
                error.message = f"{self.title} (HTTP {status}): {error.detail}"
        else:
            error.hint = error.hint if status in (401, 402, 403) else "Nothing was generated."
        return error

    def broke(self, error: Exception, begun: bool) -> PeftTuiError:
        """The error for a connection that ended by itself."""
        found = no_answer(error, self.title, self.origin, safe=False)
        if isinstance(found, (ConnectionFailed, TimedOut)):
            if begun:
                found.hint = "What came until then is shown. It may have been billed. Send it again."
            elif found.effect.value == "unknown":
                found.hint = "It may have been carried out, and billed. Send it again if you want it."
        return found

    def silent(self, seconds: float, status: int) -> TimedOut:
        return TimedOut(
            f"{self.title} sent nothing for {seconds:.0f} s; the connection was closed.",
            hint="What came until then is shown. It may have been billed.",
            transient=True,
            status=status,
        )

    def endless(self, status: int) -> TimedOut:
        return TimedOut(
            f"{self.title} was still answering after {self.limits.total_seconds:.0f} s; the connection was"
            " closed.",
            hint="What came until then is shown.",
            status=status,
        )

    def not_understood(self, content: bytes = b"") -> ConnectionFailed:
        page = content.lstrip()[:1] == b"<"
        what = "a web page" if page else "something"
        return ConnectionFailed(
            f"{self.title} answers with {what} that is not what was asked for.",
            hint="A proxy or sign-in page may be in between, or the address is another one's.",
            detail=clean_line(content[:200].decode("utf-8", "replace")) if content and not page else "",
        )

    @staticmethod
    def pretty(data: Any) -> str:
        return json.dumps(data, indent=2, ensure_ascii=False)


async def _secret(credentials: Credentials, auth: AuthHeader, title: str) -> Secret:
    if auth.kept_as and credentials.optional_secret(auth.env) is None:
        kept = await credentials.vault.get(auth.kept_as)
        if kept is not None and auth.part is None:
            return kept
        if kept is not None and auth.part is not None:
            parts = kept.reveal().split(".")
            if auth.part < len(parts):
                return Secret(parts[auth.part])
    return credentials.secret(auth.env, title)
