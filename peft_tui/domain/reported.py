"""What a platform says of its own: kept beside what was measured here, never mixed with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from peft_tui.domain.sample import Sample


class Metric(StrEnum):
    """What a reading counts. Units stand in the name; shares are from 0 to 1."""

    REQUESTS = "requests"
    FAILED = "failed"
    TOKENS_IN = "tokens_in"
    TOKENS_OUT = "tokens_out"
    COST_USD = "cost_usd"
    LATENCY_P50_S = "latency_p50_s"
    LATENCY_P95_S = "latency_p95_s"
    LATENCY_P99_S = "latency_p99_s"
    FIRST_TEXT_P50_S = "first_text_p50_s"
    FIRST_TEXT_P99_S = "first_text_p99_s"
    GPU_USE = "gpu_use"
    QUEUE = "queue"
    RUNNING = "running"


SUMMED = frozenset({Metric.REQUESTS, Metric.FAILED, Metric.TOKENS_IN, Metric.TOKENS_OUT, Metric.COST_USD})
"""What adds up over time; of the others the newest is shown, with the window that it speaks of."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure of one stretch of time. The same stretch told again replaces what was told before."""

    metric: Metric
    at: datetime
    """Where the stretch begins; of a counter, when it was read."""
    seconds: int
    """How long it is. 0: a counter that only grows, until its server starts anew."""
    value: str
    """A decimal number, as text: money loses nothing on its way."""


@dataclass(frozen=True, slots=True)
class ReportedRequest:
    """One request as the platform tells of it, whoever sent it."""

    remote_id: str
    """The platform's own: what is told twice is counted once."""
    sample: Sample


@dataclass(frozen=True, slots=True)
class Report:
    """What a platform said of one deployment at one look."""

    remote_id: str
    readings: tuple[Reading, ...] = ()
    requests: tuple[ReportedRequest, ...] = ()
    source: str = ""
    """For a person: `Together analytics`."""
