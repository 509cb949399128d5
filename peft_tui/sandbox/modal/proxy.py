"""What stands between a caller and a container: addresses, proxy tokens, cold starts, the 150 s rule."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

from aiohttp import web

from peft_tui.sandbox.modal import life, vllm
from peft_tui.sandbox.modal.engine import engine_of
from peft_tui.sandbox.modal.inside import Inside, TakesLonger
from peft_tui.sandbox.modal.state import (
    STOPPED,
    WORKSPACE_IDS,
    App,
    Container,
    Definition,
    Function,
    FunctionCall,
    Sample,
)
from peft_tui.sandbox.web import Refusal, world_of
from peft_tui.sandbox.world import World

PATIENCE = 150.0
CALL_ID = "__modal_function_call_id"
KEPT_CALLS = 500


def refuse(status: int, text: str) -> Refusal:
    """A refusal of the platform itself: plain text with its prefix."""
    return Refusal(status, f"modal-http: {text}", kind="text/plain")


async def nothing(request: web.Request) -> web.StreamResponse:
    """Whatever is at no address."""
    raise refuse(404, "invalid function call")


@dataclass(frozen=True)
class Target:
    """What an address means."""

    world: World
    app: App
    function: Function
    definition: Definition


async def handle(request: web.Request) -> web.StreamResponse:
    """A call of what is deployed."""
    target = _target(world_of(request), request.match_info["host"])
    _check_credentials(target, request)
    if target.function.kind == "web":
        return await _web_function(target, request)
    return await _server(target, request)


def _target(world: World, host: str) -> Target:
    """The function at a host name, of the newest app that has it.

    Raises:
        Refusal: 404 in the platform's words.
    """
    found = [f for f in world.modal.functions.values() if f.host == host and f.live]
    if not found:
        raise refuse(404, "invalid function call")
    function = max(found, key=lambda f: world.modal.apps[f.app_id].created_at)
    app = world.modal.apps[function.app_id]
    life.settle_app(world, app)
    if world.modal.knobs.workspace_disabled:
        raise refuse(404, f"workspace {WORKSPACE_IDS[app.workspace]} is disabled")
    if app.state == STOPPED:
        raise refuse(404, "app for invoked web endpoint is stopped")
    return Target(world, app, function, world.modal.definitions[function.live])


def _check_credentials(target: Target, request: web.Request) -> None:
    """Two headers, or both joined by a period as a bearer token; API tokens do not count."""
    if not target.definition.private:
        return
    id, secret = request.headers.get("Modal-Key"), request.headers.get("Modal-Secret")
    if id is None or secret is None:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not bearer.startswith("wk-"):
            raise refuse(401, "missing credentials for proxy authorization")
        id, _, secret = bearer.strip().partition(".")
    token = target.world.modal.proxy_tokens.get(id)
    if token is None or token.secret != secret or token.workspace != target.app.workspace:
        raise refuse(401, "invalid credentials for proxy authorization")
    if not token.allowed:
        raise refuse(401, "invalid credentials for proxy authorization in this environment")


def _path(request: web.Request) -> str:
    return "/" + request.match_info.get("path", "")


def _healthy(target: Target) -> list[Container]:
    now = target.world.now()
    return [c for c in life.live(target.function) if life.is_healthy(c, now)]


def _busy(target: Target) -> int:
    return sum(target.world.in_flight[c.id] for c in life.live(target.function))


def _scale(target: Target) -> None:
    """Ask for as many containers as the callers of this moment keep busy, this one included."""
    target.function.last_request = target.world.now()
    per_container = life.setting(target.world, target.function, "target_concurrency_float") or life.setting(
        target.world, target.function, "target_concurrency"
    )
    wanted = math.ceil((_busy(target) + 1) / per_container) if per_container else 1
    life.demand(target.world, target.function, wanted)


def _pick(target: Target, healthy: list[Container], request: web.Request) -> Container:
    """The one that has least to do; a session stays with its own.

    Raises:
        Refusal: 429 where all have as much as they may.
    """
    most = target.definition.max_concurrency
    free = [c for c in healthy if not most or target.world.in_flight[c.id] < most]
    if not free:
        raise refuse(429, "too many concurrent requests")
    session = request.headers.get("Modal-Session-ID")
    if session:
        return free[zlib.crc32(session.encode()) % len(free)]
    return min(free, key=lambda c: target.world.in_flight[c.id])


async def _server(target: Target, request: web.Request) -> web.StreamResponse:
    """A Server never waits: without a container it answers 503 and starts one. The texts are [INF]."""
    _scale(target)
    healthy = _healthy(target)
    if not healthy:
        _count(target, _path(request), 503)
        raise refuse(503, "no live container; one is being started")
    try:
        container = _pick(target, healthy, request)
    except Refusal:
        _count(target, _path(request), 429)
        raise
    return await _serve(target, container, request, request.method, _path(request), await request.read())


def _count(target: Target, route: str, status: int) -> None:
    vllm.remember(target.function, Sample(target.world.now(), route, "", status, 0.0))


async def _serve(
    target: Target,
    container: Container,
    request: web.Request,
    method: str,
    path: str,
    body: bytes,
    *,
    deadline: float = math.inf,
    generated: bool = False,
) -> web.StreamResponse:
    world = target.world
    definition = world.modal.definitions[container.definition_id]
    engine = engine_of(world.modal, definition)
    inside = Inside(
        world, target.app, target.function, definition, container, engine, request, deadline, generated
    )
    world.in_flight[container.id] += 1
    container.last_used = world.now()
    try:
        return await vllm.answer(inside, method, path, body)
    finally:
        world.in_flight[container.id] -= 1
        container.last_used = max(container.last_used, world.now())
        target.function.last_request = max(target.function.last_request, world.now())


async def _web_function(target: Target, request: web.Request) -> web.StreamResponse:
    """A Web Function waits for its container; after 150 s the caller is sent to fetch the answer."""
    world, state = target.world, target.world.modal
    arrived = world.now()
    deadline = arrived + PATIENCE
    id = request.query.get(CALL_ID)
    if id is None:
        body = (await request.read()).decode("utf-8", "replace")
        query = f"?{request.query_string}" if request.query_string else ""
        call = FunctionCall("", target.function.id, arrived, request.method, _path(request) + query, body)
    else:
        if request.method not in ("GET", "HEAD"):
            raise refuse(400, "bad redirect method")
        known = state.calls.get(id)
        if known is None or known.function_id != target.function.id:
            raise refuse(404, "invalid function call")
        call = known
    container = _took(target, call) or await _await_container(target, deadline)
    if container is None:
        return _see_other(target, request, call)
    await world.clock.sleep_until(min(call.ready_at, deadline))
    if call.ready_at > world.now():
        return _see_other(target, request, call)
    path = call.path.partition("?")[0]
    try:
        return await _serve(
            target, container, request, call.method, path, call.body.encode(),
            deadline=deadline, generated=call.ready_at > 0 or container.ended_at is not None,
        )  # fmt: skip
    except TakesLonger as longer:
        call.ready_at = longer.until
        await world.clock.sleep_until(deadline)
        return _see_other(target, request, call)


def _took(target: Target, call: FunctionCall) -> Container | None:
    """The container that answered a waiting call while nobody asked for the answer."""
    now = target.world.now()
    for container in target.function.containers if call.id else ():
        up, end = container.healthy_at, container.ended_at
        if up is not None and up <= now and (end is None or end > max(up, call.at)):
            return container
    return None


async def _await_container(target: Target, deadline: float) -> Container | None:
    world = target.world
    while True:
        _scale(target)
        if healthy := _healthy(target):
            return min(healthy, key=lambda c: world.in_flight[c.id])
        now = world.now()
        if now >= deadline:
            return None
        pause = world.modal.knobs.schedule_seconds
        times = [
            target.function.retry_at,
            *(c.healthy_at or c.dies_at or 0.0 for c in life.live(target.function)),
        ]
        times += [c.enqueued_at + pause for c in life.live(target.function)]
        await world.clock.sleep_until(min([t for t in times if t > now] + [deadline]))


def _see_other(target: Target, request: web.Request, call: FunctionCall) -> web.Response:
    """`303` to the same address with the id of the call."""
    calls = target.world.modal.calls
    if not call.id:
        call.id = life.new_id(target.world, "fc")
        calls[call.id] = call
        while len(calls) > KEPT_CALLS:
            del calls[next(iter(calls))]
    location = str(request.url.update_query({CALL_ID: call.id}))
    return web.Response(status=303, headers={"Location": location})
