"""All routes of the Together cloud."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from peft_tui.sandbox.together import (
    access,
    adapters,
    configs,
    deployments,
    endpoints,
    figures,
    inference,
    legacy,
    models,
    uploads,
)
from peft_tui.sandbox.together.access import Call, call_of
from peft_tui.sandbox.together.catalog import (
    BASES,
    BY_ID,
    INSTANCE_TYPES,
    instance_json,
    supported_json,
)
from peft_tui.sandbox.together.errors import refuse
from peft_tui.sandbox.together.life import placeable
from peft_tui.sandbox.together.lists import page
from peft_tui.sandbox.together.state import ApiKey
from peft_tui.sandbox.web import answered, world_of

Endpoint = Callable[[Call], Awaitable[Any]]


def _keyed(handler: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        call = call_of(request)
        uploads.settle_model_uploads(call.world)
        return await answered(handler(call))

    return handle


def _public(handler: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Routes that need no key; a wrong one is refused all the same."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            return await answered(handler(call_of(request)))
        return await answered(handler(Call(request, world_of(request), ApiKey("", "", "", None))))

    return handle


async def _supported(call: Call) -> Any:
    """`GET /v2/supported-models` with its filters."""
    query = call.query
    mode, product, modality = query.get("adapterMode"), query.get("product"), query.get("modality")
    search = query.get("search", "").lower()
    rows = []
    for base in BASES:
        entry = supported_json(base)
        if mode and not any(p["adapterMode"] == mode for p in entry["deploymentProfiles"]):
            continue
        if product and product not in entry["products"]:
            continue
        if modality and modality not in entry["inputModalities"]:
            continue
        if search and search not in f"{base.id} {base.name} {entry['description']}".lower():
            continue
        rows.append(entry)
    return page(call, rows, lambda r: r, lambda r: str(r["id"]))


async def _supported_one(call: Call) -> Any:
    base = BY_ID.get(call.arg("id"))
    if base is None:
        raise call.not_found("supported model", call.arg("id"))
    return supported_json(base)


async def _instance_types(call: Call) -> Any:
    """`GET /v2/public/inference-instance-types`: in full, with live headroom."""
    rows = [instance_json(t, free=placeable(call.world, t.name)) for t in INSTANCE_TYPES.values()]
    return {"object": "list", "data": rows, "next_cursor": None}


async def _instance_type(call: Call) -> Any:
    found = INSTANCE_TYPES.get(call.arg("id"))
    if found is None:
        raise call.not_found("instance type", call.arg("id"))
    return instance_json(found, free=placeable(call.world, found.name))


async def _unknown(request: web.Request) -> web.StreamResponse:
    raise refuse(404, f"{request.method} {request.path}: no such route", code="not_found")


def routes(prefix: str) -> list[web.AbstractRouteDef]:
    """The routes under a path prefix.

    V2 also answers under `/v1/projects/…`, where SDK 2.x looks for it.
    """
    table: list[web.AbstractRouteDef] = []

    def add(method: str, path: str, handler: Endpoint, *, public: bool = False) -> None:
        table.append(web.route(method, prefix + path, _public(handler) if public else _keyed(handler)))

    add("GET", "/v3/whoami", access.whoami)
    add("GET", "/v1/whoami", access.whoami_v1)
    add("GET", "/v1/projects", legacy.projects)
    add("GET", "/v2/supported-models", _supported, public=True)
    add("GET", "/v2/supported-models/{id}", _supported_one, public=True)
    add("GET", "/v2/public/inference-instance-types", _instance_types, public=True)
    add("GET", "/v2/public/inference-instance-types/{id}", _instance_type, public=True)
    add("GET", "/v2/organizations/{org}/models", models.list_org_models)
    add("GET", "/v2/organizations/{org}/endpoints", endpoints.list_org_endpoints)
    for version in ("/v2", "/v1"):
        _add_project_routes(add, version + "/projects/{project}")
    table.append(web.put(prefix + "/_objects/{upload}/{part:[0-9]+}", uploads.put_part))

    add("POST", "/v1/chat/completions", inference.chat)
    add("POST", "/v1/completions", inference.completions)
    add("GET", "/v1/billing/usage", figures.usage)

    add("GET", "/v1/models", legacy.models)
    add("GET", "/v1/hardware", legacy.hardware)
    add("GET", "/v1/endpoints", legacy.list_endpoints)
    add("POST", "/v1/endpoints", legacy.create_endpoint)
    add("GET", "/v1/endpoints/{endpoint}", legacy.retrieve_endpoint)
    add("PATCH", "/v1/endpoints/{endpoint}", legacy.update_endpoint)
    add("DELETE", "/v1/endpoints/{endpoint}", legacy.delete_endpoint)
    add("GET", "/v1/fine-tunes", legacy.nothing)
    table.append(web.route("*", prefix + "/{rest:.*}", _unknown))
    return table


def _add_project_routes(add: Callable[[str, str, Endpoint], None], base: str) -> None:
    add("GET", base + "/models", models.list_models)
    add("POST", base + "/models", models.create)
    add("GET", base + "/models/uploads", uploads.list_remote)
    add("POST", base + "/models/uploads", uploads.create_remote)
    add("GET", base + "/models/uploads/{upload}", uploads.retrieve_remote)
    add("GET", base + "/models/uploads/{upload}/events", uploads.remote_events)
    add("POST", base + "/models/upload/create", uploads.begin_local)
    add("POST", base + "/models/upload/complete", uploads.complete_local)
    add("GET", base + "/models/{model}", models.retrieve)
    add("PATCH", base + "/models/{model}", models.update)
    add("DELETE", base + "/models/{model}", models.delete)
    add("GET", base + "/models/{model}/revisions", models.revisions)
    add("GET", base + "/models/{model}/files", models.files)
    add("GET", base + "/configs", configs.list_configs)
    add("GET", base + "/configs/{config}", configs.retrieve_config)
    add("GET", base + "/placement-profiles", legacy.nothing)

    add("GET", base + "/endpoints", endpoints.list_endpoints)
    add("POST", base + "/endpoints", endpoints.create)
    one = base + "/endpoints/{endpoint}"
    add("GET", one, endpoints.retrieve)
    add("PATCH", one, endpoints.update)
    add("DELETE", one, endpoints.delete)
    add("GET", one + "/analytics", figures.analytics)
    add("GET", one + "/events", figures.events)
    for part in ("rollouts", "abExperiments", "shadowExperiments"):
        add("GET", f"{one}/{part}", legacy.nothing)
        add("POST", f"{one}/{part}", legacy.not_simulated)
    add("GET", one + "/deployments", deployments.list_deployments)
    add("POST", one + "/deployments", deployments.create)
    add("GET", one + "/deployments/{deployment}", deployments.retrieve)
    add("PATCH", one + "/deployments/{deployment}", deployments.update)
    add("DELETE", one + "/deployments/{deployment}", deployments.delete)
    attached = one + "/deployments/{deployment}/adapters"
    add("GET", attached, adapters.list_adapters)
    add("POST", attached, adapters.create)
    add("GET", attached + "/{adapter}", adapters.retrieve)
    add("PATCH", attached + "/{adapter}", adapters.update)
    add("DELETE", attached + "/{adapter}", adapters.delete)
