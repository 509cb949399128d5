"""Percentiles of stored buckets against exact ones."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_tui.domain.buckets import ERROR, Buckets
from peft_tui.domain.figures import percentile

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)


def bimodal(count: int, seed: int = 7) -> np.ndarray:
    """Warm calls of 300 ms, and one in fifty that boots for a minute."""
    random = np.random.default_rng(seed)
    warm = random.lognormal(math.log(0.3), 0.45, count)
    cold = random.uniform(20, 60, count)
    return np.where(random.random(count) < 0.02, cold, warm)


@pytest.mark.parametrize("share", SHARES)
def test_a_percentile_of_buckets_is_that_of_numpy_within_one_percent(share: float) -> None:
    values = bimodal(20_000)
    found = Buckets.of(values.tolist()).value_at(share)
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert found == pytest.approx(exact, rel=ERROR)


@given(st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=300), st.sampled_from(SHARES))
def test_no_set_of_values_makes_the_error_larger_than_promised(values: list[float], share: float) -> None:
    found = Buckets.of(values).value_at(share)
    exact = float(np.quantile(np.array(values), share, method="inverted_cdf"))
    assert found == pytest.approx(exact, rel=ERROR + 1e-6)


@given(st.lists(st.lists(st.floats(0, 1e3), max_size=40), min_size=1, max_size=6))
def test_merged_parts_say_what_the_whole_says(parts: list[list[float]]) -> None:
    merged = Buckets()
    for part in parts:
        merged.merge(Buckets.from_list(json.loads(json.dumps(Buckets.of(part).as_list()))))
    whole = Buckets.of([value for part in parts for value in part])
    assert merged.counts == whole.counts
    assert merged.count == whole.count
    assert merged.total == pytest.approx(whole.total, abs=1e-4)
    assert merged.value_at(0.95) == pytest.approx(whole.value_at(0.95), abs=1e-5)


def test_nothing_and_no_number_are_borne() -> None:
    nothing = Buckets.of([math.nan, math.inf])
    assert (nothing.count, nothing.value_at(0.5), nothing.mean, nothing.percentile(0.5)) == (
        0,
        None,
        None,
        None,
    )
    assert Buckets.of([0.0, -1.0]).value_at(0.99) == 0.0
    assert Buckets.of([0.25]).value_at(0.99) == 0.25


def test_the_interval_is_the_one_of_the_samples_themselves() -> None:
    values = sorted(bimodal(500).tolist())
    exact, found = percentile(values, 0.95), Buckets.of(values).percentile(0.95)
    assert exact is not None and found is not None
    assert found.low == pytest.approx(exact.low, rel=ERROR)
    assert found.high == pytest.approx(exact.high, rel=ERROR)


@pytest.mark.parametrize(("share", "least"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_with_too_few_samples_a_percentile_has_no_upper_bound(share: float, least: int) -> None:
    few, enough = (
        Buckets.of([0.1] * (least - 1)).percentile(share),
        Buckets.of([0.1] * least).percentile(share),
    )
    assert few is not None and few.high is None
    assert enough is not None and enough.high is not None


def test_a_million_samples_have_their_interval_at_once() -> None:
    many = Buckets()
    for value in (0.1, 0.2, 0.4):
        many.add(value)
    many.counts = {key: 400_000 for key in many.counts}
    many.count = 1_200_000
    found = many.percentile(0.5)
    assert found is not None and found.low == pytest.approx(0.2, rel=ERROR) == found.high


def test_cumulative_counts_are_those_of_a_histogram() -> None:
    values = [0.005, 0.015, 0.015, 0.3, 5.0, 70.0]
    assert Buckets.of(values).cumulative((0.01, 0.02, 0.32, 10.24, 81.92)) == [1, 3, 4, 5, 6]


def test_bars_hold_every_sample_once() -> None:
    bars = Buckets.of(bimodal(3000).tolist()).bars(20)
    assert sum(count for *_, count in bars) == 3000
    assert len(bars) <= 20
    assert all(low < high for low, high, _ in bars)
