"""The steps of a create at Replicate, each with the look-up for what a lost answer left behind; those on a
deployment that exists are in `verbs.py`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from peft_tui.domain.errors import NotFound, PlatformFailed
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.hugging_face import hub_token
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.drivers.replicate.api import ReplicateApi
from peft_tui.drivers.replicate.states import belongs_to
from peft_tui.drivers.replicate.wire import Deployment, Model, Prediction, Training, Version
from peft_tui.drivers.steps import Step
from peft_tui.drivers.wire import made, moment, parse
from peft_tui.text import clean_line

IMPORTER = "replicate/cog-vllm"
"""Its train() tars a Hugging Face checkpoint into a version of the destination model. That the newest version
can still be trained is not certain [INF]."""
POLL_SECONDS = 3.0
CLOCK_SKEW = timedelta(minutes=2)
"""Between this machine and the platform, when looking for what a step has left behind."""


async def _version(api: ReplicateApi, context: StepContext) -> Outputs:
    name, version = await api.version(context.spec.source.reference)
    return {"model": name, "version": version.id}


async def _find_model(api: ReplicateApi, context: StepContext) -> Outputs | None:
    name = f"{(await api.owner()).username}/{context.remote_name}"
    try:
        parse(Model, await api.http.get(f"/v1/models/{name}"), api.title)
    except NotFound:
        return None
    return {"model": name}


async def _model(api: ReplicateApi, context: StepContext) -> Outputs:
    owner = (await api.owner()).username
    body = {
        "owner": owner,
        "name": context.remote_name,
        "visibility": "private",
        "hardware": context.spec.instance_type,
    }
    await api.http.request("POST", "/v1/models", body=body)
    return {"model": f"{owner}/{context.remote_name}"}


def _import_input(api: ReplicateApi, context: StepContext) -> dict[str, Any]:
    repo, _, revision = context.spec.source.reference.partition("@")
    return {"hf_model_id": repo, **({"hf_model_sha": revision} if revision else {})}


async def _find_training(api: ReplicateApi, context: StepContext) -> Outputs | None:
    """A training does not name its destination before it has succeeded: the import and the time must do."""
    wanted = _import_input(api, context)
    for training in await api.pages(Training, "/v1/trainings", Urgency.NORMAL, limit=2):
        made = training.output.version if training.output else ""
        ours = not made or made.startswith(f"{context.outputs['model']}:")
        same = all(training.input.get(key) == wanted.get(key) for key in ("hf_model_id", "hf_model_sha"))
        if same and ours and _since(training.created_at, context.started_at):
            return {"training_id": training.id}
    return None


async def _training(api: ReplicateApi, context: StepContext) -> Outputs:
    _, importer = await api.version(IMPORTER)
    given = _import_input(api, context)
    if (token := hub_token(api.hub_token, context.spec)) is not None:
        given["hf_token"] = token.reveal()
    body = {"destination": context.outputs["model"], "input": given}
    path = f"/v1/models/{IMPORTER}/versions/{importer.id}/trainings"
    return {"training_id": made(Training, await api.http.request("POST", path, body=body), api.title).id}


async def _await_training(api: ReplicateApi, context: StepContext) -> Outputs:
    path = f"/v1/trainings/{context.outputs['training_id']}"
    while True:
        training = parse(Training, await api.http.get(path), api.title)
        made = training.output.version if training.output else ""
        if made and not made.startswith(f"{context.outputs['model']}:"):
            raise PlatformFailed(
                f"The import that was found belongs to another model, {made.partition(':')[0]}.",
                hint="Deploy again: nothing of this one runs.",
            )
        if training.status == "succeeded" and made:
            return {"version": made.rpartition(":")[2]}
        if training.status in ("failed", "canceled", "aborted", "succeeded"):
            last = clean_line((training.logs or "").strip().rpartition("\n")[2])
            raise PlatformFailed(
                f"Replicate's import {training.status}: {training.error or last or 'it made no version'}",
                hint="Its run time so far was billed; nothing runs on. Mend the repository and deploy again.",
            )
        context.report(None, None, training.status)
        await context.clock.sleep(POLL_SECONDS)


async def _find_deployment(api: ReplicateApi, context: StepContext) -> Outputs | None:
    owner = (await api.owner()).username
    try:
        body = await api.http.get(f"/v1/deployments/{owner}/{context.remote_name}")
    except NotFound:
        return None
    return _made(parse(Deployment, body, api.title))


async def _deployment(api: ReplicateApi, context: StepContext) -> Outputs:
    spec, known = context.spec, context.outputs
    body = {
        "name": context.remote_name,
        "model": known["model"],
        "version": known["version"],
        "hardware": spec.instance_type,
        "min_instances": spec.min_instances,
        "max_instances": spec.max_instances,
    }
    answer = await api.http.request("POST", "/v1/deployments", body=body)
    return _made(made(Deployment, answer, api.title))


def _made(found: Deployment) -> Outputs:
    name = f"{found.owner}/{found.name}"
    return {"deployment": name, "remote_id": name}


async def _find_probe(api: ReplicateApi, context: StepContext) -> Outputs | None:
    owner, _, name = str(context.outputs["deployment"]).partition("/")
    deployment = Deployment(owner=owner, name=name)
    for prediction in await api.pages(Prediction, "/v1/predictions", Urgency.NORMAL, limit=2):
        if belongs_to(prediction, deployment) and _since(prediction.created_at, context.started_at):
            return {"prediction_id": prediction.id}
    return None


async def _probe(api: ReplicateApi, context: StepContext) -> Outputs:
    """The shortest request that the version's schema allows; none where it asks for more than a prompt."""
    known = context.outputs
    path = f"/v1/models/{known['model']}/versions/{known['version']}"
    inputs = parse(Version, await api.http.get(path), api.title).inputs
    properties = inputs.get("properties")
    names: Sequence[str] = list(properties) if isinstance(properties, dict) else []
    if "prompt" not in names or set(inputs.get("required") or ()) - {"prompt"}:
        return {"prediction_id": "", "never_asked": True}
    given: dict[str, Any] = {"prompt": "Hello"}
    if "max_tokens" in names:
        given["max_tokens"] = 1
    answer = await api.http.request(
        "POST",
        f"/v1/deployments/{known['deployment']}/predictions",
        body={"input": given},
        headers={"Cancel-After": "20m"},
    )
    return {"prediction_id": made(Prediction, answer, api.title).id}


async def _await_probe(api: ReplicateApi, context: StepContext) -> Outputs:
    prediction_id = context.outputs["prediction_id"]
    while prediction_id:
        body = await api.http.get(f"/v1/predictions/{prediction_id}")
        prediction = parse(Prediction, body, api.title)
        if prediction.status == "succeeded":
            break
        if prediction.status in ("failed", "canceled", "aborted"):
            raise PlatformFailed(
                f"Its first request {prediction.status}: {prediction.error or 'no reason told'}",
                hint="Look at the model's log at Replicate.",
            )
        context.report(None, None, prediction.status)
        await context.clock.sleep(POLL_SECONDS)
    return {}


def _since(created_at: str, started_at: datetime) -> bool:
    created = moment(created_at)
    return created is not None and created >= started_at - CLOCK_SKEW


STEPS: dict[str, Step[ReplicateApi]] = {
    "version": Step(_version),
    "model": Step(_model, _find_model),
    "training": Step(_training, _find_training),
    "await_training": Step(_await_training),
    "deployment": Step(_deployment, _find_deployment),
    "probe": Step(_probe, _find_probe),
    "await_probe": Step(_await_probe),
}
