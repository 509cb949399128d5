"""Percentiles and what is known of them."""

from __future__ import annotations

import random

import numpy as np
import pytest

from peft_tui.domain.figures import histogram, needed, percentile, rank


@pytest.mark.parametrize(("q", "n"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_how_many_values_it_takes(q: float, n: int) -> None:
    assert needed(q) == n
    values = [float(number) for number in range(n)]
    enough, short = percentile(values, q), percentile(values[:-1], q)
    assert enough is not None and enough.low is not None and enough.high is not None
    assert short is not None and short.high is None


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, 2, 7, 10, 20, 100, 1000])
def test_it_is_a_value_that_was_observed_by_nearest_rank(q: float, n: int) -> None:
    values = sorted(random.Random(n).lognormvariate(0, 0.45) for _ in range(n))
    found = percentile(values, q)
    assert found is not None
    assert found.value == float(np.quantile(values, q, method="inverted_cdf"))


def test_a_rank_is_not_lifted_by_rounding() -> None:
    assert rank(0.95, 100) == 95
    assert rank(0.1, 10) == 1
    assert rank(0.7, 10) == 7


def test_of_nothing_there_is_none() -> None:
    assert percentile([], 0.5) is None


@pytest.mark.parametrize(("q", "n"), [(0.5, 20), (0.95, 100), (0.99, 400)])
def test_the_interval_holds_the_truth_as_often_as_it_says(q: float, n: int) -> None:
    rng = np.random.default_rng(7)
    trials = 2000
    hits = 0
    for row in np.sort(rng.random((trials, n)), axis=1):
        found = percentile(row, q)
        assert found is not None
        hits += (found.low is None or found.low <= q) and (found.high is None or q <= found.high)
    assert hits / trials >= 0.94


def test_the_interval_is_no_wider_than_it_must_be() -> None:
    found = percentile([float(n) for n in range(1, 101)], 0.5)
    assert found is not None
    # The textbook's: the 40th and the 61st of a hundred.
    assert (found.low, found.high) == (40.0, 61.0)


def test_bins_are_of_equal_ratio_and_lose_nothing() -> None:
    values = [0.2] * 50 + [0.25] * 30 + [40.0]
    bins = histogram(values, 10)
    assert sum(count for _, _, count in bins) == len(values)
    assert bins[0][0] == 0.2 and bins[-1][1] == 40.0
    assert bins[1][1] / bins[1][0] == pytest.approx(bins[2][1] / bins[2][0])
    assert histogram([]) == [] and histogram([1.0, 1.0]) == [(1.0, 1.0, 2)]
