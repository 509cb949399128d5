"""The way out for inference: one request, its answer as it comes, and nothing sent twice.

A POST that costs money is never repeated by itself; nothing is after the first byte. Secrets go to the
origin of the target, headers and all; redirects are followed only where a platform hands out results that
way, by GET and within the origin. Leaving the context closes the connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import httpx

from peft_tui.credentials import Credentials, Secret
from peft_tui.domain.errors import ConfigurationInvalid, ConnectionFailed, PeftTuiError
from peft_tui.domain.inference import InferenceTarget
from peft_tui.drivers import streaming_failures as failures
from peft_tui.drivers.answers import Answer, Limits
from peft_tui.drivers.failures import broken
from peft_tui.drivers.inference_secrets import secret_of
from peft_tui.drivers.network import Network, origin_of
from peft_tui.text import clean_line

if TYPE_CHECKING:
    from peft_tui.drivers.pool import Pool, Reply

log = logging.getLogger(__name__)

MAX_ERROR = 64 * 1024
MAX_RESULT_REDIRECTS = 20
WAKE_POLL_SECONDS = 2.0
AFTERWARDS_SECONDS = 10.0


class Asked:
    """A request that is sent once, perhaps to something that is asleep. Leaving it closes the connection."""

    def __init__(self, channel: Channel, url: str, body: Any, headers: Mapping[str, str]) -> None:
        self._channel = channel
        self._request = (url, body, {"Accept": "text/event-stream, application/json", **headers})
        self._answer: Answer | None = None

    async def __aenter__(self) -> Asked:
        if not self._channel.target.wake_url:
            await self._send()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._answer is not None:
            self._answer.close()

    @property
    def answer(self) -> Answer:
        assert self._answer is not None
        return self._answer

    async def _send(self) -> None:
        self._answer = await self._channel.open("POST", *self._request)

    async def waits(self) -> AsyncIterator[str]:
        """Words while an instance boots; ends when the answer is there.

        A 503 of a platform that says so has done nothing but start an instance: asking again is its protocol.
        """
        channel, wake_url = self._channel, self._channel.target.wake_url
        end = channel.now() + channel.limits.first_seconds
        while self._answer is None:
            try:
                await self._send()
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
        pool: Pool,
        secrets: Mapping[str, tuple[str, Secret]],
        target: InferenceTarget,
        title: str,
        limits: Limits | None = None,
    ) -> None:
        """`secrets` is scheme and value by header; see `connect`."""
        self._network = network
        self._pool = pool
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
            auth.header: (auth.scheme, await secret_of(credentials, auth, title)) for auth in target.auth
        }
        return cls(network, await network.pool(), secrets, target, title, limits)

    def now(self) -> float:
        return self._network.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._network.clock.sleep(seconds)

    def ask(self, url: str, body: Any, headers: Mapping[str, str] | None = None) -> Asked:
        """POST `body`, once. Where the target may be asleep, go through `waits` before the answer is used."""
        return Asked(self, url, body, headers or {})

    @asynccontextmanager
    async def read(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        """GET something that goes with the exchange, at the target's origin or at one of its friends'.

        Raises:
            ConnectionFailed: its address is another's.
        """
        beside = urlsplit(url).hostname == urlsplit(self.target.url).hostname
        if not (beside or self._is_friend(url)):
            raise self._foreign(url)
        answer = await self.open("GET", url, None, headers)
        try:
            yield answer
        finally:
            answer.close()

    async def get(self, url: str) -> Any:
        async with self.read(self._own(url), {"Accept": "application/json"}) as answer:
            return await answer.json()

    async def post(self, url: str) -> None:
        """For a POST without a body whose answer is of no use, such as a cancel."""
        answer = await self.open("POST", self._own(url), None, {"Accept": "application/json"})
        answer.close()

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
                raise failures.never_woke(self.title, self.limits.first_seconds)
            try:
                async with self.read(url, {"Accept": "*/*"}):
                    return
            except PeftTuiError as error:
                if error.status is not None and not broken(error.status) and error.status != 429:
                    raise

    async def open(self, method: str, url: str, body: Any, headers: Mapping[str, str]) -> Answer:
        """One request and the head of its answer, which is to be closed.

        Raises:
            PeftTuiError: it was refused, or did not come.
        """
        reply = await self._send(method, url, body, headers)
        try:
            for _ in range(MAX_RESULT_REDIRECTS):
                if not reply.is_redirect:
                    break
                url = self._result(reply)
                reply.close()
                # The result waits there: by GET and without the body, or the platform refuses it.
                reply = await self._send("GET", url, None, headers)
            if reply.is_redirect:
                raise ConnectionFailed(f"{self.title}: {self.origin} redirects without end.")
            answer = Answer(reply, self._network.clock, self.limits, self.title, self.origin)
            if reply.status >= 400:
                content = await answer.beginning(MAX_ERROR)
                now = self._network.clock.now()
                raise failures.turned_down(reply.status, reply.headers, content, self.title, now)
        except BaseException:
            reply.close()
            raise
        return answer

    async def _send(self, method: str, url: str, body: Any, headers: Mapping[str, str]) -> Reply:
        content, sent = None, {**headers, **self._auth(url)}
        try:
            if body is not None:
                content = _json(body)
                sent["Content-Type"] = "application/json"
            written = "".join(sent.values())
            if not (written.isascii() and written.isprintable()):
                raise ValueError("a header that cannot be written")
            async with asyncio.timeout(self.limits.first_seconds):
                where = urlsplit(url)
                with self._network.noted(self.title, method, where.hostname or "", where.path) as answered:
                    reply = await self._pool.send(method, url, content, sent)
                    answered(reply.status)
                return reply
        except (ValueError, TypeError) as error:
            # Not sent: `error` is not told, for it may quote the key.
            raise ConfigurationInvalid(
                f"{self.title}: the request cannot be written.",
                hint="A key, a name or the prompt holds something that it cannot hold.",
            ) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise failures.broke(error, self.title, self.origin, begun=False) from error

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

    def _result(self, reply: Reply) -> str:
        """Where a redirect leads, if it is one that may be followed."""
        url: str = ""
        with suppress(ValueError):
            url = urljoin(reply.url, reply.headers.get("location", ""))
        allowed = self.target.result_redirects and reply.status == 303
        if not allowed or not url or origin_of(url) != self.origin:
            raise ConnectionFailed(
                f"{self.title} redirects (HTTP {reply.status}); it was not followed.",
                hint="Check the address in the environment. What was asked may have been carried out.",
                status=reply.status,
            )
        return url

    def not_understood(self) -> ConnectionFailed:
        return failures.not_understood(self.title)

    @staticmethod
    def pretty(data: Any) -> str:
        return json.dumps(data, indent=2, ensure_ascii=False)


def _json(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
