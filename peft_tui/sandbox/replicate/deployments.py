"""Deployments: an alias with bounds. No status, no stop verb: 0/0 is off."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.replicate import running
from peft_tui.sandbox.replicate.access import Call, check_credit, page
from peft_tui.sandbox.replicate.errors import Fields, bad_version, check_object, not_found, refuse
from peft_tui.sandbox.replicate.models import NAME
from peft_tui.sandbox.replicate.seed import HARDWARE
from peft_tui.sandbox.replicate.state import Account, Deployment, Model, Release, Version
from peft_tui.sandbox.web import Refusal

_LIVE: dict[str, dict[str, Any]] = {
    "version": {"type": "string"},
    "hardware": {"type": "string"},
    "min_instances": {"type": "integer", "minimum": 0, "maximum": 5},
    "max_instances": {"type": "integer", "minimum": 0, "maximum": 20},
}
_NEW: dict[str, dict[str, Any]] = {"name": {"type": "string"}, "model": {"type": "string"}, **_LIVE}


def account_json(account: Account) -> dict[str, Any]:
    """`GET /account`, and `created_by` of a release."""
    return {
        "type": account.type,
        "username": account.username,
        "name": account.name,
        "avatar_url": account.avatar_url,
        "github_url": account.github_url,
    }


def deployment_json(call: Call, deployment: Deployment) -> dict[str, Any]:
    """`schemas_deployment_response`."""
    release = deployment.release
    return {
        "owner": deployment.owner,
        "name": deployment.name,
        "current_release": {
            "number": release.number,
            "model": deployment.model,
            "version": release.version,
            "created_at": iso(release.created_at),
            "created_by": account_json(call.state.accounts[deployment.owner]),
            "configuration": {
                "hardware": release.hardware,
                "min_instances": release.min_instances,
                "max_instances": release.max_instances,
            },
        },
    }


def find(call: Call) -> Deployment:
    """A deployment of the caller's, brought up to now."""
    deployment = call.state.deployments.get(f"{call.arg('owner')}/{call.arg('name')}")
    if deployment is None or deployment.owner != call.account.username:
        raise not_found()
    running.settle(call.world, deployment)
    return deployment


def _check(call: Call, body: dict[str, Any], low: int, high: int) -> None:
    fields = Fields()
    sku = body.get("hardware")
    if sku is not None and (sku not in HARDWARE or not HARDWARE[sku].listed):
        listed = ", ".join(h.sku for h in HARDWARE.values() if h.listed)
        fields.add("enum", "hardware", f"hardware must be one of the following: {listed}")
    if low > high:
        fields.add("number_lte", "min_instances", "min_instances must be less than or equal to max_instances")
    fields.check()


def _version(call: Call, path: str, id: str) -> tuple[Model, Version]:
    owner, _, name = path.partition("/")
    try:
        model = call.model(owner, name)
        return model, call.version(model, id.rpartition(":")[2])
    except Refusal:
        raise bad_version() from None


async def create(call: Call) -> Any:
    """`POST /deployments` → 200, release number 1."""
    body = check_object(
        await call.body(), _NEW, ("name", "model", "version", "hardware", "min_instances", "max_instances")
    )
    _check(call, body, body["min_instances"], body["max_instances"])
    fields = Fields()
    if not NAME.match(body["name"]):
        fields.add(
            "pattern", "name", "Name may contain only lowercase letters, digits, dashes, underscores and dots"
        )
    if body["model"].count("/") != 1:
        fields.add("pattern", "model", "model must be in the format {owner}/{name}")
    fields.check()
    _, version = _version(call, body["model"], body["version"])
    owner = call.account.username
    key = f"{owner}/{body['name']}"
    if key in call.state.deployments:
        raise refuse(409, f"A deployment named {key} already exists.", title="Conflict")
    if body["max_instances"]:
        check_credit(call)
    release = Release(1, version.id, body["hardware"], body["min_instances"], body["max_instances"], call.now)
    deployment = Deployment(owner, body["name"], body["model"], release)
    call.state.deployments[key] = deployment
    running.roll(call.world, deployment, replace=True)
    return deployment_json(call, deployment)


async def list_deployments(call: Call) -> Any:
    """`GET /deployments`, newest release first."""
    mine = [d for d in call.state.deployments.values() if d.owner == call.account.username]
    mine.reverse()
    return page(call, mine, lambda d: deployment_json(call, d), lambda d: d.name)


async def retrieve(call: Call) -> Any:
    """`GET /deployments/{o}/{n}`."""
    return deployment_json(call, find(call))


async def update(call: Call) -> Any:
    """`PATCH /deployments/{o}/{n}`: a new release, rolled out."""
    deployment = find(call)
    body = check_object(await call.body(), _LIVE, ())
    old = deployment.release
    low = body.get("min_instances", old.min_instances)
    high = body.get("max_instances", old.max_instances)
    _check(call, body, low, high)
    version = old.version
    if "version" in body:
        version = _version(call, deployment.model, body["version"])[1].id
    if high and not old.max_instances:
        check_credit(call)
    hardware = body.get("hardware", old.hardware)
    deployment.release = Release(old.number + 1, version, hardware, low, high, call.now)
    replaced = version != old.version or hardware != old.hardware or old.max_instances == 0
    running.roll(call.world, deployment, replace=replaced)
    return deployment_json(call, deployment)


async def delete(call: Call) -> Any:
    """`DELETE /deployments/{o}/{n}` → 204: offline, and unused for a quarter of an hour."""
    deployment = find(call)
    now = call.now
    if deployment.instances or deployment.release.min_instances:
        raise refuse(
            400,
            "This deployment is online. Set min_instances and max_instances to 0 and wait until it has "
            "been offline and "
            "unused for at least 15 minutes before deleting it.",
            title="Cannot delete deployment",
        )
    quiet_since = max(deployment.last_used, deployment.online_until)
    left = quiet_since + call.state.knobs.delete_after - now
    if left > 0:
        raise refuse(
            400,
            "This deployment was used recently. A deployment can only be deleted once it has been "
            "offline and unused "
            f"for at least 15 minutes. Try again in {int(left // 60) + 1} minutes.",
            title="Cannot delete deployment",
        )
    deployment.deleted_at = now
    call.state.deleted_deployments.append(deployment)
    del call.state.deployments[f"{deployment.owner}/{deployment.name}"]
    return web.Response(status=204)
