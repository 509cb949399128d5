"""The steps on a deployment that exists. Each sets something to a fixed value, so that each may be repeated.

All of it works from the platform's own id, so that what was made elsewhere can be stopped too; where no id is
known, after a create that was given up, from the name of our making.
"""

from __future__ import annotations

from typing import Any

from peft_tui.domain.errors import Conflict, NotFound, PeftTuiError, PlatformFailed
from peft_tui.drivers.failures import is_final
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.drivers.steps import Step
from peft_tui.drivers.together import legacy
from peft_tui.drivers.together.api import TogetherApi
from peft_tui.drivers.together.legacy import is_legacy
from peft_tui.drivers.together.steps import (
    DEPLOYMENT_NAME,
    ETAG_ATTEMPTS,
    project_path,
    scaling_metrics,
    with_etag,
)
from peft_tui.drivers.together.wire import Deployment, Endpoint, Model
from peft_tui.drivers.wire import parse

BOUNDS = {"min_instances": "minReplicas", "max_instances": "maxReplicas"}
STOP_AGAIN_SECONDS = 5.0


async def _endpoint(api: TogetherApi, context: StepContext, urgency: Urgency) -> Endpoint | None:
    """Its endpoint; None when there is none."""
    path = f"{await project_path(api)}/endpoints"
    endpoint_id = context.remote_id.partition("/")[0] or context.made.get("endpoint_id")
    if not endpoint_id:
        endpoints = await api.pages(Endpoint, path, urgency)
        return next((e for e in endpoints if e.bare_name == context.remote_name), None)
    try:
        return parse(Endpoint, await api.http.get(f"{path}/{endpoint_id}", urgency=urgency), api.title)
    except NotFound:
        return None


async def _path(api: TogetherApi, context: StepContext, urgency: Urgency = Urgency.NORMAL) -> str | None:
    """Where the deployment is; None when there is none."""
    path = f"{await project_path(api)}/endpoints"
    endpoint_id, _, deployment_id = context.remote_id.partition("/")
    if deployment_id:
        return f"{path}/{endpoint_id}/deployments/{deployment_id}"
    endpoint = await _endpoint(api, context, urgency)
    if endpoint is None:
        return None
    inside = f"{path}/{endpoint.id}/deployments"
    for deployment in await api.pages(Deployment, inside, urgency):
        if deployment.name.rpartition("/")[2] == DEPLOYMENT_NAME:
            return f"{inside}/{deployment.id}"
    return None


async def _read(api: TogetherApi, path: str, urgency: Urgency = Urgency.NORMAL) -> Deployment | None:
    try:
        return parse(Deployment, await api.http.get(path, urgency=urgency), api.title)
    except NotFound:
        return None


async def _stop(api: TogetherApi, context: StepContext) -> Outputs:
    """0/0. Whoever else changes it meanwhile, the stop is repeated on what he left; the last time without
    asking whether it changed."""
    if is_legacy(context.remote_id):
        return await legacy.stop(api, context.remote_id)
    path = await _path(api, context, Urgency.STOP)
    for attempt in range(ETAG_ATTEMPTS):
        current = await _read(api, path, Urgency.STOP) if path else None
        if current is None:
            return {"absent": True}
        if current.autoscaling.max_replicas == 0 and current.autoscaling.min_replicas == 0:
            return {}
        body: dict[str, Any] = {"autoscaling": {"minReplicas": 0, "maxReplicas": 0}}
        if attempt < ETAG_ATTEMPTS - 1:
            body["etag"] = current.etag
        try:
            await api.http.request(
                "PATCH",
                str(path),
                params={"updateMask": "autoscaling.minReplicas,autoscaling.maxReplicas"},
                body=body,
                urgency=Urgency.STOP,
            )
        except Conflict:
            continue
        return {}
    raise Conflict(
        "Together: it is changed by somebody else again and again.",
        hint="It is tried again.",
        transient=True,
        retry_after=STOP_AGAIN_SECONDS,
    )


async def _start(api: TogetherApi, context: StepContext) -> Outputs:
    return await _change(api, context, starting=True)


async def _update(api: TogetherApi, context: StepContext) -> Outputs:
    return await _change(api, context, starting=False)


async def _change(api: TogetherApi, context: StepContext, *, starting: bool) -> Outputs:
    path = await _path(api, context)
    for attempt in range(ETAG_ATTEMPTS):
        current = await _read(api, path) if path else None
        if current is None:
            raise NotFound("Together does not have it any more.", hint="Nothing bills. Deploy it anew.")
        state = current.status.state.removeprefix("DEPLOYMENT_STATE_")
        if state == "FAILED":
            raise PlatformFailed(
                "Together: it has failed, which is final.", hint="Delete it and deploy anew. Nothing bills."
            )
        if starting and state == "STOPPING":
            raise Conflict("Together is still stopping it.", transient=True, retry_after=STOP_AGAIN_SECONDS)
        mask, body = _masked(context, running=starting or current.autoscaling.max_replicas > 0)
        if not mask:
            return {}
        try:
            await api.http.request(
                "PATCH", str(path), params={"updateMask": ",".join(mask)}, body={**body, "etag": current.etag}
            )
        except Conflict:
            if attempt == ETAG_ATTEMPTS - 1:
                raise
            continue
        return {}
    raise AssertionError("the loop above returns or raises")


def _masked(context: StepContext, *, running: bool) -> tuple[list[str], dict[str, Any]]:
    """The update mask and what it speaks of. A path that is named and left out is set back to its default."""
    mask: list[str] = []
    body: dict[str, Any] = {}
    scaling: dict[str, Any] = {}
    changes = context.changes
    # The bounds of what is stopped are kept for its start: sent, they would start it.
    for key, theirs in BOUNDS.items() if running else ():
        if key in changes:
            mask.append(f"autoscaling.{theirs}")
            scaling[theirs] = context.spec.integer(key)
    if "scale_target" in changes:
        mask.append("autoscaling.scalingMetrics")
        scaling["scalingMetrics"] = scaling_metrics(context.spec)
    if scaling:
        body["autoscaling"] = scaling
    if "idle_timeout" in changes:
        mask.append("inactiveTimeout")
        body["inactiveTimeout"] = context.spec.integer("idle_timeout")
    if "concurrency" in changes:
        mask.append("maxConcurrentRequestsPerReplica")
        if concurrency := context.spec.integer("concurrency"):
            body["maxConcurrentRequestsPerReplica"] = str(concurrency)
    return mask, body


@with_etag
async def _visibility(api: TogetherApi, context: StepContext) -> Outputs:
    """Of the endpoint: it has no visibility of its own."""
    endpoint = await _endpoint(api, context, Urgency.NORMAL)
    if endpoint is None:
        raise NotFound("Together does not have its endpoint any more.", hint="Nothing bills.")
    body = {
        "visibility": f"VISIBILITY_{context.spec.text('visibility', 'private').upper()}",
        "etag": endpoint.etag,
    }
    path = f"{await project_path(api)}/endpoints/{endpoint.id}"
    await api.http.request("PATCH", path, params={"updateMask": "visibility"}, body=body)
    return {}


@with_etag
async def _detach(api: TogetherApi, context: StepContext) -> Outputs:
    """Out of the traffic split; whatever else has weight keeps it."""
    if is_legacy(context.remote_id):
        return {}
    deployment_id = context.remote_id.partition("/")[2]
    endpoint = await _endpoint(api, context, Urgency.NORMAL)
    if endpoint is None or not endpoint.weight(deployment_id):
        return {}
    path = f"{await project_path(api)}/endpoints/{endpoint.id}"
    body = {"trafficSplit": endpoint.weights_beside(deployment_id), "etag": endpoint.etag}
    await api.http.request("PATCH", path, params={"updateMask": "trafficSplit"}, body=body)
    return {}


async def _delete(api: TogetherApi, context: StepContext) -> Outputs:
    if is_legacy(context.remote_id):
        return await legacy.delete(api, context.remote_id)
    path = await _path(api, context)
    current = await _read(api, path) if path else None
    if path is not None and current is not None:
        await _take_away(api, path, current.etag)
    return {}


async def _delete_endpoint(api: TogetherApi, context: StepContext) -> Outputs:
    """Unless something else lives in it."""
    if is_legacy(context.remote_id):
        return {}
    endpoint = await _endpoint(api, context, Urgency.NORMAL)
    if endpoint is None:
        return {}
    if endpoint.deployments:
        return {"kept": f"its endpoint {endpoint.name}: it has other deployments"}
    await _take_away(api, f"{await project_path(api)}/endpoints/{endpoint.id}", endpoint.etag)
    return {}


async def _delete_model(api: TogetherApi, context: StepContext) -> Outputs:
    """The adapter that was registered under our name, unless something else is made of it."""
    for model in await api.pages(Model, f"{await project_path(api)}/models"):
        if model.name.rpartition("/")[2] == context.remote_name:
            try:
                await _take_away(api, f"{await project_path(api)}/models/{model.id}", "")
            except PeftTuiError as refusal:
                if not is_final(refusal):
                    raise
                return {"kept": f"the adapter {model.name}: {refusal.detail}"}
    return {}


async def _take_away(api: TogetherApi, path: str, etag: str) -> None:
    """DELETE; what is not there any more is what was wanted."""
    try:
        await api.http.request("DELETE", path, params={"etag": etag} if etag else None)
    except NotFound:
        return
    except Conflict as error:
        # It changed since it was read: read again.
        error.transient = True
        raise


VERBS: dict[str, Step[TogetherApi]] = {
    "stop": Step(_stop),
    "start": Step(_start),
    "update": Step(_update),
    "visibility": Step(_visibility),
    "detach": Step(_detach),
    "delete": Step(_delete),
    "delete_endpoint": Step(_delete_endpoint),
    "delete_model": Step(_delete_model),
}
