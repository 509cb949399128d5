"""Predictions: made, streamed from elsewhere, taken up again, counted afterwards, cancelled."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import Any

import pytest

from peft_tui.domain.errors import ConnectionFailed, PlatformFailed, TimedOut
from peft_tui.domain.inference import Dialect, InferenceTarget, PromptRequest, TextPiece, Usage
from peft_tui.drivers.dialects import replicate, speaker
from tests.doubles import PATIENCE_SECONDS
from tests.raw_server import HANG, RawServer, Reply, raw_server, sse, whole
from tests.spoken import KEY, Spoken, ask, channel, target

METRICS = {"predict_time": 1.5, "total_time": 4.0, "input_token_count": 7, "output_token_count": 2}
OUTPUT = "event: output\nid: 1:{n}\ndata: {text}\n\n"
DONE = "event: done\nid: 2:0\ndata: {}\n\n"


def prediction(server: RawServer, status: str, streams: str | None = "", **more: Any) -> dict[str, Any]:
    urls = {"get": f"{server.url}/v1/predictions/p1", "cancel": f"{server.url}/v1/predictions/p1/cancel"}
    if streams is not None:
        urls["stream"] = streams or f"{server.url}/stream/p1"
    return {"id": "p1", "model": "acme/llm", "status": status, "urls": urls, "output": None, **more}


def done(server: RawServer, **more: Any) -> Reply:
    facts = {"output": ["Hel", "lo"], "metrics": METRICS, **more}
    return whole(prediction(server, "succeeded", **facts))


def aim(server: RawServer, **facts: Any) -> InferenceTarget:
    return target(Dialect.REPLICATE, f"{server.url}/v1/deployments/acme/bot/predictions", **facts)


async def said(server: RawServer, *replies: Reply, request: PromptRequest | None = None) -> Spoken:
    server.replies[:] = replies
    return await ask(aim(server), request)


def output(*texts: str, start: int = 0) -> str:
    return "".join(OUTPUT.format(n=start + n, text=text) for n, text in enumerate(texts))


@pytest.mark.parametrize("status", [201, 202])
async def test_it_is_made_streamed_and_then_counted(status: int) -> None:
    async with raw_server(whole({})) as server:
        made = whole(prediction(server, "starting"), status)
        spoken = await said(server, made, sse(": hi\n\n", output("Hel", "lo"), DONE), done(server))
        assert spoken.text == "Hello"
        assert spoken.usage == Usage(7, 2)
        assert spoken.finished.reported == {"run": 1.5, "total": 4.0, "queue": 2.5}
        assert spoken.finished.remote_id == "p1"
        assert [f"{r.method} {r.path}" for r in server.received] == [
            "POST /v1/deployments/acme/bot/predictions",
            "GET /stream/p1",
            "GET /v1/predictions/p1",
        ]


async def test_lines_of_one_event_are_lines_of_text() -> None:
    async with raw_server(whole({})) as server:
        made = whole(prediction(server, "starting"), 201)
        lines = "event: output\nid: 1:0\ndata: one\ndata: \ndata: two\n\n"
        spoken = await said(server, made, sse(lines, DONE), done(server))
        assert spoken.text == "one\n\ntwo"


async def test_a_stream_that_breaks_is_taken_up_where_it_was() -> None:
    async with raw_server(whole({})) as server:
        made, running = whole(prediction(server, "starting"), 201), whole(prediction(server, "processing"))
        spoken = await said(
            server,
            made,
            sse(output("Hel")),
            running,
            sse(output("lo", start=1), DONE),
            done(server),
        )
        assert spoken.text == "Hello"
        streams = [r for r in server.received if r.path == "/stream/p1"]
        assert "last-event-id" not in streams[0].headers
        assert streams[1].headers["last-event-id"] == "1:0"
        assert sum(r.method == "POST" for r in server.received) == 1


async def test_a_silent_stream_ends_with_a_comment_and_is_taken_up_while_it_boots() -> None:
    async with raw_server(whole({})) as server:
        booting = whole(prediction(server, "starting"), 201)
        quiet = sse(": hi\n\n", ": 408 Request Timeout\n\n")
        boot = [part for _ in range(8) for part in (quiet, booting)]
        spoken = await said(server, booting, *boot, sse(output("Hello"), DONE), done(server))
        assert spoken.text == "Hello"
        assert spoken.waits == ["an instance is booting or busy"]


async def test_a_stream_that_ends_before_it_begins_leaves_the_output_to_be_read() -> None:
    async with raw_server(whole({})) as server:
        made = whole(prediction(server, "starting"), 201)
        spoken = await said(server, made, sse(": hi\n\n"), done(server))
        assert spoken.text == "Hello"
        assert not spoken.finished.streamed


async def test_without_a_stream_it_is_polled() -> None:
    async with raw_server(whole({})) as server:
        waiting = whole(prediction(server, "processing", None))
        made = whole(prediction(server, "starting", None), 202)
        spoken = await said(
            server, made, waiting, waiting, done(server), request=PromptRequest("Hi", stream=False)
        )
        assert spoken.text == "Hello"
        assert not spoken.finished.streamed
        assert server.received[0].headers["prefer"] == "wait=5"


async def test_it_is_bounded_where_it_runs() -> None:
    async with raw_server(whole({})) as server:
        await said(server, done(server))
        assert server.received[0].headers["cancel-after"] == "1800s"


@pytest.mark.parametrize(
    ("word", "kind"), [("failed", PlatformFailed), ("canceled", PlatformFailed), ("aborted", TimedOut)]
)
async def test_how_it_ended_is_not_how_the_stream_did(word: str, kind: Any) -> None:
    async with raw_server(whole({})) as server:
        made = whole(prediction(server, "starting"), 201)
        ending = sse(output("Hel"), 'event: error\nid: 3:0\ndata: {"detail": "boom"}\n\n')
        spoken = await said(server, made, ending, whole(prediction(server, word, error="E1001 boom")))
        assert isinstance(spoken.failure, kind)
        assert spoken.text == "Hel"
        assert sum(r.method == "POST" for r in server.received) == 1, "what has ended is not cancelled"


async def test_a_stream_is_read_without_the_key_unless_it_is_at_a_friend_s() -> None:
    async with raw_server(whole({})) as server, raw_server(sse(output("Hello"), DONE)) as streams:
        made = whole(prediction(server, "starting", f"{streams.url}/x"), 201)
        spoken = await said(server, made, done(server))
        assert spoken.text == "Hello"
        assert "authorization" not in streams.received[0].headers
        assert server.received[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "url", ["https://evil.example/x", "http://169.254.169.254/x", "file:///etc/passwd", "x"]
)
async def test_a_stream_elsewhere_is_not_read(url: str) -> None:
    async with raw_server(whole({})) as server:
        made = whole(prediction(server, "starting", url), 201)
        spoken = await said(server, made, whole({}))
        assert isinstance(spoken.failure, ConnectionFailed)


async def test_the_key_goes_to_the_friends_by_tls_only() -> None:
    async with raw_server(whole({})) as server, channel(aim(server, friends=("replicate.com",))) as c:
        assert c._auth("https://stream.replicate.com/x") == {"Authorization": f"Bearer {KEY}"}
        assert c._auth("https://replicate.com/x")
        for url in (
            "http://stream.replicate.com/x",
            "https://replicate.com.evil.example/x",
            "https://notreplicate.com/x",
        ):
            assert c._auth(url) == {}


@pytest.mark.parametrize("until", ["made", "text"])
async def test_who_stops_listening_cancels_the_prediction(until: str) -> None:
    async with raw_server(whole({})) as server:
        parts = [output("Hel"), HANG] if until == "text" else [HANG]
        server.replies[:] = [whole(prediction(server, "starting"), 201), sse(*parts), whole({})]
        goal = aim(server)
        async with channel(goal) as c:
            asked = speaker(goal.dialect).speak(c, goal, goal.model(), PromptRequest("Hi"))

            async def listen() -> None:
                async with aclosing(asked) as arriving:
                    async for event in arriving:
                        if until == "text" and isinstance(event, TextPiece):
                            return

            listening = asyncio.create_task(listen())
            while len(server.received) < 2:
                await asyncio.sleep(0.001)
            if until == "made":
                listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
            await asyncio.wait_for(server.hung_up.wait(), PATIENCE_SECONDS)
        last = server.received[-1]
        assert (last.method, last.path) == ("POST", "/v1/predictions/p1/cancel")


async def test_even_one_whose_answer_is_still_on_its_way_is_cancelled() -> None:
    async with raw_server(whole({})) as server:
        server.replies[:] = [whole(prediction(server, "starting"), 201), whole({})]
        goal = aim(server)
        async with channel(goal) as c:
            asked = speaker(goal.dialect).speak(c, goal, goal.model(), PromptRequest("Hi"))

            async def listen() -> None:
                async with aclosing(asked) as arriving:
                    async for _ in arriving:
                        pass

            listening = asyncio.create_task(listen())
            # It is being connected or sent: nobody has an id yet.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
        assert [r.path for r in server.received][-1] == "/v1/predictions/p1/cancel"


def test_only_inputs_that_the_version_knows_are_sent() -> None:
    request = PromptRequest("Hi", "Be kind.", 5, 0.5, 0.8, ("A", "B"), 3)
    goal = target(Dialect.REPLICATE, "http://here", inputs=frozenset({"prompt", "max_new_tokens", "seed"}))
    assert replicate.body(goal, goal.model(), request) == {
        "input": {"prompt": "Be kind.\n\nHi", "max_new_tokens": 5, "seed": 3}
    }
    unknown = target(Dialect.REPLICATE, "http://here")
    assert replicate.body(unknown, unknown.model(), request)["input"] == {
        "prompt": "Hi",
        "system_prompt": "Be kind.",
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.8,
        "stop_sequences": "A,B",
        "seed": 3,
    }
