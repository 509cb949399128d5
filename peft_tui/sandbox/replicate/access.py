"""Who calls, how often, and pages of lists."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from aiohttp import web

from peft_tui.sandbox.replicate.errors import no_credit, not_found, refuse
from peft_tui.sandbox.replicate.state import Account, Model, ReplicateState, Version
from peft_tui.sandbox.web import STREAM_PORT, Asked, origin, read_json, world_of

T = TypeVar("T")
PREDICTIONS_PER_MINUTE = 600
CALLS_PER_MINUTE = 3000
WINDOW = 60.0


@dataclass(frozen=True)
class Call(Asked):
    """A request with its caller found out."""

    account: Account

    @property
    def state(self) -> ReplicateState:
        """The cloud's memory."""
        return self.world.replicate

    @property
    def api(self) -> str:
        """Base of links, up to and with `/v1`."""
        return origin(self.request) + "/replicate/v1"

    @property
    def streams(self) -> str:
        """Base of stream URLs: the same host on its own port."""
        host = self.request.host.rpartition(":")[0] or self.request.host
        return f"{self.request.scheme}://{host}:{self.request.app[STREAM_PORT][0]}"

    async def body(self) -> Any:
        """The JSON body.

        Raises:
            Refusal: 400 if it is not JSON.
        """
        try:
            return await read_json(self.request)
        except ValueError as error:
            raise refuse(400, f"The request body could not be parsed as JSON: {error}") from None

    def model(self, owner: str | None = None, name: str | None = None, *, mine: bool = False) -> Model:
        """A model the caller may see; with `mine`, may change."""
        key = f"{owner or self.arg('owner')}/{name or self.arg('name')}"
        model = self.state.models.get(key)
        if model is None or (model.visibility == "private" and model.owner != self.account.username):
            raise not_found()
        if mine and model.owner != self.account.username:
            raise refuse(403, "You do not have permission to perform this action.", title="Permission denied")
        return model

    def version(self, model: Model, id: str) -> Version:
        """A version of a model."""
        for version in model.versions:
            if version.id == id and not version.deleted:
                return version
        raise not_found()


def call_of(request: web.Request) -> Call:
    """The caller of a request.

    Raises:
        Refusal: 401 for a missing or unknown token.
    """
    world = world_of(request)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    username = world.replicate.tokens.get(token.strip()) if scheme.lower() in ("bearer", "token") else None
    if username is None:
        raise refuse(401, "You did not pass a valid authentication token", title="Unauthenticated")
    return Call(request, world, world.replicate.accounts[username])


def count_call(call: Call) -> dict[str, str]:
    """Count a call against its rate limit; the headers that every answer carries.

    Raises:
        Refusal: 429 above the limit. A frozen clock would never open the window again, so it has none.
    """
    creates = call.request.method == "POST" and call.request.path.endswith("/predictions")
    most = PREDICTIONS_PER_MINUTE if creates else CALLS_PER_MINUTE
    key = f"{call.account.username}/{'predictions' if creates else 'calls'}"
    start, count = call.state.buckets.get(key, (call.now, 0))
    if call.now - start >= WINDOW or call.world.clock.frozen:
        start, count = call.now, 0
    count += 1
    call.state.buckets[key] = (start, count)
    resets = max(1, round(start + WINDOW - call.now))
    headers = {"ratelimit-remaining": str(max(0, most - count)), "ratelimit-reset": str(resets)}
    if creates and call.state.knobs.throttled:
        resets, count = 30, most + 1
    if count > most:
        wait = {"Retry-After": str(resets), "ratelimit-remaining": "0", "ratelimit-reset": str(resets)}
        raise refuse(
            429,
            f"Request was throttled. Your rate limit resets in ~{resets}s.",
            retry_after=resets,
            headers=wait,
        )
    return headers


def page(
    call: Call,
    items: Sequence[T],
    show: Callable[[T], Any],
    key: Callable[[T], str],
    *,
    size: int = 100,
) -> dict[str, Any]:
    """One page: `{"next", "previous", "results"}`; links are absolute and keep the query."""
    start = 0
    cursor = call.request.query.get("cursor")
    if cursor:
        try:
            mark = json.loads(base64.urlsafe_b64decode(cursor.encode()))
            position = next(i for i, item in enumerate(items) if key(item) == mark["k"])
        except (ValueError, KeyError, TypeError, StopIteration):
            raise not_found() from None
        start = position + 1 if mark.get("d") == "n" else max(0, position - size)

    def link(item: T, direction: str) -> str:
        mark = json.dumps({"k": key(item), "d": direction}).encode()
        query = {k: v for k, v in call.request.query.items() if k != "cursor"}
        query["cursor"] = base64.urlsafe_b64encode(mark).decode()
        return f"{origin(call.request)}{call.request.path}?{urlencode(query)}"

    shown = items[start : start + size]
    more = start + size < len(items)
    return {
        "previous": link(items[start], "p") if start > 0 else None,
        "next": link(shown[-1], "n") if more else None,
        "results": [show(item) for item in shown],
    }


def check_credit(call: Call) -> None:
    """402 when the prepaid balance is empty."""
    if call.state.knobs.out_of_credit:
        raise no_credit()
