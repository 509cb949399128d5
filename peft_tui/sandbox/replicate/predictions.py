"""Predictions: three ways to create one, waiting, cancelling, listing."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from aiohttp import web

from peft_tui.sandbox import text
from peft_tui.sandbox.clock import iso, parse_iso
from peft_tui.sandbox.replicate import running
from peft_tui.sandbox.replicate.access import Call, check_credit, page
from peft_tui.sandbox.replicate.deployments import find as find_deployment
from peft_tui.sandbox.replicate.errors import (
    Fields,
    bad_version,
    check_object,
    check_value,
    not_found,
    refuse,
)
from peft_tui.sandbox.replicate.models import latest
from peft_tui.sandbox.replicate.running import completed_at, pieces_until, status_of
from peft_tui.sandbox.replicate.schemas import input_of, streams
from peft_tui.sandbox.replicate.state import Deployment, Model, Prediction, Version

_COMMON: dict[str, dict[str, Any]] = {
    "input": {"type": "object"},
    "webhook": {"type": "string"},
    "webhook_events_filter": {"type": "array"},
    "stream": {"type": "boolean"},
}
_EVENTS = ("start", "output", "logs", "completed")
_WAIT = re.compile(r"wait(?:=(\d{1,2}))?\Z")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?\Z")
LONGEST_WAIT = 60
LONGEST_RUN = 1800.0
BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"


def prediction_json(call: Call, prediction: Prediction) -> dict[str, Any]:
    """`schemas_prediction_response` as of now."""
    running.settle_single(call.world, prediction)
    now = call.now
    status = status_of(prediction, now)
    ended = completed_at(prediction, now)
    removed = ended is not None and now >= ended + call.state.knobs.retention_seconds
    made = pieces_until(prediction, now)
    answer: dict[str, Any] = {
        "id": prediction.id,
        "model": prediction.model,
        "version": _shown_version(prediction),
        "input": {} if removed else prediction.input,
        "output": None if removed else _output(prediction, made, status),
        "logs": "" if removed else _logs(prediction, status),
        "error": prediction.error if status == "failed" else None,
        "status": status,
        "created_at": iso(prediction.created_at, 9),
        "data_removed": removed,
        "source": prediction.source,
        "urls": {
            "get": f"{call.api}/predictions/{prediction.id}",
            "cancel": f"{call.api}/predictions/{prediction.id}/cancel",
            "web": f"https://replicate.com/p/{prediction.id}",
        },
    }
    if streams(prediction.kind):
        answer["urls"]["stream"] = f"{call.streams}/v1/files/{prediction.stream_key}"
    if prediction.deployment:
        answer["deployment"] = prediction.deployment
    if prediction.deadline is not None:
        answer["deadline"] = iso(prediction.deadline)
    if (
        prediction.started_at is not None
        and (ended is None or prediction.started_at <= ended)
        and status != "starting"
    ):
        answer["started_at"] = iso(prediction.started_at, 9)
    if ended is not None:
        answer["completed_at"] = iso(ended, 9)
        answer["metrics"] = _metrics(prediction, made, status, ended)
    return answer


def _shown_version(prediction: Prediction) -> str:
    """Official models show `dp-…`; the other spelling, `hidden`, breaks the vendor's own schema."""
    if not prediction.hidden_version:
        return prediction.version
    return "dp-" + hashlib.sha256(prediction.model.encode()).hexdigest()[:32]


def _output(prediction: Prediction, made: int, status: str) -> Any:
    if streams(prediction.kind):
        if made == 0 and status != "succeeded":
            return None
        return prediction.pieces[:made]
    return prediction.pieces if status == "succeeded" else None


def _logs(prediction: Prediction, status: str) -> str:
    if status in ("starting", "aborted") or (prediction.error and prediction.started_at is None):
        return ""
    lines = [f"Using seed: {prediction.input.get('seed', 42)}"]
    if status == "succeeded" and streams(prediction.kind):
        lines.append(f"Generated {len(prediction.pieces)} tokens in {prediction.duration:.2f} seconds")
    return "\n".join(lines) + "\n"


def _metrics(prediction: Prediction, made: int, status: str, ended: float) -> dict[str, Any]:
    metrics: dict[str, Any] = {"total_time": round(max(0.0, ended - prediction.created_at), 6)}
    if prediction.started_at is None or status == "aborted":
        return metrics
    run = max(0.0, ended - prediction.started_at)
    if status == "succeeded":
        # On a frozen clock a run takes no world time, but its figures are those of a real one.
        run = run or _natural(prediction)
        metrics["total_time"] = round(max(metrics["total_time"], run), 6)
    metrics["predict_time"] = round(run, 6)
    if streams(prediction.kind):
        metrics["input_token_count"] = prediction.prompt_tokens
        metrics["output_token_count"] = made
        if made and run:
            metrics["tokens_per_second"] = round(made / run, 4)
            metrics["time_to_first_token"] = round(prediction.first_token or 0.2, 6)
    elif status == "succeeded":
        metrics["image_count"] = len(prediction.pieces)
    return metrics


def _natural(prediction: Prediction) -> float:
    return 0.2 + 0.012 * len(prediction.pieces)


def _wait_of(call: Call) -> int | None:
    header = call.request.headers.get("Prefer", "")
    for part in header.split(","):
        match = _WAIT.match(part.strip())
        if match is not None:
            return max(1, min(int(match.group(1) or LONGEST_WAIT), LONGEST_WAIT))
    return None


def _deadline_of(call: Call) -> float | None:
    header = call.request.headers.get("Cancel-After", "").strip()
    if not header:
        return None
    match = _DURATION.match(header)
    if match is None or not any(match.groups()):
        raise refuse(400, "Cancel-After must be a duration such as 90s, 5m or 1h30m.", title="Invalid header")
    hours, minutes, seconds = (int(g or 0) for g in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total < 5:
        raise refuse(400, "Cancel-After must be at least 5 seconds.", title="Invalid header")
    return call.now + total


async def _request(call: Call, extra: dict[str, dict[str, Any]]) -> dict[str, Any]:
    body = check_object(await call.body(), {**_COMMON, **extra}, (*extra, "input"))
    fields = Fields()
    webhook = body.get("webhook")
    if webhook is not None and not webhook.startswith("https://"):
        fields.add("pattern", "webhook", "webhook must be an HTTPS URL")
    for event in body.get("webhook_events_filter") or []:
        if event not in _EVENTS:
            fields.add("enum", "webhook_events_filter", f"must be one of the following: {', '.join(_EVENTS)}")
    fields.check()
    return body


def _check_input(version: Version, given: dict[str, Any]) -> None:
    properties, required = input_of(version.kind)
    fields = Fields()
    for name in required:
        if name not in given:
            fields.add("required", "input", f"{name} is required")
    for name, value in given.items():
        if name in properties:
            check_value(fields, f"input.{name}", value, properties[name])
    fields.check()


def _make(
    call: Call, model: Model, version: Version, body: dict[str, Any], deployment: Deployment | None
) -> Prediction:
    _check_input(version, body["input"])
    check_credit(call)
    knobs = call.state.knobs
    deadline = _deadline_of(call)
    given = body["input"]
    prediction = Prediction(
        id=call.world.new_id("", 26, BASE32),
        account=call.account.username,
        model=f"{model.owner}/{model.name}",
        version=version.id,
        kind=version.kind,
        input=given,
        created_at=call.now,
        deployment=f"{deployment.owner}/{deployment.name}" if deployment else None,
        deadline=deadline,
        stream_key=call.world.new_id("bcwr-", 48),
        webhook=body.get("webhook"),
        hidden_version=model.is_official and deployment is None,
    )
    if streams(version.kind):
        answer = text.complete(
            str(given.get("prompt", "")),
            model=version.base,
            adapter=given.get("replicate_weights") or version.voice,
            seed=call.world.rng(
                "sampling", given.get("seed"), given.get("temperature"), given.get("top_p")
            ).getrandbits(32),
            max_tokens=int(given.get("max_tokens", given.get("max_new_tokens", 512))),
            stop=tuple(s for s in str(given.get("stop_sequences", "")).split(",") if s),
        )
        prediction.pieces = list(answer.pieces)
        prediction.prompt_tokens = answer.prompt_tokens
        natural, first, per = answer.seconds, answer.first_token, answer.per_token
    else:
        count = int(given.get("num_outputs", 1))
        form = given.get("output_format", "webp")
        prediction.pieces = [
            f"https://replicate.delivery/sandbox/{prediction.id}/out-{n}.{form}" for n in range(count)
        ]
        natural, first, per = 4.2 * count, 0.0, 0.0
    if knobs.fail_predictions > 0:
        knobs.fail_predictions -= 1
        prediction.error = "Prediction failed: E1001 the model ran out of memory"
        prediction.pieces = []
    if knobs.prediction_seconds is not None:
        scale = knobs.prediction_seconds / natural if natural else 0
        natural, first, per = knobs.prediction_seconds, first * scale, per * scale
    elif call.world.clock.frozen:
        # Nobody would move the clock through a run: on a frozen one it takes no time.
        natural = first = per = 0.0
    prediction.duration, prediction.first_token, prediction.per_token = min(natural, LONGEST_RUN), first, per
    call.state.predictions[prediction.id] = prediction
    model.run_count += 1
    return prediction


async def _answer(call: Call, prediction: Prediction) -> web.Response:
    """201, or 202 if it was to be waited for and is not done."""
    wait = _wait_of(call)
    headers: dict[str, str] = {}
    status = 201
    if wait is not None:
        headers["Preference-Applied"] = f"wait={wait}"
        await _wait_for(call, prediction, wait)
        if completed_at(prediction, call.now) is None:
            status = 202
    body = prediction_json(call, prediction)
    return web.json_response(body, status=status, headers=headers)


async def _wait_for(call: Call, prediction: Prediction, wait: int) -> None:
    clock = call.world.clock
    started = clock.now()
    if clock.frozen:
        return
    real_left = float(wait)
    while real_left > 0 and completed_at(prediction, clock.now()) is None:
        target = prediction.ends_at if prediction.ends_at is not None else clock.now() + 1
        # Its end may be planned anew meanwhile, so look again now and then.
        await clock.sleep_until(max(target, clock.now() + 0.001), real_timeout=min(0.25, real_left))
        running.settle_single(call.world, prediction)
        real_left = wait - (clock.now() - started) / (clock.speed or 1)


async def create_on_deployment(call: Call) -> Any:
    """`POST /deployments/{o}/{n}/predictions`."""
    deployment = find_deployment(call)
    body = await _request(call, {})
    if deployment.release.max_instances == 0:
        raise refuse(
            400,
            f"The deployment {deployment.owner}/{deployment.name} is disabled: max_instances is 0. Set "
            "it to at least 1 "
            "to run predictions.",
            title="Deployment disabled",
        )
    model = call.state.models[deployment.model]
    version = next(v for v in model.versions if v.id == deployment.release.version)
    prediction = _make(call, model, version, body, deployment)
    running.give(call.world, deployment, prediction)
    return await _answer(call, prediction)


async def create(call: Call) -> Any:
    """`POST /predictions` with a `version`: hash, `owner/name:hash`, or `owner/name` of an official model."""
    body = await _request(call, {"version": {"type": "string"}})
    model, version = _find_version(call, body["version"])
    prediction = _make(call, model, version, body, None)
    running.run_alone(call.world, prediction, warm=model.is_official)
    return await _answer(call, prediction)


def _find_version(call: Call, reference: str) -> tuple[Model, Version]:
    path, _, id = reference.rpartition(":")
    for model in call.state.models.values():
        full = f"{model.owner}/{model.name}"
        if model.visibility == "private" and model.owner != call.account.username:
            continue
        newest = latest(model)
        if reference == full and model.is_official and newest is not None:
            return model, newest
        for version in model.versions:
            if version.id == id and not version.deleted and path in ("", full):
                return model, version
    raise bad_version()


async def create_on_model(call: Call) -> Any:
    """`POST /models/{o}/{n}/predictions`: official models only."""
    model = call.model()
    version = latest(model)
    if not model.is_official or version is None:
        raise not_found()
    body = await _request(call, {})
    prediction = _make(call, model, version, body, None)
    running.run_alone(call.world, prediction, warm=True)
    return await _answer(call, prediction)


def _find(call: Call) -> Prediction:
    prediction = call.state.predictions.get(call.arg("id"))
    if prediction is None or prediction.account != call.account.username:
        raise not_found()
    return prediction


async def retrieve(call: Call) -> Any:
    """`GET /predictions/{id}`."""
    return prediction_json(call, _find(call))


async def cancel(call: Call) -> Any:
    """`POST /predictions/{id}/cancel` → 200; harmless when it has ended."""
    prediction = _find(call)
    running.cancel(call.world, prediction)
    return prediction_json(call, prediction)


async def list_predictions(call: Call) -> Any:
    """`GET /predictions`: newest first, 100 a page, no filter by deployment."""
    query = call.request.query
    source = query.get("source")
    if source not in (None, "web"):
        raise refuse(400, "source must be 'web'")
    try:
        after = parse_iso(query["created_after"]) if "created_after" in query else None
        before = parse_iso(query["created_before"]) if "created_before" in query else None
    except ValueError:
        raise refuse(400, "created_after and created_before must be RFC 3339 times") from None
    mine = [
        p
        for p in call.state.predictions.values()
        if p.account == call.account.username
        and (source is None or p.source == source)
        and (after is None or p.created_at > after)
        and (before is None or p.created_at < before)
    ]
    mine.reverse()
    return page(call, mine, lambda p: prediction_json(call, p), lambda p: p.id)
