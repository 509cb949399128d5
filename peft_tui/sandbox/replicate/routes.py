"""All routes of the Replicate cloud."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from peft_tui.sandbox.replicate import deployments, files, models, predictions, trainings
from peft_tui.sandbox.replicate.access import Call, call_of, count_call
from peft_tui.sandbox.replicate.errors import not_found
from peft_tui.sandbox.web import answered

Endpoint = Callable[[Call], Awaitable[Any]]


def _keyed(handler: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        call = call_of(request)
        headers = count_call(call)
        return await answered(handler(call), headers)

    return handle


async def _account(call: Call) -> Any:
    return deployments.account_json(call.account)


async def _webhook_secret(call: Call) -> Any:
    """`GET /webhooks/default/secret`."""
    secret = files.webhook_key(call.world.data.seed, call.account.username)
    return {"key": "whsec_" + base64.b64encode(secret).decode()}


async def _unknown(call: Call) -> Any:
    raise not_found()


def routes(prefix: str) -> list[web.AbstractRouteDef]:
    """The routes under a path prefix; the API itself is at `/v1`."""
    table: list[web.AbstractRouteDef] = []

    def add(method: str, path: str, handler: Endpoint) -> None:
        table.append(web.route(method, f"{prefix}/v1{path}", _keyed(handler)))

    add("GET", "/account", _account)
    add("GET", "/hardware", models.hardware)
    add("GET", "/webhooks/default/secret", _webhook_secret)
    add("GET", "/search", models.search)
    add("GET", "/collections", models.collections)
    add("GET", "/collections/{slug}", models.collection)

    add("GET", "/models", models.list_models)
    add("QUERY", "/models", models.query_models)
    add("POST", "/models", models.create)
    one = "/models/{owner}/{name}"
    add("GET", one, models.retrieve)
    add("PATCH", one, models.update)
    add("DELETE", one, models.delete)
    add("GET", one + "/examples", models.examples)
    add("GET", one + "/readme", models.readme)
    add("POST", one + "/predictions", predictions.create_on_model)
    add("GET", one + "/versions", models.versions)
    add("GET", one + "/versions/{version}", models.version)
    add("DELETE", one + "/versions/{version}", models.delete_version)
    add("POST", one + "/versions/{version}/trainings", trainings.create)

    add("GET", "/trainings", trainings.list_trainings)
    add("GET", "/trainings/{id}", trainings.retrieve)
    add("POST", "/trainings/{id}/cancel", trainings.cancel)

    add("GET", "/deployments", deployments.list_deployments)
    add("POST", "/deployments", deployments.create)
    alias = "/deployments/{owner}/{name}"
    add("GET", alias, deployments.retrieve)
    add("PATCH", alias, deployments.update)
    add("DELETE", alias, deployments.delete)
    add("POST", alias + "/predictions", predictions.create_on_deployment)

    add("GET", "/predictions", predictions.list_predictions)
    add("POST", "/predictions", predictions.create)
    add("GET", "/predictions/{id}", predictions.retrieve)
    add("POST", "/predictions/{id}/cancel", predictions.cancel)

    add("GET", "/files", files.list_files)
    add("POST", "/files", files.create)
    add("GET", "/files/{id}", files.retrieve)
    add("DELETE", "/files/{id}", files.delete)
    table.append(web.get(f"{prefix}/v1/files/{{id}}/download", files.download))
    table.append(web.route("*", prefix + "/{rest:.*}", _keyed(_unknown)))
    return table
