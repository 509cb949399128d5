"""Chat and text completions as vLLM answers them: checked, at once or as a stream."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from peft_tui.sandbox import text
from peft_tui.sandbox.faults import reset
from peft_tui.sandbox.modal import life
from peft_tui.sandbox.modal.inside import Inside, TakesLonger, Wrong
from peft_tui.sandbox.modal.state import Sample
from peft_tui.sandbox.web import EventStream

DEFAULT_TOKENS = 512


@dataclass(frozen=True)
class Asked:
    """What a completion request asks for."""

    model: str
    adapter: str | None
    prompt: str
    max_tokens: int
    stop: tuple[str, ...]
    stream: bool
    usage: bool
    seed: int


def _number(data: dict[str, Any], key: str, low: float, high: float) -> float | None:
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Wrong(
            400, f"{key} must be between {low:g} and {high:g}, got {value!r}.", "BadRequestError", key
        )
    return float(value)


def _prompt(data: dict[str, Any], chat: bool) -> str:
    if not chat:
        prompt = data.get("prompt")
        if isinstance(prompt, list) and len(prompt) == 1:
            prompt = prompt[0]
        if not isinstance(prompt, str):
            raise Wrong(400, "prompt: Field required", "BadRequestError", "prompt")
        return prompt
    if (said := text.of_messages(data.get("messages"))) is None:
        raise Wrong(400, "messages: Field required", "BadRequestError", "messages")
    return said


def _asked(inside: Inside, data: dict[str, Any], chat: bool) -> Asked:
    prompt = _prompt(data, chat)
    model = data.get("model") or inside.names[0]
    if model not in inside.names and model not in inside.container.adapters:
        raise Wrong(404, f"The model `{model}` does not exist.", "NotFoundError", "model")
    temperature = _number(data, "temperature", 0, 2)
    top_p = _number(data, "top_p", 0, 1)
    # The sandbox gives one choice.
    _number(data, "n", 1, 1)
    limit = _number(data, "max_completion_tokens", 1, 1e6) or _number(data, "max_tokens", 1, 1e6)
    length, used = inside.engine.max_model_len, len(text.tokenize(prompt))
    if used + (limit or 0) > length:
        raise Wrong(
            400,
            f"This model's maximum context length is {length} tokens. However, you requested "
            f"{used + int(limit or 0)} tokens ({used} in the messages, {int(limit or 0)} in the completion). "
            "Please reduce the length of the messages or completion.",
            "BadRequestError",
        )
    stop = data.get("stop") or []
    options = data.get("stream_options")
    return Asked(
        model=str(model),
        adapter=str(model) if model in inside.container.adapters else None,
        prompt=prompt,
        max_tokens=int(limit or min(DEFAULT_TOKENS, length - used) or 1),
        stop=tuple([stop] if isinstance(stop, str) else map(str, stop)),
        stream=bool(data.get("stream")),
        usage=isinstance(options, dict) and bool(options.get("include_usage")),
        seed=inside.world.rng("modal sampling", data.get("seed"), temperature, top_p).getrandbits(32),
    )


async def complete(inside: Inside, data: dict[str, Any], sample: Sample, *, chat: bool) -> web.StreamResponse:
    asked = _asked(inside, data, chat)
    said = text.complete(
        asked.prompt,
        model=inside.engine.base,
        adapter=asked.adapter,
        seed=asked.seed,
        max_tokens=asked.max_tokens,
        stop=asked.stop,
        billions=inside.engine.billions,
    )
    sample.model, sample.prompt_tokens, sample.tokens = asked.model, said.prompt_tokens, len(said.pieces)
    sample.first_token, sample.seconds, sample.finish = said.first_token, said.seconds, said.finish_reason
    began = inside.now
    id = inside.world.new_id("chatcmpl-" if chat else "cmpl-", 32, "0123456789abcdef")
    if asked.stream:
        return await _stream(inside, asked, said, id, began, chat)
    clock = inside.world.clock
    if not inside.generated:
        if began + said.seconds > inside.deadline and not clock.frozen:
            raise TakesLonger(began + said.seconds)
        await clock.pace(began + said.seconds)
    choice: dict[str, Any] = {
        "index": 0,
        "logprobs": None,
        "finish_reason": said.finish_reason,
        "stop_reason": None,
    }
    if chat:
        choice["message"] = {
            "role": "assistant",
            "content": said.text,
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "tool_calls": [],
            "reasoning_content": None,
        }
    else:
        choice["text"] = said.text
        choice["prompt_logprobs"] = None
    return web.json_response(
        {
            "id": id,
            "object": "chat.completion" if chat else "text_completion",
            "created": int(began),
            "model": asked.model,
            "choices": [choice],
            "service_tier": None,
            "system_fingerprint": None,
            "usage": _usage(said),
            "kv_transfer_params": None,
        }
    )


def _usage(said: text.Completion) -> dict[str, Any]:
    tokens = len(said.pieces)
    return {
        "prompt_tokens": said.prompt_tokens,
        "total_tokens": said.prompt_tokens + tokens,
        "completion_tokens": tokens,
        "prompt_tokens_details": None,
    }


async def _stream(
    inside: Inside, asked: Asked, said: text.Completion, id: str, began: float, chat: bool
) -> web.StreamResponse:
    stream = EventStream(inside.request)
    common = {
        "id": id,
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": int(began),
        "model": asked.model,
    }

    async def send(choices: list[dict[str, Any]], **more: Any) -> None:
        await stream.send(f"data: {json.dumps({**common, 'choices': choices, **more})}\n\n")

    await stream.start()
    if chat:
        delta = {"role": "assistant", "content": ""}
        await send([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])
    for number, piece in enumerate(said.pieces):
        if not inside.generated:
            await inside.world.clock.pace(began + said.first_token + number * said.per_token)
        life.settle(inside.world, inside.function)
        if inside.container.ended_at is not None and not inside.generated:
            # A container that is taken away takes its open answers along.
            reset(inside.request)
            raise ConnectionResetError("the container was stopped")
        last = number == len(said.pieces) - 1
        choice: dict[str, Any] = {
            "index": 0,
            "logprobs": None,
            "finish_reason": said.finish_reason if last else None,
        }
        if last:
            choice["stop_reason"] = None
        if chat:
            choice["delta"] = {"content": piece}
        else:
            choice["text"] = piece
        await send([choice])
    if asked.usage:
        await send([], usage=_usage(said))
    await stream.send("data: [DONE]\n\n")
    return await stream.end()
