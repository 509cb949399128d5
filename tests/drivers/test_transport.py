"""The one way out: what is asked again, what is followed, what is refused, and who gets the key."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import respx

from peft_tui.credentials import Secret
from peft_tui.domain.errors import (
    ConfigurationInvalid,
    ConnectionFailed,
    Effect,
    NotFound,
    PeftTuiError,
    PlatformFailed,
    ResourceUnavailable,
    TimedOut,
)
from peft_tui.drivers import transport as module
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.network import TIMEOUT, Network, origin_of
from peft_tui.drivers.transport import ATTEMPTS, BACKOFF_MAX, Transport
from tests.doubles import VirtualClock

BASE = "https://api.example"
KEY = "s3cret"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(leaps=True)


@pytest.fixture
def router() -> respx.Router:
    return respx.Router(assert_all_called=False)


@pytest.fixture
async def network(clock: VirtualClock, router: respx.Router) -> AsyncIterator[Network]:
    made = Network(clock)
    made._client = httpx.AsyncClient(transport=httpx.MockTransport(router.async_handler))
    yield made
    await made.close()


@pytest.fixture
def http(network: Network) -> Transport:
    return Transport(network, BASE, Secret(KEY), "Acme")


async def failing(running: Awaitable[Any]) -> PeftTuiError:
    with pytest.raises(PeftTuiError) as caught:
        await running
    return caught.value


def page(*answers: Any) -> Any:
    """A side effect for a route: these answers in turn, the last one again and again."""
    rest = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        said = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, httpx.Response) else httpx.Response(said)

    return answer


OK = httpx.Response(200, json={"fine": True})


class TestRetries:
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    async def test_a_read_is_asked_again(self, http: Transport, router: respx.Router, status: int) -> None:
        route = router.get("/a").mock(side_effect=page(status, status, OK))
        assert await http.get("/a") == {"fine": True}
        assert route.call_count == 3

    @pytest.mark.parametrize(
        "error", [httpx.ReadTimeout("t"), httpx.ReadError("r"), httpx.RemoteProtocolError("p")], ids=repr
    )
    async def test_a_read_without_an_answer_is_asked_again(
        self, http: Transport, router: respx.Router, error: Exception
    ) -> None:
        route = router.get("/a").mock(side_effect=page(error, OK))
        assert await http.get("/a") == {"fine": True}
        assert route.call_count == 2

    async def test_a_read_is_given_up_after_three_attempts(
        self, http: Transport, router: respx.Router
    ) -> None:
        route = router.get("/a").mock(return_value=httpx.Response(503))
        error = await failing(http.get("/a"))
        assert (type(error), route.call_count) == (PlatformFailed, ATTEMPTS)

    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 412, 413, 422])
    async def test_a_refusal_is_not_asked_again(
        self, http: Transport, router: respx.Router, status: int
    ) -> None:
        route = router.get("/a").mock(return_value=httpx.Response(status))
        assert (await failing(http.get("/a"))).status == status
        assert route.call_count == 1

    @pytest.mark.parametrize("method", UNSAFE)
    @pytest.mark.parametrize("answer", [500, 502, 503, 504, 408, 524], ids=str)
    async def test_a_write_that_a_server_broke_at_is_sent_once(
        self, http: Transport, router: respx.Router, method: str, answer: int
    ) -> None:
        route = router.request(method, f"{BASE}/a").mock(return_value=httpx.Response(answer))
        assert (await failing(http.request(method, "/a", body={}))).effect is Effect.UNKNOWN
        assert route.call_count == 1

    @pytest.mark.parametrize("method", UNSAFE)
    @pytest.mark.parametrize(
        "error",
        [
            httpx.ReadTimeout("t"),
            httpx.WriteTimeout("t"),
            httpx.ReadError("r"),
            httpx.WriteError("w"),
            httpx.RemoteProtocolError("p"),
        ],
        ids=repr,
    )
    async def test_a_write_without_an_answer_is_sent_once(
        self, http: Transport, router: respx.Router, method: str, error: Exception
    ) -> None:
        route = router.request(method, f"{BASE}/a").mock(side_effect=error)
        assert (await failing(http.request(method, "/a", body={}))).effect is Effect.UNKNOWN
        assert route.call_count == 1

    @pytest.mark.parametrize(
        "error", [httpx.ConnectError("c"), httpx.ConnectTimeout("c"), httpx.PoolTimeout("p"), 429], ids=repr
    )
    async def test_a_write_that_was_certainly_not_done_is_sent_again(
        self, http: Transport, router: respx.Router, error: Any
    ) -> None:
        route = router.post("/a").mock(side_effect=page(error, OK))
        assert await http.request("POST", "/a", body={}) == {"fine": True}
        assert route.call_count == 2

    async def test_the_pauses_grow_and_are_not_all_alike(
        self, http: Transport, router: respx.Router, clock: VirtualClock
    ) -> None:
        router.get("/a").mock(return_value=httpx.Response(503))
        for _ in range(5):
            await failing(http.get("/a", urgency=Urgency.STOP))
        first, second = clock.slept[0::2], clock.slept[1::2]
        assert len(set(clock.slept)) == 10
        assert max(first) <= 1.0 and max(second) <= 2.0

    async def test_what_the_server_asks_for_is_waited(
        self, http: Transport, router: respx.Router, clock: VirtualClock
    ) -> None:
        router.get("/a").mock(side_effect=page(httpx.Response(429, headers={"Retry-After": "7"}), OK))
        await http.get("/a")
        assert clock.slept == [7.0]

    async def test_what_takes_too_long_is_told_and_not_waited(
        self, http: Transport, router: respx.Router, clock: VirtualClock
    ) -> None:
        asked = BACKOFF_MAX + 1
        route = router.get("/a").mock(return_value=httpx.Response(429, headers={"Retry-After": str(asked)}))
        error = await failing(http.get("/a"))
        assert (error.retry_after, clock.slept, route.call_count) == (asked, [], 1)

    async def test_a_spent_budget_ends_the_retries_of_everybody_on_that_host(
        self, http: Transport, network: Network, router: respx.Router
    ) -> None:
        another = Transport(network, BASE, None, "Acme too")
        route = router.get("/a").mock(return_value=httpx.Response(503))
        for _ in range(10):
            await failing(http.get("/a"))
        before = route.call_count
        await failing(another.get("/a"))
        assert route.call_count == before + 1

    async def test_another_host_has_a_budget_of_its_own(
        self, http: Transport, network: Network, router: respx.Router
    ) -> None:
        router.get(f"{BASE}/a").mock(return_value=httpx.Response(503))
        elsewhere = router.get("https://other.example/a").mock(return_value=httpx.Response(503))
        for _ in range(11):
            await failing(http.get("/a"))
        await failing(Transport(network, "https://other.example", None, "B").get("/a"))
        assert elsewhere.call_count == ATTEMPTS


class TestBreaker:
    async def test_after_five_failures_a_loop_is_not_let_out(
        self, http: Transport, router: respx.Router
    ) -> None:
        route = router.get("/a").mock(side_effect=httpx.ConnectError("c"))
        await failing(http.get("/a", urgency=Urgency.BACKGROUND))
        await failing(http.get("/a", urgency=Urgency.BACKGROUND))
        before = route.call_count
        error = await failing(http.get("/a", urgency=Urgency.BACKGROUND))
        assert (route.call_count, type(error)) == (before, ConnectionFailed) and error.retry_after
        assert before == 5

    @pytest.mark.parametrize("urgency", [Urgency.NORMAL, Urgency.STOP])
    async def test_a_person_is_let_out_and_what_comes_back_closes_it(
        self, http: Transport, router: respx.Router, urgency: Urgency
    ) -> None:
        route = router.get("/a").mock(side_effect=httpx.ConnectError("c"))
        for _ in range(3):
            await failing(http.get("/a"))
        route.mock(return_value=OK)
        assert await http.get("/a", urgency=urgency) == {"fine": True}
        assert await http.get("/a", urgency=Urgency.BACKGROUND) == {"fine": True}

    @pytest.mark.parametrize("status", [400, 401, 404, 422, 429])
    async def test_a_server_that_refuses_is_well(
        self, http: Transport, router: respx.Router, status: int
    ) -> None:
        answer = httpx.Response(status, headers={"Retry-After": "60"})
        router.get("/a").mock(return_value=answer)
        for _ in range(8):
            assert (await failing(http.get("/a", urgency=Urgency.BACKGROUND))).status == status


class TestRedirects:
    async def test_a_read_is_followed_within_its_origin(self, http: Transport, router: respx.Router) -> None:
        router.get("/a").mock(return_value=httpx.Response(307, headers={"Location": "/b?c=1"}))
        route = router.get("/b").mock(return_value=OK)
        assert await http.get("/a", {"q": "1"}) == {"fine": True}
        request = route.calls.last.request
        assert str(request.url) == f"{BASE}/b?c=1" and request.headers["Authorization"] == f"Bearer {KEY}"

    @pytest.mark.parametrize(
        "target",
        [
            "https://evil.example/b",
            "http://api.example/b",
            "https://api.example:8443/b",
            "//evil.example/b",
            "https://api.example.evil.example/b",
            "https://api.example@evil.example/b",
            "file:///etc/passwd",
        ],
    )
    async def test_no_key_and_no_request_goes_to_another_origin(
        self, http: Transport, router: respx.Router, target: str
    ) -> None:
        router.get("/a").mock(return_value=httpx.Response(302, headers={"Location": target}))
        everything = router.route().mock(return_value=OK)
        error = await failing(http.get("/a"))
        assert isinstance(error, ConnectionFailed) and "not followed" in error.message
        assert everything.call_count == 0

    @pytest.mark.parametrize(
        "target", ["https://api.example:port/b", "https://[::1/b", "https://api.example:99999999/b"]
    )
    async def test_a_target_that_is_no_address_is_a_broken_connection(
        self, http: Transport, router: respx.Router, target: str
    ) -> None:
        router.get("/a").mock(return_value=httpx.Response(302, headers={"Location": target}))
        assert isinstance(await failing(http.get("/a")), ConnectionFailed)

    @pytest.mark.parametrize("method", UNSAFE)
    @pytest.mark.parametrize("target", ["https://api.example:99999999/b", "https://[::1/b"])
    async def test_a_write_that_is_sent_to_no_address_was_received_all_the_same(
        self, http: Transport, router: respx.Router, method: str, target: str
    ) -> None:
        route = router.request(method, f"{BASE}/a").mock(
            return_value=httpx.Response(307, headers={"Location": target})
        )
        error = await failing(http.request(method, "/a", body={}))
        assert isinstance(error, ConnectionFailed)
        assert (error.effect, route.call_count) == (Effect.UNKNOWN, 1)

    @pytest.mark.parametrize("method", UNSAFE)
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_write_is_never_followed(
        self, http: Transport, router: respx.Router, method: str, status: int
    ) -> None:
        router.request(method, f"{BASE}/a").mock(
            return_value=httpx.Response(status, headers={"Location": "/b"})
        )
        target = router.route(path="/b").mock(return_value=OK)
        assert (await failing(http.request(method, "/a", body={}))).effect is Effect.UNKNOWN
        assert target.call_count == 0

    async def test_a_ring_of_them_is_left(self, http: Transport, router: respx.Router) -> None:
        route = router.get("/a").mock(return_value=httpx.Response(302, headers={"Location": "/a"}))
        assert "without end" in (await failing(http.get("/a"))).message
        assert route.call_count == module.MAX_REDIRECTS + 1


class TestSecrets:
    async def test_the_key_is_sent_to_its_own_origin(self, http: Transport, router: respx.Router) -> None:
        route = router.get("/a").mock(return_value=OK)
        await http.get("/a")
        assert route.calls.last.request.headers["Authorization"] == f"Bearer {KEY}"

    async def test_a_next_page_on_the_same_origin_is_read_with_the_key(
        self, http: Transport, router: respx.Router
    ) -> None:
        route = router.get("/a").mock(return_value=OK)
        await http.get("https://API.example:443/a?cursor=1")
        assert route.calls.last.request.headers["Authorization"] == f"Bearer {KEY}"

    @pytest.mark.parametrize(
        "url", ["https://evil.example/a", "http://api.example/a", "https://api.example:444/a"]
    )
    async def test_a_next_page_elsewhere_is_not_read(
        self, http: Transport, router: respx.Router, url: str
    ) -> None:
        everything = router.route().mock(return_value=OK)
        assert "foreign host" in (await failing(http.get(url))).message
        assert everything.call_count == 0

    @pytest.mark.parametrize("url", ["https://api.example:x/a", "https://[::1/a"])
    async def test_a_next_page_that_is_no_address_is_not_read(self, http: Transport, url: str) -> None:
        await failing(http.get(url))

    async def test_without_a_key_none_is_sent(self, network: Network, router: respx.Router) -> None:
        route = router.get("/a").mock(return_value=OK)
        await Transport(network, BASE, None, "Acme").get("/a")
        assert "Authorization" not in route.calls.last.request.headers

    @pytest.mark.parametrize("answer", [401, 500, httpx.ConnectError(f"x {BASE}")], ids=repr)
    async def test_no_error_shows_the_key(self, http: Transport, router: respx.Router, answer: Any) -> None:
        router.get("/a").mock(side_effect=page(answer))
        error = await failing(http.get("/a"))
        assert KEY not in f"{error.message} {error.hint} {error.detail} {error.__cause__!r}"

    @pytest.mark.parametrize("key", ["schlüssel", "“quoted”"])
    async def test_a_key_that_no_header_takes_is_an_error_of_ours(
        self, network: Network, router: respx.Router, key: str
    ) -> None:
        router.get("/a").mock(return_value=OK)
        error = await failing(Transport(network, BASE, Secret(key), "Hub").get("/a"))
        assert key not in f"{error.message} {error.detail}"

    async def test_a_body_that_is_no_text_is_an_error_of_ours(
        self, http: Transport, router: respx.Router
    ) -> None:
        # A byte of the command line that is not UTF-8.
        router.post("/a").mock(return_value=OK)
        assert (await failing(http.request("POST", "/a", body={"name": "\udcff"}))).effect is Effect.NONE


class TestAnswers:
    @pytest.mark.parametrize("content", [b"", b"null"])
    async def test_nothing_is_nothing(self, http: Transport, router: respx.Router, content: bytes) -> None:
        router.get("/a").mock(return_value=httpx.Response(204, content=content))
        assert await http.get("/a") is None

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"<html>Sign in</html>", "a web page"),
            (b"  \n<!DOCTYPE html>", "a web page"),
            (b"hello", "something"),
            (b'{"cut": ', "something"),
            (b"\xff\xfe\xfa", "something"),
            (b"[" * 200_000, "something"),
            (b'{"a":' * 100_000, "something"),
            (b"9" * 10_000, "something"),
        ],
        ids=lambda value: repr(value[:12]),
    )
    @pytest.mark.parametrize(("method", "effect"), [("GET", Effect.NONE), ("POST", Effect.UNKNOWN)])
    async def test_what_is_not_json_is_a_broken_connection(
        self, http: Transport, router: respx.Router, content: bytes, words: str, method: str, effect: Effect
    ) -> None:
        router.request(method, f"{BASE}/a").mock(return_value=httpx.Response(200, content=content))
        error = await failing(http.request(method, "/a"))
        assert isinstance(error, ConnectionFailed) and words in error.message and error.hint
        assert error.effect is effect

    @pytest.mark.parametrize("status", [401, 404, 503])
    async def test_an_error_page_that_is_not_json_is_still_its_status(
        self, http: Transport, router: respx.Router, status: int
    ) -> None:
        router.get("/a").mock(return_value=httpx.Response(status, content=b"<html>" * 100))
        error = await failing(http.get("/a"))
        assert error.status == status and error.detail == f"HTTP {status}"

    @pytest.mark.parametrize(("method", "effect"), [("GET", Effect.NONE), ("POST", Effect.UNKNOWN)])
    async def test_an_answer_without_end_is_left(
        self,
        http: Transport,
        router: respx.Router,
        monkeypatch: pytest.MonkeyPatch,
        method: str,
        effect: Effect,
    ) -> None:
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1
                yield b"x" * 1024

        monkeypatch.setattr(module, "MAX_BODY", 10_240)
        router.request(method, f"{BASE}/a").mock(return_value=httpx.Response(200, stream=Stream(endless())))
        error = await failing(http.request(method, "/a"))
        assert "larger than" in error.message and error.effect is effect
        assert sent <= 12

    async def test_a_bomb_is_measured_as_it_unfolds(
        self, http: Transport, router: respx.Router, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MAX_BODY", 1_000_000)
        bomb = gzip.compress(b" " * 20_000_000)
        answer = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Stream(_once(bomb)))
        router.get("/a").mock(return_value=answer)
        assert "larger than" in (await failing(http.get("/a"))).message

    async def test_an_answer_that_is_packed_wrongly_is_a_broken_connection(
        self, http: Transport, router: respx.Router
    ) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Stream(_once(b"no")))

        router.get("/a").mock(side_effect=answer)
        assert isinstance(await failing(http.get("/a")), ConnectionFailed)

    async def test_a_request_carries_its_parameters_body_and_headers(
        self, http: Transport, router: respx.Router
    ) -> None:
        route = router.post("/a").mock(return_value=OK)
        await http.request("POST", "/a", params={"p": "1"}, body={"b": [1]}, headers={"Cancel-After": "20m"})
        request = route.calls.last.request
        assert request.url.params["p"] == "1" and json.loads(request.content) == {"b": [1]}
        assert request.headers["Cancel-After"] == "20m"

    async def test_not_found_is_not_found(self, http: Transport, router: respx.Router) -> None:
        router.get("/a").mock(return_value=httpx.Response(404, json={"detail": "no such deployment"}))
        error = await failing(http.get("/a"))
        assert isinstance(error, NotFound) and error.detail == "no such deployment"

    async def test_a_server_s_date_decides_how_long_is_waited(
        self, http: Transport, router: respx.Router
    ) -> None:
        headers = {"Retry-After": "Tue, 01 Jan 2030 00:00:30 GMT", "Date": "Tue, 01 Jan 2030 00:00:00 GMT"}
        router.get("/a").mock(return_value=httpx.Response(429, headers=headers))
        error = await failing(http.get("/a"))
        assert isinstance(error, ResourceUnavailable) and error.retry_after == 30


class Stream(httpx.AsyncByteStream):
    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.chunks:
            yield chunk


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


class TestAddress:
    @pytest.mark.parametrize(
        "address", ["", "api.example", "ftp://api.example", "https://", "file:///x", "localhost:80"]
    )
    def test_what_is_no_address_is_refused(self, network: Network, address: str) -> None:
        with pytest.raises(ConfigurationInvalid):
            Transport(network, address, None, "Acme")

    @pytest.mark.parametrize("address", ["http://localhost:808000", "http://localhost:abc", "http://[::1"])
    def test_what_looks_like_one_is_refused_too(self, network: Network, address: str) -> None:
        with pytest.raises(ConfigurationInvalid):
            Transport(network, address, None, "Acme")

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("https://a.example", "https://A.example:443/x?y"),
            ("http://a.example:80/", "http://a.example"),
            ("https://user@a.example", "https://a.example"),
        ],
    )
    def test_two_spellings_of_one_origin_are_one(self, one: str, other: str) -> None:
        assert origin_of(one) == origin_of(other)

    @pytest.mark.parametrize(
        "other", ["http://a.example", "https://a.example:8443", "https://b.a.example", "https://a.example."]
    )
    def test_two_origins_are_two(self, other: str) -> None:
        assert origin_of("https://a.example") != origin_of(other)


class TestSurroundings:
    """What the environment may hold, on a network that makes its own client."""

    @pytest.fixture(autouse=True)
    def cheap(self, monkeypatch: pytest.MonkeyPatch) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: context)

    @pytest.mark.parametrize(
        "environ",
        [
            {"ALL_PROXY": "socks5://127.0.0.1:1080"},
            {"HTTPS_PROXY": "nonsense://127.0.0.1:1"},
            {"HTTPS_PROXY": "http://127.0.0.1:port"},
            {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "fd00::/8"},
            {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "[::1]"},
        ],
        ids=str,
    )
    async def test_a_proxy_that_cannot_be_used_is_told(
        self, monkeypatch: pytest.MonkeyPatch, clock: VirtualClock, environ: dict[str, str]
    ) -> None:
        # ALL_PROXY=socks5://… is what many have set.
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        network = Network(clock)
        error = await failing(Transport(network, "https://127.0.0.1:9", None, "Acme").get("/"))
        await network.close()
        assert "proxy" in f"{error.message} {error.hint} {error.detail}".lower()

    async def test_one_client_is_made_however_many_ask_at_once(self, clock: VirtualClock) -> None:
        network = Network(clock)
        clients = await asyncio.gather(*(network.client() for _ in range(5)))
        await network.close()
        assert len({id(client) for client in clients}) == 1

    async def test_a_closed_network_was_perhaps_never_open(self, clock: VirtualClock) -> None:
        await Network(clock).close()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class TestSockets:
    """The same on true connections, for httpx words its errors itself."""

    @pytest.fixture
    async def network(self, clock: VirtualClock) -> AsyncIterator[Network]:
        made = Network(clock)
        made._client = httpx.AsyncClient(timeout=TIMEOUT)
        yield made
        await made.close()

    async def at(self, network: Network, talk: Talk) -> tuple[asyncio.Server, Transport, list[bytes]]:
        heard: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            await talk(reader, writer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        return server, Transport(network, f"http://127.0.0.1:{port}", Secret(KEY), "Acme"), heard

    async def test_a_closed_port_did_nothing(self, network: Network) -> None:
        async def silent(*_: Any) -> None: ...

        server, http, heard = await self.at(network, silent)
        server.close()
        await server.wait_closed()
        error = await failing(http.request("POST", "/a", body={}))
        assert isinstance(error, ConnectionFailed) and error.effect is Effect.NONE and heard == []

    @pytest.mark.parametrize(
        ("method", "times", "effect"), [("POST", 1, Effect.UNKNOWN), ("GET", 3, Effect.NONE)]
    )
    async def test_a_connection_that_ends_without_an_answer(
        self, network: Network, method: str, times: int, effect: Effect
    ) -> None:
        async def hang_up(*_: Any) -> None: ...

        server, http, heard = await self.at(network, hang_up)
        error = await failing(http.request(method, "/a"))
        assert (error.effect, len(heard)) == (effect, times)
        server.close()

    async def test_an_answer_that_breaks_off_is_no_answer(self, network: Network) -> None:
        async def half(_: Any, writer: asyncio.StreamWriter) -> None:
            writer.write(b'HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"id": ')
            await writer.drain()

        server, http, heard = await self.at(network, half)
        error = await failing(http.request("POST", "/a", body={}))
        assert (error.effect, len(heard)) == (Effect.UNKNOWN, 1)
        server.close()

    @pytest.mark.parametrize(("method", "effect"), [("GET", Effect.NONE), ("POST", Effect.UNKNOWN)])
    async def test_one_that_drips_is_given_up_in_the_end(
        self, network: Network, monkeypatch: pytest.MonkeyPatch, method: str, effect: Effect
    ) -> None:
        monkeypatch.setattr(module, "TOTAL_SECONDS", 0.1)
        end = asyncio.Event()

        async def drip(_: Any, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not end.is_set():
                writer.write(b" ")
                await asyncio.sleep(0.01)

        server, http, _ = await self.at(network, drip)
        error = await failing(http.request(method, "/a"))
        assert isinstance(error, TimedOut) and error.effect is effect
        end.set()
        server.close()

    @pytest.mark.parametrize("key", ["s3cret\nlines", "s3cret\x00"])
    async def test_a_key_that_breaks_its_header_is_not_told(self, network: Network, key: str) -> None:
        # What h11 says of it quotes the whole header.
        async def silent(*_: Any) -> None: ...

        server, http, _ = await self.at(network, silent)
        error = await failing(Transport(network, http.base_url, Secret(key), "Hub").get("/a"))
        assert "s3cret" not in f"{error.message} {error.hint} {error.detail}"
        server.close()

    async def test_what_does_not_speak_http_is_a_broken_connection(self, network: Network) -> None:
        async def smtp(_: Any, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            await writer.drain()

        server, http, _ = await self.at(network, smtp)
        assert isinstance(await failing(http.get("/a")), ConnectionFailed)
        server.close()
