"""Percentiles that say how sure they are.

Nearest rank: the ⌈q·n⌉-th smallest value, one that was really observed. Its interval is that of the order
statistics, which needs no assumption about the distribution: the true percentile lies between two observed
values with a probability of at least 95 %. With few values there is no upper one, and that is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

CONFIDENCE = 0.95
METHOD = "nearest rank, interval of order statistics, 95 %"


@dataclass(frozen=True, slots=True)
class Percentile:
    """One percentile of some values."""

    q: float
    value: float
    low: float | None
    """None: with so few values it has no bound on this side."""
    high: float | None
    n: int

    @property
    def needs(self) -> int:
        """How many values it takes for both bounds."""
        return needed(self.q)


def percentile(ordered: Sequence[float], q: float) -> Percentile | None:
    """Of values in ascending order; None of no values."""
    n = len(ordered)
    if not n:
        return None
    value = ordered[rank(q, n) - 1]
    low, high = ranks(q, n)
    return Percentile(
        q,
        value,
        ordered[low - 1] if low is not None else None,
        ordered[high - 1] if high is not None else None,
        n,
    )


def rank(q: float, n: int) -> int:
    """⌈q·n⌉, from 1; rounding of the product must not lift it by one."""
    return min(max(math.ceil(round(q * n, 9)), 1), n)


@lru_cache
def needed(q: float) -> int:
    """The smallest number of values whose largest is above the percentile with enough confidence, and whose
    smallest is below it: 6 for P50, 36 for P90, 72 for P95, 368 for P99."""
    tail = (1 - CONFIDENCE) / 2
    extreme = max(q, 1 - q)
    return math.ceil(math.log(tail) / math.log(extreme)) if 0 < extreme < 1 else 1


@lru_cache(maxsize=256)
def ranks(q: float, n: int) -> tuple[int | None, int | None]:
    """The ranks of the bounds, each with half of what may be wrong."""
    tail = (1 - CONFIDENCE) / 2
    low: int | None = None
    high: int | None = None
    below = 0.0
    # What lies eight deviations below the mean adds nothing; of a million values it would take a second.
    for count in range(max(math.floor(q * n - 8 * math.sqrt(n * q * (1 - q)) - 8), 0), n + 1):
        # P(exactly `count` values lie below the percentile)
        below += _binomial(n, count, q)
        if below <= tail:
            low = count + 1
        if high is None and below >= 1 - tail - 1e-12:
            high = count + 1
            break
    return (low if low is not None and low <= n else None), (high if high and high <= n else None)


def _binomial(n: int, count: int, q: float) -> float:
    logs = math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1)
    return math.exp(logs + count * math.log(q) + (n - count) * math.log1p(-q))


def histogram(values: Sequence[float], bins: int = 12) -> list[tuple[float, float, int]]:
    """Lower end, upper end and count of bins of equal ratio, so that a slow one among quick ones is seen."""
    positive = [value for value in values if value > 0]
    if not positive:
        return []
    low, high = min(positive), max(positive)
    if high / low < 1.0001:
        return [(low, high, len(positive))]
    step = (math.log(high) - math.log(low)) / bins
    counts = [0] * bins
    for value in positive:
        counts[min(int((math.log(value) - math.log(low)) / step), bins - 1)] += 1
    edges = [low * math.exp(step * number) for number in range(bins)] + [high]
    return [(edges[i], edges[i + 1], counts[i]) for i in range(bins)]
