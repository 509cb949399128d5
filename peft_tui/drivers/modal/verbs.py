"""The steps on an app that exists."""

from __future__ import annotations

from peft_tui.domain.errors import ConfigurationInvalid, NotFound
from peft_tui.drivers.modal import engine
from peft_tui.drivers.modal.api import ModalApi
from peft_tui.drivers.modal.declaration import CAPABILITIES
from peft_tui.drivers.modal.steps import deploy
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.drivers.steps import Step

BOUNDS = {
    "min_instances": "min_containers",
    "max_instances": "max_containers",
    "buffer": "buffer_containers",
    "idle_timeout": "scaledown_window",
    "scale_target": "target_concurrency",
}
"""What the autoscaler calls a setting of ours."""


async def _update(api: ModalApi, context: StepContext) -> Outputs:
    """Bounds that are set to a value: twice is once."""
    bounds: dict[str, int | None] = {}
    for key in context.changes:
        if key in BOUNDS:
            value = context.spec.integer(key)
            # Taken away, a setting is what it is by default.
            bounds[BOUNDS[key]] = value if value or key in ("min_instances", "buffer") else _default(key)
    if bounds and await api.control.deployed(context.remote_name):
        await api.control.scale(context.remote_name, bounds)
        api.watch.changed(context.remote_id)
    return {}


def _default(key: str) -> int | None:
    default = CAPABILITIES.defaults().get(key)
    return int(default) if default is not None else None


async def _redeploy(api: ModalApi, context: StepContext) -> Outputs:
    """A new version under the same name; deployed twice, the second changes nothing."""
    if context.remote_id and not await api.control.deployed(context.remote_name):
        raise ConfigurationInvalid(
            "It is stopped: a new version would start it.", hint="Start it first, then change it."
        )
    return await deploy(api, context)


async def _start(api: ModalApi, context: StepContext) -> Outputs:
    """A new app under the old name: the address stays, the id does not."""
    return await deploy(api, context)


async def _stop(api: ModalApi, context: StepContext) -> Outputs:
    app_id = context.remote_id or await api.control.deployed(context.remote_name)
    if not app_id:
        return {"absent": True}
    try:
        await api.control.stop(app_id)
    except NotFound:
        return {"absent": True}
    return {}


async def _delete(api: ModalApi, context: StepContext) -> Outputs:
    """Its files and its secret. What lay on the volume before and was not of our making stays."""
    kept = f"/{engine.MARKER}" if context.changes.get("keep_adapter") else ""
    await api.volumes.remove(engine.VOLUME, f"{context.remote_name}{kept}")
    await api.control.remove_secret(context.remote_name)
    if context.remote_id:
        api.watch.deleted(context.remote_id)
    return {"absent": True}


VERBS: dict[str, Step[ModalApi]] = {
    "update": Step(_update),
    "redeploy": Step(_redeploy),
    "stop": Step(_stop),
    "start": Step(_start),
    "delete": Step(_delete),
}
