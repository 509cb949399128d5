"""What Modal's apps have cost, from the meters of their containers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

from peft_tui.sandbox.ledger import Meter
from peft_tui.sandbox.modal.state import App
from peft_tui.sandbox.world import World


def meters(world: World, app: App) -> Iterator[Meter]:
    """What the app's containers have cost, those long gone included."""
    for id in app.functions.values():
        function = world.modal.functions[id]
        yield function.past
        for container in function.containers:
            yield container.meter


def spent(world: World, app: App, start: float, end: float) -> Decimal:
    """USD of an app in a window."""
    return sum((m.usd_between(start, end) for m in meters(world, app)), Decimal(0))


def month_start(now: float) -> float:
    """The first second of the calendar month, which is the billing cycle [INF]."""
    day = dt.datetime.fromtimestamp(now, dt.UTC)
    return day.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def spent_this_month(world: World, workspace: str) -> Decimal:
    """USD of a workspace since the month began."""
    now = world.now()
    apps = [a for a in world.modal.apps.values() if a.workspace == workspace]
    return sum((spent(world, a, month_start(now), now) for a in apps), Decimal(0))
