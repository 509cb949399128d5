"""The life of functions and their containers: what is the case at a time, given what was asked before.

Nothing runs in the background. `settle` plays what is due, in order, and bills and logs each at the time
it happened. A container is enqueued, started (billing begins), healthy, and ends when it has been idle,
is told to, crashes, or does not come up in time.
"""

from __future__ import annotations

from decimal import Decimal

from peft_tui.sandbox.modal import engine
from peft_tui.sandbox.modal.catalog import usd_per_hour
from peft_tui.sandbox.modal.costs import spent_this_month
from peft_tui.sandbox.modal.state import (
    ALPHABET,
    DEPLOYED,
    ID_LENGTH,
    STOPPED,
    App,
    Container,
    Definition,
    Function,
    Gpu,
    LogLine,
)
from peft_tui.sandbox.world import World

DEFAULT_SCALEDOWN = 60.0
CRASH_AFTER = 0.6
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0
KEPT_LINES = 5_000
KEPT_ENDED = 200


def new_id(world: World, prefix: str) -> str:
    """An id as the vendor makes them, for example `ap-` and 22 letters or digits."""
    return world.new_id(f"{prefix}-", ID_LENGTH, ALPHABET)


def live(function: Function) -> list[Container]:
    """Containers that exist, those still waiting for a GPU included."""
    return [c for c in function.containers if c.ended_at is None]


def staying(function: Function) -> list[Container]:
    """Containers of the deployed definition; those of an earlier one leave once these are up."""
    return [c for c in live(function) if c.definition_id == function.live]


def is_healthy(container: Container, now: float) -> bool:
    """Whether it answers."""
    if container.ended_at is not None or container.healthy_at is None or container.healthy_at > now:
        return False
    return container.dies_at is None or container.dies_at > now


def setting(world: World, function: Function, name: str, default: float = 0.0) -> float:
    """An autoscaler setting as it stands: overridden, deployed, or the default."""
    if name in function.overrides:
        return function.overrides[name]
    definition = world.modal.definitions.get(function.live)
    return default if definition is None else definition.settings.get(name, default)


def say(app: App, at: float, function_id: str, task_id: str, fd: int, text: str) -> None:
    """Add a line to the app's log."""
    app.log_lines += 1
    app.log.append(LogLine(app.log_lines, at, function_id, task_id, fd, text.rstrip("\n") + "\n"))
    if len(app.log) > KEPT_LINES:
        del app.log[: len(app.log) - KEPT_LINES]


def runs(world: World, app: App) -> bool:
    """Whether the app may have containers now."""
    return app.state == DEPLOYED and not world.modal.knobs.workspace_disabled


def over_limit(world: World, workspace: str) -> bool:
    """Whether the workspace may not spend more: by the knob, or by its own budget."""
    if world.modal.knobs.spend_limit:
        return True
    budget = world.modal.budgets.get(workspace)
    return budget is not None and spent_this_month(world, workspace) >= budget


def may_grow(world: World, function: Function) -> bool:
    """Whether another container is allowed: by the state of the app, the maximum and the money."""
    app = world.modal.apps[function.app_id]
    most = setting(world, function, "max_containers")
    if not function.live or not runs(world, app) or (most and len(staying(function)) >= most):
        return False
    return not over_limit(world, app.workspace)


def request_container(world: World, function: Function, at: float) -> None:
    """Enqueue a container if another one is allowed."""
    if may_grow(world, function):
        function.containers.append(Container(new_id(world, "ta"), function.live, at, last_used=at))
        _forget_old(function)


def demand(world: World, function: Function, count: int) -> None:
    """Callers keep `count` containers busy: with the buffer, so many there shall be."""
    now = world.now()
    settle(world, function)
    wanted = count + int(setting(world, function, "buffer_containers"))
    if now >= function.retry_at:
        for _ in range(wanted - len(staying(function))):
            request_container(world, function, now)
    settle(world, function)


def _forget_old(function: Function) -> None:
    """Keep the money of containers long gone, and forget the rest."""
    ended = [c for c in function.containers if c.ended_at is not None]
    for container in ended[:-KEPT_ENDED]:
        function.past.stretches += container.meter.stretches
        function.containers.remove(container)


def settle_all(world: World) -> None:
    """Everything that is due by now, in every app."""
    for function in world.modal.functions.values():
        settle(world, function)


def settle_app(world: World, app: App) -> None:
    """Everything that is due by now in one app."""
    for id in app.functions.values():
        settle(world, world.modal.functions[id])


def settle(world: World, function: Function) -> None:
    """Play everything that is due by now."""
    now = world.now()
    app = world.modal.apps[function.app_id]
    if app.state == STOPPED and not live(function):
        return
    if not runs(world, app):
        for gone in live(function):
            _end(world, function, gone, now, "the workspace is disabled", 0)
        return
    while (step := _next(world, function, now)) is not None:
        at, container, what = step
        if container is None:
            request_container(world, function, at)
        elif what == "start":
            _start(world, function, container, at)
        elif what == "die":
            _end(world, function, container, at, container.death, container.exit_code or 1)
            function.crashes += 1
            pause = FIRST_PAUSE * 2 ** min(function.crashes - 1, 10)
            function.retry_at = at + min(LONGEST_PAUSE, pause)
        else:
            _end(world, function, container, at, what, 0)


Due = tuple[float, "Container | None", str]


def _next(world: World, function: Function, now: float) -> Due | None:
    """The earliest thing that is due by `now`."""
    due: list[Due] = []
    here, stay = live(function), staying(function)
    up = [c.healthy_at for c in stay if c.healthy_at is not None]
    for container in here:
        if container.started_at is None:
            start = _start_time(world, function, container, now)
            if start is not None:
                due.append((start, container, "start"))
        elif container.dies_at is not None:
            due.append((container.dies_at, container, "die"))
        if container.definition_id != function.live and up:
            due.append((min(up), container, "replaced"))
    due += _idle(world, function, here, stay)
    if len(stay) < setting(world, function, "min_containers") and may_grow(world, function):
        app = world.modal.apps[function.app_id]
        last_end = max((c.ended_at for c in function.containers if c.ended_at is not None), default=0.0)
        due.append((max(function.retry_at, function.overridden_at, app.deployed_at, last_end), None, ""))
    return min((d for d in due if d[0] <= now), key=lambda d: d[0], default=None)


def _start_time(world: World, function: Function, container: Container, now: float) -> float | None:
    """When a waiting container gets its GPU; None while there is none."""
    planned = container.enqueued_at + world.modal.knobs.schedule_seconds
    if _placeable(world, world.modal.definitions[container.definition_id]) is not None:
        # Where a GPU came free only later, the start is when it is first looked at.
        return now if container.death == WAITING else planned
    if planned <= now and container.death != WAITING:
        container.death = WAITING
        app = world.modal.apps[function.app_id]
        say(app, planned, function.id, container.id, 3, "Waiting for GPU capacity.")
    return None


WAITING = "waiting for capacity"


def _idle(world: World, function: Function, here: list[Container], stay: list[Container]) -> list[Due]:
    """When the containers above the minimum have been idle for the window."""
    window = setting(world, function, "scaledown_window", DEFAULT_SCALEDOWN) or DEFAULT_SCALEDOWN
    spare = len(stay) - int(setting(world, function, "min_containers"))
    keep_buffer = setting(world, function, "buffer_containers") > 0
    ends: list[Due] = []
    for container in here:
        if container.healthy_at is None or container.dies_at is not None or world.in_flight[container.id]:
            continue
        since = max(container.last_used, container.healthy_at)
        if keep_buffer:
            # Buffer containers stay as long as the function is in use.
            since = max(since, function.last_request)
        if container.definition_id != function.live or spare > 0:
            ends.append((since + window, container, "idle"))
    ends.sort(key=lambda e: e[0])
    leaving = [e for e in ends if e[1] is not None and e[1].definition_id != function.live]
    return leaving + [e for e in ends if e not in leaving][: max(0, spare)]


def _placeable(world: World, definition: Definition) -> Gpu | None:
    """The first GPU of the list that is free."""
    taken = world.modal.knobs.no_capacity
    for gpu in definition.gpus:
        if not gpu.type or (gpu.type not in taken and "*" not in taken):
            return gpu
    return None


def _start(world: World, function: Function, container: Container, at: float) -> None:
    knobs = world.modal.knobs
    app = world.modal.apps[function.app_id]
    definition = world.modal.definitions[container.definition_id]
    gpu = _placeable(world, definition)
    assert gpu is not None
    container.started_at, container.gpu, container.death = at, gpu, ""
    price = usd_per_hour(gpu.type, gpu.count, definition.cpu_milli, definition.memory_mb)
    container.meter.set(1, price, at)
    if function.kind == "plain":
        container.healthy_at = at
        return
    outcome = engine.start(world.modal, definition, gpu)
    for number, line in enumerate(outcome.lines):
        say(app, at + 0.01 * number, function.id, container.id, 1, line)
    ready = at + knobs.ready_seconds
    timeout = at + definition.startup_timeout
    if knobs.crash_next > 0 or outcome.death:
        knobs.crash_next -= 1 if knobs.crash_next > 0 and not outcome.death else 0
        container.dies_at = min(timeout, at + CRASH_AFTER * knobs.ready_seconds)
        container.death = outcome.death or "RuntimeError: Engine core initialization failed."
        container.exit_code = 1
    elif outcome.silent or ready > timeout:
        container.dies_at = timeout
        container.death = (
            f"Container did not accept connections on port {definition.port} within its startup timeout of "
            f"{definition.startup_timeout:g} s."
        )
        container.exit_code = 124
    else:
        container.healthy_at = ready
        container.adapters = outcome.adapters


def _end(world: World, function: Function, container: Container, at: float, why: str, code: int) -> None:
    app = world.modal.apps[function.app_id]
    container.ended_at, container.exit_code, container.death = at, code, why
    container.meter.set(0, Decimal(0), at)
    if code:
        say(app, at, function.id, container.id, 2, why)
        say(app, at, function.id, container.id, 3, f"Container exited with code {code}.")
    elif container.healthy_at is not None and container.healthy_at <= at:
        function.crashes = 0


def stop_container(world: World, function: Function, container: Container) -> None:
    """End a container now; the minimum brings a new one."""
    if container.ended_at is None:
        _end(world, function, container, world.now(), "stopped", 0)


def replace_containers(world: World, function: Function, at: float) -> None:
    """After a deployment: old containers serve on until the new ones answer.

    There come as many new ones as were running, so that callers find no gap.
    """
    function.crashes, function.retry_at = 0, 0.0
    old = [c for c in live(function) if c.definition_id != function.live]
    for container in old:
        if container.started_at is None:
            _end(world, function, container, at, "replaced", 0)
        else:
            request_container(world, function, at)
    settle(world, function)


def stop_app(world: World, app: App, at: float) -> None:
    """End all containers and the app."""
    for id in app.functions.values():
        function = world.modal.functions[id]
        for container in live(function):
            _end(world, function, container, at, "the app was stopped", 0)
    app.state, app.stopped_at = STOPPED, at
    say(app, at, "", "", 3, "App stopped.")
