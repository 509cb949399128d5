"""Trainings. On `replicate/cog-vllm` a training imports a Hugging Face checkpoint as a new version."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from peft_tui.sandbox import hubrepos
from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.replicate.access import Call, check_credit, page
from peft_tui.sandbox.replicate.errors import Fields, check_object, check_value, not_found, refuse
from peft_tui.sandbox.replicate.schemas import TRAINING_INPUT, TRAINING_REQUIRED
from peft_tui.sandbox.replicate.seed import HARDWARE
from peft_tui.sandbox.replicate.state import Training, Version
from peft_tui.sandbox.world import World

BOOT, DOWNLOAD, PACK = 5.0, 20.0, 40.0
FAIL = 8.0
_BODY: dict[str, dict[str, Any]] = {
    "destination": {"type": "string"},
    "input": {"type": "object"},
    "webhook": {"type": "string"},
    "webhook_events_filter": {"type": "array"},
}
HEX = "0123456789abcdef"


def _plan(training: Training, at: float) -> None:
    """Decide how the import ends, and what it writes until then."""
    name = str(training.input["hf_model_id"])
    repo = hubrepos.repos().get(name)
    allowed = training.input.get("hf_token") == hubrepos.HF_TOKEN
    log = training.logs
    log.append((at, f"Downloading {name} from Hugging Face"))
    training.ends_at = at + FAIL
    if repo is None or (repo.private and not allowed):
        training.error = f"E1200: repository {name} was not found, or it is private and hf_token is missing"
    elif repo.gated and not allowed:
        training.error = (
            f"E1201: access to {name} is restricted; pass an hf_token that has been granted access"
        )
    elif repo.kind == hubrepos.ADAPTER:
        log.append((at + 4, "Fetched adapter_config.json, adapter_model.safetensors"))
        training.error = (
            f"E1004: {name} has adapter_config.json but no config.json: it is a LoRA adapter, not a "
            "full checkpoint. "
            f"Merge it into its base ({repo.base}) and import the merged model."
        )
    if training.error:
        log.append((at + FAIL, training.error))
        return
    assert repo is not None
    training.voice, training.base = name, repo.base or name
    training.ends_at = at + PACK
    log.append((at + DOWNLOAD, f"Downloaded {len(repo.files)} files"))
    log.append((at + DOWNLOAD + 1, "Packing weights"))
    log.append((at + PACK, "Uploaded weights"))


def status_of(training: Training, now: float) -> str:
    """The word of the API at a time."""
    if training.canceled_at is not None:
        return "canceled"
    if now >= training.ends_at:
        return "failed" if training.error else "succeeded"
    return "processing" if now >= training.started_at else "starting"


def settle(world: World, training: Training) -> None:
    """Let a finished import leave its version."""
    if training.version_made or status_of(training, world.now()) != "succeeded":
        return
    training.version_made = True
    model = world.replicate.models.get(training.destination)
    if model is None:
        training.error = "The specified training destination does not exist"
        return
    training.new_version = world.new_id("", 64, HEX)
    training.weights = f"https://replicate.delivery/sandbox/{training.id}/model.tar"
    model.versions.append(
        Version(
            training.new_version,
            training.ends_at,
            "llm",
            voice=training.voice,
            base=training.base or "unknown",
        )
    )


def training_json(call: Call, training: Training) -> dict[str, Any]:
    """`schemas_training_response`; `hf_token` is shown redacted."""
    settle(call.world, training)
    now = call.now
    status = status_of(training, now)
    shown = {k: "[REDACTED]" if k == "hf_token" else v for k, v in training.input.items()}
    until = training.canceled_at if training.canceled_at is not None else now
    answer: dict[str, Any] = {
        "id": training.id,
        "model": training.model,
        "version": training.version,
        "status": status,
        "input": shown,
        "logs": "".join(f"{line}\n" for at, line in training.logs if at <= until),
        "error": training.error if status == "failed" else None,
        "source": "api",
        "created_at": iso(training.created_at),
        "urls": {
            "get": f"{call.api}/trainings/{training.id}",
            "cancel": f"{call.api}/trainings/{training.id}/cancel",
        },
    }
    if now >= training.started_at and (
        training.canceled_at is None or training.started_at <= training.canceled_at
    ):
        answer["started_at"] = iso(training.started_at)
    if status in ("succeeded", "failed", "canceled"):
        end = training.canceled_at if training.canceled_at is not None else training.ends_at
        answer["completed_at"] = iso(end)
        answer["metrics"] = {
            "predict_time": round(max(0.0, end - training.started_at), 6),
            "total_time": round(end - training.created_at, 6),
        }
    if status == "succeeded" and training.new_version:
        answer["output"] = {
            "version": f"{training.destination}:{training.new_version}",
            "weights": training.weights,
        }
    return answer


async def create(call: Call) -> Any:
    """`POST /models/{o}/{n}/versions/{v}/trainings` → 201."""
    model = call.model()
    version = call.version(model, call.arg("version"))
    body = check_object(await call.body(), _BODY, ("destination", "input"))
    if version.kind != "importer":
        raise refuse(
            422, "This version cannot be trained: it has no train() function.", title="Version not trainable"
        )
    destination = body["destination"]
    owner, _, name = destination.partition("/")
    target = call.state.models.get(destination)
    if target is None or owner != call.account.username or not name:
        raise refuse(404, "The specified training destination does not exist", title="Destination not found")
    fields = Fields()
    for required in TRAINING_REQUIRED:
        if not body["input"].get(required):
            fields.add("required", "input", f"{required} is required")
    for key, value in body["input"].items():
        if key in TRAINING_INPUT:
            check_value(fields, f"input.{key}", value, TRAINING_INPUT[key])
    fields.check()
    check_credit(call)
    now = call.now
    training = Training(
        id=call.world.new_id("", 26, "0123456789abcdefghjkmnpqrstvwxyz"),
        account=call.account.username,
        model=f"{model.owner}/{model.name}",
        version=version.id,
        destination=destination,
        input=body["input"],
        created_at=now,
        started_at=now + BOOT,
        ends_at=now,
        logs=[],
    )
    _plan(training, training.started_at)
    training.meter.set(1, HARDWARE[model.hardware].usd_per_hour, training.started_at)
    training.meter.set(0, HARDWARE[model.hardware].usd_per_hour, training.ends_at)
    call.state.trainings[training.id] = training
    return web.json_response(training_json(call, training), status=201)


def _find(call: Call) -> Training:
    training = call.state.trainings.get(call.arg("id"))
    if training is None or training.account != call.account.username:
        raise not_found()
    return training


async def retrieve(call: Call) -> Any:
    """`GET /trainings/{id}`."""
    return training_json(call, _find(call))


async def list_trainings(call: Call) -> Any:
    """`GET /trainings`, newest first."""
    mine = [t for t in call.state.trainings.values() if t.account == call.account.username]
    mine.reverse()
    return page(call, mine, lambda t: training_json(call, t), lambda t: t.id)


async def cancel(call: Call) -> Any:
    """`POST /trainings/{id}/cancel`."""
    training = _find(call)
    now = call.now
    if status_of(training, now) in ("starting", "processing"):
        training.canceled_at = now
        for stretch in training.meter.stretches:
            stretch.end = max(stretch.start, min(stretch.end or now, now))
    return training_json(call, training)
