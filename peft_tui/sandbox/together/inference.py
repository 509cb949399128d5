"""Chat and text completions: refusals, answers, streams."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from peft_tui.sandbox import text
from peft_tui.sandbox.together.access import Call
from peft_tui.sandbox.together.errors import refuse
from peft_tui.sandbox.together.routing import Route, route
from peft_tui.sandbox.together.state import Sample
from peft_tui.sandbox.web import EventStream, Refusal

KEPT_SAMPLES = 20_000


def _prompt(body: dict[str, Any], chat: bool) -> str:
    """All that is said to the model, as one text."""
    if not chat:
        if not isinstance(body.get("prompt"), str):
            raise _invalid("prompt is required", "prompt")
        return str(body["prompt"])
    if (said := text.of_messages(body.get("messages"))) is None:
        raise _invalid("messages must be a non-empty list of {role, content}", "messages")
    return said


def _invalid(message: str, param: str | None = None) -> Refusal:
    return refuse(400, message, code="invalid_request", param=param)


def _number(body: dict[str, Any], key: str, low: float, high: float) -> float | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise _invalid(f"{key} must be between {low:g} and {high:g}", key)
    return float(value)


def _rate_headers(call: Call, tokens: int) -> dict[str, str]:
    headers = {
        "x-request-id": call.world.new_id("o", 16),
        "x-ratelimit-limit": "600",
        "x-ratelimit-remaining": "599",
        "x-ratelimit-reset": "1",
        "x-tokenlimit-limit": "180000",
        "x-tokenlimit-remaining": str(180000 - tokens),
    }
    for name in ("ratelimit-limit", "ratelimit-remaining", "tokenlimit-limit", "tokenlimit-remaining"):
        headers[f"x-{name}-dynamic"] = headers[f"x-{name}"]
    if call.request.headers.get("x-together-debug"):
        stamp = str(int(call.now * 1000))
        headers |= {"x-cluster": "sandbox", "x-api-received": stamp, "x-inference-version": "v2"}
    return headers


async def chat(call: Call) -> web.StreamResponse:
    """`POST /v1/chat/completions`."""
    return await _complete(call, chat=True)


async def completions(call: Call) -> web.StreamResponse:
    """`POST /v1/completions`."""
    return await _complete(call, chat=False)


async def _complete(call: Call, *, chat: bool) -> web.StreamResponse:
    body = await call.body()
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise _invalid("model is required", "model")
    prompt = _prompt(body, chat)
    temperature = _number(body, "temperature", 0, 2)
    top_p = _number(body, "top_p", 0, 1)
    max_tokens = _number(body, "max_tokens", 1, 1_000_000)
    stop = body.get("stop") or []
    if call.state.knobs.out_of_credit:
        raise refuse(
            402, "Your account has insufficient balance. Please add credits.", code="insufficient_balance"
        )
    target = route(call, model, body.get("prompt_cache_key") or body.get("user"))
    if len(text.tokenize(prompt)) + (max_tokens or 0) > target.base.context:
        raise refuse(
            403, f"The prompt and max_tokens exceed the model's context length of {target.base.context}.",
            code="context_length_exceeded",
        )  # fmt: skip
    answer = text.complete(
        prompt,
        model=target.base.name,
        adapter=target.adapter,
        seed=hash_of(call, body.get("seed"), temperature, top_p),
        max_tokens=int(max_tokens or 512),
        stop=tuple([stop] if isinstance(stop, str) else stop),
        billions=target.base.billions,
    )
    began = call.now
    _count(target, answer, began)
    if body.get("stream"):
        return await _stream(call, model, answer, began, chat)
    await call.world.clock.pace(began + answer.seconds)
    if target.deployment is not None:
        target.deployment.last_request = max(target.deployment.last_request, call.now)
    data = _whole(call, model, answer, began, body.get("seed"), chat)
    return web.json_response(data, headers=_rate_headers(call, len(answer.pieces)))


def _count(target: Route, answer: text.Completion, began: float) -> None:
    """What the deployment's own figures will say of it."""
    if target.deployment is None:
        return
    target.deployment.last_request = began
    target.deployment.samples.append(
        Sample(
            began,
            200,
            answer.prompt_tokens,
            len(answer.pieces),
            answer.first_token * 1000,
            answer.seconds * 1000,
        )
    )
    del target.deployment.samples[:-KEPT_SAMPLES]


def _whole(
    call: Call, model: str, answer: text.Completion, began: float, seed: object, chat: bool
) -> dict[str, Any]:
    """An answer that is no stream."""
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": answer.finish_reason,
        "logprobs": None,
        "seed": seed,
    }
    if chat:
        choice["message"] = {"role": "assistant", "content": answer.text, "tool_calls": []}
    else:
        choice["text"] = answer.text
    data = {
        "id": call.world.new_id("o", 16),
        "object": "chat.completion" if chat else "text_completion",
        "created": int(began),
        "model": model,
        "choices": [choice],
        "usage": _usage(answer),
    }
    return data if chat else {**data, "prompt": []}


def hash_of(call: Call, *settings: Any) -> int:
    """A seed from the world's and the sampling settings."""
    return call.world.rng("sampling", *settings).getrandbits(32)


def _usage(answer: text.Completion) -> dict[str, int]:
    out = len(answer.pieces)
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": out,
        "total_tokens": answer.prompt_tokens + out,
        "cached_tokens": 0,
    }


async def _stream(
    call: Call, model: str, answer: text.Completion, began: float, chat: bool
) -> web.StreamResponse:
    stream = EventStream(call.request, _rate_headers(call, len(answer.pieces)))
    await stream.start()
    id = call.world.new_id("o", 16)
    common = {
        "id": id,
        "object": "chat.completion.chunk" if chat else "completion.chunk",
        "created": int(began),
        "model": model,
    }
    pieces = answer.pieces or ("",)
    for number, piece in enumerate(pieces):
        await call.world.clock.pace(began + answer.first_token + number * answer.per_token)
        last = number == len(pieces) - 1
        reason = answer.finish_reason if last else None
        token = 1000 + sum(map(ord, piece)) % 30000
        choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": reason}
        if chat:
            choice["delta"] = {"role": "assistant", "content": piece, "token_id": token}
        else:
            choice["text"] = piece
            choice["delta"] = {"role": "assistant", "content": piece}
        chunk: dict[str, Any] = {**common, "choices": [choice], "usage": None}
        if not chat:
            chunk["token"] = {"id": token, "text": piece, "logprob": 0.0, "special": False}
            chunk["finish_reason"] = reason
        if last and call.state.knobs.stream_usage:
            chunk["usage"] = _usage(answer)
        await stream.send(f"data: {json.dumps(chunk)}\n\n")
        if number + 1 == call.state.knobs.stream_error_after:
            error = {"message": "The engine stopped while generating", "type": "server_error", "code": None}
            await stream.send(f"data: {json.dumps({'error': error})}\n\n")
            return await stream.end()
    await stream.send("data: [DONE]\n\n")
    return await stream.end()
