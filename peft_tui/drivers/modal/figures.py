"""Modal's own statistics of each server, and what it billed, by the hour. Its control plane answers: asking
wakes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from peft_tui.domain.errors import AuthenticationFailed, NotFound, PeftTuiError
from peft_tui.domain.reported import Metric, Reading, Report
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.modal.api import ModalApi
from peft_tui.drivers.modal.failures import Unimplemented
from peft_tui.text import clean_line

SOURCE = "Modal, every HTTP request"
HOUR = timedelta(hours=1)
MOST_HOURS = 24
BILLED_FIRST, BILLED_AGAIN = timedelta(days=7), timedelta(hours=24)
"""How far back the bill is read: an hour of it may come late."""
BILL_EVERY, BILL_NEVER, BILL_RETRY = timedelta(minutes=30), timedelta(hours=24), timedelta(minutes=2)
"""It is of whole hours; one that may not be read is not asked for again so soon; one that failed is."""
# [INF] What the percentiles are called is not documented; these are the names that its command line shows.
_DURATION = "Request duration (s)"
_FIRST_TEXT = "time_to_first_token"


async def reports(api: ModalApi, wanted: Mapping[str, datetime], now: datetime) -> tuple[Report, ...]:
    """The hours since the last look, the one before included: what is told of an hour replaces itself."""
    await api.workspace()
    bill = await _billed(api, now)
    apps = {app.app_id: app for app in await api.control.apps()}
    found = []
    for remote_id, since in wanted.items():
        told: list[Reading] = bill.get(remote_id, []) if bill is not None else []
        app = apps.get(remote_id)
        if app is None or not app.name:
            # Stopped; what its last hour cost comes afterwards.
            if told:
                found.append(Report(remote_id, tuple(told), source=SOURCE))
            continue
        try:
            server = await api.control.server(app.name, Urgency.BACKGROUND)
            begin = max(_hour(since) - HOUR, _hour(now) - MOST_HOURS * HOUR)
            while begin <= now:
                answer = await api.control.statistics(server.function_id, begin, min(begin + HOUR, now))
                told += _readings(answer, begin)
                begin += HOUR
        except (NotFound, Unimplemented):
            if not told:
                continue
        found.append(Report(remote_id, tuple(told), source=SOURCE))
    if bill is not None:
        # Only now: a bill that was read and not handed on is to be read again.
        api.bill_due, api.bill_read = now + BILL_EVERY, True
    return tuple(found)


async def _billed(api: ModalApi, now: datetime) -> dict[str, list[Reading]] | None:
    """By app; None where it is not due, may not be read, or did not come."""
    if api.bill_due is not None and now < api.bill_due:
        return None
    begin = _hour(now) - (BILLED_AGAIN if api.bill_read else BILLED_FIRST)
    api.bill_due = now + BILL_RETRY
    try:
        rows = await api.control.billed(begin, now)
    except (AuthenticationFailed, Unimplemented):
        api.bill_due = now + BILL_NEVER
        return None
    except PeftTuiError:
        return None
    found: dict[str, list[Reading]] = defaultdict(list)
    for app_id, told, cost in rows:
        at = told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)
        if at + HOUR <= now:
            found[clean_line(app_id)].append(Reading(Metric.COST_USD, _hour(at), 3600, f"{cost:f}"))
    return found


def _readings(answer: Any, begin: datetime) -> list[Reading]:
    if not answer.request_count:
        return [Reading(Metric.REQUESTS, begin, 3600, "0"), Reading(Metric.FAILED, begin, 3600, "0")]
    failed = sum(row.count for row in answer.request_count_by_status_code if row.status_code >= 400)
    told = [
        Reading(Metric.REQUESTS, begin, 3600, str(answer.request_count)),
        Reading(Metric.FAILED, begin, 3600, str(failed)),
    ]
    durations = (
        (Metric.LATENCY_P50_S, 5000),
        (Metric.LATENCY_P95_S, 9500),
        (Metric.LATENCY_P99_S, 9900),
    )
    told += _percentiles(answer.request_percentile_stats, _DURATION, durations, begin)
    first = ((Metric.FIRST_TEXT_P50_S, 5000), (Metric.FIRST_TEXT_P99_S, 9900))
    told += _percentiles(answer.inference.percentile_stats, _FIRST_TEXT, first, begin)
    return told


def _percentiles(
    stats: Any, name: str, wanted: tuple[tuple[Metric, int], ...], begin: datetime
) -> list[Reading]:
    if name not in stats or stats[name].unit not in ("s", ""):
        return []
    known = {row.percentile_basis_points: row.value for row in stats[name].percentiles}
    return [Reading(metric, begin, 3600, f"{known[share]:.6f}") for metric, share in wanted if share in known]


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
