"""Prometheus text as the engines write it: small, tolerant, and no further than their figures are wanted."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from peft_tui.domain.reported import Metric, Reading

MAX_SAMPLES = 50_000
_LINE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(?P<labels>.*)\})?\s+(?P<value>[^\s{}]+)(?:\s+\S+)?(?:\s+#.*)?"
)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?\s*')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One line."""

    name: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


def parse(text: str) -> list[Sample]:
    """The samples; a line that is none is passed over, for one bad line is no reason to lose the others."""
    samples: list[Sample] = []
    for line in text.splitlines():
        if len(samples) >= MAX_SAMPLES:
            break
        if line.startswith("#") or not (match := _LINE.fullmatch(line.strip())):
            continue
        try:
            value = float(match["value"].replace("Inf", "inf"))
        except ValueError:
            continue
        labels = {
            name: re.sub(r'\\[\\"n]', lambda m: _ESCAPES[m[0]], raw)
            for name, raw in _LABEL.findall(match["labels"] or "")
        }
        samples.append(Sample(match["name"], value, labels))
    return samples


# What the engines call what we count: LoRAX, vLLM. The first name that is there is taken.
_COUNTERS: tuple[tuple[Metric, tuple[str, ...]], ...] = (
    (Metric.REQUESTS, ("lorax_request_count", "lorax_request_count_total")),
    (Metric.FAILED, ("lorax_request_failure", "lorax_request_failure_total")),
    (Metric.TOKENS_IN, ("vllm:prompt_tokens_total", "lorax_request_input_length_sum")),
    (Metric.TOKENS_OUT, ("vllm:generation_tokens_total", "lorax_request_generated_tokens_sum")),
)
_GAUGES: tuple[tuple[Metric, tuple[str, ...]], ...] = (
    (Metric.QUEUE, ("vllm:num_requests_waiting", "lorax_queue_size", "lorax_queue_length")),
    (Metric.RUNNING, ("vllm:num_requests_running", "lorax_batch_current_size")),
)
_DURATIONS: tuple[tuple[Metric, float, tuple[str, ...]], ...] = (
    (Metric.LATENCY_P50_S, 0.5, ("vllm:e2e_request_latency_seconds", "lorax_request_duration")),
    (Metric.LATENCY_P95_S, 0.95, ("vllm:e2e_request_latency_seconds", "lorax_request_duration")),
    (Metric.FIRST_TEXT_P50_S, 0.5, ("vllm:time_to_first_token_seconds",)),
)
_VLLM_ENDS = "vllm:request_success_total"
_VLLM_FAILURES = ("abort", "error")


def readings(samples: Sequence[Sample], at: datetime) -> tuple[Reading, ...]:
    """The engine's figures: counters as they stand, of histograms the bound that a percentile lies under.

    They are of everything that the server was asked, whichever adapter was meant.
    """
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)

    def total(names: Sequence[str]) -> float | None:
        for name in names:
            if name in by_name:
                return math.fsum(sample.value for sample in by_name[name])
        return None

    found: dict[Metric, float | None] = {metric: total(names) for metric, names in (*_COUNTERS, *_GAUGES)}
    if _VLLM_ENDS in by_name:
        ends = by_name[_VLLM_ENDS]
        found[Metric.REQUESTS] = math.fsum(sample.value for sample in ends)
        found[Metric.FAILED] = math.fsum(
            sample.value for sample in ends if sample.labels.get("finished_reason") in _VLLM_FAILURES
        )
    for metric, share, names in _DURATIONS:
        found[metric] = next(
            (v for name in names if (v := _under(by_name.get(f"{name}_bucket", ()), share)) is not None), None
        )
    return tuple(
        Reading(metric, at, 0, f"{value:.6f}".rstrip("0").rstrip("."))
        for metric, value in found.items()
        if value is not None and math.isfinite(value)
    )


def _under(buckets: Sequence[Sample], share: float) -> float | None:
    """The bound of the bucket that a percentile falls into; None of nothing."""
    counts: dict[float, float] = {}
    for sample in buckets:
        try:
            bound = float(sample.labels.get("le", "").replace("Inf", "inf"))
        except ValueError:
            continue
        if math.isnan(bound) or not math.isfinite(sample.value):
            return None
        counts[bound] = counts.get(bound, 0.0) + sample.value
    ordered = sorted(counts.items())
    if not ordered or ordered[-1][1] <= 0:
        return None
    wanted = share * ordered[-1][1]
    finite = [bound for bound, _ in ordered if math.isfinite(bound)]
    bound = next(bound for bound, count in ordered if count >= wanted)
    return bound if math.isfinite(bound) else (finite[-1] if finite else None)
