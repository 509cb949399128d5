"""The engine's own figures of each deployment that runs: asking one that sleeps may boot it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from peft_tui.domain.reported import Report
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.predibase.api import PredibaseApi
from peft_tui.drivers.prometheus import parse, readings

SOURCE = "LoRAX"


async def reports(api: PredibaseApi, wanted: Mapping[str, datetime], now: datetime) -> tuple[Report, ...]:
    """Counters of everything that a deployment was asked, by whichever adapter.

    One that another deployment serves has no counters of its own: its carrier's would count for both.
    """
    names = [remote_id for remote_id in wanted if "/" not in remote_id]
    if not names:
        return ()
    # Looked at a moment before, and not as it was when the screen was drawn: it may have gone to sleep.
    listed = await api.listed(Urgency.BACKGROUND)
    awake = {deployment.name for deployment in listed if deployment.current_replicas}
    found = []
    for name in names:
        if name in awake:
            path = f"{await api.serving_path(name)}/metrics"
            text = await api.serving.text(path, Urgency.BACKGROUND)
            found.append(Report(name, readings(parse(text), now), source=SOURCE))
    return tuple(found)
