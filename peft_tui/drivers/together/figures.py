"""Together's own figures: analytics by the minute, and what was billed by the hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.reported import Metric, Reading, Report
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.together.api import TogetherApi
from peft_tui.drivers.together.wire import Page
from peft_tui.drivers.wire import CamelWire, Wire, moment, parse

SOURCE = "Together analytics"
WINDOW = timedelta(hours=1)
LONGEST = timedelta(hours=24)
LATE = timedelta(minutes=10)
"""How long a minute is told again: analytics may lag."""
BILLING_SECONDS = 1800.0
MINUTE, HOUR = 60, 3600

# [INF] The names inside of a point are not documented; both ways to write them are taken.
_SERIES = (
    (Metric.REQUESTS, ("total_requests", "totalRequests")),
    (Metric.FAILED, ("failed_requests", "failedRequests")),
    (Metric.TOKENS_IN, ("input_tokens", "totalInputTokens")),
    (Metric.TOKENS_OUT, ("output_tokens", "totalOutputTokens")),
)
_LATENCIES = (
    (Metric.LATENCY_P50_S, "latencyP50Ms"),
    (Metric.LATENCY_P99_S, "latencyP99Ms"),
    (Metric.FIRST_TEXT_P50_S, "ttftP50Ms"),
    (Metric.FIRST_TEXT_P99_S, "ttftP99Ms"),
)


class TimePoint(CamelWire):
    timestamp: str = ""
    values: dict[str, Any] = Field(default_factory=dict)


class Figures(CamelWire):
    latency_metrics: dict[str, Any] = Field(default_factory=dict)
    resource_utilization: dict[str, Any] = Field(default_factory=dict)


class DeploymentAnalytics(CamelWire):
    deployment_id: str = ""
    metrics: Figures = Figures()
    time_series: list[TimePoint] = Field(default_factory=list)


class Analytics(CamelWire):
    deployment_analytics: list[DeploymentAnalytics] = Field(default_factory=list)


class LineItem(Wire):
    cost: str = ""
    attributes: dict[str, Any] = Field(default_factory=dict)


class BilledWindow(Wire):
    start_time: str = ""
    line_items: list[LineItem] = Field(default_factory=list)


async def reports(api: TogetherApi, wanted: Mapping[str, datetime], now: datetime) -> tuple[Report, ...]:
    """One call an endpoint; minutes are told again for a while, for they may come late."""
    project = await api.project()
    by_endpoint: dict[str, dict[str, datetime]] = {}
    for remote_id, since in wanted.items():
        endpoint, _, deployment = remote_id.partition("/")
        by_endpoint.setdefault(endpoint, {})[deployment] = since
    billed = await _billed(api, now)
    found = []
    for endpoint, deployments in by_endpoint.items():
        begin = max(min(min(deployments.values()) - LATE, now - WINDOW), now - LONGEST)
        begin = begin.replace(second=0, microsecond=0)
        query = {
            "startTime": begin.isoformat().replace("+00:00", "Z"),
            "granularity": "1m",
            "includeTimeSeries": "true",
        }
        path = f"/v2/projects/{project.id}/endpoints/{endpoint}/analytics"
        body = await api.http.get(path, query, Urgency.BACKGROUND)
        for analytics in parse(Analytics, body, api.title).deployment_analytics:
            if analytics.deployment_id in deployments:
                spent = billed.get(analytics.deployment_id, [])
                told = (*_readings(analytics, begin, now), *spent)
                found.append(Report(f"{endpoint}/{analytics.deployment_id}", told, source=SOURCE))
    return tuple(found)


def _readings(analytics: DeploymentAnalytics, begin: datetime, now: datetime) -> list[Reading]:
    found: list[Reading] = []
    for point in analytics.time_series:
        at = moment(point.timestamp)
        if at is None:
            continue
        at = at.replace(second=0, microsecond=0)
        for metric, names in _SERIES:
            value = next(
                (number for name in names if (number := _number(point.values.get(name))) is not None), None
            )
            if value is not None:
                found.append(Reading(metric, at, MINUTE, value))
    window = round((now - begin).total_seconds() / 60) * 60
    for metric, name in _LATENCIES:
        if (value := _number(analytics.metrics.latency_metrics.get(name))) is not None:
            found.append(Reading(metric, begin, window, f"{float(value) / 1000:.6f}"))
    if (value := _number(analytics.metrics.resource_utilization.get("gpuUtilization"))) is not None:
        found.append(Reading(Metric.GPU_USE, begin, window, f"{float(value) / 100:.4f}"))
    return found


async def _billed(api: TogetherApi, now: datetime) -> dict[str, list[Reading]]:
    """What was billed by the hour and deployment; asked for seldom, and no loss where a key may not."""
    due = api.billing_due
    if due is not None and now < due:
        return {}
    api.billing_due = now + timedelta(seconds=BILLING_SECONDS)
    month = (now - timedelta(hours=1)).strftime("%Y-%m")
    query = {"month": month, "granularity": "hour", "limit": "1000"}
    try:
        body = await api.http.get("/v1/billing/usage", query, Urgency.BACKGROUND)
        windows = [parse(BilledWindow, item, api.title) for item in parse(Page, body, api.title).data]
    except PeftTuiError:
        return {}
    found: dict[str, list[Reading]] = {}
    for window in windows:
        at = moment(window.start_time)
        for item in window.line_items:
            # [INF] That the resource's id is called so.
            deployment = str(item.attributes.get("deployment_id", ""))
            if at is not None and deployment and (cost := _number(item.cost)) is not None:
                found.setdefault(deployment, []).append(Reading(Metric.COST_USD, at, HOUR, cost))
    return found


def _number(value: object) -> str | None:
    """A number that may come as text, as text."""
    try:
        float(str(value))
    except ValueError:
        return None
    return None if value is None or isinstance(value, bool) else str(value)
