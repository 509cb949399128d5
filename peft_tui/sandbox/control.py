"""The control surface `/_sandbox/*`: what was asked, what it cost, and what goes wrong next."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import wraps
from typing import Any

from aiohttp import web

import peft_tui.sandbox.modal.billing as modal_billing
import peft_tui.sandbox.predibase.billing as predibase_billing
import peft_tui.sandbox.replicate.billing as replicate_billing
import peft_tui.sandbox.together.billing as together_billing
from peft_tui.sandbox import hubrepos
from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.faults import parse_fault
from peft_tui.sandbox.ledger import Bill
from peft_tui.sandbox.modal.state import PROXY_TOKEN, TOKENS
from peft_tui.sandbox.predibase.state import ACME_TOKEN as ACME_PREDIBASE
from peft_tui.sandbox.predibase.state import GLOBEX_TOKEN as GLOBEX_PREDIBASE
from peft_tui.sandbox.replicate.state import ACME_TOKEN, GLOBEX_TOKEN
from peft_tui.sandbox.together.state import ACME_KEY, ACME_ORG_KEY, GLOBEX_KEY
from peft_tui.sandbox.web import read_json, world_of
from peft_tui.sandbox.world import World

PLATFORMS = ("together", "replicate", "modal", "predibase", "huggingface")
CREDENTIALS = {
    "together": {"acme": ACME_KEY, "acme-organization": ACME_ORG_KEY, "globex": GLOBEX_KEY},
    "replicate": {"acme": ACME_TOKEN, "globex": GLOBEX_TOKEN},
    "modal": {
        **{name: " ".join(pair) for name, pair in TOKENS.items()},
        "acme-proxy-token": " ".join(PROXY_TOKEN),
    },
    "predibase": {"acme": ACME_PREDIBASE, "globex": GLOBEX_PREDIBASE},
    "huggingface": {"acme": hubrepos.HF_TOKEN},
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Malformed(Exception):
    """A control request that cannot be understood; the text is the answer."""


def _forgiving(handler: Handler) -> Handler:
    @wraps(handler)
    async def wrapped(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (Malformed, ValueError) as error:
            return web.json_response({"error": {"message": str(error)}}, status=400)

    return wrapped


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        data = await read_json(request)
    except ValueError as error:
        raise Malformed(f"The body is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise Malformed("The body must be a JSON object.")
    return data


def _number(data: dict[str, Any], key: str) -> float:
    value = data[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e10:
        raise Malformed(f"'{key}' must be a number, not negative.")
    return float(value)


def money(amount: Decimal) -> float:
    """USD as a JSON number, to a hundredth of a cent's hundredth."""
    return float(round(amount, 6))


def bills(world: World) -> list[Bill]:
    """Every resource that costs or has cost something."""
    return [
        *together_billing.bills(world),
        *replicate_billing.bills(world),
        *modal_billing.bills(world),
        *predibase_billing.bills(world),
    ]


async def index(request: web.Request) -> web.StreamResponse:
    """What there is to turn."""
    world = world_of(request)
    return web.json_response(
        {
            "sandbox": "peft-tui",
            "seed": world.data.seed,
            "now": iso(world.now()),
            "speed": world.clock.speed,
            "platforms": list(PLATFORMS),
            "routes": [
                {"method": r.method, "path": r.path, "does": (r.handler.__doc__ or "").strip()}
                for r in routes()
                if isinstance(r, web.RouteDef)
            ],
            "credentials": CREDENTIALS,
        }
    )


@_forgiving
async def requests(request: web.Request) -> web.StreamResponse:
    """Every call received, oldest first; `?platform=` filters."""
    only = request.query.get("platform")
    rows = [
        {**dataclasses.asdict(r), "at": iso(r.at)}
        for r in world_of(request).data.requests
        if only is None or r.platform == only
    ]
    return web.json_response({"requests": rows})


@_forgiving
async def forget_requests(request: web.Request) -> web.StreamResponse:
    """Empty the list of calls."""
    world = world_of(request)
    world.data.requests.clear()
    world.touch()
    return web.json_response({"requests": []})


@_forgiving
async def billing(request: web.Request) -> web.StreamResponse:
    """The truth about money, per resource and in sum."""
    lines = bills(world_of(request))
    rows = [
        {
            "platform": b.platform,
            "id": b.id,
            "name": b.name,
            "state": b.state,
            "billing": b.billing,
            "usd_per_hour": money(b.usd_per_hour),
            "usd_total": money(b.usd_total),
            "deleted": b.deleted,
        }
        for b in lines
    ]
    return web.json_response(
        {
            "resources": rows,
            "usd_per_hour": money(sum((b.usd_per_hour for b in lines), Decimal(0))),
            "usd_total": money(sum((b.usd_total for b in lines), Decimal(0))),
        }
    )


@_forgiving
async def list_faults(request: web.Request) -> web.StreamResponse:
    """The faults that are set, with how often each was seen and hit."""
    return web.json_response({"faults": [dataclasses.asdict(f) for f in world_of(request).data.faults]})


@_forgiving
async def add_fault(request: web.Request) -> web.StreamResponse:
    """Add a fault (or several: {"faults": [...]})."""
    data = await _object(request)
    many = data["faults"] if set(data) == {"faults"} else [data]
    if not isinstance(many, list):
        raise Malformed("'faults' must be a list.")
    faults = [parse_fault(item) for item in many]
    for fault in faults:
        if fault.platform is not None and fault.platform not in PLATFORMS:
            raise Malformed(f"'platform' must be one of {', '.join(PLATFORMS)}.")
    world = world_of(request)
    world.data.faults.extend(faults)
    world.touch()
    return web.json_response({"faults": [dataclasses.asdict(f) for f in world.data.faults]}, status=201)


@_forgiving
async def clear_faults(request: web.Request) -> web.StreamResponse:
    """Forget all faults."""
    world = world_of(request)
    world.data.faults.clear()
    world.touch()
    return web.json_response({"faults": []})


@_forgiving
async def read_clock(request: web.Request) -> web.StreamResponse:
    """World time and speed."""
    world = world_of(request)
    return web.json_response({"now": iso(world.now()), "epoch": world.now(), "speed": world.clock.speed})


@_forgiving
async def turn_clock(request: web.Request) -> web.StreamResponse:
    """Advance by {"seconds": n}; {"speed": x} changes the pace."""
    data = await _object(request)
    if not data or set(data) - {"seconds", "speed"}:
        raise Malformed("Give {'seconds': n} to advance, {'speed': x} to change the pace, or both.")
    world = world_of(request)
    if "speed" in data:
        world.clock.set_speed(_number(data, "speed"))
    if "seconds" in data:
        world.clock.advance(_number(data, "seconds"))
    world.touch()
    return web.json_response({"now": iso(world.now()), "epoch": world.now(), "speed": world.clock.speed})


@_forgiving
async def reset(request: web.Request) -> web.StreamResponse:
    """A fresh world with the same seed; faults and the list of calls go too."""
    world = world_of(request)
    world.reset()
    return web.json_response({"seed": world.data.seed, "now": iso(world.now())})


@_forgiving
async def populate(request: web.Request) -> web.StreamResponse:
    """Make {"platform", "count"} deployments that look as if they had long been running."""
    data = await _object(request)
    platform, count = data.get("platform"), data.get("count", 100)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 100_000:
        raise Malformed("'count' must be a whole number from 1 to 100000.")
    makers = {
        "together": together_billing.populate,
        "replicate": replicate_billing.populate,
        "modal": modal_billing.populate,
        "predibase": predibase_billing.populate,
    }
    if platform not in makers:
        raise Malformed(f"'platform' must be one of {', '.join(makers)}.")
    world = world_of(request)
    makers[platform](world, count)
    world.touch()
    return web.json_response({"platform": platform, "count": count}, status=201)


def _knobs(world: World, platform: str) -> Any:
    match platform:
        case "together":
            return world.together.knobs
        case "replicate":
            return world.replicate.knobs
        case "modal":
            return world.modal.knobs
        case "predibase":
            return world.predibase.knobs
    raise Malformed("Knobs exist for together, replicate, modal and predibase.")


@_forgiving
async def read_knobs(request: web.Request) -> web.StreamResponse:
    """How the knobs of a platform stand."""
    return web.json_response(dataclasses.asdict(_knobs(world_of(request), request.match_info["platform"])))


@_forgiving
async def turn_knobs(request: web.Request) -> web.StreamResponse:
    """Turn knobs of a platform: capacity, credit, failures, delays."""
    world = world_of(request)
    platform = request.match_info["platform"]
    knobs = _knobs(world, platform)
    data = await _object(request)
    for key, value in data.items():
        if key not in knobs.__dataclass_fields__:
            raise Malformed(f"Unknown knob {key!r}; there are {', '.join(knobs.__dataclass_fields__)}.")
        current = getattr(knobs, key)
        if key == "prediction_seconds" and value is None:
            continue
        if isinstance(current, bool):
            fits = isinstance(value, bool)
        elif isinstance(current, list):
            fits = isinstance(value, list) and all(isinstance(v, str) for v in value)
        elif isinstance(current, str):
            fits = isinstance(value, str)
        else:
            fits = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        if not fits:
            raise Malformed(f"Knob {key!r} does not take {value!r}.")
    # What was due before the turn happens under the old settings.
    bills(world)
    for key, value in data.items():
        setattr(knobs, key, value)
    bills(world)
    world.touch()
    return web.json_response(dataclasses.asdict(knobs))


@_forgiving
async def capacity(request: web.Request) -> web.StreamResponse:
    """{"instance_type", "available"}: whether GPUs of a type are free at Together (`*` for all)."""
    data = await _object(request)
    name, available = data.get("instance_type"), data.get("available")
    if not isinstance(name, str) or not isinstance(available, bool):
        raise Malformed("Give {'instance_type': '1xnvidia-h100-80gb', 'available': false}.")
    world = world_of(request)
    bills(world)
    knobs = world.together.knobs
    knobs.no_capacity = [n for n in knobs.no_capacity if n != name] + ([] if available else [name])
    if available and name == "*":
        knobs.no_capacity = []
    bills(world)
    world.touch()
    return web.json_response({"no_capacity": knobs.no_capacity})


def routes() -> list[web.AbstractRouteDef]:
    """All routes of the control surface."""
    return [
        web.get("/_sandbox", index),
        web.get("/_sandbox/", index),
        web.get("/_sandbox/requests", requests),
        web.delete("/_sandbox/requests", forget_requests),
        web.get("/_sandbox/billing", billing),
        web.get("/_sandbox/faults", list_faults),
        web.post("/_sandbox/faults", add_fault),
        web.delete("/_sandbox/faults", clear_faults),
        web.get("/_sandbox/clock", read_clock),
        web.post("/_sandbox/clock", turn_clock),
        web.post("/_sandbox/reset", reset),
        web.post("/_sandbox/populate", populate),
        web.post("/_sandbox/together/capacity", capacity),
        web.get("/_sandbox/{platform}/knobs", read_knobs),
        web.post("/_sandbox/{platform}/knobs", turn_knobs),
    ]
