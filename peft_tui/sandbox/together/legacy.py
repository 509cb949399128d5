"""What is left of V1: lists, and a create that is closed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from aiohttp import web

from peft_tui.sandbox.together.access import Call, project_json, visible_projects
from peft_tui.sandbox.together.catalog import BASES, INSTANCE_TYPES
from peft_tui.sandbox.together.errors import refuse
from peft_tui.sandbox.together.lists import page
from peft_tui.sandbox.web import Refusal
from peft_tui.sandbox.world import World

LEFT = "endpoint-0f1e2d3c-legacy"
USD_PER_HOUR = Decimal("3.99")


def settle(world: World) -> None:
    """Bring the meter of what is left to how the knob stands."""
    running = world.together.knobs.legacy not in ("", "STOPPED", "ERROR")
    world.together.legacy_meter.set(int(running), USD_PER_HOUR, world.now())


def closed() -> Refusal:
    """403 of the V1 create and restart, closed since 16 July 2026."""
    return refuse(
        403, "Creating or starting v1 dedicated endpoints is disabled. Use Dedicated Model Inference "
             "(v2) instead.",
        code="endpoints_v1_create_access_disabled",
    )  # fmt: skip


async def projects(call: Call) -> Any:
    """`GET /v1/projects`."""
    return page(call, visible_projects(call), lambda p: project_json(call, p), lambda p: p.id)


async def models(call: Call) -> Any:
    """`GET /v1/models`: a bare array."""
    rows = []
    for base in BASES:
        if call.query.get("dedicated", "").lower() == "true" and not base.profiles:
            continue
        price_in, price_out = base.serverless or (0, 0)
        rows.append(
            {
                "id": base.name,
                "object": "model",
                "created": 1784192400,
                "type": "chat",
                "display_name": base.name.partition("/")[2].replace("-", " "),
                "organization": base.name.partition("/")[0],
                "link": f"https://huggingface.co/{base.name}",
                "license": "see model card",
                "context_length": base.context,
                "pricing": {"hourly": 0, "input": price_in, "output": price_out, "base": 0, "finetune": 0},
            }
        )
    return web.json_response(rows)


async def hardware(call: Call) -> Any:
    """`GET /v1/hardware`."""
    rows = [
        {
            "object": "hardware",
            "id": f"{t.count}x_{t.gpu.replace('-', '_')}_sxm",
            "pricing": {"cents_per_minute": round(t.price_cents / 60, 4)},
            "specs": {
                "gpu_type": t.gpu.removeprefix("nvidia-").rpartition("-")[0],
                "gpu_link": "sxm",
                "gpu_memory": t.memory_gib,
                "gpu_count": t.count,
            },
            "updated_at": "2026-07-16T09:00:00Z",
        }
        for t in INSTANCE_TYPES.values()
    ]
    return {"object": "list", "data": rows}


def _endpoint_json(call: Call, id: str) -> dict[str, Any]:
    return {
        "object": "endpoint",
        "id": id,
        "name": "acme/legacy-chat",
        "display_name": "Legacy chat",
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "hardware": "1x_nvidia_h100_80gb_sxm",
        "type": "dedicated",
        "owner": "acme",
        "state": call.state.knobs.legacy,
        "autoscaling": {"min_replicas": 1, "max_replicas": 1},
        "inactive_timeout": 0,
        "created_at": "2026-03-02T08:00:00Z",
    }


def _legacy_ids(call: Call) -> list[str]:
    return [LEFT] if call.state.knobs.legacy and call.key.org_id == "org_acme" else []


async def list_endpoints(call: Call) -> Any:
    """`GET /v1/endpoints`: one left over from before, and the serverless ones."""
    kind = call.query.get("type")
    rows = [_endpoint_json(call, id) for id in _legacy_ids(call)] if kind in (None, "dedicated") else []
    if kind in (None, "serverless") and call.query.get("mine", "").lower() != "true":
        rows += [
            {
                "object": "endpoint",
                "id": f"endpoint-serverless-{b.id}",
                "name": b.name,
                "model": b.name,
                "type": "serverless",
                "owner": "together",
                "state": "STARTED",
                "created_at": "2026-01-01T00:00:00Z",
            }
            for b in BASES
            if b.serverless
        ]
    return {"object": "list", "data": rows}


def _legacy(call: Call) -> str:
    id = call.arg("endpoint")
    if id not in _legacy_ids(call):
        raise refuse(404, f"Endpoint {id} not found", code="not_found")
    return id


async def retrieve_endpoint(call: Call) -> Any:
    """`GET /v1/endpoints/{id}`."""
    return _endpoint_json(call, _legacy(call))


async def create_endpoint(call: Call) -> Any:
    """`POST /v1/endpoints` → 403."""
    raise closed()


async def update_endpoint(call: Call) -> Any:
    """`PATCH /v1/endpoints/{id}`: stopping works, starting is closed."""
    id = _legacy(call)
    body = await call.body()
    if body.get("state") == "STARTED":
        raise closed()
    if body.get("state") == "STOPPED":
        call.state.knobs.legacy = "STOPPED"
        settle(call.world)
    return _endpoint_json(call, id)


async def delete_endpoint(call: Call) -> Any:
    """`DELETE /v1/endpoints/{id}`."""
    _legacy(call)
    call.state.knobs.legacy = ""
    settle(call.world)
    return web.Response(status=204)


async def nothing(call: Call) -> Any:
    """Lists that exist and are empty here: fine-tunes, experiments, rollouts, placement profiles."""
    return {"object": "list", "data": [], "next_cursor": None}


async def not_simulated(call: Call) -> Any:
    """Parts of the platform that the sandbox leaves out."""
    raise refuse(
        501, f"The sandbox does not simulate {call.request.method} {call.request.path}.", code="not_simulated"
    )
