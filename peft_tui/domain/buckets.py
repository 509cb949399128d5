"""Percentiles: nearest rank over logarithmic buckets that can be stored, merged, and are never averaged.

A value x falls into bucket ceil(log_γ x); whatever is read back differs from a true sample by 1 % at most
(the rule of DDSketch). Adding two sketches is adding their counts, so a percentile of any range, of however
many parts, is as exact as that of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from math import ceil, log

from peft_tui.domain.figures import Percentile, rank, ranks

ERROR = 0.01
"""The largest relative error of a percentile."""
_GAMMA = (1 + ERROR) / (1 - ERROR)
_LOG = math.log(_GAMMA)
_MIDDLE = 2 / (1 + _GAMMA)
_NOTHING = -(10**6)
"""The bucket of zero and less: a logarithm has no place for it."""
_SMALLEST = 1e-9


class Buckets:
    """A distribution of numbers that are not negative."""

    __slots__ = ("counts", "count", "total", "lowest", "highest")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self.lowest = math.inf
        self.highest = -math.inf

    @classmethod
    def of(cls, values: Iterable[float]) -> Buckets:
        made = cls()
        for value in values:
            made.add(value)
        return made

    def add(self, value: float) -> None:
        """Count one sample. What is no number is left out: it would spoil the sum for ever."""
        # Called for every sample of every distribution: no more calls than there must be.
        if _SMALLEST < value < math.inf:
            key = ceil(log(value) / _LOG)
        elif not math.isfinite(value):
            return
        else:
            key, value = _NOTHING, max(value, 0.0)
        counts = self.counts
        counts[key] = counts.get(key, 0) + 1
        self.count += 1
        self.total += value
        if value < self.lowest:
            self.lowest = value
        if value > self.highest:
            self.highest = value

    def merge(self, other: Buckets) -> None:
        if self.count:
            counts = self.counts
            for key, count in other.counts.items():
                counts[key] = counts.get(key, 0) + count
        else:
            self.counts = other.counts.copy()
        self.count += other.count
        self.total += other.total
        if other.lowest < self.lowest:
            self.lowest = other.lowest
        if other.highest > self.highest:
            self.highest = other.highest

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    def at_rank(self, place: int) -> float:
        """The sample of that rank, 1 the smallest, to 1 %."""
        if place <= 1:
            return self.lowest
        if place >= self.count:
            return self.highest
        seen = 0
        for key in sorted(self.counts):
            seen += self.counts[key]
            if seen >= place:
                value = 0.0 if key == _NOTHING else _MIDDLE * _GAMMA**key
                return min(max(value, self.lowest), self.highest)
        return self.highest

    def value_at(self, q: float) -> float | None:
        """Nearest rank, x₍⌈q·n⌉₎; None of nothing."""
        return self.at_rank(rank(q, self.count)) if self.count else None

    def percentile(self, q: float) -> Percentile | None:
        """The same with the uncertainty that so many samples leave."""
        if not self.count:
            return None
        low, high = ranks(q, self.count)
        return Percentile(
            q,
            self.at_rank(rank(q, self.count)),
            None if low is None else self.at_rank(low),
            None if high is None else self.at_rank(high),
            self.count,
        )

    def cumulative(self, bounds: Sequence[float]) -> list[int]:
        """How many samples are at most each bound, as a histogram of Prometheus has it."""
        found, seen, keys = [], 0, iter(sorted(self.counts))
        key = next(keys, None)
        for bound in bounds:
            while key is not None and (key == _NOTHING or _MIDDLE * _GAMMA**key <= bound):
                seen += self.counts[key]
                key = next(keys, None)
            found.append(self.count if bound >= self.highest else seen)
        return found

    def bars(self, most: int) -> list[tuple[float, float, int]]:
        """From, to, count: at most `most` bars of equal width on a logarithmic scale, empty ones kept."""
        if not self.count:
            return []
        keys = sorted(self.counts)
        if keys[0] == _NOTHING or len(keys) == 1:
            return [(self.lowest, self.highest, self.count)]
        wide = max(math.ceil((keys[-1] - keys[0] + 1) / most), 1)
        bars = []
        for first in range(keys[0], keys[-1] + 1, wide):
            count = sum(self.counts.get(key, 0) for key in range(first, first + wide))
            bars.append((_GAMMA ** (first - 1), _GAMMA ** (first + wide - 1), count))
        return bars

    def as_list(self) -> list[float]:
        """Flat and JSON: sum, lowest, highest, then bucket and count in turn.

        Empty when there is nothing; of a single sample it is the sample, for most cells hold no more.
        """
        if self.count < 2:
            return [round(self.total, 6)] if self.count else []
        ends: list[float] = [round(self.total, 6), round(self.lowest, 6), round(self.highest, 6)]
        return [*ends, *chain.from_iterable(self.counts.items())]

    @classmethod
    def from_list(cls, flat: Sequence[float]) -> Buckets:
        if len(flat) == 1:
            return cls.of(flat)
        made = cls()
        if flat:
            made.total, made.lowest, made.highest = flat[0], flat[1], flat[2]
            made.counts = {int(key): int(count) for key, count in zip(flat[3::2], flat[4::2], strict=True)}
            made.count = sum(made.counts.values())
        return made
