"""The steps on a deployment that exists. Each sets a fixed value, so that each may be repeated."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from peft_tui.domain.errors import NotFound, PeftTuiError
from peft_tui.drivers.failures import is_final
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.drivers.replicate.api import ReplicateApi
from peft_tui.drivers.replicate.states import belongs_to
from peft_tui.drivers.replicate.wire import Deployment, Model, Page, Prediction, Training
from peft_tui.drivers.steps import Step
from peft_tui.drivers.wire import moment, parse, parse_page

UNUSED = timedelta(minutes=15)
"""How long a deployment must have been offline and unused before it can be deleted."""
LOOK_SECONDS = 15.0
TOO_EARLY = ("minutes", "recently", "offline", "online", "in use")
"""Words of a refusal that comes too early: its exact text is not documented [INF]."""
TOO_EARLY_STATUS = (400, 403, 409, 422)
SETTINGS = {
    "instance_type": "hardware",
    "min_instances": "min_instances",
    "max_instances": "max_instances",
}
BOUNDS = ("min_instances", "max_instances")


async def _path(api: ReplicateApi, context: StepContext) -> str:
    """An owner and a name are its whole identity, so that it is known without asking."""
    if context.remote_id:
        return f"/v1/deployments/{context.remote_id}"
    return f"/v1/deployments/{(await api.owner()).username}/{context.remote_name}"


async def _read(api: ReplicateApi, context: StepContext) -> Deployment | None:
    try:
        body = await api.http.get(await _path(api, context))
    except NotFound:
        return None
    return parse(Deployment, body, api.title)


async def _stop(api: ReplicateApi, context: StepContext) -> Outputs:
    """0/0: what waits or runs there is cancelled, and billing ends."""
    path = await _path(api, context)
    try:
        current = parse(Deployment, await api.http.get(path, urgency=Urgency.STOP), api.title)
        bounds = current.current_release.configuration
        if (bounds.min_instances, bounds.max_instances) == (0, 0):
            # Another release would only begin the wait before a delete anew.
            return {}
    except NotFound:
        return {"absent": True}
    except PeftTuiError:
        # It is stopped all the same.
        pass
    try:
        await api.http.request(
            "PATCH",
            path,
            body={"min_instances": 0, "max_instances": 0},
            urgency=Urgency.STOP,
        )
    except NotFound:
        return {"absent": True}
    return {}


async def _start(api: ReplicateApi, context: StepContext) -> Outputs:
    outputs = await _change(api, context, starting=True)
    # Without a minimum it sleeps until somebody asks: that is as active as it gets.
    return {**outputs, "never_asked": context.spec.min_instances == 0}


async def _update(api: ReplicateApi, context: StepContext) -> Outputs:
    return await _change(api, context, starting=False)


async def _change(api: ReplicateApi, context: StepContext, *, starting: bool) -> Outputs:
    """One release with all of it; none where it is so already, for each makes new instances."""
    current = await _read(api, context)
    if current is None:
        raise NotFound("Replicate does not have it any more.", hint="Nothing bills. Deploy it anew.")
    now = current.current_release.configuration
    wanted: dict[str, Any] = {}
    for key, theirs in SETTINGS.items():
        # The bounds of what is stopped are kept for its start: sent, they would start it.
        if key in context.changes and (starting or key not in BOUNDS or now.max_instances != 0):
            wanted[theirs] = context.spec.integer(key) if key in BOUNDS else context.spec.text(key)
    if any(getattr(now, key) != value for key, value in wanted.items()):
        await api.http.request("PATCH", await _path(api, context), body=wanted)
    return {}


async def _cancel_import(api: ReplicateApi, context: StepContext) -> Outputs:
    """The training that its create began, if it has not ended: it is billed while it runs."""
    training_id = context.made.get("training_id")
    if not training_id:
        return {}
    path = f"/v1/trainings/{training_id}"
    try:
        training = parse(Training, await api.http.get(path, urgency=Urgency.STOP), api.title)
        if training.status in ("starting", "processing"):
            await api.http.request("POST", f"{path}/cancel", urgency=Urgency.STOP)
    except NotFound:
        return {}
    return {}


async def _await_idle(api: ReplicateApi, context: StepContext) -> Outputs:
    """Wait until the platform lets it be deleted, as far as its times tell; `delete` knows it for sure."""
    while (left := await _time_left(api, context)) > timedelta():
        if context.clock.now() - context.started_at > UNUSED:
            # The clocks differ: that long was waited here.
            break
        minutes = int(left.total_seconds() // 60) + 1
        context.report(None, None, f"{minutes} min left; nothing bills meanwhile")
        await context.clock.sleep(min(LOOK_SECONDS, left.total_seconds()))
    return {}


async def _time_left(api: ReplicateApi, context: StepContext) -> timedelta:
    """From its last release, which disabled it, and its last request."""
    if context.outputs.get("absent"):
        return timedelta()
    current = await _read(api, context)
    if current is None:
        return timedelta()
    body = await api.http.get("/v1/predictions")
    page = parse_page(Page, body, "results", api.title)
    predictions = [parse(Prediction, item, api.title) for item in page.results]
    times = [
        moment(time)
        for prediction in predictions
        if belongs_to(prediction, current)
        for time in (prediction.created_at, prediction.completed_at)
    ]
    last = _latest([moment(current.current_release.created_at), *times])
    return last + UNUSED - api.http.now() if last else timedelta()


def _latest(times: list[datetime | None]) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


async def _delete(api: ReplicateApi, context: StepContext) -> Outputs:
    try:
        await api.http.request("DELETE", await _path(api, context))
    except NotFound:
        return {}
    except PeftTuiError as error:
        said = f"{error.message} {error.detail}".lower()
        if error.status in TOO_EARLY_STATUS and any(word in said for word in TOO_EARLY):
            # Its own count of the minutes is what matters: it is asked again.
            error.transient, error.retry_after = True, 60.0
        raise
    return {}


async def _delete_model(api: ReplicateApi, context: StepContext) -> Outputs:
    """The one that was made for its import, while it is empty: what was imported stays."""
    name = context.made.get("model") or f"{(await api.owner()).username}/{context.remote_name}"
    path = f"/v1/models/{name}"
    try:
        if parse(Model, await api.http.get(path), api.title).latest_version is None:
            await api.http.request("DELETE", path)
    except NotFound:
        return {}
    except PeftTuiError as refusal:
        # All that bills is gone by now: a model that stays costs nothing, and is no failed delete.
        if not is_final(refusal):
            raise
        return {"kept": f"the model {name}: {refusal.detail}"}
    return {}


VERBS: dict[str, Step[ReplicateApi]] = {
    "stop": Step(_stop),
    "start": Step(_start),
    "update": Step(_update),
    "cancel_import": Step(_cancel_import),
    "await_idle": Step(_await_idle),
    "delete": Step(_delete),
    "delete_model": Step(_delete_model),
}
