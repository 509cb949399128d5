"""Sums of money and spans of time in words."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind, megabytes
from peft_tui.domain.ages import age, span
from peft_tui.domain.money import usd, usd_range


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (None, "—"),
        ("0", "$0.00"),
        ("0.00", "$0.00"),
        ("13.07", "$13.07"),
        ("5.4900", "$5.49"),
        ("1234567.891", "$1,234,567.89"),
        ("0.1", "$0.10"),
        ("0.099", "$0.099"),
        ("0.05", "$0.050"),
        ("0.00021", "$0.00021"),
        ("0.000212", "$0.00021"),
        ("1E-7", "$0.00000010"),
        ("-0.5", "$-0.50"),
    ],
)
def test_a_sum_has_as_many_digits_as_matter(amount: str | None, words: str) -> None:
    assert usd(None if amount is None else Decimal(amount)) == words


@given(st.decimals("0.000001", "100000", allow_nan=False, places=8))
def test_no_cost_is_shown_as_nothing(amount: Decimal) -> None:
    shown = Decimal(usd(amount).replace("$", "").replace(",", ""))
    assert shown > 0
    assert abs(shown - amount) <= amount * Decimal("0.051")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        ("5.49", "10.98", "$5.49 – $10.98/h"),
        ("5.49", "5.490", "$5.49/h"),
        ("0", "1", "$0.00 – $1.00/h"),
        (None, "1", "—"),
        ("1", None, "—"),
    ],
)
def test_a_range_has_one_figure_when_both_ends_agree(low: str | None, high: str | None, words: str) -> None:
    assert usd_range(low and Decimal(low), high and Decimal(high)) == words  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "<1m"),
        (0, "<1m"),
        (59.9, "<1m"),
        (60, "1m"),
        (599, "9m"),
        (600, "10m"),
        (29 * 60, "25m"),
        (59 * 60, "55m"),
        (3600, "1h"),
        (47.9 * 3600, "47h"),
        (48 * 3600, "2d"),
        (400 * 86400, "400d"),
    ],
)
def test_an_age_is_coarse(seconds: float, words: str) -> None:
    assert age(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m00s"), (72, "1m12s"), (3599, "59m59s"), (7500, "2h05m")],
)
def test_a_span_is_exact(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (None, "— MB"),
        (0, "0 B"),
        (999, "999 B"),
        (3000, "3 kB"),
        (1_200_000, "1.2 MB"),
        (84_000_000, "84 MB"),
        (1_200_000_000, "1.2 GB"),
    ],
)
def test_a_size_is_in_decimal_units(size: int | None, words: str) -> None:
    assert megabytes(size) == words


@pytest.mark.parametrize(
    ("kind", "reference", "words"),
    [
        (SourceKind.DIRECTORY, "/home/me/out/checkpoint-500/", "out/checkpoint-500"),
        (SourceKind.DIRECTORY, "out", "out"),
        (SourceKind.DIRECTORY, "/", "/"),
        (SourceKind.HUGGING_FACE, "acme/support@v2", "acme/support@v2"),
    ],
)
def test_a_source_is_short_in_a_cell(kind: SourceKind, reference: str, words: str) -> None:
    assert AdapterSource(kind, reference).label == words


def test_an_adapter_is_summed_up_in_one_line() -> None:
    source = AdapterSource(SourceKind.DIRECTORY, "/out")
    modules = ("q", "k", "v", "o", "up")
    adapter = Adapter(
        source, "b", 16, 32.0, modules, dora=True, rslora=True, dtype="bf16", size_bytes=84_000_000
    )
    assert adapter.summary == "r=16 α=32 · 84 MB · bf16 · DoRA · rsLoRA · q, k, v, o…"
    assert (
        Adapter(source, "", merged=True, size_bytes=16_000_000_000).summary == "merged checkpoint · 16.0 GB"
    )
    assert Adapter(source, "").summary == "r=— · — MB"
