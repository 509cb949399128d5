"""The figures for other tools: CSV, JSON, and the text that a Prometheus scrapes.

Names and bounds of histograms are those of OpenTelemetry's semantic conventions for generative AI.
What is not known is left out, never 0. No label holds a prompt or the id of a request.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from peft_tui.domain.buckets import Buckets
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.metrics import Course, Figures
from peft_tui.domain.status import Status
from peft_tui.domain.tally import Tally
from peft_tui.redaction import redact, redacted
from peft_tui.services.csv_cells import cell

SECONDS = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    *(164.0, 328.0, 656.0),
)
"""The conventions', and three more for boots that take minutes."""
TOKENS = tuple(float(4**power) for power in range(14))
SUFFIXES = {"csv": "csv", "json": "json", "prometheus": "prom", "svg": "svg"}
CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def document(kind: str, deployment: Deployment, course: Course, now: datetime) -> str:
    """The course of one deployment in one of the formats."""
    if kind == "csv":
        return as_csv(deployment, course)
    if kind == "json":
        return json.dumps(redacted(as_json(deployment, course)), indent=2, default=_plain) + "\n"
    return open_metrics([(deployment, course.figures)])


def save(name: str, kind: str, text: str, now: datetime, directory: Path | None = None) -> Path:
    """Write a new file that only its owner may read, never over another one; where it is.

    Raises:
        OSError: it cannot be written.
    """
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "deployment"
    base = f"peft-tui-{slug}-{now:%Y%m%dT%H%M%SZ}"
    directory = directory or Path.cwd()
    for number in range(100):
        path = directory / f"{base}{f'-{number}' if number else ''}.{SUFFIXES[kind]}"
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(file, "w", encoding="utf-8", newline="") as out:
            out.write(text)
        return path
    raise FileExistsError(f"{base} is there a hundred times")


# JSON


def as_json(deployment: Deployment, course: Course) -> dict[str, Any]:
    """Everything, unknown as null, money as decimal text, times in UTC."""
    return {
        "deployment": {"id": deployment.id, "name": deployment.name, "platform": deployment.platform},
        **figures_document(course.figures),
        "step_seconds": course.step,
        "points": [
            {
                "at": point.at,
                "requests": point.tally.total,
                "failed": point.tally.failed,
                "latency_p50_ms": _ms(point.tally.latency.value_at(0.5)),
                "latency_p95_ms": _ms(point.tally.latency.value_at(0.95)),
                "tokens_in": point.tally.tokens_in if point.tally.counted else None,
                "tokens_out": point.tally.tokens_out if point.tally.counted else None,
                "cost_usd": point.usd,
            }
            for point in course.points
        ],
    }


def figures_document(figures: Figures) -> dict[str, Any]:
    """One deployment's figures; each group says where it comes from."""
    tally, bill = figures.tally, figures.bill
    return {
        "since": figures.begin,
        "until": figures.end,
        "measured": {
            "requests": tally.total,
            "succeeded": tally.succeeded,
            "failed": tally.failed,
            "cancelled": tally.cancelled,
            "errors": dict(tally.errors),
            "success_rate": tally.success_rate,
            "requests_last_minute": figures.per_minute,
            "percentiles": "exact, nearest rank" if figures.exact else "buckets, nearest rank, 1 %",
            "latency_ms": _distribution(tally.latency),
            "first_text_ms": _distribution(tally.first_text),
            "tokens_per_second": tally.speed.value_at(0.5),
            "cold": {
                "requests": tally.cold,
                "latency_ms": _distribution(tally.cold_latency),
                "first_text_ms": _distribution(tally.cold_first_text),
            },
            "tokens_in": tally.tokens_in if tally.counted else None,
            "tokens_out": tally.tokens_out if tally.counted else None,
        },
        "cost": {
            "usd": figures.cost_usd,
            "complete": figures.cost_is_complete if figures.cost_usd is not None else None,
            "provenance": figures.cost_provenance,
            "usd_per_hour_now": figures.usd_per_hour,
            "start_up_usd": bill.starting_usd if bill.known else None,
            "busy_usd": figures.busy_usd if bill.known else None,
            "idle_usd": figures.idle_usd if bill.known else None,
            "tokens_usd": tally.cost_usd if tally.priced else None,
            "unwatched_usd": bill.unwatched_usd if bill.known else None,
            "unwatched_seconds": bill.unwatched_s if bill.known else None,
            "unknown_seconds": bill.unknown_s if bill.known else None,
            "platform_clock_ahead_seconds": figures.ahead and figures.ahead.total_seconds(),
            "usd_per_request": figures.usd_per_request,
            "usd_per_million_tokens": figures.usd_per_million,
            "usd_per_million_tokens_busy": figures.usd_per_million_busy,
        },
        "reported": _told(figures),
    }


def _told(figures: Figures) -> dict[str, Any] | None:
    told = figures.told
    if told is None:
        return None
    return {
        "source": told.source,
        "as_of": told.as_of,
        "requests": told.requests if told.requests is not None else told.tally and told.tally.total,
        "failed": told.failed if told.failed is not None else told.tally and told.tally.failed,
        "tokens_in": told.tokens_in if told.tokens_in is not None else told.tally and told.tally.tokens_in,
        "tokens_out": told.tokens_out
        if told.tokens_out is not None
        else told.tally and told.tally.tokens_out,
        "cost_usd": told.cost_usd,
        "billed_since": told.billed and told.billed[0],
        "billed_until": told.billed and told.billed[1],
        "estimated_here_usd": told.estimate_usd,
        "newest": {name: {"value": v, "over_seconds": s} for name, (v, s) in told.newest.items()},
        "latency_ms": _distribution(told.tally.latency) if told.tally else None,
    }


def _distribution(found: Buckets) -> dict[str, Any] | None:
    if not found.count:
        return None
    document: dict[str, Any] = {"count": found.count, "avg": _ms(found.mean)}
    for q in (0.5, 0.95, 0.99):
        one = found.percentile(q)
        assert one is not None
        document[f"p{q * 100:g}"] = _ms(one.value)
        document[f"p{q * 100:g}_interval"] = [_ms(one.low), _ms(one.high)]
    document["max"] = _ms(found.highest)
    return document


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a document")


# CSV


def as_csv(deployment: Deployment, course: Course) -> str:
    """A row a step. A cell that a spreadsheet would take for a formula is made text."""
    document = as_json(deployment, course)
    columns = (
        "at",
        "requests",
        "failed",
        "latency_p50_ms",
        "latency_p95_ms",
        "tokens_in",
        "tokens_out",
        "cost_usd",
    )
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("deployment", "platform", "seconds", *columns))
    for point in document["points"]:
        cells = [deployment.name, deployment.platform, course.step, *(point[column] for column in columns)]
        writer.writerow(map(cell, cells))
    return out.getvalue()


# Prometheus


def open_metrics(found: Sequence[tuple[Deployment, Figures]]) -> str:
    """OpenMetrics text of everything since each deployment was made."""
    families = [
        _Family(
            "gen_ai_client_operation_duration_seconds", "histogram",
            "How long requests took, to the last text; those that failed by error_type.",
        ),
        _Family(
            "gen_ai_client_operation_time_to_first_chunk_seconds", "histogram",
            "Until the first text of a stream came.",
        ),
        _Family("gen_ai_client_token_usage", "histogram", "Tokens of each request that said how many."),
        _Family("peft_requests", "counter", "Requests sent, by outcome."),
        _Family("peft_request_errors", "counter", "Requests that failed, by error_type."),
        _Family("peft_deployment_state", "stateset", "What was seen of the deployment last."),
        _Family("peft_cost_usd", "counter", "What it cost so far, estimated from observed time and tokens."),
        _Family("peft_cost_usd_per_hour", "gauge", "What it costs now, estimated."),
        _Family("peft_cost_unknown_seconds", "gauge", "Time that nobody watched and the cost leaves out."),
    ]  # fmt: skip
    duration, first, tokens, requests, errors, state, cost, hourly, unknown = families
    for deployment, figures in found:
        labels, tally = _labels(deployment), figures.tally
        for warmth, latency, first_text in (
            ("warm", tally.latency, tally.first_text),
            ("cold", tally.cold_latency, tally.cold_first_text),
        ):
            for family, buckets in ((duration, latency), (first, first_text)):
                if buckets.count:
                    family.histogram({**labels, "peft_start": warmth}, buckets)
        if tally.counted:
            for kind, sizes in (("input", tally.asked_tokens), ("output", tally.given_tokens)):
                if sizes.count:
                    tokens.histogram({**labels, "gen_ai_token_type": kind}, sizes, TOKENS)
        for outcome, count in _outcomes(tally):
            requests.add("_total", {**labels, "outcome": outcome}, count)
        for kind, count in sorted(tally.errors.items()):
            errors.add("_total", {**labels, "error_type": kind}, count)
        own = _own(deployment)
        for status in Status:
            current = int(deployment.status is status)
            state.add("", {**own, "peft_deployment_state": status.value}, current)
        if figures.cost_usd is not None:
            cost.add("_total", {**own, "kind": "estimated"}, figures.cost_usd)
        if figures.told is not None and figures.told.cost_usd is not None:
            cost.add("_total", {**own, "kind": "billed"}, figures.told.cost_usd)
        if figures.usd_per_hour is not None:
            hourly.add("", own, figures.usd_per_hour)
        if figures.bill.known:
            unknown.add("", own, round(figures.bill.unknown_s))
    return "".join(family.text() for family in families) + "# EOF\n"


class _Family:
    """One metric with its samples."""

    def __init__(self, name: str, kind: str, help: str) -> None:
        self._name, self._kind, self._help = name, kind, help
        self._samples: list[str] = []

    def add(self, suffix: str, labels: dict[str, str], value: float | Decimal) -> None:
        inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        self._samples.append(f"{self._name}{suffix}{{{inside}}} {_number(value)}\n")

    def histogram(self, labels: dict[str, str], buckets: Buckets, bounds: Sequence[float] = SECONDS) -> None:
        for bound, count in zip(bounds, buckets.cumulative(bounds), strict=True):
            self.add("_bucket", {**labels, "le": _number(bound)}, count)
        self.add("_bucket", {**labels, "le": "+Inf"}, buckets.count)
        self.add("_count", labels, buckets.count)
        self.add("_sum", labels, round(buckets.total, 6))

    def text(self) -> str:
        if not self._samples:
            return ""
        unit = f"# UNIT {self._name} seconds\n" if self._name.endswith("_seconds") else ""
        return f"# TYPE {self._name} {self._kind}\n{unit}# HELP {self._name} {self._help}\n" + "".join(
            self._samples
        )


def _outcomes(tally: Tally) -> Iterable[tuple[str, int]]:
    yield "ok", tally.succeeded
    yield "failed", tally.failed
    yield "cancelled", tally.cancelled


def _own(deployment: Deployment) -> dict[str, str]:
    """A name may be used again after a deletion: the id alone keeps two series apart."""
    return {
        "deployment": deployment.name,
        "deployment_id": deployment.id,
        "platform": deployment.platform,
    }


def _labels(deployment: Deployment) -> dict[str, str]:
    seen = deployment.observation
    labels = {
        **_own(deployment),
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": deployment.platform,
        "gen_ai_request_model": (seen.model if seen else "") or deployment.spec.source.reference,
    }
    try:
        parts = urlsplit(seen.endpoint_url if seen else "")
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        # The platform's text is no address: the figures are worth telling without it.
        return labels
    if host:
        labels["server_address"], labels["server_port"] = host, str(port)
    return labels


def _escaped(text: str) -> str:
    return redact(text).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float | Decimal) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return repr(float(value)) if isinstance(value, float) else str(value)
