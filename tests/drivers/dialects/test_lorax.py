"""LoRAX, its own routes and its OpenAI-shaped ones, at Predibase and elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from peft_tui.domain.errors import ConfigurationInvalid, ConnectionFailed, PlatformFailed, ResourceUnavailable
from peft_tui.domain.inference import Dialect, PromptRequest, Role, ServedModel, TextPiece, Usage
from peft_tui.drivers.dialects import lorax
from tests.raw_server import Reply, events, raw_server, sse, whole
from tests.spoken import Spoken, ask, target

DETAILS = {"finish_reason": "eos_token", "prompt_tokens": 7, "generated_tokens": 2, "seed": None}


def token(text: str, special: bool = False, **last: Any) -> dict[str, Any]:
    said = {"id": 1, "text": text, "logprob": -0.1, "special": special}
    return {"token": said, "generated_text": None, "details": None, **last}


async def said(
    *replies: Reply, request: PromptRequest | None = None, dialect: Dialect = Dialect.LORAX
) -> Spoken:
    async with raw_server(*replies) as server:
        return await ask(target(dialect, server.url), request)


WHOLE = PromptRequest("Hello", stream=False)


async def test_a_stream_ends_with_its_details_and_without_done() -> None:
    body = events(token("Hel"), token("lo"), token("</s>", True, generated_text="Hello", details=DETAILS))
    spoken = await said(sse(body.replace(b"data: ", b"data:")))
    assert [piece.text for piece in spoken.of(TextPiece)] == ["Hel", "lo"]
    assert spoken.usage == Usage(7, 2)
    assert spoken.finished.reason == "stop"


async def test_the_last_token_may_be_text_too() -> None:
    last = token("lo", generated_text="Hello", details={**DETAILS, "finish_reason": "stop_sequence"})
    spoken = await said(sse(events(token("Hel"), last)))
    assert spoken.text == "Hello"
    assert spoken.finished.reason == "stop sequence"


async def test_a_stream_that_ends_without_them_broke_off() -> None:
    spoken = await said(sse(events(token("Hel"))))
    assert isinstance(spoken.failure, ConnectionFailed)
    assert spoken.text == "Hel"


@pytest.mark.parametrize(
    ("word", "kind"), [("generation", PlatformFailed), ("overloaded", ResourceUnavailable)]
)
async def test_an_error_inside_a_200_stream_is_a_failure_of_its_kind(word: str, kind: Any) -> None:
    spoken = await said(sse(events(token("Hel"), {"error": "CUDA out of memory", "error_type": word})))
    assert isinstance(spoken.failure, kind)
    assert "CUDA out of memory" in spoken.failure.message
    assert spoken.failure.detail == word


@pytest.mark.parametrize("wrap", [lambda answer: answer, lambda answer: [answer]], ids=["object", "array"])
async def test_a_whole_answer_is_an_object_or_an_array_of_one(wrap: Any) -> None:
    spoken = await said(whole(wrap({"generated_text": "Hello", "details": DETAILS})), request=WHOLE)
    assert spoken.text == "Hello"
    assert spoken.usage == Usage(7, 2)
    assert not spoken.finished.streamed


async def test_counts_and_times_may_stand_in_the_headers() -> None:
    headers = {
        "x-prompt-tokens": "7",
        "x-generated-tokens": "2",
        "x-time-to-first-token": "120",
        "x-total-time": "500",
        "x-adapter-id": "bot/3",
    }
    spoken = await said(whole({"generated_text": "Hello"}, **headers), request=WHOLE)
    assert spoken.usage == Usage(7, 2)
    assert spoken.finished.reported == {"first_text": 0.12, "total": 0.5}
    assert spoken.finished.model == "bot/3"


@pytest.mark.parametrize("answer", [[], {}, {"generated_text": None}, "text", [3]])
async def test_another_shape_is_said_so(answer: Any) -> None:
    assert isinstance((await said(whole(answer), request=WHOLE)).failure, ConnectionFailed)


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (422, "validation", ConfigurationInvalid),
        (424, "generation", PlatformFailed),
        (429, "overloaded", ResourceUnavailable),
        (500, "incomplete_generation", PlatformFailed),
    ],
)
async def test_a_refusal_keeps_its_words(status: int, word: str, kind: Any) -> None:
    spoken = await said(whole({"error": "adapter does not fit", "error_type": word}, status))
    assert isinstance(spoken.failure, kind)
    assert "adapter does not fit" in f"{spoken.failure.message} {spoken.failure.detail}"


def body(request: PromptRequest, model: ServedModel) -> dict[str, Any]:
    aim = target(Dialect.LORAX, "http://here", extra={"adapter_source": "pbase"})
    return lorax.body(aim, model, request)


ADAPTER, BASE = ServedModel("bot/3", "bot"), ServedModel("", "base", Role.BASE)


def test_the_adapter_is_a_parameter_and_the_base_is_none() -> None:
    assert body(PromptRequest("Hi", "Be kind."), ADAPTER) == {
        "inputs": "Be kind.\n\nHi",
        "parameters": {
            "adapter_id": "bot/3",
            "adapter_source": "pbase",
            "max_new_tokens": 100,
            "details": True,
            "do_sample": True,
            "temperature": 0.7,
            "top_p": 0.9,
        },
    }
    assert body(PromptRequest("Hi"), BASE)["parameters"].keys() & {"adapter_id", "adapter_source"} == set()


def test_what_it_refuses_at_the_ends_of_the_ranges_is_not_sent() -> None:
    greedy = body(PromptRequest("Hi", temperature=0.0), ADAPTER)["parameters"]
    assert greedy.keys() & {"temperature", "top_p", "do_sample"} == set()
    assert "top_p" not in body(PromptRequest("Hi", top_p=1.0), ADAPTER)["parameters"]


async def test_one_address_streams_and_another_does_not() -> None:
    async with raw_server(whole({"generated_text": ""})) as server:
        for stream in (True, False):
            await ask(
                target(Dialect.LORAX, f"{server.url}/acme/llms/bot"), PromptRequest("Hi", stream=stream)
            )
        assert [r.path for r in server.received] == [
            "/acme/llms/bot/generate_stream",
            "/acme/llms/bot/generate",
        ]


async def test_its_openai_routes_call_a_stop_sequence_a_content_filter() -> None:
    null = {"id": "null", "object": "chat.completion.chunk", "created": 0, "model": "null"}
    chunks = [
        {**null, "choices": [{"index": 0, "delta": {"content": "Hel"}}]},
        {
            **null,
            "choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "content_filter"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 2},
        },
    ]
    spoken = await said(sse(events(*chunks, "[DONE]")), dialect=Dialect.LORAX_CHAT)
    assert spoken.text == "Hello"
    assert (spoken.finished.reason, spoken.finished.model) == ("stop sequence", "")
