"""Analytics, events and the billing report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from peft_tui.sandbox.clock import iso, parse_iso
from peft_tui.sandbox.ledger import HOUR
from peft_tui.sandbox.together.access import Call
from peft_tui.sandbox.together.endpoints import find_endpoint, live_deployments
from peft_tui.sandbox.together.life import seconds_of, settle
from peft_tui.sandbox.together.lists import page
from peft_tui.sandbox.together.state import Event, Sample

_LEVELS = ("LEVEL_DEBUG", "LEVEL_INFO", "LEVEL_WARN", "LEVEL_ERROR")


def _time(call: Call, name: str, default: float) -> float:
    text = call.query.get(name)
    if not text:
        return default
    try:
        return parse_iso(text)
    except ValueError:
        raise call.refuse(400, f"Invalid Argument: {name} must be an RFC 3339 time") from None


def _percentile(values: list[float], share: float) -> float:
    """Nearest rank; the list is sorted and not empty."""
    return round(values[max(0, math.ceil(share * len(values)) - 1)], 3)


def metrics_json(samples: list[Sample], start: float, end: float, busy_replicas: int) -> dict[str, Any]:
    """`DeploymentMetrics` of a set of requests in a window."""
    span = max(1.0, end - start)
    good = [s for s in samples if s.status == 200]
    bad = len(samples) - len(good)
    tokens_in = sum(s.prompt_tokens for s in good)
    tokens_out = sum(s.completion_tokens for s in good)
    answer: dict[str, Any] = {
        "timeRange": {"startTime": iso(start), "endTime": iso(end)},
        "requestMetrics": {
            "totalRequests": str(len(samples)),
            "successfulRequests": str(len(good)),
            "failedRequests": str(bad),
            "requestsPerSecond": round(len(samples) / span, 6),
            "requestsByStatusCode": {
                str(k): str(v) for k, v in sorted(Counter(s.status for s in samples).items())
            },
        },
        "tokenMetrics": {
            "totalInputTokens": str(tokens_in),
            "totalOutputTokens": str(tokens_out),
            "avgInputTokens": round(tokens_in / len(good), 2) if good else 0,
            "avgOutputTokens": round(tokens_out / len(good), 2) if good else 0,
        },
        "throughputMetrics": {
            "tokensPerSecond": round(tokens_out / span, 4),
            "requestsPerSecond": round(len(good) / span, 6),
            "avgBatchSize": 1.0 if good else 0,
            "avgBatchDepth": 0,
        },
        "errorMetrics": {
            "errorRate": round(100 * bad / len(samples), 3) if samples else 0,
            "errorsByType": {
                str(k): str(v) for k, v in Counter(s.status for s in samples if s.status != 200).items()
            },
        },
        "resourceUtilization": {
            "gpuUtilization": round(min(99.0, 2.0 * busy_replicas + 40 * len(good) / span), 2),
            "gpuMemoryUtilization": 87.5 if busy_replicas else 0,
            "cpuUtilization": 6.0 if busy_replicas else 0,
            "memoryUtilization": 21.0 if busy_replicas else 0,
            "networkBandwidthMbps": round(len(good) / span * 0.2, 4),
        },
    }
    latency: dict[str, float] = {}
    series = {
        "ttft": sorted(s.ttft_ms for s in good),
        "latency": sorted(s.latency_ms for s in good),
        "itl": sorted((s.latency_ms - s.ttft_ms) / max(1, s.completion_tokens - 1) for s in good),
    }
    for name, values in series.items():
        for word, share in (("P50", 0.5), ("P90", 0.9), ("P99", 0.99)):
            if values:
                latency[f"{name}{word}Ms"] = _percentile(values, share)
    if latency:
        answer["latencyMetrics"] = latency
    return answer


async def analytics(call: Call) -> Any:
    """`GET …/endpoints/{e}/analytics`: the last 24 hours unless asked otherwise."""
    endpoint = find_endpoint(call, call.project())
    end = _time(call, "endTime", call.now)
    start = _time(call, "startTime", end - 86400)
    if start >= end:
        raise call.refuse(400, "Invalid Argument: startTime must be before endTime")
    deployments = live_deployments(call.world, endpoint)
    if only := call.query.get("deploymentId"):
        deployments = [d for d in deployments if d.id == only]
        if not deployments:
            raise call.not_found("deployment", only)
    granularity = call.query.get("granularity", "1d")
    bucket = {"1m": 60.0, "1h": 3600.0, "1d": 86400.0}.get(granularity) or seconds_of(granularity)
    if bucket is None:
        raise call.refuse(400, "Invalid Argument: granularity must be 1m, 1h or 1d")
    with_series = call.query.get("includeTimeSeries", "").lower() == "true"
    everything: list[Sample] = []
    rows: list[dict[str, Any]] = []
    for deployment in deployments:
        samples = [s for s in deployment.samples if start <= s.at < end]
        everything += samples
        row: dict[str, Any] = {
            "deploymentId": deployment.id,
            "endpointId": endpoint.id,
            "timeRange": {"startTime": iso(start), "endTime": iso(end)},
            "metrics": metrics_json(samples, start, end, deployment.ready),
        }
        if with_series:
            row["timeSeries"] = _series(samples, start, end, bucket)
        rows.append(row)
    answer: dict[str, Any] = {
        "endpointId": endpoint.id,
        "timeRange": {"startTime": iso(start), "endTime": iso(end)},
        "metrics": {
            "endpointId": endpoint.id,
            **metrics_json(everything, start, end, sum(d.ready for d in deployments)),
        },
        "deploymentAnalytics": rows,
    }
    if with_series:
        answer["timeSeries"] = _series(everything, start, end, bucket)
    return answer


def _series(samples: list[Sample], start: float, end: float, bucket: float) -> list[dict[str, Any]]:
    buckets: dict[int, list[Sample]] = {}
    for sample in samples:
        buckets.setdefault(int(sample.at // bucket), []).append(sample)
    points: list[dict[str, Any]] = []
    for number in sorted(buckets):
        inside = buckets[number]
        good = sorted(s.ttft_ms for s in inside if s.status == 200)
        values: dict[str, float] = {
            "total_requests": len(inside),
            "failed_requests": sum(s.status != 200 for s in inside),
            "input_tokens": sum(s.prompt_tokens for s in inside),
            "output_tokens": sum(s.completion_tokens for s in inside),
        }
        if good:
            values["ttft_p50_ms"] = _percentile(good, 0.5)
        points.append({"timestamp": iso(max(start, number * bucket)), "values": values})
    return points


async def events(call: Call) -> Any:
    """`GET …/endpoints/{e}/events`, newest first."""
    endpoint = find_endpoint(call, call.project())
    live_deployments(call.world, endpoint)
    query = call.request.query
    wanted = set(_many(query, "deploymentIds"))
    kinds = set(_many(query, "sourceKinds"))
    types = set(_many(query, "types"))
    subject = query.get("subjectId")
    level = query.get("minLevel", _LEVELS[0])
    if level not in _LEVELS:
        raise call.refuse(400, f"Invalid Argument: minLevel must be one of {', '.join(_LEVELS)}")
    since, until = _time(call, "since", 0.0), _time(call, "until", math.inf)

    def passes(event: Event) -> bool:
        kind = "SOURCE_KIND_DEPLOYMENT" if event.deployment_id else "SOURCE_KIND_ENDPOINT"
        if wanted and event.deployment_id not in wanted and kind not in kinds:
            return False
        return (
            event.endpoint_id == endpoint.id
            and (not kinds or kind in kinds)
            and (not types or event.type in types)
            and (subject is None or event.fields.get("subjectId") == subject)
            and _LEVELS.index(event.level) >= _LEVELS.index(level)
            and since <= event.at < until
        )

    found = [e for e in call.state.events if passes(e)]
    found.sort(key=lambda e: e.at)
    return page(call, found[::-1], _event_json, lambda e: e.id, most=10_000)


def _many(query: Any, name: str) -> list[str]:
    return [
        part
        for key in (name, f"{name}[]")
        for value in query.getall(key, [])
        for part in value.split(",")
        if part
    ]


def _event_json(event: Event) -> dict[str, Any]:
    answer = {
        "id": event.id,
        "createdAt": iso(event.at),
        "endpointId": event.endpoint_id,
        "level": event.level,
        "source": "deployment-controller" if event.deployment_id else "endpoint-service",
        "sourceKind": "SOURCE_KIND_DEPLOYMENT" if event.deployment_id else "SOURCE_KIND_ENDPOINT",
        "type": event.type,
        **event.fields,
    }
    if event.deployment_id:
        answer["deploymentId"] = event.deployment_id
    return answer


async def usage(call: Call) -> Any:
    """`GET /v1/billing/usage`: finished days or hours of a month, per deployment."""
    org = call.query.get("organization_id", call.key.org_id)
    if org != call.key.org_id:
        raise call.refuse(403, "usage is reported for the organization that owns the API key only")
    now = datetime.fromtimestamp(call.now, UTC)
    month = call.query.get("month") or now.strftime("%Y-%m")
    granularity = call.query.get("granularity", "day")
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise call.refuse(400, "month must be YYYY-MM") from None
    if granularity not in ("day", "hour"):
        raise call.refuse(400, "granularity must be 'day' or 'hour'")
    step = timedelta(days=1) if granularity == "day" else timedelta(hours=1)
    last = (first + timedelta(days=32)).replace(day=1)
    rows: list[dict[str, Any]] = []
    mine = [
        d
        for d in call.state.deployments.values()
        if call.state.projects[d.project_id].org_id == call.key.org_id
    ]
    for deployment in mine:
        settle(call.world, deployment)
    at = first
    while at < last and at + step <= now:
        lines = [line for d in mine if (line := _line(call, d, at.timestamp(), (at + step).timestamp()))]
        if lines:
            rows.append(
                {
                    "date": at.strftime("%Y-%m-%d"),
                    "start_time": iso(at.timestamp(), 0),
                    "end_time": iso((at + step).timestamp(), 0),
                    "line_items": lines,
                }
            )
        at += step
    pick: Callable[[dict[str, Any]], str] = lambda r: str(r["start_time"])  # noqa: E731
    answer = page(call, rows, lambda r: r, pick, most=1000, default=1000)
    return answer | {
        "billing_period": month,
        "currency": "USD",
        "organization_id": org,
        "earliest_window_start": rows[0]["start_time"] if rows else None,
        "latest_window_end": rows[-1]["end_time"] if rows else None,
    }


def _line(call: Call, deployment: Any, start: float, end: float) -> dict[str, Any] | None:
    cost = deployment.meter.usd_between(start, end)
    if cost <= 0:
        return None
    price = Decimal(deployment.price_cents) / 100
    hours = cost / price
    gpu = deployment.hardware.partition("x")[2]
    return {
        "product_name": "Dedicated Model Inference - Replica Hours",
        "quantity": str(hours.quantize(Decimal("0.000001"))),
        "unit_price": str(price),
        "cost": str(cost.quantize(Decimal("0.000001"))),
        "pricing_dimensions": {"instance_type": deployment.hardware, "gpu_type": gpu},
        "attributes": {
            "deployment_id": deployment.id,
            "endpoint_id": deployment.endpoint_id,
            "project_id": deployment.project_id,
            "seconds": str((hours * HOUR).quantize(Decimal("0.1"))),
        },
        "applied_credit": {"type": "PREPAID"},
    }
