"""From Modal's words to ours (dossier §5.3).

The list says what is deployed, and nothing of what serves: that takes the containers and, where they are of
our own making, what the server itself says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.drivers.modal.data_plane import Answer, Health
from peft_tui.drivers.modal.wire import App, Container, Server, at

REFUSED = "its container runs; it does not take the proxy token: check MODAL_PROXY_TOKEN_ID and _SECRET"
CLOSED = "its container runs; whether it answers is not known without a proxy token: testing it makes one"
FAILURES = 3
"""Containers in a row that ended before one answered: it will not come up by itself."""


@dataclass(frozen=True, slots=True)
class Sight:
    """All that is known of one app at one time."""

    app: App
    containers: Sequence[Container] | None
    """None where the server does not list them."""
    server: Server | None = None
    """Of ours."""
    health: Answer | None = None
    """None when it was not asked: nobody is awake, or it is not ours to ask."""
    proved: bool = False
    """One of these containers has answered before."""
    failures: int = 0
    """Containers that ended before any answered."""
    failure: str = ""
    """What the last of them said."""
    usd_per_hour: Decimal | None = None
    gpu: str = ""
    spent: bool = False
    """The environment's spend limit is reached."""


def observe(sight: Sight, now: datetime) -> Observation:
    app, server = sight.app, sight.server
    status, condition, reason = translate(sight)
    billed = _billed(sight)
    ready = _ready(sight)
    return Observation(
        status,
        now,
        platform_status=app.state,
        reason=reason,
        condition=condition,
        ready_instances=ready if status is Status.ACTIVE else 0 if billed == 0 else None,
        billed_instances=billed,
        min_instances=server.min_containers if server else None,
        max_instances=server.max_containers if server else None,
        instance_type=sight.gpu or (server.gpu if server else ""),
        usd_per_hour=Decimal(0) if billed == 0 else sight.usd_per_hour,
        endpoint_url=server.url if server else "",
        model=app.name if server else "",
    )


def translate(sight: Sight) -> tuple[Status, Condition, str]:
    app = sight.app
    match app.state:
        case "STOPPED":
            return Status.STOPPED, Condition.NONE, ""
        case "STOPPING" if _billed(sight) == 0:
            return Status.STOPPED, Condition.NONE, ""
        case "STOPPING":
            # Its containers bill until they are gone: not "stopped" before that was read.
            return Status.ACTIVE, Condition.STOPPING, "stopping, still billing"
        case "DISABLED":
            return Status.FAILED, Condition.NONE, "Modal has disabled it: the spend limit, as a rule"
        case "INITIALIZING":
            return Status.DEPLOYING, Condition.NONE, ""
        case "EPHEMERAL" | "DETACHED" | "DETACHED_DISCONNECTED":
            return Status.ACTIVE, Condition.NONE, "a run, not a deployment"
        case "DEPLOYED":
            return _deployed(sight)
        case _:
            return Status.DEPLOYING, Condition.NONE, "a state that peft-tui does not know"


def _deployed(sight: Sight) -> tuple[Status, Condition, str]:
    health = sight.health.health if sight.health else None
    if health is Health.DISABLED:
        return Status.FAILED, Condition.NONE, "the workspace is disabled: its spend limit is reached"
    if sight.containers is None:
        if sight.app.running:
            return Status.ACTIVE, Condition.ASSUMED, "the platform does not list its containers"
        return Status.ACTIVE, Condition.ASLEEP, "the next request boots it"
    started = [c for c in sight.containers if c.started_at]
    if sight.proved or health is Health.READY:
        waiting = len(sight.containers) - len(started)
        return Status.ACTIVE, Condition.SCALING if waiting and started else Condition.NONE, ""
    if sight.failures >= FAILURES:
        return Status.FAILED, Condition.NONE, f"its containers end before they answer: {sight.failure}"
    if started:
        if sight.server is None:
            return Status.ACTIVE, Condition.NONE, ""
        if health is Health.REFUSED:
            return Status.ACTIVE, Condition.ASSUMED, REFUSED
        if health is Health.CLOSED:
            return Status.ACTIVE, Condition.ASSUMED, CLOSED
        return Status.DEPLOYING, Condition.NONE, "the container is starting" + _last(sight)
    if sight.containers:
        return Status.DEPLOYING, Condition.NONE, "waiting for a GPU" + _last(sight)
    if sight.spent:
        return Status.FAILED, Condition.NONE, "the spend limit is reached: no container starts"
    if sight.server is not None and sight.server.min_containers > 0:
        return Status.DEPLOYING, Condition.NONE, "no container yet" + _last(sight)
    return Status.ACTIVE, Condition.ASLEEP, "the next request boots it"


def _last(sight: Sight) -> str:
    return f"; the one before ended: {sight.failure}" if sight.failures else ""


def _billed(sight: Sight) -> int | None:
    """Containers that exist, start-up and idle time included.

    Those that wait for a machine count too: rather too much than too little.
    """
    if sight.containers is not None:
        return len(sight.containers)
    return sight.app.running if sight.app.state != "STOPPED" else 0


def _ready(sight: Sight) -> int | None:
    if sight.containers is None:
        return None
    return sum(1 for container in sight.containers if container.started_at)


def worth_showing(app: App) -> bool:
    """What was deployed under a name, whatever became of it; a run without one only while it bills."""
    return bool(app.name) or (app.state != "STOPPED" and app.running > 0)


def newest_by_name(apps: Sequence[App]) -> list[App]:
    """A name that was stopped and deployed anew is two apps: the one that lives, else the last."""
    chosen: dict[str, App] = {}
    for app in sorted(apps, key=lambda app: (app.state not in ("STOPPED", "STOPPING"), app.created_at)):
        chosen[app.name or app.app_id] = app
    return list(chosen.values())


def created_at(app: App) -> datetime | None:
    return at(app.created_at)
