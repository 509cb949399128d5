"""The connections for inference: whom they go through, how long they took, what is told when they break."""

from __future__ import annotations

import asyncio
import base64

import pytest

from peft_tui.credentials import Secret
from peft_tui.domain.errors import ConfigurationInvalid, ConnectionFailed, Effect
from peft_tui.domain.inference import Answered, Dialect, PromptRequest
from peft_tui.drivers.network import Network
from peft_tui.drivers.streaming import Channel
from tests.doubles import VirtualClock
from tests.raw_server import raw_server, whole
from tests.spoken import ask, channel, target

ANSWER = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
WHOLE = PromptRequest("Hello", stream=False)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
async def test_it_goes_through_the_proxy_of_the_environment_with_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with raw_server(whole(ANSWER)) as proxy:
        monkeypatch.setenv(name, proxy.url.replace("://", "://us%40r:pass@"))
        spoken = await ask(target(Dialect.OPENAI_CHAT, "http://models.example/v1"), WHOLE)
    assert spoken.text == "Hello"
    (received,) = proxy.received
    assert received.path == "http://models.example/v1/chat/completions"
    said = base64.b64encode(b"us@r:pass").decode()
    assert received.headers["proxy-authorization"] == f"Basic {said}"


async def test_not_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(whole(ANSWER)) as server:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        spoken = await ask(target(Dialect.OPENAI_CHAT, f"{server.url}/v1"), WHOLE)
    assert spoken.text == "Hello"


async def test_a_proxy_that_does_not_answer_is_a_connection_that_was_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    spoken = await ask(target(Dialect.OPENAI_CHAT, "http://models.example/v1"), WHOLE)
    assert isinstance(spoken.failure, ConnectionFailed)
    assert spoken.failure.effect is Effect.NONE


async def test_a_proxy_of_a_kind_that_cannot_be_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    network = Network(VirtualClock())
    with pytest.raises(ConfigurationInvalid, match="proxy"):
        await network.pool()
    await network.close()


async def test_a_closed_port_did_nothing() -> None:
    spoken = await ask(target(Dialect.OPENAI_CHAT, "http://127.0.0.1:9/v1"), WHOLE)
    assert isinstance(spoken.failure, ConnectionFailed)
    assert "refuses the connection" in spoken.failure.message
    assert spoken.failure.effect is Effect.NONE


async def test_what_does_not_speak_http_is_a_broken_connection() -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        spoken = await ask(target(Dialect.OPENAI_CHAT, f"http://127.0.0.1:{port}/v1"), WHOLE)
    assert isinstance(spoken.failure, ConnectionFailed)
    assert spoken.failure.effect is Effect.UNKNOWN


async def test_how_long_it_took_to_connect_is_known_of_a_fresh_connection() -> None:
    async with raw_server(whole(ANSWER)) as server:
        spoken = await ask(target(Dialect.OPENAI_CHAT, f"{server.url}/v1"), WHOLE)
    (answered,) = spoken.of(Answered)
    assert answered.connect_seconds is not None and 0 <= answered.connect_seconds < 5


@pytest.mark.parametrize("size", [10, 900_000])
async def test_a_prompt_arrives_as_it_is_however_long(size: int) -> None:
    prompt = "Grüße " + "x" * size
    async with raw_server(whole(ANSWER)) as server:
        spoken = await ask(
            target(Dialect.OPENAI_CHAT, f"{server.url}/v1"), PromptRequest(prompt, stream=False)
        )
    assert spoken.text == "Hello"
    assert server.received[0].json["messages"][0]["content"] == prompt
    assert server.received[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("prompt", ["\ud800"])
async def test_what_cannot_be_written_is_not_sent(prompt: str) -> None:
    async with raw_server(whole(ANSWER)) as server:
        spoken = await ask(target(Dialect.OPENAI_CHAT, f"{server.url}/v1"), PromptRequest(prompt))
    assert isinstance(spoken.failure, ConfigurationInvalid) and server.received == []


@pytest.mark.parametrize("key", ["s3cret\r\nX-Evil: 1", "s3cret\0", "schlüssel"])
async def test_a_key_that_breaks_its_header_is_neither_sent_nor_told(key: str) -> None:
    """As one from a vault may: those of the environment are looked at before."""
    async with raw_server(whole(ANSWER)) as server, channel(target(Dialect.OPENAI_CHAT, server.url)) as usual:
        secrets = {"Authorization": ("Bearer", Secret(key))}
        broken = Channel(usual._network, usual._pool, secrets, usual.target, "Acme")
        with pytest.raises(ConfigurationInvalid) as caught:
            await broken.open("POST", server.url, {}, {})
    assert server.received == []
    assert key[:6] not in f"{caught.value.message} {caught.value.hint} {caught.value.detail}"


async def test_the_library_is_loaded_before_the_time_is_taken() -> None:
    """Its import would count as the platform's otherwise."""
    async with channel(target(Dialect.OPENAI_CHAT, "http://127.0.0.1:9/v1")) as opened:
        assert opened._pool is await opened._network.pool()
