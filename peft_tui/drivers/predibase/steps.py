"""The steps at Predibase, each with the look-up for what a lost answer left behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.errors import (
    AuthenticationFailed,
    ConfigurationInvalid,
    NotFound,
    PeftTuiError,
    PlatformFailed,
)
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.hugging_face import hub_token
from peft_tui.drivers.predibase import configuration, notes
from peft_tui.drivers.predibase.declaration import carrier_of
from peft_tui.drivers.predibase.notes import HUB, Note, Served
from peft_tui.drivers.predibase.upload import upload_directory
from peft_tui.drivers.predibase.wire import CONFIG, UPDATABLE, Deployment, whole
from peft_tui.drivers.protocol import Outputs, StepContext

if TYPE_CHECKING:
    from peft_tui.drivers.predibase.driver import PredibaseDriver

LOADING_TRIES = 4
LOADING_PAUSE_SECONDS = 5.0
NOTE_PATIENCE = timedelta(seconds=30)
"""For so long a stop waits for its note. Then it goes on without: what bills is worth more than a restart."""


async def _nothing(driver: PredibaseDriver, context: StepContext) -> Outputs | None:
    """For steps that may simply be done again."""
    return None


NOTHING = _nothing


@dataclass(frozen=True, slots=True)
class Step:
    act: Callable[[PredibaseDriver, StepContext], Awaitable[Outputs]]
    find: Callable[[PredibaseDriver, StepContext], Awaitable[Outputs | None]] = NOTHING


def _remote_id(context: StepContext) -> str:
    return str(context.outputs.get("remote_id") or context.remote_id or context.remote_name)


def _own(context: StepContext) -> str:
    """The name of a deployment of its own.

    Raises:
        ConfigurationInvalid: it is attached to another one, to which nothing is to happen by this row.
    """
    carrier, slash, _ = _remote_id(context).partition("/")
    if slash:
        raise ConfigurationInvalid(
            f"It is attached to {carrier}, which was not touched.",
            hint=f"Delete it, which leaves {carrier} alone, or use {carrier}'s own row.",
        )
    return carrier


# A create


async def _repository(driver: PredibaseDriver, context: StepContext) -> Outputs:
    note = Note(context.remote_name).written()
    body = {
        "name": context.remote_name,
        "description": f"Uploaded by peft-tui. {note}",
        "existsOk": True,
    }
    await driver.http.request("POST", "/v2/repos", body=body)
    return {}


async def _find_upload(driver: PredibaseDriver, context: StepContext) -> Outputs | None:
    # The repository is this deployment's alone, and only a completed upload leaves a version in it.
    try:
        repo = await driver.repo(context.remote_name)
    except NotFound:
        # Deleted meanwhile, and what was uploaded with it. Sent again, the step says so and ends.
        return None
    return {"adapter": f"{repo.name}/{repo.newest}"} if repo.newest is not None else None


async def _upload(driver: PredibaseDriver, context: StepContext) -> Outputs:
    return await upload_directory(driver, context.remote_name, context)


async def _adapter(driver: PredibaseDriver, context: StepContext) -> Outputs:
    adapter, _ = await driver.adapter(context.spec.source.reference)
    return {"adapter": adapter}


def _served(context: StepContext) -> Served:
    """What a create's earlier steps have brought there."""
    if context.spec.source.kind is SourceKind.HUGGING_FACE:
        return Served(context.spec.source.reference, HUB)
    return Served(str(context.outputs["adapter"]))


def _body(name: str, config: dict[str, Any], adapter: Served, description: str) -> dict[str, Any]:
    if adapter.source == HUB:
        # What stays on the hub stands in no field of the configuration.
        description = f"{description} {Note(name, adapter).written()}".strip()
    return {"name": name, "config": whole(config, CONFIG), "description": description}


async def _find_deployment(driver: PredibaseDriver, context: StepContext) -> Outputs | None:
    try:
        found = await driver.deployment(context.remote_name)
    except NotFound:
        return None
    return {"remote_id": found.name}


async def _deployment(driver: PredibaseDriver, context: StepContext) -> Outputs:
    spec, adapter = context.spec, _served(context)
    token = hub_token(driver.hub_token, spec)
    config = configuration.for_create(spec, adapter, token.reveal() if token else None)
    body = _body(context.remote_name, config, adapter, spec.text("description"))
    await driver.http.request("POST", "/v2/deployments", body=body)
    return {"remote_id": context.remote_name}


async def _attach(driver: PredibaseDriver, context: StepContext) -> Outputs:
    carrier = carrier_of(context.spec.settings)
    try:
        await driver.deployment(carrier)
    except NotFound as error:
        raise NotFound(
            f"There is no deployment {carrier} at Predibase any more.",
            hint="Nothing new bills. Deploy again, on another one or on a GPU of its own.",
        ) from error
    note = Note(context.remote_name, _served(context), carrier, context.spec.base_model)
    await _write_note(driver, note, Urgency.NORMAL)
    return {"remote_id": f"{carrier}/{context.remote_name}"}


async def _verify(driver: PredibaseDriver, context: StepContext) -> Outputs:
    """The shortest request that names the adapter: the engine loads it then, or says why it cannot."""
    carrier, slash, name = _remote_id(context).partition("/")
    deployment = await driver.deployment(carrier)
    adapter = (await driver.note(name)).adapter if slash else notes.adapter_of(deployment)
    if deployment.current_replicas == 0:
        # Asking would boot it, which costs; the first request that is meant does so.
        return {"never_asked": True}
    parameters = {"adapter_id": adapter.id, "adapter_source": adapter.source, "max_new_tokens": 1}
    body = {"inputs": "Hello", "parameters": parameters, "stream": False}
    for attempt in range(LOADING_TRIES):
        context.report(None, None, f"{carrier} loads {adapter.id}")
        try:
            await driver.serving.request("POST", await driver.serving_path(carrier), body=body)
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


# What can be done to one that exists


async def _write_note(driver: PredibaseDriver, note: Note, urgency: Urgency) -> None:
    """A repository whose description is the note. Descriptions cannot be changed: another one is deleted."""
    name, text = notes.repository(note.name), note.written()
    try:
        there = await driver.repo(name, urgency)
    except NotFound:
        pass
    else:
        if there.description == text:
            return
        await driver.delete(f"/v2/repos/{driver.quoted(name)}", urgency)
    body = {"name": name, "description": text, "existsOk": True}
    await driver.http.request("POST", "/v2/repos", body=body, urgency=urgency)


async def _note(driver: PredibaseDriver, context: StepContext) -> Outputs:
    name = _own(context)
    try:
        found = await driver.deployment(name, Urgency.STOP)
        await _write_note(driver, _note_of(found), Urgency.STOP)
    except NotFound:
        return {"absent": True}
    except AuthenticationFailed:
        raise
    except PeftTuiError as error:
        if error.transient and context.clock.now() - context.started_at < NOTE_PATIENCE:
            raise
        return {"not_noted": error.message}
    return {}


def _note_of(found: Deployment) -> Note:
    config = configuration.kept(found.config)
    if found.accelerator.id:
        config["accelerator"] = found.accelerator.id
    return Note(
        found.name,
        notes.adapter_of(found),
        base=found.base,
        config=config,
        description=notes.plain(found.description),
    )


async def _stop(driver: PredibaseDriver, context: StepContext) -> Outputs:
    await driver.delete(f"/v2/deployments/{driver.quoted(_own(context))}", Urgency.STOP)
    return {}


async def _start(driver: PredibaseDriver, context: StepContext) -> Outputs:
    """As it was noted down when it was stopped, with what was changed here since."""
    name = _own(context)
    try:
        note = await driver.note(name)
    except NotFound as error:
        raise ConfigurationInvalid(
            "What it was is not noted down at Predibase any more.", hint="Deploy its adapter anew."
        ) from error
    spec = context.spec
    token = hub_token(driver.hub_token, spec)
    here = configuration.chosen(spec.settings)
    config = {"baseModel": note.base or spec.base_model, **note.config, **here}
    if token is not None:
        config["hfToken"] = token.reveal()
    if "preloadedAdapters" in here and note.adapter.id and note.adapter.source != HUB:
        config["preloadedAdapters"] = configuration.with_own(note.adapter, here["preloadedAdapters"])
    description = spec.text("description", note.description)
    body = _body(name, config, note.adapter, description)
    await driver.http.request("POST", "/v2/deployments", body=body)
    return {"remote_id": name}


async def _find_start(driver: PredibaseDriver, context: StepContext) -> Outputs | None:
    try:
        found = await driver.deployment(_own(context))
    except NotFound:
        return None
    return {"remote_id": found.name}


async def _forget(driver: PredibaseDriver, context: StepContext) -> Outputs:
    await driver.delete(f"/v2/repos/{driver.quoted(notes.repository(_own(context)))}")
    return {}


async def _update(driver: PredibaseDriver, context: StepContext) -> Outputs:
    name = _own(context)
    try:
        found = await driver.deployment(name)
    except NotFound:
        return await _update_stopped(driver, name, context)
    adapter = notes.adapter_of(found)
    body: dict[str, Any] = {
        "config": whole(configuration.for_update(context.changes, adapter), UPDATABLE),
    }
    if "description" in context.changes:
        body["description"] = _body(name, {}, adapter, str(context.changes["description"]))["description"]
    await driver.http.request("PUT", f"/v2/deployments/{driver.quoted(name)}", body=body)
    return {}


async def _update_stopped(driver: PredibaseDriver, name: str, context: StepContext) -> Outputs:
    """Nothing is there to be changed: the next start takes what is chosen here."""
    await driver.note(name)
    if taken := [key for key, value in context.changes.items() if value == ""]:
        raise ConfigurationInvalid(
            f"{', '.join(taken)}: it is stopped, and was noted down with a value.",
            hint="Start it, then take the value away.",
        )
    return {}


async def _delete(driver: PredibaseDriver, context: StepContext) -> Outputs:
    """The deployment and what is noted of it; of one that is attached the note alone."""
    carrier, slash, name = _remote_id(context).partition("/")
    if not slash:
        name = carrier
        await driver.delete(f"/v2/deployments/{driver.quoted(name)}", Urgency.STOP)
    await driver.delete(f"/v2/repos/{driver.quoted(notes.repository(name))}")
    return {}


async def _delete_adapter(driver: PredibaseDriver, context: StepContext) -> Outputs:
    """The repository that was made for it, by the mark in its description, and no other."""
    try:
        repo = await driver.repo(context.remote_name)
    except NotFound:
        return {}
    note = notes.read(repo.description)
    if note is not None and note.name == context.remote_name:
        await driver.delete(f"/v2/repos/{driver.quoted(repo.name)}")
    return {}


STEPS: dict[str, Step] = {
    "repository": Step(_repository),
    "upload": Step(_upload, _find_upload),
    "adapter": Step(_adapter),
    "deployment": Step(_deployment, _find_deployment),
    "attach": Step(_attach),
    "verify": Step(_verify),
    "note": Step(_note),
    "stop": Step(_stop),
    "start": Step(_start, _find_start),
    "forget": Step(_forget),
    "update": Step(_update),
    "delete": Step(_delete),
    "delete_adapter": Step(_delete_adapter),
}
