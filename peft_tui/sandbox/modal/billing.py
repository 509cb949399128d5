"""The Modal cloud as the control surface sees it: bills, and crowds for load tests."""

from __future__ import annotations

from decimal import Decimal

from peft_tui.sandbox.ledger import Bill
from peft_tui.sandbox.modal import life
from peft_tui.sandbox.modal.costs import meters
from peft_tui.sandbox.modal.state import (
    ACME,
    DEPLOYED,
    DISCONNECTED,
    INITIALIZING,
    STOPPED,
    App,
    Definition,
    Function,
    Gpu,
    Release,
)
from peft_tui.sandbox.world import World

_WORDS = {
    DEPLOYED: "DEPLOYED",
    STOPPED: "STOPPED",
    INITIALIZING: "INITIALIZING",
    DISCONNECTED: "DISCONNECTED",
}


def bills(world: World) -> list[Bill]:
    """One line per app, stopped ones included."""
    life.settle_all(world)
    now = world.now()
    rows: list[Bill] = []
    for app in world.modal.apps.values():
        rate = sum((m.usd_per_hour(now) for m in meters(world, app)), Decimal(0))
        total = sum((m.usd(now) for m in meters(world, app)), Decimal(0))
        gone = app.state == STOPPED
        name = f"{app.workspace}/{app.name or app.description}"
        word = _WORDS.get(app.state, str(app.state))
        rows.append(Bill("modal", app.id, name, word, rate > 0, rate, total, gone))
    return rows


def populate(world: World, count: int) -> None:
    """Make `count` apps of acme's with one server each, most of them scaled to zero."""
    now = world.now()
    words = ("support", "router", "triage", "search", "billing", "tone", "legal", "intake")
    for number in range(count):
        rng = world.rng("populate modal", number)
        name = f"{rng.choice(words)}-{world.new_id('', 8)}"
        born = now - rng.uniform(3600, 30 * 86400)
        warm = int(rng.random() < 0.1)
        app = App(life.new_id(world, "ap"), ACME, name, name, DEPLOYED, born, deployed_at=born)
        function = Function(
            life.new_id(world, "fu"), app.id, "Server", "server", f"acme--{name}-server.us-east.modal.direct"
        )
        definition = Definition(
            id=life.new_id(world, "de"),
            function_id=function.id,
            wire="",
            image_id="",
            gpus=[Gpu("L40S", 1)],
            cpu_milli=0,
            memory_mb=0,
            settings={"min_containers": warm, "max_containers": 2, "scaledown_window": 300},
            mounts=[],
            secret_ids=[],
            runs_image=False,
            private=True,
            port=8000,
            startup_timeout=900,
            max_concurrency=0,
        )
        function.live = definition.id
        # They come up now, as if the month so far had been free.
        function.retry_at = now - 600
        app.functions["Server"] = function.id
        app.releases.append(Release(1, "", born, "1.6.4", {"Server": definition.id}))
        world.modal.apps[app.id] = app
        world.modal.functions[function.id] = function
        world.modal.definitions[definition.id] = definition
