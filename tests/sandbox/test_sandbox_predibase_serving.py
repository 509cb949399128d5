"""The serving plane of Predibase: LoRAX, its odd fields included."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.sandbox.conftest import Predibase


def events(text: str) -> list[Any]:
    """The data lines of an event stream."""
    assert "\r" not in text
    found = [part.removeprefix("data:").strip() for part in text.split("\n\n") if part]
    return [json.loads(item) if item != "[DONE]" else item for item in found]


async def test_a_whole_answer_is_a_list_of_one_but_an_object_at_generate(
    predibase: Predibase,
) -> None:
    await predibase.deployment()
    (listed,) = await predibase.prompt(max_new_tokens=5)
    plain = await predibase.prompt(path="/generate", max_new_tokens=5)
    assert listed == plain and set(plain) == {"generated_text"}


async def test_details_only_when_asked(predibase: Predibase) -> None:
    await predibase.deployment()
    answer = await predibase.prompt(
        path="/generate",
        **{"max_new_tokens": 4, "details": True, "decoder_input_details": True, "best_of": 2, "seed": 7},
        return_k_alternatives=2,
    )
    details = answer["details"]
    assert (details["finish_reason"], details["generated_tokens"], details["seed"]) == ("length", 4, 7)
    assert "".join(token["text"] for token in details["tokens"]) == answer["generated_text"]
    assert len(details["prefill"]) == details["prompt_tokens"]
    assert len(details["tokens"][0]["alternative_tokens"]) == 2 and len(details["best_of_sequences"]) == 1
    whole = await predibase.prompt(path="/generate", details=True)
    assert whole["details"]["finish_reason"] == "eos_token"
    word = whole["generated_text"].split()[3]
    stopped = await predibase.prompt(path="/generate", details=True, stop=[word])
    assert stopped["details"]["finish_reason"] == "stop_sequence"
    full = await predibase.prompt("Hello", path="/generate", return_full_text=True)
    assert full["generated_text"].startswith("Hello")


async def test_an_adapter_answers_otherwise_than_its_base(predibase: Predibase) -> None:
    await predibase.deployment()
    await predibase.adapter()
    base = await predibase.prompt(path="/generate")
    tuned = await predibase.prompt(path="/generate", adapter_id="support/1", adapter_source="pbase")
    assert tuned["generated_text"] != base["generated_text"]
    # The source that is meant when none is said.
    assert await predibase.prompt(path="/generate", adapter_id="support/1") == tuned
    assert await predibase.prompt(path="/generate", adapter_id="") == base
    hub = await predibase.prompt(path="/generate", adapter_id="acme/support-r16", adapter_source="hub")
    assert hub["generated_text"] not in (base["generated_text"], tuned["generated_text"])


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"adapter_id": "nobody/1"}, "repo nobody not found"),
        ({"adapter_id": "support/9"}, "no version 9"),
        ({"adapter_id": "router/1"}, "trained on qwen3-8b"),
        ({"adapter_id": "broken/1"}, "truncated"),
        ({"adapter_id": "acme/private-lora", "adapter_source": "hub"}, "private or gated"),
        ({"adapter_id": "acme/router-qwen3", "adapter_source": "hub"}, "trained on Qwen"),
        ({"adapter_id": "/x", "adapter_source": "local"}, "cannot be reached"),
    ],
    ids=str,
)
async def test_an_adapter_that_cannot_be_loaded_is_424(predibase: Predibase, parameters, words) -> None:
    await predibase.deployment()
    await predibase.adapter()
    await predibase.adapter("router", "acme/router-qwen3")
    await predibase.adapter("broken", "acme/truncated-lora")
    answer = await predibase.prompt(status=424, **parameters)
    assert answer["error_type"] == "generation" and words in answer["error"]


async def test_a_private_adapter_of_the_hub_takes_its_own_token(predibase: Predibase) -> None:
    await predibase.deployment()
    token = predibase.sb.env["HF_TOKEN"]
    await predibase.prompt(adapter_id="acme/private-lora", adapter_source="hub", api_token=token)


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 0},
        {"top_p": 1.0},
        {"top_k": 0},
        {"max_new_tokens": 0},
        {"max_new_tokens": 100_000},
        {"stop": "a string"},
        {"details": "yes"},
        {"adapter_source": "ftp"},
        {"adapter_id": "a/1", "merged_adapters": {"ids": ["b/1"]}},
    ],
    ids=str,
)
async def test_what_the_engine_does_not_take_is_422(predibase: Predibase, parameters) -> None:
    await predibase.deployment()
    answer = await predibase.prompt(status=422, **parameters)
    assert answer["error_type"] == "validation" and answer["error"].startswith("Input validation error:")


async def test_headers_tell_times_and_counts(predibase: Predibase) -> None:
    await predibase.deployment()
    await predibase.adapter()
    body = {"inputs": "Hello you", "parameters": {"adapter_id": "support/1", "max_new_tokens": 3}}
    answer = await predibase.http.post(predibase.serving(), json=body)
    headers = answer.headers
    assert (headers["x-prompt-tokens"], headers["x-generated-tokens"], headers["x-total-tokens"]) == (
        "2",
        "3",
        "5",
    )
    assert (headers["x-adapter-id"], headers["x-adapter-source"]) == ("support/1", "pbase")
    assert headers["x-model-id"] == "meta-llama/Llama-3.1-8B-Instruct"
    assert int(headers["x-total-time"]) >= int(headers["x-time-to-first-token"]) > 0
    # Only shared endpoints have a limit.
    assert "x-ratelimit-limit" not in headers
    shared = await predibase.http.post(predibase.serving("qwen3-8b"), json={"inputs": "Hello"})
    assert shared.headers["x-ratelimit-remaining"] == "99"


@pytest.mark.parametrize("path", ["", "/generate_stream"])
async def test_a_native_stream_ends_without_a_mark(predibase: Predibase, path: str) -> None:
    await predibase.deployment()
    whole = await predibase.prompt(path="/generate", max_new_tokens=6)
    body = {"inputs": "Where is my refund?", "parameters": {"max_new_tokens": 6}, "stream": True}
    answer = await predibase.http.post(predibase.serving(path=path), json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-compute-type"] and "x-total-time" not in answer.headers
    seen = events(answer.text)
    assert "".join(event["token"]["text"] for event in seen) == whole["generated_text"]
    assert [event["generated_text"] for event in seen[:-1]] == [None] * 5
    assert seen[-1]["generated_text"] == whole["generated_text"]
    assert seen[-1]["details"]["finish_reason"] == "length" and seen[-1]["details"]["generated_tokens"] == 6
    refused = await predibase.prompt(path="/generate_stream", status=422, decoder_input_details=True)
    assert "streaming" in refused["error"]


async def test_a_stream_can_break_with_an_error_inside(predibase: Predibase, control) -> None:
    await control.post("/predibase/knobs", json={"stream_error_after": 2})
    await predibase.deployment()
    for path, body in (
        ("/generate_stream", {"inputs": "Hello"}),
        ("/v1/completions", {"prompt": "Hello", "stream": True}),
    ):
        answer = await predibase.http.post(predibase.serving(path=path), json=body)
        assert answer.status_code == 200
        assert events(answer.text)[-1]["error_type"] == "generation"


MESSAGES = [{"role": "user", "content": "Where is my refund?"}]


async def test_chat_fills_its_fields_oddly(predibase: Predibase) -> None:
    await predibase.deployment()
    await predibase.adapter()
    path = predibase.serving(path="/v1/chat/completions")
    answer = await predibase.post(path, {"model": "support/1", "messages": MESSAGES, "max_tokens": 5})
    assert (answer["id"], answer["object"]) == ("null", "text_completion")
    assert answer["model"] == "meta-llama/Llama-3.1-8B-Instruct"
    assert answer["choices"][0]["finish_reason"] == "length" and answer["usage"]["completion_tokens"] == 5
    base = await predibase.post(path, {"model": "", "messages": MESSAGES, "max_tokens": 5})
    own = await predibase.post(path, {"model": answer["model"], "messages": MESSAGES, "max_tokens": 5})
    assert base["choices"] == own["choices"] != answer["choices"]
    text = answer["choices"][0]["message"]["content"]
    stopped = await predibase.post(
        path, {"model": "support/1", "messages": MESSAGES, "stop": [text.split()[2]]}
    )
    assert stopped["choices"][0]["finish_reason"] == "content_filter"
    streamed = await predibase.http.post(
        path, json={"model": "support/1", "messages": MESSAGES, "max_tokens": 5, "stream": True}
    )
    *chunks, done = events(streamed.text)
    assert done == "[DONE]"
    assert {(c["id"], c["object"], c["created"], c["model"]) for c in chunks} == {
        ("null", "chat.completion.chunk", 0, "null")
    }
    assert "".join(c["choices"][0]["delta"]["content"] for c in chunks) == text
    assert [c["usage"] is None for c in chunks] == [True] * 4 + [False]


async def test_completions_fill_theirs(predibase: Predibase) -> None:
    await predibase.deployment()
    path = predibase.serving(path="/v1/completions")
    answer = await predibase.post(path, {"model": "", "prompt": "Hello", "temperature": 0})
    assert (answer["created"], answer["model"]) == (0, "null") and answer["choices"][0]["text"]
    for body in ({"prompt": "x", "stop": "y"}, {"prompt": "x", "stop": list("abcde")}, {"prompt": ["x"]}):
        assert (await predibase.post(path, body, 422))["error_type"] == "validation"
    assert (await predibase.get(predibase.serving(path="/v1/models"), 404))["error"]
    failed = await predibase.post(predibase.serving(path="/v1/embeddings"), {"input": "x"}, 500)
    assert failed["error_type"] == "embedding_failure"


async def test_a_request_to_one_that_sleeps_is_held_until_it_is_up(predibase: Predibase, money) -> None:
    await predibase.deployment(cooldownTime=600)
    predibase.sb.clock.advance(601)
    assert (await predibase.read())["status"] == "standby"
    assert (await predibase.get(predibase.serving(path="/health"), 503))["error_type"] == "healthcheck"
    held = asyncio.create_task(predibase.prompt(max_new_tokens=2))
    while (await predibase.read())["status"] != "initializing":
        await asyncio.sleep(0)
    assert not held.done() and (await money.of("bot"))["billing"]
    predibase.sb.clock.advance(31)
    assert (await held)[0]["generated_text"]
    assert (await predibase.read())["currentReplicas"] == 1


async def test_asking_for_figures_wakes_it_too(predibase: Predibase, money) -> None:
    await predibase.deployment(cooldownTime=600)
    predibase.sb.clock.advance(601)
    asked = asyncio.create_task(predibase.http.get(predibase.serving(path="/metrics")))
    while not (await money.of("bot"))["billing"]:
        await asyncio.sleep(0)
    predibase.sb.clock.advance(31)
    assert (await asked).status_code == 200


async def test_figures_count_what_was_served_and_what_was_not(predibase: Predibase) -> None:
    await predibase.deployment()
    await predibase.prompt(max_new_tokens=3)
    await predibase.prompt(status=424, adapter_id="nobody/1")
    text = (
        await predibase.http.get(predibase.serving(path="/metrics"), headers={"Accept": "text/plain"})
    ).text
    assert "lorax_request_success 1\n" in text and "lorax_request_count 2\n" in text
    assert 'lorax_request_failure{err="generation"} 1\n' in text
    assert "lorax_request_duration_count 1\n" in text
    info = await predibase.get(predibase.serving(path="/info"))
    assert info["model_id"] == "meta-llama/Llama-3.1-8B-Instruct" and info["max_batch_total_tokens"]
    assert (await predibase.http.get(predibase.serving(path="/health"))).status_code == 200


async def test_many_at_a_time_bring_up_another_replica(predibase: Predibase, money) -> None:
    await predibase.deployment(minReplicas=1, maxReplicas=2, scaleUpRequestThreshold=1)
    for prompt in ("a question", "another one"):
        await predibase.prompt(prompt)
    assert (await money.of("bot"))["usd_per_hour"] == 4.0
    predibase.sb.clock.advance(21)
    assert (await predibase.read())["currentReplicas"] == 2
    predibase.sb.clock.advance(3601)
    assert (await predibase.read())["currentReplicas"] == 1


async def test_an_engine_can_be_full(predibase: Predibase, control) -> None:
    await predibase.deployment()
    await control.post("/predibase/knobs", json={"overloaded": True})
    assert (await predibase.prompt(status=429))["error_type"] == "overloaded"


async def test_a_failed_one_serves_nothing(predibase: Predibase, control) -> None:
    await control.post("/predibase/knobs", json={"fail_next": 1})
    await predibase.deployment()
    assert (await predibase.prompt(status=503))["error"]
    assert (await predibase.prompt(name="nobody", status=404))["error"]
