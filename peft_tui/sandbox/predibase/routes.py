"""All routes of the Predibase cloud: both planes on one port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.predibase import deployments, figures, lorax, openai, repos
from peft_tui.sandbox.predibase.access import RELEASE, Call, call_of
from peft_tui.sandbox.predibase.catalog import BASES
from peft_tui.sandbox.predibase.errors import refuse
from peft_tui.sandbox.web import answered

Endpoint = Callable[[Call], Awaitable[Any]]


def _keyed(handler: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        call = call_of(request)
        headers = {
            "X-Predibase-Release-Version": RELEASE,
            "b3": call.world.new_id("", 32, "0123456789abcdef"),
        }
        return await answered(handler(call), headers)

    return handle


async def _whoami(call: Call) -> Any:
    """`GET /users/current`."""
    tenant, user = call.tenant, call.user
    left = None if tenant.expires_at is None else max(0, int((tenant.expires_at - call.now) // 86400))
    return {
        "id": user.id,
        "username": user.username,
        "uuid": user.uuid,
        "comment": None,
        "tenant": {
            "name": tenant.name,
            "shortCode": tenant.short_code,
            "subscription": {
                "id": 9,
                "tier": tenant.tier,
                "isTrial": tenant.trial,
                "expiration": None if tenant.expires_at is None else iso(tenant.expires_at, 0),
                "daysRemainingInPlan": left,
                "active": True,
            },
        },
    }


async def _supported(call: Call) -> Any:
    """`GET /supported_llms` of the legacy family."""
    return {"data": [{"modelName": base.name, "huggingFaceName": base.hub_id} for base in BASES]}


async def _unknown(call: Call) -> Any:
    raise refuse(404, "not found")


def routes(prefix: str) -> list[web.AbstractRouteDef]:
    """The routes under a path prefix; serving is below `/{tenant}/deployments`."""
    table: list[web.AbstractRouteDef] = []

    def add(method: str, path: str, handler: Endpoint) -> None:
        table.append(web.route(method, f"{prefix}{path}", _keyed(handler)))

    # Older clients put `/v1` before what has no prefix.
    for base in ("", "/v1"):
        add("GET", f"{base}/users/current", _whoami)
        add("GET", f"{base}/llms/{{name}}/events", deployments.events)
        add("GET", f"{base}/supported_llms", _supported)

    add("GET", "/v2/deployments", deployments.list_deployments)
    add("POST", "/v2/deployments", deployments.create)
    add("GET", "/v2/deployments/recommended-config", deployments.recommended)
    one = "/v2/deployments/{name}"
    add("GET", one, deployments.retrieve)
    add("PUT", one, deployments.update)
    add("DELETE", one, deployments.delete)
    add("GET", one + "/request-logs", deployments.request_logs)

    add("GET", "/v2/repos", repos.list_repos)
    add("POST", "/v2/repos", repos.create)
    add("GET", "/v2/repos/{repo}", repos.retrieve)
    add("DELETE", "/v2/repos/{repo}", repos.delete)
    version = "/v2/repos/{repo}/version/{tag}"
    add("GET", version, repos.retrieve_version)
    add("PUT", version, repos.archive_version)
    add("DELETE", version, repos.delete_version)
    add("GET", version + "/download", repos.download_version)
    add("POST", "/v2/adapters/upload", repos.begin_upload)
    add("PUT", "/v2/adapters/upload/", repos.end_upload)
    table.append(web.put(f"{prefix}/_objects/{{ticket}}/{{file}}", repos.put_file))

    engine = "/{tenant}/deployments/v2/llms/{name}"
    add("POST", engine, lorax.compatible)
    add("POST", engine + "/generate", lorax.generate)
    add("POST", engine + "/generate_stream", lorax.generate_stream)
    add("POST", engine + "/v1/chat/completions", openai.chat)
    add("POST", engine + "/v1/completions", openai.completions)
    for path in ("/v1/embeddings", "/embed"):
        add("POST", engine + path, openai.embeddings)
    for path in ("/classify", "/classify_batch"):
        add("POST", engine + path, openai.classify)
    for path in ("", "/health", "/startup", "/ping"):
        add("GET", engine + path, figures.health)
    add("GET", engine + "/info", figures.info)
    add("GET", engine + "/metrics", figures.metrics)
    table.append(web.route("*", prefix + "/{rest:.*}", _keyed(_unknown)))
    return table
