"""vLLM inside a container: OpenAI's routes, adapters loaded while it runs, and its metrics.

Shapes follow vLLM 0.11: errors are nested under `error`, a LoRA module is a model with a parent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from peft_tui.sandbox import text
from peft_tui.sandbox.faults import reset
from peft_tui.sandbox.modal import engine, life, scrape
from peft_tui.sandbox.modal.state import App, Container, Definition, Function, Sample
from peft_tui.sandbox.web import EventStream
from peft_tui.sandbox.world import World

VERSION = "0.11.2"
KEPT_SAMPLES = 20_000
DEFAULT_TOKENS = 512


class TakesLonger(Exception):
    """The answer will only be there at `until`, later than its caller may be kept waiting."""

    def __init__(self, until: float) -> None:
        super().__init__(until)
        self.until = until


class Wrong(Exception):
    """A refusal in vLLM's form."""

    def __init__(self, status: int, message: str, type: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": type, "param": param, "code": status}}


@dataclass(frozen=True)
class Inside:
    """A request that has reached a container.

    Attributes:
        deadline: World time at which the caller is sent away with a 303.
        generated: The time of generating has passed already, in an earlier request.
    """

    world: World
    app: App
    function: Function
    definition: Definition
    container: Container
    engine: engine.Engine
    request: web.Request
    deadline: float
    generated: bool

    @property
    def now(self) -> float:
        """World time."""
        return self.world.now()


async def answer(inside: Inside, method: str, path: str, body: bytes) -> web.StreamResponse:
    """What the container says; the request is counted and logged as it would log it."""
    began = inside.now
    sample = Sample(began, path, inside.container.id, 0, 0.0)
    try:
        response = await _route(inside, method, path, body, sample)
    except Wrong as wrong:
        response = web.json_response(wrong.body, status=wrong.status)
    sample.status = response.status
    sample.seconds = max(sample.seconds, inside.now - began)
    remember(inside.function, sample)
    line = f'INFO:     172.20.0.1:0 - "{method} {path} HTTP/1.1" {response.status} {response.reason}'
    life.say(inside.app, inside.now, inside.function.id, inside.container.id, 1, line)
    return response


def remember(function: Function, sample: Sample) -> None:
    """Count a request."""
    function.samples.append(sample)
    del function.samples[:-KEPT_SAMPLES]


async def _route(inside: Inside, method: str, path: str, body: bytes, sample: Sample) -> web.StreamResponse:
    key = inside.engine.api_key
    if key and path.startswith("/v1/") and inside.request.headers.get("Authorization") != f"Bearer {key}":
        return web.json_response({"error": "Unauthorized"}, status=401)
    match path, method:
        case (("/health" | "/ping"), "GET"):
            return web.Response()
        case "/version", "GET":
            return web.json_response({"version": VERSION})
        case "/metrics", "GET":
            return scrape.response(inside.function, inside.container, inside.world, _names(inside)[0])
        case "/v1/models", "GET":
            return web.json_response(_models(inside))
        case "/v1/chat/completions", "POST":
            return await _complete(inside, _object(body), sample, chat=True)
        case "/v1/completions", "POST":
            return await _complete(inside, _object(body), sample, chat=False)
        case ("/v1/load_lora_adapter", "POST") if _updates(inside):
            return _load(inside, _object(body))
        case ("/v1/unload_lora_adapter", "POST") if _updates(inside):
            return _unload(inside, _object(body))
    known = {
        "/health",
        "/ping",
        "/version",
        "/metrics",
        "/v1/models",
        "/v1/chat/completions",
        "/v1/completions",
    }
    if path in known:
        return web.json_response({"detail": "Method Not Allowed"}, status=405)
    return web.json_response({"detail": "Not Found"}, status=404)


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError as error:
        raise Wrong(400, f"Invalid JSON: {error}", "BadRequestError") from None
    if not isinstance(data, dict):
        raise Wrong(400, "Input should be a valid dictionary", "BadRequestError")
    return data


def _names(inside: Inside) -> list[str]:
    return inside.engine.names or [inside.engine.base]


def _models(inside: Inside) -> dict[str, Any]:
    started = int(inside.container.healthy_at or 0)

    def card(id: str, root: str, parent: str | None, length: int | None) -> dict[str, Any]:
        permission = {
            "id": f"modelperm-{id}",
            "object": "model_permission",
            "created": started,
            "allow_create_engine": False,
            "allow_sampling": True,
            "allow_logprobs": True,
            "allow_search_indices": False,
            "allow_view": True,
            "allow_fine_tuning": False,
            "organization": "*",
            "group": None,
            "is_blocking": False,
        }
        return {
            "id": id,
            "object": "model",
            "created": started,
            "owned_by": "vllm",
            "root": root,
            "parent": parent,
            "max_model_len": length,
            "permission": [permission],
        }

    base = inside.engine.base
    cards = [card(name, base, None, inside.engine.max_model_len) for name in _names(inside)]
    cards += [card(name, path, _names(inside)[0], None) for name, path in inside.container.adapters.items()]
    return {"object": "list", "data": cards}


# Adapters that come and go while it runs


def _updates(inside: Inside) -> bool:
    values = engine.environment(inside.world.modal, inside.definition)
    return values.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "").lower() in ("1", "true")


def _load(inside: Inside, data: dict[str, Any]) -> web.Response:
    name, path = data.get("lora_name"), data.get("lora_path")
    if not isinstance(name, str) or not name or not isinstance(path, str) or not path:
        raise Wrong(400, "Both 'lora_name' and 'lora_path' must be provided.", "InvalidUserInput")
    if name in inside.container.adapters:
        raise Wrong(
            400,
            f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
            "set 'load_inplace' to True.",
            "InvalidUserInput",
        )
    problem = engine.lora_problem(inside.world.modal, inside.definition, inside.engine, name, path)
    if problem:
        missing = "No adapter found" in problem
        raise Wrong(404 if missing else 400, problem, "NotFoundError" if missing else "BadRequestError")
    inside.container.adapters[name] = path
    return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")


def _unload(inside: Inside, data: dict[str, Any]) -> web.Response:
    name = data.get("lora_name")
    if not isinstance(name, str) or not name:
        raise Wrong(400, "'lora_name' needs to be provided to unload a LoRA adapter.", "InvalidUserInput")
    if name not in inside.container.adapters:
        raise Wrong(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
    del inside.container.adapters[name]
    return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")


# Answers


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
    messages = data.get("messages")
    if (
        not isinstance(messages, list)
        or not messages
        or not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages)
    ):
        raise Wrong(400, "messages: Field required", "BadRequestError", "messages")
    texts: list[str] = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            content = " ".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
        texts.append(str(content or ""))
    return "\n".join(texts)


def _asked(inside: Inside, data: dict[str, Any], chat: bool) -> Asked:
    prompt = _prompt(data, chat)
    model = data.get("model") or _names(inside)[0]
    if model not in _names(inside) and model not in inside.container.adapters:
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


async def _complete(
    inside: Inside, data: dict[str, Any], sample: Sample, *, chat: bool
) -> web.StreamResponse:
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
