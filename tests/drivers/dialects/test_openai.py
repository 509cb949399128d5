"""chat/completions as servers really speak it."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import aclosing
from typing import Any

import pytest

from peft_tui.credentials import Credentials, Secret
from peft_tui.domain.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    NotFound,
    PlatformFailed,
    ResourceUnavailable,
    TimedOut,
)
from peft_tui.domain.inference import Answered, AuthHeader, Dialect, PromptRequest, TextPiece, Usage
from peft_tui.drivers import answers
from peft_tui.drivers.answers import Limits
from peft_tui.drivers.dialects import openai, speaker
from peft_tui.drivers.network import Network
from peft_tui.drivers.streaming import Channel
from tests.doubles import PATIENCE_SECONDS, VirtualClock
from tests.raw_server import HANG, Reply, events, raw_server, sse, whole
from tests.spoken import KEY, Spoken, ask, channel, target

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
COUNTED = Usage(9, 2)


def chunk(text: str | None = None, end: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {"model": "acme/bot", "choices": [{"index": 0, "delta": delta, "finish_reason": end}], **more}


async def said(*replies: Reply, request: PromptRequest | None = None, **facts: Any) -> Spoken:
    limits = facts.pop("limits", None)
    async with raw_server(*replies) as server:
        return await ask(target(Dialect.OPENAI_CHAT, f"{server.url}/v1", **facts), request, limits)


async def streamed(*data: Any, end: str = "\n\n") -> Spoken:
    return await said(sse(events(*data, end=end)))


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk("Hel", usage=USAGE), chunk("lo", "stop")],
        [chunk("Hel"), chunk("lo", "stop", usage=USAGE)],
        [chunk("Hel"), chunk("lo", "stop"), {"choices": [], "usage": USAGE}],
        [chunk("Hel"), chunk("lo", "stop"), {"choices": None, "usage": USAGE}],
        [chunk("Hel", usage={**USAGE, "completion_tokens": 1}), chunk("lo", "stop", usage=USAGE)],
        [chunk("Hel", usage=None), chunk("lo", "stop", usage=USAGE), chunk(usage=None)],
    ],
    ids=["first", "last", "alone", "alone with null", "in each", "followed by null"],
)
async def test_usage_is_read_wherever_it_stands(chunks: list[Any]) -> None:
    spoken = await streamed(*chunks, "[DONE]")
    assert spoken.text == "Hello"
    assert spoken.usage == COUNTED
    assert spoken.finished.reason == "stop"


async def test_without_usage_the_counts_are_not_known() -> None:
    spoken = await streamed(chunk("Hello", "stop"), "[DONE]")
    assert spoken.usage is None


async def test_cached_tokens_are_told_in_either_spelling() -> None:
    detailed = {**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}
    assert (await streamed(chunk("a", "stop", usage=detailed))).usage == Usage(9, 2, 4)
    assert (await streamed(chunk("a", "stop", usage={**USAGE, "cached_tokens": 3}))).usage == Usage(9, 2, 3)


@pytest.mark.parametrize("error", [{"message": "out of memory", "type": "server_error"}, "out of memory"])
async def test_an_error_inside_a_200_stream_is_a_failure(error: Any) -> None:
    spoken = await streamed(chunk("Hel"), {"error": error}, chunk("lo", "stop"), "[DONE]")
    assert isinstance(spoken.failure, PlatformFailed)
    assert "out of memory" in spoken.failure.message
    assert spoken.failure.status == 200
    assert spoken.text == "Hel"


async def test_an_empty_role_delta_is_no_text() -> None:
    first = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    null = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]}
    spoken = await streamed(first, null, chunk("Hello"), chunk(None, "stop"), "[DONE]")
    assert [piece.text for piece in spoken.of(TextPiece)] == ["Hello"]


async def test_no_done_is_needed_where_a_reason_was_given() -> None:
    spoken = await streamed(chunk("Hello"), chunk(None, "length"))
    assert spoken.finished.reason == "length"


async def test_done_is_enough_where_no_reason_was_given() -> None:
    assert (await streamed(chunk("Hello"), "[DONE]")).finished.reason == ""


async def test_neither_is_an_answer_that_broke_off() -> None:
    spoken = await streamed(chunk("Hel"))
    assert isinstance(spoken.failure, ConnectionFailed)
    assert "broke off" in spoken.failure.message
    assert spoken.text == "Hel"


async def test_nothing_after_done_counts() -> None:
    spoken = await streamed(chunk("Hello", "stop"), "[DONE]", chunk(" more"))
    assert spoken.text == "Hello"


async def test_comments_and_crlf_and_a_missing_last_line_end_are_all_one() -> None:
    body = (
        b": ping\r\n\r\n"
        + events(chunk("Hel"), end="\r\n\r\n")
        + b": ping\r\n"
        + events(chunk("lo", "stop"), end="")
    )
    assert (await said(sse(body))).text == "Hello"


async def test_a_character_split_between_two_reads_is_one_character() -> None:
    body = events(chunk("Grüße 🐭", "stop"), "[DONE]")
    at = body.index("🐭".encode()) + 2
    assert (await said(sse(body[:at], body[at:]))).text == "Grüße 🐭"


async def test_a_chunk_of_several_tokens_is_one_piece_and_not_a_token() -> None:
    spoken = await streamed(chunk("one two three four", "stop", usage={**USAGE, "completion_tokens": 4}))
    assert len(spoken.of(TextPiece)) == 1
    assert spoken.usage == Usage(9, 4)


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
async def test_thoughts_are_not_the_answer(key: str) -> None:
    thought = {"choices": [{"index": 0, "delta": {"role": "assistant", key: "hm"}}]}
    spoken = await streamed(thought, chunk("Hello", "stop"), "[DONE]")
    assert (spoken.thoughts, spoken.text) == ("hm", "Hello")


async def test_only_the_first_alternative_is_shown() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": None}]}
    assert (await streamed(chunk("Hello"), other, chunk(None, "stop"))).text == "Hello"


@pytest.mark.parametrize("odd", [[], 7, None, {"choices": [None, 3]}, {"choices": {"a": 1}}])
async def test_what_makes_no_sense_is_passed_over(odd: Any) -> None:
    assert (await streamed(chunk("Hel"), odd, chunk("lo", "stop"))).text == "Hello"


async def test_what_is_no_json_ends_it_and_what_came_stays() -> None:
    spoken = await said(sse(events(chunk("Hel")), b'data: {"choi'))
    assert isinstance(spoken.failure, ConnectionFailed)
    assert spoken.text == "Hel"


async def test_a_connection_that_is_cut_is_told_from_one_that_is_done() -> None:
    body = events(chunk("Hel"))
    cut = Reply([body], headers={"Content-Type": "text/event-stream"}, length=len(body) + 100)
    spoken = await said(cut)
    assert isinstance(spoken.failure, ConnectionFailed)
    assert "billed" in spoken.failure.hint
    assert spoken.text == "Hel"


async def test_silence_in_the_middle_ends_at_the_limit_and_closes_the_connection() -> None:
    async with raw_server(sse(events(chunk("Hel")), HANG)) as server:
        aim = target(Dialect.OPENAI_CHAT, f"{server.url}/v1")
        spoken = await ask(aim, limits=Limits(idle_seconds=0.05))
        assert isinstance(spoken.failure, TimedOut)
        assert spoken.text == "Hel"
        await asyncio.wait_for(server.hung_up.wait(), PATIENCE_SECONDS)


async def test_silence_from_the_beginning_ends_at_its_own_limit() -> None:
    spoken = await said(sse(HANG), limits=Limits(first_seconds=0.05))
    assert isinstance(spoken.failure, TimedOut)


async def test_an_answer_in_one_piece_is_taken_although_a_stream_was_asked_for() -> None:
    answer = {
        "model": "acme/bot",
        "choices": [{"message": {"content": "Hello"}, "finish_reason": "eos"}],
        "usage": USAGE,
    }
    spoken = await said(whole(answer))
    assert spoken.text == "Hello"
    assert spoken.usage == COUNTED
    assert spoken.finished.reason == "stop"
    assert not spoken.finished.streamed
    assert json.loads(spoken.finished.raw) == answer


async def test_text_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}, None]
    answer = {"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}
    assert (await said(whole(answer))).text == "Hello"


@pytest.mark.parametrize("answer", [{}, {"choices": []}, [], "text", None, {"choices": [7]}])
async def test_another_shape_is_said_so(answer: Any) -> None:
    assert isinstance((await said(whole(answer))).failure, ConnectionFailed)


async def test_a_web_page_is_said_so() -> None:
    page = Reply([b"<html>Sign in</html>"], headers={"Content-Type": "text/html"})
    assert "web page" in (await said(page)).failure.message


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (whole({"error": {"message": "no such model", "code": "model_not_available"}}, 404), NotFound),
        (whole({"error": "Unauthorized"}, 401), AuthenticationFailed),
        (whole({"error": {"message": "slow down"}}, 429), ResourceUnavailable),
        (whole({"error": {"message": "No ready replicas"}}, 503), PlatformFailed),
        (Reply([b"modal-http: app for invoked web endpoint is stopped"], 404), NotFound),
        (whole({"error": {"message": "balance"}}, 402), ResourceUnavailable),
    ],
)
async def test_a_refusal_keeps_the_platform_s_words_and_is_never_sent_again(reply: Reply, kind: Any) -> None:
    async with raw_server(reply) as server:
        spoken = await ask(target(Dialect.OPENAI_CHAT, f"{server.url}/v1"))
        assert isinstance(spoken.failure, kind)
        assert spoken.failure.status == reply.status
        assert "again by itself" not in spoken.failure.hint
        assert len(server.received) == 1


async def test_plain_words_of_a_gateway_are_shown() -> None:
    spoken = await said(Reply([b"modal-http: app for invoked web endpoint is stopped"], 404))
    assert "app for invoked web endpoint is stopped" in spoken.failure.message


async def test_a_lost_answer_is_not_asked_for_again() -> None:
    async with raw_server(Reply([], headers={"X": "1"}, length=5)) as server:
        spoken = await ask(target(Dialect.OPENAI_CHAT, f"{server.url}/v1"))
        assert isinstance(spoken.failure, ConnectionFailed)
        assert len(server.received) == 1


async def test_each_header_gets_its_own_secret() -> None:
    pair = (AuthHeader("Modal-Key", "ACME_ID"), AuthHeader("Modal-Secret", "ACME_SECRET"))
    async with raw_server(sse(events(chunk("a", "stop")))) as server:
        await ask(target(Dialect.OPENAI_CHAT, f"{server.url}/v1", auth=pair))
        headers = server.received[0].headers
    assert (headers["modal-key"], headers["modal-secret"]) == ("wk-1", "ws-2")
    assert "authorization" not in headers


async def test_a_redirect_of_the_question_is_not_followed() -> None:
    async with (
        raw_server(whole({})) as other,
        raw_server(Reply([], 307, {"Location": other.url}, 0)) as server,
    ):
        spoken = await ask(target(Dialect.OPENAI_CHAT, f"{server.url}/v1"))
        assert isinstance(spoken.failure, ConnectionFailed)
        assert other.received == []


async def test_a_303_hands_out_the_result_by_get_without_the_body() -> None:
    async with raw_server(Reply([], 500)) as server:
        server.replies.clear()
        first = Reply(
            [], 303, {"Location": f"{server.url}/v1/chat/completions?__modal_function_call_id=fc-1"}, 0
        )
        again = Reply([], 303, {"Location": "/v1/chat/completions?__modal_function_call_id=fc-1"}, 0)
        server.replies += [first, again, sse(events(chunk("Hello", "stop")))]
        spoken = await ask(target(Dialect.OPENAI_CHAT, f"{server.url}/v1", result_redirects=True))
        assert spoken.text == "Hello"
        posted, *got = server.received
        assert [r.method for r in server.received] == ["POST", "GET", "GET"]
        assert all(r.body == b"" and r.path.endswith("fc-1") for r in got)
        assert all(r.headers["authorization"] == f"Bearer {KEY}" for r in server.received)


async def test_a_303_to_somebody_else_is_not_followed() -> None:
    async with raw_server(whole({})) as other:
        reply = Reply([], 303, {"Location": other.url}, 0)
        spoken = await said(reply, result_redirects=True)
        assert isinstance(spoken.failure, ConnectionFailed)
        assert other.received == []


async def test_an_endpoint_that_is_asleep_is_woken_and_asked_again() -> None:
    asleep, up = Reply([], 503, {}, 0), whole({})
    async with raw_server(asleep, asleep, asleep, up, sse(events(chunk("Hello", "stop")))) as server:
        aim = target(Dialect.OPENAI_CHAT, f"{server.url}/v1", wake_url=f"{server.url}/health")
        spoken = await ask(aim)
        assert spoken.text == "Hello"
        assert spoken.waits == ["an instance is booting"]
        assert [r.method for r in server.received] == ["POST", "GET", "GET", "GET", "POST"]
    sent, first = spoken.events[0], spoken.of(TextPiece)[0]
    assert first.at - sent.at >= 6, "the wait belongs to the time until the first text"


async def test_one_that_never_wakes_is_given_up() -> None:
    async with raw_server(Reply([], 503, {}, 0)) as server:
        aim = target(Dialect.OPENAI_CHAT, f"{server.url}/v1", wake_url=f"{server.url}/health")
        spoken = await ask(aim, limits=Limits(first_seconds=30))
        assert isinstance(spoken.failure, TimedOut)
        assert sum(r.method == "POST" for r in server.received) == 1


async def test_without_such_a_protocol_a_503_is_a_refusal() -> None:
    async with raw_server(Reply([], 503, {}, 0)) as server:
        await ask(target(Dialect.OPENAI_CHAT, f"{server.url}/v1"))
        assert len(server.received) == 1


async def test_who_stops_listening_hangs_up() -> None:
    async with raw_server(sse(events(chunk("Hel")), HANG)) as server:
        aim = target(Dialect.OPENAI_CHAT, f"{server.url}/v1")
        async with channel(aim) as open_channel:
            asked = speaker(aim.dialect).speak(open_channel, aim, aim.model(), PromptRequest("Hello"))
            async with aclosing(asked) as arriving:
                async for event in arriving:
                    if isinstance(event, TextPiece):
                        break
            await asyncio.wait_for(server.hung_up.wait(), PATIENCE_SECONDS)


@pytest.mark.parametrize("when", ["before the head", "in the middle"])
async def test_a_cancelled_task_hangs_up(when: str) -> None:
    hanging = sse(events(chunk("Hel")), HANG)
    async with raw_server(hanging) as server:
        aim = target(Dialect.OPENAI_CHAT, f"{server.url}/v1")
        asking = asyncio.create_task(ask(aim))
        await asyncio.wait_for(server.answering.wait(), PATIENCE_SECONDS)
        if when == "in the middle":
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(server.hung_up.wait(), PATIENCE_SECONDS)


def test_the_body_says_what_was_asked_for_and_nothing_else() -> None:
    aim = target(Dialect.OPENAI_CHAT, "https://acme.example/v1")
    assert openai.body(aim, aim.model(), PromptRequest("Hello")) == {
        "model": "acme/bot",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 100,
        "temperature": 0.7,
        "top_p": 0.9,
        "stream": True,
    }
    full = PromptRequest("Hello", "Be kind.", 5, 0.0, 1.0, ("END",), 7, stream=False)
    counted = target(Dialect.OPENAI_CHAT, "https://acme.example/v1", stream_usage=True, extra={"top_k": 1})
    assert openai.body(counted, counted.model(), full) == {
        "model": "acme/bot",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}],
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 1.0,
        "stop": ["END"],
        "seed": 7,
        "top_k": 1,
    }
    assert openai.body(counted, counted.model(), PromptRequest("Hello"))["stream_options"] == {
        "include_usage": True
    }


async def test_a_long_stream_is_kept_by_its_beginning_and_its_end() -> None:
    many = [chunk(str(number)) for number in range(500)]
    spoken = await streamed(*many, chunk(None, "stop"), "[DONE]")
    lines = spoken.finished.raw.split("\n")
    assert len(lines) < 50 and "more" in lines[20]
    assert lines[0] == json.dumps(many[0]) and lines[-1] == "[DONE]"


async def test_a_secret_may_be_one_part_of_what_is_kept() -> None:
    credentials = Credentials({})
    await credentials.vault.put("acme/pair", Secret("wk-7.ws-8"))
    pair = (
        AuthHeader("Modal-Key", "NOT_SET", kept_as="acme/pair", part=0),
        AuthHeader("Modal-Secret", "NOT_SET", kept_as="acme/pair", part=1),
    )
    goal = target(Dialect.OPENAI_CHAT, "http://127.0.0.1:9/v1", auth=pair)
    open_channel = await Channel.connect(Network(VirtualClock()), credentials, goal, "Acme")
    assert open_channel._auth(goal.url) == {"Modal-Key": "wk-7", "Modal-Secret": "ws-8"}


async def test_without_its_secret_nothing_is_sent() -> None:
    goal = target(Dialect.OPENAI_CHAT, "http://127.0.0.1:9/v1", auth=(AuthHeader("X", "NOT_SET"),))
    with pytest.raises(AuthenticationFailed):
        await Channel.connect(Network(VirtualClock()), Credentials({}), goal, "Acme")


async def test_the_connection_is_used_again_after_an_answer() -> None:
    """Otherwise every request would pay for TLS, and its first text would be later than it is."""
    body = events(chunk("Hello", "stop"), "[DONE]")
    framed = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: (\d+)", head.lower())
            await reader.readexactly(int(length[1]) if length else 0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
            writer.write(b"Transfer-Encoding: chunked\r\n\r\n" + framed)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    aim = target(Dialect.OPENAI_CHAT, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    async with channel(aim) as open_channel:
        connects = []
        for _ in range(3):
            asked = speaker(aim.dialect).speak(open_channel, aim, aim.model(), PromptRequest("Hello"))
            connects += [e.connect_seconds async for e in asked if isinstance(e, Answered)]
    server.close()
    assert len(connections) == 1
    assert [seconds is None for seconds in connects] == [False, True, True]


async def test_a_server_that_keeps_talking_after_the_end_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "FINISH_SECONDS", 0.01)
    async with raw_server(sse(events(chunk("Hello", "stop"), "[DONE]"), HANG)) as server:
        spoken = await ask(target(Dialect.OPENAI_CHAT, f"{server.url}/v1"))
        assert spoken.finished.reason == "stop"
        await asyncio.wait_for(server.hung_up.wait(), PATIENCE_SECONDS)
