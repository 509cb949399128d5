"""A part of a file to a presigned address: counted as it goes, taken back when it is begun again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from peft_tui.credentials import Secret
from peft_tui.domain.errors import ConfigurationInvalid, ConnectionFailed, PeftTuiError
from peft_tui.drivers import transport as module
from peft_tui.drivers.network import Network
from peft_tui.drivers.transport import ATTEMPTS, Transport
from tests.doubles import VirtualClock

STORE = "https://store.example/part?X-Amz-Signature=abc"
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def router() -> respx.Router:
    return respx.Router(assert_all_called=False)


@pytest.fixture
async def http(router: respx.Router, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Transport]:
    monkeypatch.setattr(module, "CHUNK", 1000)
    network = Network(VirtualClock(leaps=True))
    network._client = httpx.AsyncClient(transport=httpx.MockTransport(router.async_handler))
    yield Transport(network, "http://127.0.0.1:8080", Secret("s3cret"), "Acme")
    await network.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(CONTENT)
    return path


class Meter:
    def __init__(self) -> None:
        self.steps: list[int] = []

    def __call__(self, size: int) -> None:
        self.steps.append(size)

    @property
    def shown(self) -> int:
        return sum(self.steps)


async def send(
    http: Transport, file: Path, url: str = STORE, meter: Meter | None = None, **headers: str
) -> Any:
    return await http.upload(url, file, 100, 2500, headers, meter or Meter())


async def test_the_part_and_nothing_else_of_the_file_is_sent(
    http: Transport, router: respx.Router, file: Path
) -> None:
    route = router.put(STORE).mock(return_value=httpx.Response(200, headers={"ETag": '"e1"'}))
    answer = await send(http, file, **{"x-meta": "1"})
    request = route.calls.last.request
    assert request.content == CONTENT[100:2600]
    assert (request.headers["Content-Length"], request.headers["x-meta"]) == ("2500", "1")
    assert "Transfer-Encoding" not in request.headers
    assert answer["etag"] == '"e1"'


async def test_our_key_stays_here(http: Transport, router: respx.Router, file: Path) -> None:
    route = router.put("http://127.0.0.1:8080/store").mock(return_value=httpx.Response(200))
    await send(http, file, "http://127.0.0.1:8080/store")
    assert "s3cret" not in str(route.calls.last.request.headers.raw)


async def test_progress_is_told_as_it_goes(http: Transport, router: respx.Router, file: Path) -> None:
    router.put(STORE).mock(return_value=httpx.Response(200))
    meter = Meter()
    await send(http, file, meter=meter)
    assert meter.steps == [1000, 1000, 500]


@pytest.mark.parametrize("answer", [503, 429, httpx.ReadError("r"), httpx.WriteTimeout("t")], ids=repr)
async def test_progress_goes_back_when_the_part_is_begun_again(
    http: Transport, router: respx.Router, file: Path, answer: Any
) -> None:
    answers = [answer, answer, httpx.Response(200)]

    async def respond(request: httpx.Request) -> httpx.Response:
        await request.aread()
        said = answers.pop(0)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, httpx.Response) else httpx.Response(said)

    router.put(STORE).mock(side_effect=respond)
    meter = Meter()
    await send(http, file, meter=meter)
    assert meter.shown == 2500 and meter.steps.count(-2500) == 2


async def test_progress_is_nothing_after_the_last_failure(
    http: Transport, router: respx.Router, file: Path
) -> None:
    route = router.put(STORE).mock(return_value=httpx.Response(503))
    meter = Meter()
    with pytest.raises(PeftTuiError) as caught:
        await send(http, file, meter=meter)
    assert (meter.shown, route.call_count) == (0, ATTEMPTS) and caught.value.transient


@pytest.mark.parametrize("status", [301, 302, 307, 400, 403, 404])
async def test_a_refusal_is_final_and_no_redirect_is_followed(
    http: Transport, router: respx.Router, file: Path, status: int
) -> None:
    route = router.put(STORE).mock(
        return_value=httpx.Response(status, headers={"Location": "https://evil.example/x"})
    )
    with pytest.raises(PeftTuiError) as caught:
        await send(http, file)
    assert (route.call_count, caught.value.status) == (1, status)


@pytest.mark.parametrize(
    "url",
    [
        "http://store.example/x",
        "ftp://store.example/x",
        "file:///tmp/x",
        "http://127.0.0.2/x",
        "//store/x",
        "",
    ],
)
async def test_nothing_goes_to_a_foreign_host_without_tls(
    http: Transport, router: respx.Router, file: Path, url: str
) -> None:
    everything = router.route().mock(return_value=httpx.Response(200))
    with pytest.raises(ConnectionFailed, match="without TLS"):
        await send(http, file, url)
    assert everything.call_count == 0


@pytest.mark.parametrize(
    "url", ["https://[::1/x", "https://store.example:port/x", "https://sto re.example/x\x00"]
)
async def test_what_is_no_address_is_an_error_of_ours(http: Transport, file: Path, url: str) -> None:
    with pytest.raises(PeftTuiError):
        await send(http, file, url)


async def test_a_file_that_has_gone_is_told_and_not_tried_again(
    http: Transport, router: respx.Router, file: Path
) -> None:
    route = router.put(STORE).mock(return_value=httpx.Response(200))
    file.unlink()
    with pytest.raises(ConfigurationInvalid, match="cannot be read"):
        await send(http, file)
    assert route.call_count <= 1


async def test_the_store_s_words_are_read_up_to_a_limit(
    http: Transport, router: respx.Router, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BODY", 10_000)
    sent = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal sent
            while sent < 1_000_000:
                sent += 1000
                yield b"x" * 1000

    router.put(STORE).mock(return_value=httpx.Response(200, stream=Endless()))
    try:
        await send(http, file)
    except PeftTuiError:
        pass
    assert sent <= 20_000
