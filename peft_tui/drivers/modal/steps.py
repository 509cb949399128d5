"""The steps of a create at Modal, each with the look-up for what a lost answer left behind; those on an app
that exists are in `verbs.py` and `history.py`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

from peft_tui.adapters import read_directory
from peft_tui.domain.deployment import looks_like_ours
from peft_tui.domain.errors import (
    ConfigurationInvalid,
    ConnectionFailed,
    NotFound,
    PlatformFailed,
    ResourceUnavailable,
)
from peft_tui.drivers.modal import engine, history, secrets
from peft_tui.drivers.modal.api import ModalApi
from peft_tui.drivers.modal.declaration import needs_secret
from peft_tui.drivers.modal.first_answer import first_answer
from peft_tui.drivers.modal.progress import Meter
from peft_tui.drivers.modal.sources import adapter_of, see_to_the_hub
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.drivers.steps import Step


async def _check(api: ModalApi, context: StepContext) -> Outputs:
    """All that can be known before anything is sent: settings, secret values, the budget."""
    engine.gpus_of(context.spec)
    await secrets.environment(api.credentials, context.spec, context.remote_name)
    budget = await api.budget()
    if budget is not None and budget.reached:
        raise ResourceUnavailable(
            f"Modal: the budget of the environment {api.connection.environment} is used up ({budget.words}).",
            hint="Nothing was sent and nothing bills. Raise it at modal.com/settings/usage, or wait for the"
            " next cycle.",
        )
    return {}


async def _volume(api: ModalApi, context: StepContext) -> Outputs:
    """Make the volume, and in it the directory that says that this deployment exists."""
    marker = {"made_by": "peft-tui", "source": context.spec.source.kind, "of": context.spec.source.label}
    content = json.dumps(marker).encode()
    meter = Meter(len(content), lambda done, total: None)
    path = f"/{context.remote_name}/{engine.MARKER}"
    await api.volumes.upload(engine.VOLUME, [(BytesIO(content), path)], meter)
    return {"volume": engine.VOLUME}


async def _upload(api: ModalApi, context: StepContext) -> Outputs:
    """Send the adapter's two files. Begun again, what the platform has already is not sent again."""
    directory = Path(context.spec.source.reference)
    context.report(None, None, "reading and hashing")
    # Read again: the directory may have changed since the wizard looked at it.
    adapter = await asyncio.to_thread(read_directory, str(directory))
    sizes = dict(adapter.files)
    total = sum(sizes.values())
    meter = Meter(total, lambda done, total: context.report(done, total, ""))
    files = [(directory / name, f"/{context.remote_name}/{name}") for name in sizes]
    await api.volumes.upload(engine.VOLUME, files, meter)
    context.report(total, total, "")
    return {"files": sizes}


async def _verify(api: ModalApi, context: StepContext) -> Outputs:
    """What lies there is what was sent, file by file: half an adapter is never deployed."""
    try:
        there = await api.volumes.listing(engine.VOLUME, context.remote_name)
    except NotFound:
        there = {}
    for name, size in context.outputs["files"].items():
        if there.get(name) != size:
            raise ConnectionFailed(
                f"{name} did not arrive whole: {there.get(name) or 0} of {size} bytes.",
                hint="Nothing was deployed and nothing bills. Deploy again: what arrived is not sent again.",
            )
    return {}


async def _secret(api: ModalApi, context: StepContext) -> Outputs:
    values = await secrets.environment(api.credentials, context.spec, context.remote_name)
    await api.control.put_secret(context.remote_name, values)
    # Their names, never the values.
    return {"secret": context.remote_name, "secret_keys": sorted(values)}


def _only_ours(context: StepContext) -> None:
    """
    Raises:
        ConfigurationInvalid: what runs there was not described by us, and cannot be described anew.
    """
    if not context.spec.instance_type or not looks_like_ours(context.remote_name):
        raise ConfigurationInvalid(
            "It was deployed by somebody else's code: only that code can deploy it again.",
            hint="Its bounds can be changed, and it can be stopped.",
        )


async def _image(api: ModalApi, context: StepContext) -> Outputs:
    _only_ours(context)
    context.report(None, None, "minutes where this engine was never built, else seconds")
    adapter = await adapter_of(api, context.spec, context.remote_name)
    model = engine.model_of(context.spec, adapter, context.remote_name)
    await see_to_the_hub(api, context, model)
    plan = engine.server_plan(context.spec, model, context.remote_name)
    return {"image_id": await api.deployer.build(plan), "model": asdict(model)}


async def _find_app(api: ModalApi, context: StepContext) -> Outputs | None:
    """The name is ours alone: whoever is deployed under it is an earlier attempt."""
    app_id = await api.control.deployed(context.remote_name)
    if not app_id:
        return None
    return {"app_id": app_id, "remote_id": app_id, **await history.number_of(api, context, app_id)}


async def deploy(api: ModalApi, context: StepContext) -> Outputs:
    app_id = await api.deployer.deploy(await _plan(api, context))
    api.watch.changed(app_id)
    return {"app_id": app_id, "remote_id": app_id, **await history.number_of(api, context, app_id)}


async def _plan(api: ModalApi, context: StepContext) -> engine.ServerPlan:
    if (known := context.outputs.get("model")) is not None:
        model = engine.Model(**known)
    else:
        adapter = await adapter_of(api, context.spec, context.remote_name)
        model = engine.model_of(context.spec, adapter, context.remote_name)
    secret = context.remote_name if needs_secret(context.spec) else ""
    return engine.server_plan(context.spec, model, context.remote_name, secret)


async def _url(api: ModalApi, context: StepContext) -> Outputs:
    server = await api.control.server(context.remote_name)
    if not server.url:
        raise PlatformFailed(
            "Modal gives the server no address.", hint="See its page at modal.com/apps; it may bill."
        )
    return {"endpoint_url": server.url}


async def _proxy_token(api: ModalApi, context: StepContext) -> Outputs:
    place = await api.see_to_the_token()
    if place is None:
        return {}
    context.report(None, None, f"a new one, kept in: {place}")
    return {"proxy_token_kept": str(place)}


STEPS: dict[str, Step[ModalApi]] = {
    "check": Step(_check),
    "volume": Step(_volume),
    "upload": Step(_upload),
    "verify": Step(_verify),
    "secret": Step(_secret),
    "image": Step(_image),
    "deploy": Step(deploy, _find_app),
    "url": Step(_url),
    "proxy_token": Step(_proxy_token),
    "answer": Step(first_answer),
}
