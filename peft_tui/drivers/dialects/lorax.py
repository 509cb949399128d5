"""LoRAX's own routes, at Predibase and on servers of one's own.

`POST …/generate` answers with an object, some servers with an array of one; `POST …/generate_stream` with
events that end without `[DONE]`, the last of them holding `generated_text` and `details`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from peft_tui.domain.inference import (
    Answered,
    Finished,
    InferenceTarget,
    PromptRequest,
    Sent,
    ServedModel,
    StreamEvent,
    TextPiece,
    Usage,
    Waiting,
)
from peft_tui.drivers.dialects import parts
from peft_tui.drivers.dialects.sse import framed

if TYPE_CHECKING:
    from peft_tui.drivers.answers import Answer
    from peft_tui.drivers.streaming import Channel


def path(target: InferenceTarget, request: PromptRequest) -> str:
    return f"{target.url.rstrip('/')}/{'generate_stream' if request.stream else 'generate'}"


def body(target: InferenceTarget, model: ServedModel, request: PromptRequest) -> dict[str, Any]:
    """`extra` is for `adapter_source` and the like. There are no roles: a system message goes before."""
    parameters: dict[str, Any] = {"max_new_tokens": request.max_tokens, "details": True}
    if model.name:
        parameters |= {"adapter_id": model.name, **target.extra}
    # Temperature and top-p are refused at their ends, where they mean "greedy" and "all".
    if request.temperature > 0:
        parameters |= {"do_sample": True, "temperature": request.temperature}
        if 0 < request.top_p < 1:
            parameters["top_p"] = request.top_p
    if request.stop:
        parameters["stop"] = list(request.stop)
    if request.seed is not None:
        parameters["seed"] = request.seed
    inputs = f"{request.system}\n\n{request.prompt}" if request.system else request.prompt
    return {"inputs": inputs, "parameters": parameters}


async def speak(
    channel: Channel, target: InferenceTarget, model: ServedModel, request: PromptRequest
) -> AsyncGenerator[StreamEvent, None]:
    yield Sent(channel.now())
    async with channel.ask(path(target, request), body(target, model, request)) as asked:
        async for words in asked.waits():
            yield Waiting(words, channel.now())
        answer = asked.answer
        yield Answered(answer.at, answer.status, answer.connect_seconds)
        if answer.is_event_stream:
            async with aclosing(_stream(channel, answer)) as events:
                async for event in events:
                    yield event
        else:
            for event in _whole(channel, answer, await answer.json()):
                yield event


async def _stream(channel: Channel, answer: Answer) -> AsyncGenerator[StreamEvent, None]:
    record = parts.Record()
    last: dict[str, Any] | None = None
    async with aclosing(framed(answer.chunks())) as arriving:
        async for event, at in arriving:
            if not event.data or event.data.strip() == "[DONE]":
                continue
            record.add(event.data)
            data = parts.parse(event.data, channel.title)
            if (error := parts.failure(data, channel.title, answer.status)) is not None:
                raise error
            if not isinstance(data, dict):
                continue
            token = data.get("token")
            # Special tokens, such as the end of the text, are none of the answer.
            if isinstance(token, dict) and not token.get("special"):
                if isinstance(text := token.get("text"), str) and text:
                    yield TextPiece(text, at)
            if data.get("generated_text") is not None or isinstance(data.get("details"), dict):
                last = data
    if last is None:
        raise parts.broken_off(channel.title)
    details = _details(last)
    if (counts := _usage(details)) is not None:
        yield counts
    yield Finished(
        parts.reason(details.get("finish_reason")),
        channel.now(),
        answer.status,
        answer.header("x-adapter-id") or answer.header("x-model-id"),
        raw=record.text,
    )


def _whole(channel: Channel, answer: Answer, data: Any) -> Iterator[StreamEvent]:
    at = channel.now()
    if isinstance(data, list) and data:
        data = data[0]
    if (error := parts.failure(data, channel.title, answer.status)) is not None:
        raise error
    text = data.get("generated_text") if isinstance(data, dict) else None
    if not isinstance(text, str):
        raise channel.not_understood()
    details = _details(data)
    if text:
        yield TextPiece(text, at)
    counts = _usage(details) or _usage(
        {key: answer.number(f"x-{key.replace('_', '-')}") for key in ("prompt_tokens", "generated_tokens")}
    )
    if counts is not None:
        yield counts
    named = {"queue": "x-queue-time", "run": "x-inference-time", "total": "x-total-time"}
    named["first_text"] = "x-time-to-first-token"
    reported = {key: number for key, header in named.items() if (number := answer.number(header)) is not None}
    yield Finished(
        parts.reason(details.get("finish_reason")),
        at,
        answer.status,
        answer.header("x-adapter-id") or answer.header("x-model-id"),
        raw=channel.pretty(data),
        # The headers count in milliseconds.
        reported={key: number / 1000 for key, number in reported.items()},
        streamed=False,
    )


def _details(data: dict[str, Any]) -> dict[str, Any]:
    details = data.get("details")
    return details if isinstance(details, dict) else {}


def _usage(details: dict[str, Any]) -> Usage | None:
    found = Usage(parts.count(details.get("prompt_tokens")), parts.count(details.get("generated_tokens")))
    return found if found.tokens_in is not None or found.tokens_out is not None else None
