"""Chat and text completions: routing, refusals, streams."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from peft_tui.sandbox import text
from peft_tui.sandbox.together import life
from peft_tui.sandbox.together.access import Call
from peft_tui.sandbox.together.catalog import BY_ID, BY_NAME, Base
from peft_tui.sandbox.together.endpoints import weights
from peft_tui.sandbox.together.errors import refuse
from peft_tui.sandbox.together.models import base_of
from peft_tui.sandbox.together.state import Deployment, Endpoint, Sample
from peft_tui.sandbox.web import EventStream, Refusal

KEPT_SAMPLES = 20_000


@dataclass(frozen=True)
class Route:
    """Where a request went."""

    base: Base
    adapter: str | None
    deployment: Deployment | None


def _no_such(model: str) -> Refusal:
    return refuse(
        404, f"Unable to access model {model}. Please visit https://api.together.ai/models to view the "
             "list of "
        "supported models.", code="model_not_available",
    )  # fmt: skip


def route(call: Call, model: str, sticky: object = None) -> Route:
    """Find what serves a `model` string.

    Accepted: `<slug>/<endpoint>`, `<slug>/<endpoint>/<deployment>`, either followed by `:<adapter>`, the
    attached adapter's own `<slug>/<name>`, and names of serverless models.
    """
    world, state = call.world, call.state
    if model in BY_NAME:
        base = BY_NAME[model]
        if base.serverless is None:
            raise refuse(
                400, f"Unable to access non-serverless model {model}. Please visit "
                     f"https://api.together.ai/models/{model} "
                "to create and start a new dedicated endpoint for the model.", code="model_not_available",
            )  # fmt: skip
        return Route(base, None, None)
    name, _, adapter = model.partition(":")
    parts = name.split("/")
    projects = {p.slug: p for p in state.projects.values() if p.org_id == call.key.org_id}
    if len(parts) not in (2, 3) or parts[0] not in projects:
        raise _no_such(model)
    project = projects[parts[0]]
    if call.key.project_id not in (None, project.id):
        raise _no_such(model)
    live = (e for e in state.endpoints.values() if e.deleted_at is None)
    endpoint = next((e for e in live if e.project_id == project.id and e.name == parts[1]), None)
    if endpoint is None:
        if len(parts) == 2 and not adapter and (found := _by_adapter(call, project.id, parts[1])):
            return found
        raise _no_such(model)
    deployments = [state.deployments[id] for id in endpoint.deployment_ids]
    for deployment in deployments:
        life.settle(world, deployment)
    if len(parts) == 3:
        deployments = [d for d in deployments if d.name == parts[2]]
        if not deployments:
            raise _no_such(model)
    else:
        deployments = _routed(call, endpoint, deployments)
    if adapter:
        bare = adapter.rpartition("/")[2]
        deployments = [d for d in deployments if _attached(call, d, bare)]
        if not deployments:
            raise refuse(404, f"adapter {adapter} is not attached to {name}", code="model_not_available")
    ready = [d for d in deployments if d.ready]
    if not ready:
        state_words = ", ".join(sorted({d.state for d in deployments})) or "no deployment"
        raise refuse(
            503, f"No ready replicas for {model} ({state_words}). Requests are not queued while a "
                 "deployment starts or "
            "is stopped.", code="endpoint_not_ready",
        )  # fmt: skip
    deployment = _pick(call, endpoint, ready, sticky)
    if adapter:
        bare = adapter.rpartition("/")[2]
        if not _attached(call, deployment, bare, loaded=True):
            raise refuse(503, f"adapter {adapter} is still loading", code="adapter_not_ready")
        return Route(_base(call, deployment), bare, deployment)
    return Route(_base(call, deployment), _merged(call, deployment), deployment)


def _routed(call: Call, endpoint: Endpoint, deployments: list[Deployment]) -> list[Deployment]:
    split = weights(endpoint)
    routed = [d for d in deployments if d.id in split]
    if not routed or call.now < endpoint.traffic_since:
        raise refuse(
            400, f"Endpoint {endpoint.name} is not configured to serve traffic: no deployment has a "
                 "positive weight in its "
            "traffic split.", code="endpoint_not_configured",
        )  # fmt: skip
    return routed


def _pick(call: Call, endpoint: Endpoint, ready: list[Deployment], sticky: object) -> Deployment:
    split = weights(endpoint)
    chances = [split.get(d.id, 1.0) * d.ready for d in ready]
    rng = call.world.rng("route", sticky or call.world.new_id())
    return rng.choices(ready, chances)[0] if sum(chances) > 0 else ready[0]


def _base(call: Call, deployment: Deployment) -> Base:
    if deployment.model_id in BY_ID:
        return BY_ID[deployment.model_id]
    model = call.state.models.get(deployment.model_id)
    base = base_of(call.world, model) if model else None
    return base or next(iter(BY_ID.values()))


def _merged(call: Call, deployment: Deployment) -> str | None:
    model = call.state.models.get(deployment.model_id)
    return model.name if model is not None else None


def _attached(call: Call, deployment: Deployment, name: str, *, loaded: bool = False) -> bool:
    for attachment in deployment.attachments:
        model = call.state.models.get(attachment.adapter_model_id)
        if model is not None and name in (model.name, model.id):
            return not loaded or attachment.realized_revision_id is not None
    return False


def _by_adapter(call: Call, project_id: str, name: str) -> Route | None:
    """An adapter asked for by its own name, served wherever it is attached."""
    for deployment in call.state.deployments.values():
        if deployment.deleted_at is None and deployment.project_id == project_id and deployment.attachments:
            life.settle(call.world, deployment)
            if deployment.ready and _attached(call, deployment, name, loaded=True):
                return Route(_base(call, deployment), name, deployment)
    return None


def _prompt_of(messages: Any) -> str:
    texts: list[str] = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            content = " ".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
        texts.append(str(content or ""))
    return "\n".join(texts)


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
    if chat:
        messages = body.get("messages")
        if (
            not isinstance(messages, list)
            or not messages
            or not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages)
        ):
            raise _invalid("messages must be a non-empty list of {role, content}", "messages")
        prompt = _prompt_of(messages)
    else:
        if not isinstance(body.get("prompt"), str):
            raise _invalid("prompt is required", "prompt")
        prompt = body["prompt"]
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
    if target.deployment is not None:
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
    if body.get("stream"):
        return await _stream(call, model, answer, began, chat)
    await call.world.clock.pace(began + answer.seconds)
    if target.deployment is not None:
        target.deployment.last_request = max(target.deployment.last_request, call.now)
    message: dict[str, Any] = {
        "index": 0,
        "finish_reason": answer.finish_reason,
        "logprobs": None,
        "seed": body.get("seed"),
    }
    if chat:
        message["message"] = {"role": "assistant", "content": answer.text, "tool_calls": []}
    else:
        message["text"] = answer.text
    data = {
        "id": call.world.new_id("o", 16),
        "object": "chat.completion" if chat else "text_completion",
        "created": int(began),
        "model": model,
        "choices": [message],
        "usage": _usage(answer),
    }
    if not chat:
        data["prompt"] = []
    return web.json_response(data, headers=_rate_headers(call, len(answer.pieces)))


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
