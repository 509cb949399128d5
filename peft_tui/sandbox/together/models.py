"""Models and adapters: catalogue, registration, revisions, configs, hardware."""

from __future__ import annotations

import re
from typing import Any

from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.together import catalog
from peft_tui.sandbox.together.access import Call
from peft_tui.sandbox.together.catalog import BY_ID, PUBLIC_ORG, PUBLIC_PROJECT, Base
from peft_tui.sandbox.together.lists import page
from peft_tui.sandbox.together.masks import mask
from peft_tui.sandbox.together.state import Model, Project, Revision
from peft_tui.sandbox.weights import FileFacts, judge_adapter, judge_checkpoint
from peft_tui.sandbox.world import World

VALIDATION_SECONDS = 3.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_VISIBILITIES = ("VISIBILITY_PRIVATE", "VISIBILITY_INTERNAL")


def bare_name(call: Call, project: Project, name: Any, what: str) -> str:
    """The name without the project's slug.

    Raises:
        Refusal: 400 for a name that is none.
    """
    if not isinstance(name, str) or not name:
        raise call.refuse(400, f"Invalid Argument: {what} name is required")
    slug, slash, rest = name.rpartition("/")
    if slash and slug != project.slug:
        raise call.refuse(
            400, f"Invalid Argument: {what} name {name!r} must start with the project slug {project.slug!r}"
        )
    if not _NAME.match(rest):
        raise call.refuse(
            400, f"Invalid Argument: {what} name {rest!r} may contain only letters, digits, '.', '_' and '-'"
        )
    return rest


def base_of(world: World, model: Model) -> Base | None:
    """The catalogue entry at the root of a model."""
    seen = model.base_model_id
    for _ in range(8):
        if seen in BY_ID:
            return BY_ID[seen]
        parent = world.together.models.get(seen)
        if parent is None:
            return None
        seen = parent.base_model_id
    return None


def find_model(call: Call, project: Project, id: str) -> Model:
    """A model the project may use: its own, or one shared within the organisation."""
    model = call.state.models.get(id)
    if model is not None and (
        model.project_id == project.id
        or (
            model.visibility == "VISIBILITY_INTERNAL"
            and call.state.projects[model.project_id].org_id == project.org_id
        )
    ):
        return model
    raise call.not_found("model", id)


def status_of(revision: Revision, now: float) -> str:
    """`PENDING`, `SUCCESS` or `FAILED`."""
    if now < revision.validated_at:
        return "PENDING"
    return "FAILED" if any(e["severity"] == "ERROR" for e in revision.errors) else "SUCCESS"


def add_revision(world: World, model: Model, files: list[FileFacts], at: float) -> Revision:
    """A new revision; what is wrong with it is known only after validation."""
    base = base_of(world, model)
    if model.type == "adapter":
        defects = judge_adapter(files, base.name if base else "")
    else:
        defects = judge_checkpoint(files)
    errors = [{"rule": d.rule, "severity": d.severity, "message": d.message} for d in defects]
    revision = Revision(world.new_id("rv_", 20), at, files, at + VALIDATION_SECONDS, errors)
    model.revisions.append(revision)
    model.updated_at = at
    return revision


def model_json(call: Call, model: Model) -> dict[str, Any]:
    """`Model` of the SDK."""
    project = call.state.projects[model.project_id]
    base = base_of(call.world, model)
    weights: dict[str, Any] = {
        "type": "WEIGHTS_TYPE_ADAPTER" if model.type == "adapter" else "WEIGHTS_TYPE_DEFAULT"
    }
    if base is not None:
        weights["architecture"] = base.architecture
        weights["contextLength"] = str(base.context)
    if model.revisions:
        counts: dict[str, int] = {}
        for file in model.revisions[-1].files:
            for dtype, count in file.parameters.items():
                counts[dtype] = counts.get(dtype, 0) + count
        if counts:
            names = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}
            weights["parameters"] = {
                "total": str(sum(counts.values())),
                "byDtype": [{"dtype": names.get(d, d.lower()), "count": str(n)} for d, n in counts.items()],
            }
    if model.base_model_id in BY_ID:
        base_path = BY_ID[model.base_model_id].path
    else:
        parent = call.state.models.get(model.base_model_id)
        owner = parent.project_id if parent else model.project_id
        base_path = f"projects/{owner}/models/{model.base_model_id}"
    answer = {
        "id": model.id,
        "name": f"{project.slug}/{model.name}",
        "organizationId": project.org_id,
        "projectId": model.project_id,
        "visibility": model.visibility,
        "weights": weights,
        "baseModel": base_path,
        "baseModelId": model.base_model_id,
        "createdAt": iso(model.created_at),
        "updatedAt": iso(model.updated_at),
    }
    if model.description:
        answer["description"] = model.description
    return answer


def base_json(base: Base) -> dict[str, Any]:
    """A public model in the shape of `Model`."""
    return {
        "id": base.id,
        "name": base.name,
        "organizationId": PUBLIC_ORG,
        "projectId": PUBLIC_PROJECT,
        "visibility": "VISIBILITY_INTERNAL",
        "weights": {
            "type": "WEIGHTS_TYPE_DEFAULT",
            "architecture": base.architecture,
            "contextLength": str(base.context),
            "parameters": {
                "total": str(int(base.billions * 1e9)),
                "byDtype": [{"dtype": "bfloat16", "count": str(int(base.billions * 1e9))}],
            },
        },
        "baseModel": "",
        "createdAt": catalog.CREATED,
        "updatedAt": catalog.CREATED,
    }


async def create(call: Call) -> Any:
    """`POST …/models`."""
    project = call.project()
    body = await call.body()
    name = bare_name(call, project, body.get("name"), "model")
    kind = str(body.get("type") or "").rstrip("s")
    if kind not in ("model", "adapter"):
        raise call.refuse(400, "Invalid Argument: type must be 'model' or 'adapter'")
    base_id = body.get("baseModelId")
    if not isinstance(base_id, str) or not base_id:
        raise call.refuse(400, "Invalid Argument: baseModelId is required")
    if base_id not in BY_ID:
        own = call.state.models.get(base_id)
        if own is None or own.project_id != project.id:
            raise call.refuse(400, f"Invalid Argument: base model {base_id} is not a supported or own model")
    if any(m.project_id == project.id and m.name == name for m in call.state.models.values()):
        raise call.refuse(
            409, f"a model named {project.slug}/{name} already exists in this project", "already_exists"
        )
    now = call.now
    model = Model(
        id=call.world.new_id("ml_", 20),
        name=name,
        project_id=project.id,
        type=kind,
        base_model_id=base_id,
        created_at=now,
        updated_at=now,
        description=body.get("description") or None,
    )
    call.state.models[model.id] = model
    return model_json(call, model)


async def list_models(call: Call) -> Any:
    """`GET …/models`: the project's own, with the organisation's shared ones on demand."""
    project = call.project()
    visibility = call.query.get("visibility")
    if visibility not in (None, *_VISIBILITIES):
        raise call.refuse(400, f"Invalid Argument: unknown visibility {visibility!r}")
    models = [
        m
        for m in call.state.models.values()
        if (
            m.project_id == project.id
            or (
                visibility == "VISIBILITY_INTERNAL"
                and call.state.projects[m.project_id].org_id == project.org_id
            )
        )
        and visibility in (None, m.visibility)
    ]
    models.sort(key=lambda m: m.created_at, reverse=True)
    return page(call, models, lambda m: model_json(call, m), lambda m: m.id)


async def list_org_models(call: Call) -> Any:
    """`GET /v2/organizations/{o}/models`: what is shared within the organisation."""
    if call.arg("org") != call.key.org_id:
        raise call.not_found("organization", call.arg("org"))
    models = [
        m
        for m in call.state.models.values()
        if m.visibility == "VISIBILITY_INTERNAL"
        and call.state.projects[m.project_id].org_id == call.key.org_id
    ]
    return page(call, models, lambda m: model_json(call, m), lambda m: m.id)


async def retrieve(call: Call) -> Any:
    """`GET …/models/{id}`; public models answer under their own project."""
    project = call.project(public=True)
    id = call.arg("model")
    if project.id == PUBLIC_PROJECT:
        if id not in BY_ID:
            raise call.not_found("model", id)
        return base_json(BY_ID[id])
    return model_json(call, find_model(call, project, id))


async def update(call: Call) -> Any:
    """`PATCH …/models/{id}?updateMask=`."""
    project = call.project()
    model = find_model(call, project, call.arg("model"))
    body = await call.body()
    paths = mask(call, body, ("name", "description", "visibility"))
    if "name" in paths:
        name = bare_name(call, project, body.get("name"), "model")
        if any(
            m.id != model.id and m.project_id == project.id and m.name == name
            for m in call.state.models.values()
        ):
            raise call.refuse(
                409, f"a model named {project.slug}/{name} already exists in this project", "already_exists"
            )
        model.name = name
    if "description" in paths:
        model.description = body.get("description") or None
    if "visibility" in paths:
        if body.get("visibility") not in _VISIBILITIES:
            raise call.refuse(400, f"Invalid Argument: visibility must be one of {', '.join(_VISIBILITIES)}")
        model.visibility = body["visibility"]
    model.updated_at = call.now
    return model_json(call, model)


async def delete(call: Call) -> Any:
    """`DELETE …/models/{id}`; refused while a deployment uses it."""
    project = call.project()
    model = find_model(call, project, call.arg("model"))
    for deployment in call.state.deployments.values():
        if deployment.deleted_at is None and (
            deployment.model_id == model.id
            or any(a.adapter_model_id == model.id for a in deployment.attachments)
        ):
            raise call.refuse(400, "the model is referenced by a live deployment", "failed_precondition")
    del call.state.models[model.id]
    return {}


async def revisions(call: Call) -> Any:
    """`GET …/models/{id}/revisions`, newest first."""
    project = call.project(public=True)
    id = call.arg("model")
    if project.id == PUBLIC_PROJECT or id in BY_ID:
        if id not in BY_ID:
            raise call.not_found("model", id)
        public = {
            "revisionId": BY_ID[id].revision_id,
            "createdAt": catalog.CREATED,
            "validationStatus": "REVISION_VALIDATION_STATUS_SUCCESS",
            "lastValidatedAt": catalog.CREATED,
        }
        return {"object": "list", "data": [public], "next_cursor": None}
    model = find_model(call, project, id)

    def show(revision: Revision) -> dict[str, Any]:
        status = status_of(revision, call.now)
        row: dict[str, Any] = {
            "revisionId": revision.id,
            "createdAt": iso(revision.created_at),
            "validationStatus": f"REVISION_VALIDATION_STATUS_{status}",
        }
        if status != "PENDING":
            row["lastValidatedAt"] = iso(revision.validated_at)
            if revision.errors:
                row["validationErrors"] = revision.errors
        return row

    return page(call, model.revisions[::-1], show, lambda r: r.id)


async def files(call: Call) -> Any:
    """`GET …/models/{id}/files?revisionId=`; sizes are strings."""
    model = find_model(call, call.project(), call.arg("model"))
    wanted = call.query.get("revisionId")
    chosen = [r for r in model.revisions if wanted in (None, "", r.id)]
    if not chosen:
        raise call.not_found("revision", wanted) if wanted else call.refuse(400, "the model has no revisions")
    revision = chosen[-1]
    answer = page(
        call,
        revision.files,
        lambda f: {"path": f.path, "sizeBytes": str(f.size), "hash": f.hash},
        lambda f: f.path,
    )
    answer["revisionId"] = revision.id
    answer["revisionCreatedAt"] = iso(revision.created_at)
    answer["totalSizeBytes"] = str(sum(f.size for f in revision.files))
    return answer
