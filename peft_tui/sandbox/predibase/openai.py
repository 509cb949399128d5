"""LoRAX's OpenAI-compatible routes, with the fields that it fills oddly."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from peft_tui.sandbox import text
from peft_tui.sandbox.predibase import serving
from peft_tui.sandbox.predibase.access import Call
from peft_tui.sandbox.predibase.errors import engine as engine_error
from peft_tui.sandbox.predibase.errors import invalid
from peft_tui.sandbox.predibase.serving import Answer, Engine
from peft_tui.sandbox.web import EventStream

FINGERPRINT = "0.12.1-docker"
MOST_STOPS = 4
FINISH = {"eos_token": "stop", "length": "length", "stop_sequence": "content_filter"}
"""As the engine maps them, the last one included."""


async def chat(call: Call) -> web.StreamResponse:
    """`POST /v1/chat/completions`."""
    body = await call.body()
    if (said := text.of_messages(body.get("messages"))) is None:
        raise invalid("`messages` must be a list of {role, content}")
    return await _complete(call, body, said, chat=True)


async def completions(call: Call) -> web.StreamResponse:
    """`POST /v1/completions`."""
    body = await call.body()
    if not isinstance(body.get("prompt"), str):
        raise invalid("`prompt` must be a string")
    return await _complete(call, body, body["prompt"], chat=False)


async def embeddings(call: Call) -> web.StreamResponse:
    """`POST /v1/embeddings`: these bases make none."""
    serving.serving_deployment(call)
    raise engine_error(500, "embedding_failure", "Embedding failed: model does not support embeddings")


async def classify(call: Call) -> web.StreamResponse:
    """`POST /classify`: these bases do not."""
    serving.serving_deployment(call)
    raise engine_error(500, "classification_failure", "Classification failed: model does not support it")


def _number(body: dict[str, Any], key: str, low: float) -> float | None:
    value = body.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < low):
        raise invalid(f"`{key}` must be at least {low:g}")
    return value


async def _complete(call: Call, body: dict[str, Any], prompt: str, *, chat: bool) -> web.StreamResponse:
    if not isinstance(body.get("model", ""), str):
        raise invalid("`model` must be a string")
    stop = body.get("stop")
    # A bare string, which OpenAI takes, is refused here.
    if stop is not None and (not isinstance(stop, list) or not all(isinstance(s, str) for s in stop)):
        raise invalid("`stop` must be an array of strings")
    if stop is not None and len(stop) > MOST_STOPS:
        raise invalid(f"`stop` supports up to {MOST_STOPS} stop sequences. Given: {len(stop)}")
    most = _number(body, "max_tokens", 1)
    temperature, top_p = _number(body, "temperature", 0), _number(body, "top_p", 0)
    limits = serving.rate_headers(call, serving.serving_deployment(call))
    token = body.get("api_token") or call.request.headers["Authorization"].partition(" ")[2]
    engine = await serving.engine_for(call, body.get("model"), body.get("adapter_source"), token)
    answer = serving.generate(
        call,
        engine,
        prompt,
        most=int(most) if most else None,
        stop=tuple(stop or ()),
        sampling=(body.get("seed"), temperature, top_p),
    )
    if body.get("stream") is True:
        return await _stream(call, engine, prompt, answer, limits, chat)
    await call.world.clock.pace(answer.began + answer.completion.seconds)
    choice: dict[str, Any] = {"index": 0, "finish_reason": FINISH[answer.finish], "logprobs": None}
    if chat:
        choice["message"] = {"role": "assistant", "content": answer.completion.text}
    else:
        choice["text"] = answer.completion.text
    data = {
        "id": "null",
        "object": "text_completion",
        "created": int(call.now) if chat else 0,
        "model": engine.base.hub_id if chat else "null",
        "system_fingerprint": FINGERPRINT,
        "choices": [choice],
        "usage": _usage(answer),
    }
    return web.json_response(data, headers=serving.time_headers(engine, prompt, answer) | limits)


def _usage(answer: Answer) -> dict[str, int]:
    prompt = answer.completion.prompt_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer.tokens,
        "total_tokens": prompt + answer.tokens,
    }


async def _stream(
    call: Call, engine: Engine, prompt: str, answer: Answer, limits: dict[str, str], chat: bool
) -> web.StreamResponse:
    headers = serving.compute_headers(engine, prompt) | limits | {"X-Accel-Buffering": "no"}
    stream = EventStream(call.request, headers)
    await stream.start()
    said = answer.completion
    pieces = said.pieces or ("",)
    for number, piece in enumerate(pieces, 1):
        await call.world.clock.pace(answer.began + said.first_token + (number - 1) * said.per_token)
        last = number == len(pieces)
        choice: dict[str, Any] = {"index": 0, "finish_reason": FINISH[answer.finish] if last else None}
        if chat:
            choice["delta"] = {"role": "assistant", "content": piece}
        else:
            choice["text"] = piece
        chunk = {
            "id": "null",
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": 0,
            "model": "null",
            "system_fingerprint": FINGERPRINT,
            "choices": [choice],
            "usage": _usage(answer) if last else None,
        }
        await stream.send(f"data: {json.dumps(chunk)}\n\n")
        if number == call.state.knobs.stream_error_after:
            broken = {"error": "Request failed during generation: shard stopped", "error_type": "generation"}
            await stream.send(f"data: {json.dumps(broken)}\n\n")
            return await stream.end()
    await stream.send("data: [DONE]\n\n")
    return await stream.end()
