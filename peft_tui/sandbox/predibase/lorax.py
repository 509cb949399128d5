"""LoRAX's own routes: `POST` on the deployment, `/generate` and `/generate_stream`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from peft_tui.sandbox import text
from peft_tui.sandbox.predibase import serving
from peft_tui.sandbox.predibase.access import Call
from peft_tui.sandbox.predibase.errors import invalid
from peft_tui.sandbox.predibase.serving import Answer, Engine
from peft_tui.sandbox.web import EventStream

_POSITIVE = ("temperature", "repetition_penalty")
_SHARES = ("top_p", "typical_p")
_COUNTS = ("max_new_tokens", "top_k", "best_of", "truncate", "return_k_alternatives")
_SWITCHES = (
    *("do_sample", "ignore_eos_token", "return_full_text", "watermark", "details", "decoder_input_details"),
)


@dataclass(frozen=True)
class Parameters:
    """`parameters` of a request, checked."""

    given: dict[str, Any]

    def on(self, key: str) -> bool:
        """Whether a switch is set."""
        return bool(self.given.get(key))

    def count(self, key: str, default: int = 0) -> int:
        """A count, or the default."""
        return int(self.given.get(key) or default)

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end the answer."""
        return tuple(self.given.get("stop") or ())

    @property
    def sampling(self) -> tuple[Any, ...]:
        """What makes two answers to one prompt differ."""
        return tuple(self.given.get(key) for key in ("seed", "temperature", "top_p", "top_k", "do_sample"))


def check(given: Any) -> Parameters:
    """The parameters, with null as good as absent.

    Raises:
        Refusal: 422 in LoRAX's words.
    """
    if given is not None and not isinstance(given, dict):
        raise invalid("`parameters` must be an object")
    found = {key: value for key, value in (given or {}).items() if value is not None}
    for key in (*_POSITIVE, *_SHARES):
        value = found.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise invalid(f"`{key}` must be strictly positive")
        if key in _SHARES and value >= 1:
            raise invalid(f"`{key}` must be > 0.0 and < 1.0")
    for key in _COUNTS:
        value = found.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value <= 0):
            raise invalid(f"`{key}` must be strictly positive")
    for key in _SWITCHES:
        if not isinstance(found.get(key, False), bool):
            raise invalid(f"`{key}` must be a boolean")
    stop = found.get("stop", [])
    if not isinstance(stop, list) or not all(isinstance(item, str) for item in stop):
        raise invalid("`stop` must be a list of strings")
    for key in ("adapter_id", "adapter_source", "api_token"):
        if not isinstance(found.get(key, ""), str):
            raise invalid(f"`{key}` must be a string")
    if found.get("adapter_source", "pbase") not in serving.SOURCES:
        raise invalid(f"`adapter_source` must be one of {', '.join(serving.SOURCES)}")
    if found.get("adapter_id") and found.get("merged_adapters"):
        raise invalid("only one of `adapter_id` and `merged_adapters` can be given")
    return Parameters(found)


async def compatible(call: Call) -> web.StreamResponse:
    """`POST` on the deployment itself: streamed or whole as the body says; whole, it is a list of one."""
    body = await _body(call)
    if body.get("stream") is True:
        return await _stream(call, body)
    return await _whole(call, body, listed=True)


async def generate(call: Call) -> web.StreamResponse:
    """`POST /generate`."""
    return await _whole(call, await _body(call), listed=False)


async def generate_stream(call: Call) -> web.StreamResponse:
    """`POST /generate_stream`."""
    return await _stream(call, await _body(call))


async def _body(call: Call) -> dict[str, Any]:
    body = await call.body()
    if not isinstance(body.get("inputs"), str):
        raise invalid("`inputs` must be a string")
    if not body["inputs"]:
        raise invalid("`inputs` cannot be empty")
    return body


async def _prepared(call: Call, body: dict[str, Any]) -> tuple[Engine, Parameters, dict[str, str]]:
    parameters = check(body.get("parameters"))
    limits = serving.rate_headers(call, serving.serving_deployment(call))
    given = parameters.given
    adapter = given.get("adapter_id")
    if merged := given.get("merged_adapters"):
        ids = merged.get("ids") if isinstance(merged, dict) else None
        if not isinstance(ids, list) or not ids or not all(isinstance(id, str) for id in ids):
            raise invalid("`merged_adapters.ids` must be a list of adapter ids")
        adapter = ids[0]
    token = given.get("api_token") or call.request.headers["Authorization"].partition(" ")[2]
    engine = await serving.engine_for(call, adapter, given.get("adapter_source"), token)
    return engine, parameters, limits


def _answer(call: Call, engine: Engine, body: dict[str, Any], parameters: Parameters) -> Answer:
    return serving.generate(
        call,
        engine,
        body["inputs"],
        most=parameters.count("max_new_tokens") or None,
        stop=parameters.stop,
        sampling=parameters.sampling,
    )


async def _whole(call: Call, body: dict[str, Any], *, listed: bool) -> web.StreamResponse:
    engine, parameters, limits = await _prepared(call, body)
    answer = _answer(call, engine, body, parameters)
    await call.world.clock.pace(answer.began + answer.completion.seconds)
    prompt = body["inputs"]
    shown = prompt if parameters.on("return_full_text") else ""
    result: dict[str, Any] = {"generated_text": shown + answer.completion.text}
    if parameters.on("details") or parameters.on("decoder_input_details"):
        result["details"] = _details(answer, prompt, parameters)
    headers = serving.time_headers(engine, prompt, answer) | limits
    return web.json_response([result] if listed else result, headers=headers)


def _details(answer: Answer, prompt: str, parameters: Parameters) -> dict[str, Any]:
    tokens = [{**serving.token_json(piece), "skipped": False} for piece in answer.completion.pieces]
    if (count := parameters.count("return_k_alternatives")) > 0:
        for token in tokens:
            token["alternative_tokens"] = [
                {"id": token["id"] + n, "text": token["text"], "logprob": token["logprob"] - n}
                for n in range(count)
            ]
    details: dict[str, Any] = {
        "finish_reason": answer.finish,
        "prompt_tokens": answer.completion.prompt_tokens,
        "generated_tokens": answer.tokens,
        "skipped_tokens": 0,
        "seed": parameters.given.get("seed"),
        "prefill": [],
        "tokens": tokens,
    }
    if parameters.on("decoder_input_details"):
        details["prefill"] = [
            {key: serving.token_json(piece)[key] for key in ("id", "text", "logprob")}
            for piece in text.tokenize(prompt)
        ]
    if (best_of := parameters.count("best_of", 1)) > 1:
        details["best_of_sequences"] = [
            {"generated_text": answer.completion.text, "finish_reason": answer.finish, "tokens": tokens}
            for _ in range(best_of - 1)
        ]
    return details


async def _stream(call: Call, body: dict[str, Any]) -> web.StreamResponse:
    parameters = check(body.get("parameters"))
    if parameters.on("decoder_input_details"):
        raise invalid("`decoder_input_details` == true is not supported when streaming tokens")
    if parameters.count("best_of", 1) > 1:
        raise invalid("`best_of` != 1 is not supported when streaming tokens")
    engine, parameters, limits = await _prepared(call, body)
    answer = _answer(call, engine, body, parameters)
    prompt = body["inputs"]
    headers = serving.compute_headers(engine, prompt) | limits | {"X-Accel-Buffering": "no"}
    stream = EventStream(call.request, headers)
    await stream.start()
    said = answer.completion
    breaks_after = call.state.knobs.stream_error_after
    for number, piece in enumerate(said.pieces, 1):
        await call.world.clock.pace(answer.began + said.first_token + (number - 1) * said.per_token)
        event: dict[str, Any] = {"token": serving.token_json(piece), "generated_text": None, "details": None}
        if number == len(said.pieces):
            event["generated_text"] = said.text
            event["details"] = {
                "finish_reason": answer.finish,
                "prompt_tokens": said.prompt_tokens,
                "generated_tokens": answer.tokens,
                "seed": parameters.given.get("seed"),
            }
        await stream.send(f"data:{json.dumps(event)}\n\n")
        if number == breaks_after:
            broken = {"error": "Request failed during generation: shard stopped", "error_type": "generation"}
            await stream.send(f"data:{json.dumps(broken)}\n\n")
            break
    return await stream.end()
