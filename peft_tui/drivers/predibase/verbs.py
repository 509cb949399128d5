"""The steps on a deployment that exists. Each sets a fixed value, so that each may be repeated; the one that
could not is a start, which makes the deployment anew."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from peft_tui.domain.errors import AuthenticationFailed, ConfigurationInvalid, NotFound, PeftTuiError
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.hugging_face import hub_token
from peft_tui.drivers.predibase import configuration, notes
from peft_tui.drivers.predibase.api import PredibaseApi, quoted
from peft_tui.drivers.predibase.notes import HUB, Note
from peft_tui.drivers.predibase.steps import body_of, remote_id, write_note
from peft_tui.drivers.predibase.wire import UPDATABLE, Deployment, whole
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.drivers.steps import Step

NOTE_PATIENCE = timedelta(seconds=30)
"""For so long a stop waits for its note. Then it goes on without: what bills is worth more than a restart."""


def _own(context: StepContext) -> str:
    """The name of a deployment of its own.

    Raises:
        ConfigurationInvalid: it is attached to another one, to which nothing is to happen by this row.
    """
    carrier, slash, _ = remote_id(context).partition("/")
    if slash:
        raise ConfigurationInvalid(
            f"It is attached to {carrier}, which was not touched.",
            hint=f"Delete it, which leaves {carrier} alone, or use {carrier}'s own row.",
        )
    return carrier


async def _note(api: PredibaseApi, context: StepContext) -> Outputs:
    name = _own(context)
    try:
        found = await api.deployment(name, Urgency.STOP)
        await write_note(api, _note_of(found), Urgency.STOP)
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


async def _stop(api: PredibaseApi, context: StepContext) -> Outputs:
    await api.delete(f"/v2/deployments/{quoted(_own(context))}", Urgency.STOP)
    return {}


async def _start(api: PredibaseApi, context: StepContext) -> Outputs:
    """As it was noted down when it was stopped, with what was changed here since."""
    name = _own(context)
    try:
        note = await api.note(name)
    except NotFound as error:
        raise ConfigurationInvalid(
            "What it was is not noted down at Predibase any more.", hint="Deploy its adapter anew."
        ) from error
    spec = context.spec
    token = hub_token(api.hub_token, spec)
    here = configuration.chosen(spec.settings)
    config = {"baseModel": note.base or spec.base_model, **note.config, **here}
    if token is not None:
        config["hfToken"] = token.reveal()
    if "preloadedAdapters" in here and note.adapter.id and note.adapter.source != HUB:
        config["preloadedAdapters"] = configuration.with_own(note.adapter, here["preloadedAdapters"])
    description = spec.text("description", note.description)
    body = body_of(name, config, note.adapter, description)
    await api.http.request("POST", "/v2/deployments", body=body)
    return {"remote_id": name}


async def _find_start(api: PredibaseApi, context: StepContext) -> Outputs | None:
    try:
        found = await api.deployment(_own(context))
    except NotFound:
        return None
    return {"remote_id": found.name}


async def _forget(api: PredibaseApi, context: StepContext) -> Outputs:
    await api.delete(f"/v2/repos/{quoted(notes.repository(_own(context)))}")
    return {}


async def _update(api: PredibaseApi, context: StepContext) -> Outputs:
    name = _own(context)
    try:
        found = await api.deployment(name)
    except NotFound:
        return await _update_stopped(api, name, context)
    adapter = notes.adapter_of(found)
    body: dict[str, Any] = {
        "config": whole(configuration.for_update(context.changes, adapter), UPDATABLE),
    }
    if "description" in context.changes:
        body["description"] = body_of(name, {}, adapter, str(context.changes["description"]))["description"]
    await api.http.request("PUT", f"/v2/deployments/{quoted(name)}", body=body)
    return {}


async def _update_stopped(api: PredibaseApi, name: str, context: StepContext) -> Outputs:
    """Nothing is there to be changed: the next start takes what is chosen here."""
    await api.note(name)
    if taken := [key for key, value in context.changes.items() if value == ""]:
        raise ConfigurationInvalid(
            f"{', '.join(taken)}: it is stopped, and was noted down with a value.",
            hint="Start it, then take the value away.",
        )
    return {}


async def _delete(api: PredibaseApi, context: StepContext) -> Outputs:
    """The deployment and what is noted of it; of one that is attached the note alone."""
    carrier, slash, name = remote_id(context).partition("/")
    if not slash:
        name = carrier
        await api.delete(f"/v2/deployments/{quoted(name)}", Urgency.STOP)
    await api.delete(f"/v2/repos/{quoted(notes.repository(name))}")
    return {}


async def _delete_adapter(api: PredibaseApi, context: StepContext) -> Outputs:
    """The repository that was made for it, by the mark in its description, and no other."""
    try:
        repo = await api.repo(context.remote_name)
    except NotFound:
        return {}
    note = notes.read(repo.description)
    if note is not None and note.name == context.remote_name:
        await api.delete(f"/v2/repos/{quoted(repo.name)}")
    return {}


VERBS: dict[str, Step[PredibaseApi]] = {
    "note": Step(_note),
    "stop": Step(_stop),
    "start": Step(_start, _find_start),
    "forget": Step(_forget),
    "update": Step(_update),
    "delete": Step(_delete),
    "delete_adapter": Step(_delete_adapter),
}
