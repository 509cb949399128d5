"""The steps of a create at Predibase, each with the look-up for what a lost answer left behind; those on a
deployment that exists are in `verbs.py`."""

from __future__ import annotations

from typing import Any

from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.errors import NotFound, PeftTuiError, PlatformFailed
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.hugging_face import hub_token
from peft_tui.drivers.predibase import configuration, notes
from peft_tui.drivers.predibase.api import PredibaseApi, quoted
from peft_tui.drivers.predibase.declaration import carrier_of
from peft_tui.drivers.predibase.notes import HUB, Note, Served
from peft_tui.drivers.predibase.upload import upload_directory
from peft_tui.drivers.predibase.wire import CONFIG, whole
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.drivers.steps import Step

LOADING_TRIES = 4
LOADING_PAUSE_SECONDS = 5.0


def remote_id(context: StepContext) -> str:
    """Of the deployment, or `carrier/name` of what is attached to one; its own name before it has any."""
    return str(context.outputs.get("remote_id") or context.remote_id or context.remote_name)


async def _repository(api: PredibaseApi, context: StepContext) -> Outputs:
    note = Note(context.remote_name).written()
    body = {
        "name": context.remote_name,
        "description": f"Uploaded by peft-tui. {note}",
        "existsOk": True,
    }
    await api.http.request("POST", "/v2/repos", body=body)
    return {}


async def _find_upload(api: PredibaseApi, context: StepContext) -> Outputs | None:
    # The repository is this deployment's alone, and only a completed upload leaves a version in it.
    try:
        repo = await api.repo(context.remote_name)
    except NotFound:
        # Deleted meanwhile, and what was uploaded with it. Sent again, the step says so and ends.
        return None
    return {"adapter": f"{repo.name}/{repo.newest}"} if repo.newest is not None else None


async def _upload(api: PredibaseApi, context: StepContext) -> Outputs:
    return await upload_directory(api, context.remote_name, context)


async def _adapter(api: PredibaseApi, context: StepContext) -> Outputs:
    adapter, _ = await api.adapter(context.spec.source.reference)
    return {"adapter": adapter}


def _served(context: StepContext) -> Served:
    """What a create's earlier steps have brought there."""
    if context.spec.source.kind is SourceKind.HUGGING_FACE:
        return Served(context.spec.source.reference, HUB)
    return Served(str(context.outputs["adapter"]))


def body_of(name: str, config: dict[str, Any], adapter: Served, description: str) -> dict[str, Any]:
    """What a create and a start send."""
    if adapter.source == HUB:
        # What stays on the hub stands in no field of the configuration.
        description = f"{description} {Note(name, adapter).written()}".strip()
    return {"name": name, "config": whole(config, CONFIG), "description": description}


async def _find_deployment(api: PredibaseApi, context: StepContext) -> Outputs | None:
    try:
        found = await api.deployment(context.remote_name)
    except NotFound:
        return None
    return {"remote_id": found.name}


async def _deployment(api: PredibaseApi, context: StepContext) -> Outputs:
    spec, adapter = context.spec, _served(context)
    token = hub_token(api.hub_token, spec)
    config = configuration.for_create(spec, adapter, token.reveal() if token else None)
    body = body_of(context.remote_name, config, adapter, spec.text("description"))
    await api.http.request("POST", "/v2/deployments", body=body)
    return {"remote_id": context.remote_name}


async def _attach(api: PredibaseApi, context: StepContext) -> Outputs:
    carrier = carrier_of(context.spec.settings)
    try:
        await api.deployment(carrier)
    except NotFound as error:
        raise NotFound(
            f"There is no deployment {carrier} at Predibase any more.",
            hint="Nothing new bills. Deploy again, on another one or on a GPU of its own.",
        ) from error
    note = Note(context.remote_name, _served(context), carrier, context.spec.base_model)
    await write_note(api, note, Urgency.NORMAL)
    return {"remote_id": f"{carrier}/{context.remote_name}"}


async def _verify(api: PredibaseApi, context: StepContext) -> Outputs:
    """The shortest request that names the adapter: the engine loads it then, or says why it cannot."""
    carrier, slash, name = remote_id(context).partition("/")
    deployment = await api.deployment(carrier)
    adapter = (await api.note(name)).adapter if slash else notes.adapter_of(deployment)
    if deployment.current_replicas == 0:
        # Asking would boot it, which costs; the first request that is meant does so.
        return {"never_asked": True}
    parameters = {"adapter_id": adapter.id, "adapter_source": adapter.source, "max_new_tokens": 1}
    body = {"inputs": "Hello", "parameters": parameters, "stream": False}
    for attempt in range(LOADING_TRIES):
        context.report(None, None, f"{carrier} loads {adapter.id}")
        try:
            await api.serving.request("POST", await api.serving_path(carrier), body=body)
            return {}
        except PlatformFailed as error:
            # A replica that has just come up may not be ready to load yet.
            if error.status != 424 or attempt == LOADING_TRIES - 1:
                raise _not_served(error, carrier, bool(slash)) from error
        await context.clock.sleep(LOADING_PAUSE_SECONDS)
    raise AssertionError("the loop above returns or raises")


def _not_served(error: PlatformFailed, carrier: str, attached: bool) -> PeftTuiError:
    if error.transient or error.status != 424:
        return error
    return PlatformFailed(
        f"The engine cannot load the adapter: {error.detail}",
        hint=f"Delete it; {carrier} is as it was." if attached else "Its base is running and bills: stop it.",
        detail=error.detail,
        status=error.status,
    )


async def write_note(api: PredibaseApi, note: Note, urgency: Urgency) -> None:
    """A repository whose description is the note. Descriptions cannot be changed: another one is deleted."""
    name, text = notes.repository(note.name), note.written()
    try:
        there = await api.repo(name, urgency)
    except NotFound:
        pass
    else:
        if there.description == text:
            return
        await api.delete(f"/v2/repos/{quoted(name)}", urgency)
    body = {"name": name, "description": text, "existsOk": True}
    await api.http.request("POST", "/v2/repos", body=body, urgency=urgency)


STEPS: dict[str, Step[PredibaseApi]] = {
    "repository": Step(_repository),
    "upload": Step(_upload, _find_upload),
    "adapter": Step(_adapter),
    "deployment": Step(_deployment, _find_deployment),
    "attach": Step(_attach),
    "verify": Step(_verify),
}
