"""The control plane's deployments: list, create, update, delete, events, recommended configuration."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO
from typing import Any

from aiohttp import web

from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.predibase import life
from peft_tui.sandbox.predibase.access import Call
from peft_tui.sandbox.predibase.catalog import USD_PER_HOUR, base_of
from peft_tui.sandbox.predibase.errors import refuse
from peft_tui.sandbox.predibase.state import Deployment

_NAME = re.compile(r"[a-z0-9-]{1,63}\Z")
_TEXT, _NUMBER, _SWITCH = (str,), (int,), (bool,)
CONFIG: dict[str, tuple[type, ...]] = {
    "baseModel": _TEXT,
    "accelerator": _TEXT,
    "computeSpec": (dict,),
    "quantization": _TEXT,
    "minReplicas": _NUMBER,
    "maxReplicas": _NUMBER,
    "cooldownTime": _NUMBER,
    "scaleUpRequestThreshold": _NUMBER,
    "hfToken": _TEXT,
    "customArgs": (list,),
    "maxTotalTokens": _NUMBER,
    "loraxImageTag": _TEXT,
    "requestLoggingEnabled": _SWITCH,
    "directIngress": _SWITCH,
    "preloadedAdapters": (list,),
    "speculator": _TEXT,
    "prefixCaching": _SWITCH,
    "backend": _TEXT,
    "disableAdapters": _SWITCH,
    "usesGuaranteedCapacity": _SWITCH,
    "chunkedPrefill": _SWITCH,
    "speculationDisableByBatchSize": _NUMBER,
    "maxNumBatchedTokens": _NUMBER,
    "cacheModel": _SWITCH,
    "mergeAdapter": _TEXT,
}
FIXED = ("accelerator", "computeSpec", "quantization")
"""Not in the schema of an update."""
MOST_REPLICAS = 6
_CHOICES = {"quantization": ("none", "fp8", "bitsandbytes-nf4"), "backend": ("v1", "v2", "v3")}
_TYPES = {"serverless": "shared", "dedicated": "private", "shared": "shared", "private": "private"}


def deployment_json(call: Call, deployment: Deployment) -> dict[str, Any]:
    """One deployment; a token that was handed over is never shown again."""
    life.settle(call.world, deployment)
    base = base_of(deployment.base)
    assert base is not None
    return {
        "name": deployment.name,
        "uuid": deployment.uuid,
        "description": deployment.description,
        "type": deployment.type,
        "status": deployment.status,
        "currentReplicas": deployment.replicas,
        "usesGuaranteedCapacity": bool(deployment.config.get("usesGuaranteedCapacity")),
        "quantization": deployment.config.get("quantization"),
        "accelerator": {"id": deployment.accelerator},
        "model": {"name": base.name, "maxInputLength": base.context},
        "config": {key: value for key, value in deployment.config.items() if key != "hfToken"},
    }


async def list_deployments(call: Call) -> Any:
    """`GET /v2/deployments?type=`."""
    wanted = call.request.query.get("type")
    if wanted is not None and wanted not in _TYPES:
        raise refuse(400, f"invalid deployment type: {wanted}")
    mine = [d for d in call.state.deployments.values() if d.tenant == call.user.tenant]
    found = [*mine, *call.state.shared.values()]
    return {
        "data": [deployment_json(call, d) for d in found if wanted is None or d.type == _TYPES[wanted]],
    }


async def retrieve(call: Call) -> Any:
    """`GET /v2/deployments/{name}`."""
    return {"data": deployment_json(call, call.deployment(call.arg("name")))}


async def create(call: Call) -> Any:
    """`POST /v2/deployments`."""
    body = await call.body()
    name = body.get("name")
    if not isinstance(name, str) or not _NAME.match(name):
        raise refuse(400, "invalid deployment name: use lowercase letters, digits and hyphens")
    config = _config(body, creating=True)
    description = _description(body)
    key = f"{call.user.tenant}/{name}"
    if key in call.state.deployments or name in call.state.shared:
        raise refuse(409, f"deployment {name} already exists")
    if call.state.knobs.out_of_credit:
        raise refuse(402, "your trial credits are used up; contact sales to continue")
    base = base_of(config["baseModel"])
    if base is None:
        raise refuse(400, f"base model {config['baseModel']} is not supported")
    accelerator = config.get("accelerator") or _sku(config) or base.accelerator
    if accelerator not in USD_PER_HOUR:
        raise refuse(400, f"unknown accelerator {accelerator}")
    if base.gated and not config.get("hfToken"):
        raise refuse(400, f"base model {base.hub_id} is gated: pass hfToken")
    _check_adapters(call, config, base.name)
    deployment = Deployment(
        uuid=_uuid(call),
        tenant=call.user.tenant,
        name=name,
        description=description,
        type="private",
        created_at=call.now,
        config=config,
        accelerator=accelerator,
        base=base.name,
    )
    call.state.deployments[key] = deployment
    life.start(call.world, deployment, call.now)
    return {"data": deployment_json(call, deployment)}


async def update(call: Call) -> Any:
    """`PUT /v2/deployments/{name}`: null leaves a field as it is."""
    deployment = call.deployment(call.arg("name"), mine=True)
    body = await call.body()
    given = _config(body, creating=False)
    for key in FIXED:
        if key in given:
            raise refuse(400, f"{key} cannot be changed; delete the deployment and create it again")
    before = dict(deployment.config)
    config = {**before, **given}
    _check_bounds(config)
    base = base_of(config["baseModel"])
    if base is None:
        raise refuse(400, f"base model {config['baseModel']} is not supported")
    _check_adapters(call, config, base.name)
    description = _description(body)
    if description is not None:
        deployment.description = description
    deployment.config, deployment.base = config, base.name
    if config != before:
        life.update(call.world, deployment, call.now, before)
    return {"data": deployment_json(call, deployment)}


async def delete(call: Call) -> Any:
    """`DELETE /v2/deployments/{name}`."""
    deployment = call.deployment(call.arg("name"), mine=True)
    life.delete(call.world, deployment)
    del call.state.deployments[f"{deployment.tenant}/{deployment.name}"]
    call.state.deleted_deployments.append(deployment)
    return web.Response(status=204)


async def recommended(call: Call) -> Any:
    """`GET /v2/deployments/recommended-config?baseModel=`; the shape of the answer is inferred."""
    name = call.request.query.get("baseModel", "")
    base = base_of(name)
    if base is None:
        raise refuse(404, f"no recommended configuration for base model {name!r}")
    accelerator = call.request.query.get("accelerator") or base.accelerator
    config: dict[str, Any] = dict.fromkeys(CONFIG)
    config |= {
        "baseModel": base.name,
        "accelerator": accelerator,
        "quantization": call.request.query.get("quantization"),
        "minReplicas": 0,
        "maxReplicas": 1,
        "cooldownTime": life.COOLDOWN,
        "scaleUpRequestThreshold": 1,
        "customArgs": ["--max-total-tokens", str(base.context + 1)],
    }
    return {"data": config}


async def events(call: Call) -> Any:
    """`GET /llms/{name}/events?detailed=`."""
    deployment = call.deployment(call.arg("name"))
    detailed = call.request.query.get("detailed", "false").lower() == "true"
    return {
        "name": deployment.name,
        "deploymentStatus": deployment.status,
        "resourceActiveTime": life.active_seconds(deployment, call.now),
        "ComputeEvents": [
            {"eventType": event.type, "timestamp": iso(event.at, 0)}
            for event in deployment.events
            if detailed or not event.detailed
        ],
    }


async def request_logs(call: Call) -> Any:
    """`GET /v2/deployments/{name}/request-logs`: a zip; here it holds no requests."""
    deployment = call.deployment(call.arg("name"), mine=True)
    if not deployment.config.get("requestLoggingEnabled"):
        message = "request logging is not enabled for this deployment"
        return web.json_response({"error": {"message": message}}, status=400)
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("requests.jsonl", "")
    return web.Response(body=packed.getvalue(), content_type="application/zip")


def _uuid(call: Call) -> str:
    digits = call.world.new_id("", 32, "0123456789abcdef")
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _description(body: dict[str, Any]) -> str | None:
    description = body.get("description")
    if description is not None and not isinstance(description, str):
        raise refuse(400, "description must be a string")
    return description


def _sku(config: dict[str, Any]) -> str | None:
    requests = config.get("computeSpec", {}).get("requests")
    inference = requests.get("inference") if isinstance(requests, dict) else None
    sku = inference.get("sku") if isinstance(inference, dict) else None
    return sku if isinstance(sku, str) else None


def _config(body: dict[str, Any], *, creating: bool) -> dict[str, Any]:
    """The fields of `config` that were given; null is as good as absent."""
    config = body.get("config")
    if config is None and not creating:
        return {}
    if not isinstance(config, dict):
        raise refuse(400, "config is required")
    given = {key: value for key, value in config.items() if value is not None}
    for key, value in given.items():
        if key not in CONFIG:
            raise refuse(400, f"unknown field config.{key}")
        if not isinstance(value, CONFIG[key]) or (isinstance(value, bool) and CONFIG[key] is not _SWITCH):
            raise refuse(400, f"config.{key} has the wrong type")
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise refuse(400, f"config.{key} must be a list of strings")
        if key in _CHOICES and value not in _CHOICES[key]:
            raise refuse(400, f"config.{key} must be one of {', '.join(_CHOICES[key])}")
    if creating:
        if not given.get("baseModel"):
            raise refuse(400, "config.baseModel is required")
        defaults = {"minReplicas": 0, "maxReplicas": max(1, given.get("minReplicas", 0))}
        given = {**defaults, "cooldownTime": life.COOLDOWN, "scaleUpRequestThreshold": 1, **given}
        _check_bounds(given)
    return given


def _check_bounds(config: dict[str, Any]) -> None:
    low, high = config["minReplicas"], config["maxReplicas"]
    if not 0 <= low <= high or not 1 <= high <= MOST_REPLICAS:
        limits = f"0 <= minReplicas <= maxReplicas, 1 <= maxReplicas <= {MOST_REPLICAS}"
        raise refuse(400, f"replicas must satisfy {limits}")
    if config["cooldownTime"] < life.SHORTEST_COOLDOWN:
        raise refuse(400, f"cooldownTime must be at least {life.SHORTEST_COOLDOWN} seconds")
    if config["scaleUpRequestThreshold"] < 1:
        raise refuse(400, "scaleUpRequestThreshold must be at least 1")


def _check_adapters(call: Call, config: dict[str, Any], base: str) -> None:
    """What is to be loaded at the start must exist and fit."""
    wanted = [*(config.get("preloadedAdapters") or ()), *filter(None, [config.get("mergeAdapter")])]
    for id in wanted:
        name, _, tag = id.partition("/")
        repo = call.repo(name)
        version = next((v for v in repo.living if str(v.tag) == tag.partition("@")[0]), None)
        if version is None:
            raise refuse(404, f"adapter {id} not found")
        found = base_of(version.base_model)
        if found is None or found.name != base:
            raise refuse(400, f"adapter {id} was trained on {version.base_model}, not on {base}")
