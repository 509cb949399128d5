"""vLLM inside a container: OpenAI's routes, adapters loaded while it runs, and its metrics. What it says to a
prompt is in `completions.py`.

Shapes follow vLLM 0.11: errors are nested under `error`, a LoRA module is a model with a parent.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from peft_tui.sandbox.modal import engine, life, scrape
from peft_tui.sandbox.modal.completions import complete
from peft_tui.sandbox.modal.inside import Inside, Wrong
from peft_tui.sandbox.modal.state import Function, Sample

VERSION = "0.11.2"
KEPT_SAMPLES = 20_000


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
            return scrape.response(inside.function, inside.container, inside.world, inside.names[0])
        case "/v1/models", "GET":
            return web.json_response(_models(inside))
        case "/v1/chat/completions", "POST":
            return await complete(inside, _object(body), sample, chat=True)
        case "/v1/completions", "POST":
            return await complete(inside, _object(body), sample, chat=False)
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
    cards = [card(name, base, None, inside.engine.max_model_len) for name in inside.names]
    cards += [card(name, path, inside.names[0], None) for name, path in inside.container.adapters.items()]
    return {"object": "list", "data": cards}


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
