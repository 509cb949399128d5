"""The list and the figures for other tools: CSV and JSON; for a Prometheus see `openmetrics.py`."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_tui.domain.buckets import Buckets
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.goodput import TARGETS
from peft_tui.domain.metrics import Course, Figures
from peft_tui.redaction import redacted
from peft_tui.services.csv_cells import cell
from peft_tui.services.documents import deployment_document, plain
from peft_tui.services.openmetrics import open_metrics

if TYPE_CHECKING:
    from peft_tui.services.figures import Brief

SUFFIXES = {"csv": "csv", "json": "json", "prometheus": "prom", "svg": "svg"}


def document(kind: str, deployment: Deployment, course: Course, now: datetime) -> str:
    """The course of one deployment in one of the formats."""
    if kind == "csv":
        return as_csv([(deployment, course)])
    if kind == "json":
        return json.dumps(redacted(as_json(deployment, course)), indent=2, default=plain) + "\n"
    return open_metrics([(deployment, course.figures)])


def listing(kind: str, deployments: Sequence[Deployment], briefs: Mapping[str, Brief]) -> str:
    """Deployments with the names that `peft-tui list --json` gives them; in CSV without their operations."""
    documents = [deployment_document(d, briefs.get(d.id)) for d in deployments]
    if kind == "json":
        return json.dumps(redacted({"deployments": documents}), indent=2, default=plain) + "\n"
    columns = [name for name in (documents[0] if documents else {}) if name != "operation"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([cell(document[name]) for name in columns] for document in documents)
    return out.getvalue()


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
        "points": _points(course),
    }


def _points(course: Course) -> list[dict[str, Any]]:
    return [
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
    ]


def figures_document(figures: Figures) -> dict[str, Any]:
    """One deployment's figures; each group says where it comes from."""
    tally, bill = figures.tally, figures.bill
    seconds = (figures.end - figures.begin).total_seconds()
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
            "goodput": {
                target.name: {
                    "share": figures.goodput(target),
                    "per_second": tally.good[place] / seconds if tally.judged and seconds > 0 else None,
                }
                for place, target in enumerate(TARGETS)
            },
            "by_source": {
                source: {
                    "requests": part.total,
                    "success_rate": part.success_rate,
                    "latency_ms": _distribution(part.latency),
                }
                for source, part in figures.by_source.items()
            },
            "failed_ms": {kind: _distribution(took) for kind, took in sorted(tally.failures.items())},
            "gap_ms": _distribution(tally.gaps),
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
            "platform_clock_ahead_seconds": None if figures.ahead is None else figures.ahead.total_seconds(),
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


# CSV


def as_csv(found: Sequence[tuple[Deployment, Course]]) -> str:
    """A row a step of each. A cell that a spreadsheet would take for a formula is made text."""
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
    for deployment, course in found:
        for point in _points(course):
            cells = [deployment.name, deployment.platform, course.step, *(point[name] for name in columns)]
            writer.writerow(map(cell, cells))
    return out.getvalue()
