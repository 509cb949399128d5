"""What many requests come to, in a form that can be stored and merged: the cell of every roll-up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from peft_tui.domain.buckets import Buckets
from peft_tui.domain.goodput import TARGETS
from peft_tui.domain.measure import Outcome
from peft_tui.domain.sample import Sample

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_DISTRIBUTIONS = (
    "latency",
    "first_text",
    "speed",
    "cold_latency",
    "cold_first_text",
    "asked_tokens",
    "given_tokens",
    "gaps",
)


@dataclass(slots=True)
class Tally:
    """Counts, sums and distributions. Percentiles are of successes; failures are counted beside them."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    cold: int = 0
    """Successes that had to wait for a boot."""
    errors: dict[str, int] = field(default_factory=dict)
    """Failures by kind."""
    failures: dict[str, Buckets] = field(default_factory=dict)
    """How long they took, in seconds, by kind: apart from the latency, which is of successes."""
    tokens_in: int = 0
    tokens_out: int = 0
    counted: int = 0
    """Successes whose tokens are known."""
    judged: int = 0
    """Requests that ended and were held against the targets of `goodput.py`."""
    good: list[int] = field(default_factory=lambda: [0] * len(TARGETS))
    """How many of them met each."""
    cost_usd: Decimal = Decimal(0)
    """Of what is priced by tokens."""
    priced: int = 0
    """Requests whose own cost is known."""
    busy_s: float = 0.0
    """Sum of the time that instances worked, at the same time counted as often."""
    occupied_s: int = 0
    """Seconds in which anything was worked on."""
    latency: Buckets = field(default_factory=Buckets)
    """Seconds, warm."""
    first_text: Buckets = field(default_factory=Buckets)
    """Seconds, warm."""
    speed: Buckets = field(default_factory=Buckets)
    """Output tokens a second of each request, to its last text; warm."""
    cold_latency: Buckets = field(default_factory=Buckets)
    cold_first_text: Buckets = field(default_factory=Buckets)
    asked_tokens: Buckets = field(default_factory=Buckets)
    """Tokens of each prompt, where they are known."""
    given_tokens: Buckets = field(default_factory=Buckets)
    """Tokens of each answer."""
    gaps: Buckets = field(default_factory=Buckets)
    """Seconds between the pieces of warm streamed answers, each counted."""

    @property
    def total(self) -> int:
        return self.succeeded + self.failed + self.cancelled

    @property
    def success_rate(self) -> float | None:
        """Successes of all that came to an end; None before there is one."""
        ended = self.succeeded + self.failed
        return self.succeeded / ended if ended else None

    def add(self, sample: Sample) -> None:
        if sample.cost_usd is not None:
            self.cost_usd += sample.cost_usd
            self.priced += 1
        if sample.outcome is Outcome.CANCELLED:
            self.cancelled += 1
            self.busy_s += sample.busy_s
            return
        self.judged += 1
        if sample.outcome is Outcome.FAILED:
            self.failed += 1
            kind = sample.error_kind or "failed"
            self.errors[kind] = self.errors.get(kind, 0) + 1
            if sample.latency_s is not None:
                self.failures.setdefault(kind, Buckets()).add(sample.latency_s)
            return
        self.succeeded += 1
        for place, target in enumerate(TARGETS):
            if target.met_by(sample):
                self.good[place] += 1
        self.busy_s += sample.busy_s
        if sample.tokens_in is not None or sample.tokens_out is not None:
            self.tokens_in += sample.tokens_in or 0
            self.tokens_out += sample.tokens_out or 0
            self.counted += 1
            for size, sizes in (
                (sample.tokens_in, self.asked_tokens),
                (sample.tokens_out, self.given_tokens),
            ):
                if size is not None:
                    sizes.add(size)
        if sample.cold:
            self.cold += 1
        if sample.latency_s is not None:
            (self.cold_latency if sample.cold else self.latency).add(sample.latency_s)
            if not sample.cold and sample.tokens_out and sample.latency_s > 0:
                self.speed.add(sample.tokens_out / sample.latency_s)
        if sample.first_text_s is not None:
            (self.cold_first_text if sample.cold else self.first_text).add(sample.first_text_s)
        if sample.gaps is not None and not sample.cold:
            self.gaps.merge(sample.gaps)

    def merge(self, other: Tally) -> None:
        self.succeeded += other.succeeded
        self.failed += other.failed
        self.cancelled += other.cancelled
        self.cold += other.cold
        for kind, count in other.errors.items():
            self.errors[kind] = self.errors.get(kind, 0) + count
        for kind, durations in other.failures.items():
            self.failures.setdefault(kind, Buckets()).merge(durations)
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out
        self.counted += other.counted
        self.judged += other.judged
        self.good = [mine + theirs for mine, theirs in zip(self.good, other.good, strict=True)]
        self.cost_usd += other.cost_usd
        self.priced += other.priced
        self.busy_s += other.busy_s
        self.occupied_s += other.occupied_s
        for name in _DISTRIBUTIONS:
            mine, theirs = getattr(self, name), getattr(other, name)
            if theirs.count:
                mine.merge(theirs)

    def to_json(self) -> str:
        """As short as it can be: most cells hold a handful of requests."""
        document: dict[str, Any] = {}
        for name in _COUNTS:
            if value := getattr(self, name):
                document[name] = round(value, 3) if name == "busy_s" else value
        if self.errors:
            document["errors"] = self.errors
        if any(self.good):
            document["good"] = self.good
        if self.failures:
            document["failures"] = {kind: took.as_list() for kind, took in self.failures.items()}
        if self.priced:
            document["cost_usd"] = str(self.cost_usd)
        for name in _DISTRIBUTIONS:
            if flat := getattr(self, name).as_list():
                document[name] = flat
        return _encode(document)

    @classmethod
    def from_json(cls, text: str) -> Tally:
        document: dict[str, Any] = json.loads(text)
        made = cls()
        for name, value in document.items():
            if name in _DISTRIBUTIONS:
                value = Buckets.from_list(value)
            elif name == "failures":
                value = {kind: Buckets.from_list(flat) for kind, flat in value.items()}
            elif name == "cost_usd":
                value = Decimal(value)
            elif name not in _COUNTS and name not in ("errors", "good"):
                continue  # a newer version's
            elif name == "good" and len(value) != len(TARGETS):
                continue  # held against other targets
            setattr(made, name, value)
        return made


_COUNTS = (
    *("succeeded", "failed", "cancelled", "cold", "tokens_in", "tokens_out", "counted", "priced", "judged"),
    *("busy_s", "occupied_s"),
)


def counted(text: str) -> int:
    """How many requests a stored tally holds, without the work of reading its distributions."""
    document: dict[str, Any] = json.loads(text)
    return sum(int(document.get(name, 0)) for name in ("succeeded", "failed", "cancelled"))
