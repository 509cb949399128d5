"""The stream port: server-sent events of a prediction. The URL itself is the secret."""

from __future__ import annotations

import json
import time

from aiohttp import web

from peft_tui.sandbox.replicate import running
from peft_tui.sandbox.replicate.errors import not_found
from peft_tui.sandbox.replicate.running import completed_at, piece_time, pieces_until, status_of
from peft_tui.sandbox.replicate.state import Prediction
from peft_tui.sandbox.web import EventStream, world_of
from peft_tui.sandbox.world import World

# Real seconds without an event after which the connection ends with a comment.
SILENCE = 30.0
LOOK = 0.25


def _event(kind: str, id: str, data: str) -> str:
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {kind}\nid: {id}\n{lines}\n"


async def stream(request: web.Request) -> web.StreamResponse:
    """`GET /v1/files/{key}` with `Last-Event-ID` to go on where a connection broke."""
    world = world_of(request)
    key = request.match_info["key"]
    prediction = next((p for p in world.replicate.predictions.values() if p.stream_key == key), None)
    if prediction is None:
        raise not_found()
    sent = _resume(request.headers.get("Last-Event-ID", ""))
    out = EventStream(request, {"X-Accel-Buffering": "no"})
    await out.start()
    await out.send(": hi\n\n")
    await _follow(world, prediction, out, sent)
    return await out.end()


def _resume(last: str) -> int:
    number = last.rpartition(":")[2]
    return int(number) + 1 if number.isdigit() else 0


async def _follow(world: World, prediction: Prediction, out: EventStream, sent: int) -> None:
    quiet_since = time.monotonic()
    while True:
        running.settle_single(world, prediction)
        now = world.now()
        made = pieces_until(prediction, now)
        ended = completed_at(prediction, now)
        while sent < made:
            at = piece_time(prediction, sent) or now
            await out.send(_event("output", f"{int(at)}:{sent}", prediction.pieces[sent]))
            sent += 1
            quiet_since = time.monotonic()
        if ended is not None:
            await _finish(prediction, out, sent, now)
            return
        if time.monotonic() - quiet_since >= SILENCE:
            await out.send(": 408 Request Timeout\n\n")
            return
        due = piece_time(prediction, sent) if sent < len(prediction.pieces) else prediction.ends_at
        await world.clock.sleep_until(max(due or now + 3600, now + 1e-6), real_timeout=LOOK)


async def _finish(prediction: Prediction, out: EventStream, sent: int, now: float) -> None:
    status = status_of(prediction, now)
    mark = f"{int(now)}:{sent}"
    done: dict[str, str] = {}
    if status == "failed":
        await out.send(_event("error", mark, json.dumps({"detail": prediction.error})))
        mark = f"{int(now)}:{sent + 1}"
        done = {"reason": "error"}
    elif status in ("canceled", "aborted"):
        done = {"reason": "canceled"}
    await out.send(_event("done", mark, json.dumps(done)))


def routes() -> list[web.AbstractRouteDef]:
    """The one route of the stream port."""
    return [web.get("/v1/files/{key}", stream)]
