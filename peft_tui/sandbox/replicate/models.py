"""Models, versions, search, collections."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.replicate.access import Call, page
from peft_tui.sandbox.replicate.errors import Fields, check_object, not_found, refuse
from peft_tui.sandbox.replicate.schemas import openapi_schema
from peft_tui.sandbox.replicate.seed import HARDWARE
from peft_tui.sandbox.replicate.state import Model, Version

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?\Z")
_TEXT = {"type": "string"}
_LINKS = ("github_url", "paper_url", "license_url", "cover_image_url")
_COLLECTIONS = {
    "language-models": ("Language models", "Models that can understand and generate text."),
    "lora": ("LoRA", "Models that take LoRA weights."),
    "text-to-image": ("Generate images", "Models that generate images from text prompts."),
}


def version_json(version: Version) -> dict[str, Any]:
    """A version with its schema."""
    return {
        "id": version.id,
        "created_at": iso(version.created_at),
        "cog_version": version.cog_version,
        "openapi_schema": openapi_schema(version.kind),
    }


def latest(model: Model) -> Version | None:
    """The newest version that still exists."""
    return next((v for v in reversed(model.versions) if not v.deleted), None)


def model_json(model: Model) -> dict[str, Any]:
    """`schemas_model_response`."""
    newest = latest(model)
    return {
        "url": f"https://replicate.com/{model.owner}/{model.name}",
        "owner": model.owner,
        "name": model.name,
        "description": model.description,
        "visibility": model.visibility,
        "github_url": model.github_url,
        "paper_url": model.paper_url,
        "license_url": model.license_url,
        "weights_url": model.weights_url,
        "run_count": model.run_count,
        "cover_image_url": model.cover_image_url,
        "default_example": None,
        "is_official": model.is_official,
        "latest_version": version_json(newest) if newest else None,
    }


async def retrieve(call: Call) -> Any:
    """`GET /models/{o}/{n}`."""
    return model_json(call.model())


async def list_models(call: Call) -> Any:
    """`GET /models`: public ones only; there is no list of one's own."""
    by, direction = (
        call.request.query.get("sort_by", "latest_version_created_at"),
        call.request.query.get("sort_direction", "desc"),
    )
    if by not in ("model_created_at", "latest_version_created_at") or direction not in ("asc", "desc"):
        raise refuse(
            400, "sort_by must be model_created_at or latest_version_created_at, sort_direction asc or desc"
        )
    models = [m for m in call.state.models.values() if m.visibility == "public" and m.versions]

    def key(model: Model) -> float:
        newest = latest(model)
        return model.created_at if by == "model_created_at" or newest is None else newest.created_at

    models.sort(key=key, reverse=direction == "desc")
    return page(call, models, model_json, lambda m: f"{m.owner}/{m.name}")


def _found(call: Call, query: str) -> list[Model]:
    words = query.lower().split()
    models = [m for m in call.state.models.values() if m.visibility == "public"]
    return [
        m
        for m in models
        if all(w in f"{m.owner}/{m.name} {m.description or ''} {' '.join(m.tags)}".lower() for w in words)
    ]


async def query_models(call: Call) -> Any:
    """`QUERY /models` with the search text as a plain body."""
    text = (await call.request.text()).strip()
    return page(call, _found(call, text), model_json, lambda m: f"{m.owner}/{m.name}")


async def search(call: Call) -> Any:
    """`GET /search?query=&limit=`."""
    text = call.request.query.get("query", "").strip()
    if not text:
        return web.json_response({"detail": 'Query parameter "query" is required'}, status=400)
    raw = call.request.query.get("limit", "20")
    if not raw.isdigit() or not 1 <= int(raw) <= 50:
        return web.json_response({"detail": "limit must be from 1 to 50"}, status=400)
    models = [
        {
            "model": model_json(m),
            "metadata": {
                "score": round(1 - 0.05 * n, 2),
                "tags": m.tags,
                "generated_description": m.description,
            },
        }
        for n, m in enumerate(_found(call, text)[: int(raw)])
    ]
    matching = [s for s, (name, _) in _COLLECTIONS.items() if text.lower() in f"{s} {name}".lower()]
    return {
        "query": text,
        "models": models,
        "collections": [
            {"name": _COLLECTIONS[s][0], "slug": s, "description": _COLLECTIONS[s][1]} for s in matching
        ],
        "pages": [],
    }


async def create(call: Call) -> Any:
    """`POST /models` → 201."""
    body = check_object(
        await call.body(),
        {
            "owner": _TEXT,
            "name": _TEXT,
            "visibility": {"type": "string", "enum": ["public", "private"]},
            "hardware": _TEXT,
            "description": _TEXT,
            **dict.fromkeys(_LINKS, _TEXT),
        },
        ("owner", "name", "visibility", "hardware"),
    )
    if body["owner"] != call.account.username:
        raise refuse(
            403, "You do not have permission to create models for this owner.", title="Permission denied"
        )
    fields = Fields()
    if not NAME.match(body["name"]):
        fields.add(
            "pattern", "name", "Name may contain only lowercase letters, digits, dashes, underscores and dots"
        )
    if body["hardware"] not in HARDWARE or not HARDWARE[body["hardware"]].listed:
        fields.add("enum", "hardware", f"hardware must be one of the following: {', '.join(_skus())}")
    fields.check()
    key = f"{body['owner']}/{body['name']}"
    if key in call.state.models:
        raise refuse(409, f"A model named {key} already exists.", title="Conflict")
    model = Model(
        owner=body["owner"],
        name=body["name"],
        visibility=body["visibility"],
        hardware=body["hardware"],
        created_at=call.now,
        description=body.get("description"),
        github_url=body.get("github_url"),
        paper_url=body.get("paper_url"),
        license_url=body.get("license_url"),
        cover_image_url=body.get("cover_image_url"),
    )
    call.state.models[key] = model
    return web.json_response(model_json(model), status=201)


def _skus() -> list[str]:
    return [h.sku for h in HARDWARE.values() if h.listed]


async def update(call: Call) -> Any:
    """`PATCH /models/{o}/{n}`."""
    model = call.model(mine=True)
    names = ("description", "readme", "github_url", "paper_url", "license_url", "weights_url")
    body = check_object(await call.body(), dict.fromkeys(names, _TEXT), ())
    for key, value in body.items():
        setattr(model, key, value)
    return model_json(model)


async def delete(call: Call) -> Any:
    """`DELETE /models/{o}/{n}` → 204: private, without versions."""
    model = call.model(mine=True)
    key = f"{model.owner}/{model.name}"
    if model.visibility != "private":
        raise refuse(403, "Only private models can be deleted.", title="Permission denied")
    if any(not v.deleted for v in model.versions):
        raise refuse(
            400, "This model has versions. Delete all of its versions first.", title="Cannot delete model"
        )
    del call.state.models[key]
    return web.Response(status=204)


async def versions(call: Call) -> Any:
    """`GET /models/{o}/{n}/versions`, newest first."""
    model = call.model()
    found = [v for v in reversed(model.versions) if not v.deleted]
    return page(call, found, version_json, lambda v: v.id)


async def version(call: Call) -> Any:
    """`GET /models/{o}/{n}/versions/{v}`."""
    return version_json(call.version(call.model(), call.arg("version")))


async def delete_version(call: Call) -> Any:
    """`DELETE …/versions/{v}` → 202: refused while a deployment uses it."""
    model = call.model(mine=True)
    chosen = call.version(model, call.arg("version"))
    if model.visibility != "private":
        raise refuse(403, "Only versions of private models can be deleted.", title="Permission denied")
    for deployment in call.state.deployments.values():
        if deployment.release.version == chosen.id:
            raise refuse(
                400,
                f"This version is used by the deployment {deployment.owner}/{deployment.name} and "
                "cannot be deleted.",
                title="Cannot delete version",
            )
    chosen.deleted = True
    return web.Response(status=202)


async def examples(call: Call) -> Any:
    """`GET /models/{o}/{n}/examples`: there are none here."""
    call.model()
    return {"next": None, "previous": None, "results": []}


async def readme(call: Call) -> Any:
    """`GET /models/{o}/{n}/readme`, plain text."""
    model = call.model()
    if not model.readme:
        raise not_found()
    return web.Response(text=model.readme, content_type="text/plain")


async def collections(call: Call) -> Any:
    """`GET /collections`."""
    rows = [{"name": n, "slug": s, "description": d} for s, (n, d) in _COLLECTIONS.items()]
    return {"next": None, "previous": None, "results": rows}


async def collection(call: Call) -> Any:
    """`GET /collections/{slug}`."""
    slug = call.arg("slug")
    if slug not in _COLLECTIONS:
        raise not_found()
    name, description = _COLLECTIONS[slug]
    models = [
        model_json(m) for m in call.state.models.values() if slug in m.tags and m.visibility == "public"
    ]
    return {
        "name": name,
        "slug": slug,
        "description": description,
        "full_description": None,
        "models": models,
    }


async def hardware(call: Call) -> Any:
    """`GET /hardware`: a bare array without prices."""
    return web.json_response([{"sku": h.sku, "name": h.name} for h in HARDWARE.values() if h.listed])
