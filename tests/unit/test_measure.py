"""What the words mean, in figures."""

from __future__ import annotations

from decimal import Decimal

import pytest

from peft_tui.domain.inference import (
    Answered,
    Dialect,
    Finished,
    InferenceTarget,
    Sent,
    ServedModel,
    StreamEvent,
    TextPiece,
    TokenPrice,
    Usage,
    Waiting,
    Wake,
)
from peft_tui.domain.measure import Basis, Measured, Meter, cost
from peft_tui.domain.money import Price, Provenance

MODELS = (ServedModel("m", "m"),)
TOKENS = TokenPrice(Decimal("0.18"), Decimal("0.60"), "a list", "2026-11-01", Decimal("0.09"))
HOURLY = Price(Decimal("3.60"), "a list", "2026-11-01")


def taken(*events: StreamEvent, wake: Wake = Wake.NOTHING, warm: bool | None = True) -> Meter:
    meter = Meter(wake, warm)
    for event in events:
        meter.take(event)
    return meter


STREAM = (
    Sent(10.0),
    Answered(10.1, 200, 0.02),
    TextPiece("", 10.15),
    TextPiece("Hel", 10.2),
    TextPiece("lo", 10.3),
    TextPiece("!", 10.6),
    Usage(9, 3),
    Finished("stop", 10.9, 200),
)


def test_first_text_total_and_pace() -> None:
    found = taken(*STREAM).measured(10.9)
    assert found.first_text_s == pytest.approx(0.2), "an empty piece is not the first text"
    assert found.total_s == pytest.approx(0.6), "usage and the end are not text"
    assert found.per_token_s == pytest.approx(0.2)
    assert found.tokens_per_second == pytest.approx(5.0)
    assert found.gaps_s == pytest.approx((0.1, 0.3))
    assert (found.tokens_in, found.tokens_out, found.tokens_from) == (9, 3, Provenance.REPORTED)
    assert found.connect_s == 0.02


def test_a_piece_is_not_a_token() -> None:
    one = taken(Sent(0.0), TextPiece("one two three", 1.0), Usage(5, 3), Finished("stop", 1.0, 200))
    assert one.measured(1.0).tokens_out == 3


def test_what_is_not_counted_there_is_estimated_and_says_so() -> None:
    found = taken(Sent(0.0), TextPiece("x" * 40, 1.0), Finished("stop", 1.0, 200)).measured(1.0)
    assert (found.tokens_in, found.tokens_out, found.tokens_from) == (None, 10, Provenance.ESTIMATED)


def test_of_one_token_there_is_no_pace() -> None:
    found = taken(Sent(0.0), TextPiece("a", 1.0), Usage(5, 1), Finished("stop", 1.0, 200)).measured(1.0)
    assert found.per_token_s is None


def test_an_answer_in_one_piece_has_no_first_text() -> None:
    whole = Finished("stop", 2.0, 200, streamed=False)
    found = taken(Sent(0.0), TextPiece("all of it", 2.0), Usage(5, 3), whole).measured(2.0)
    assert found.first_text_s is None and found.per_token_s is None
    assert found.total_s == 2.0


def test_thoughts_are_text_and_not_the_answer() -> None:
    thought = TextPiece("hm", 1.0, thought=True)
    found = taken(Sent(0.0), thought, TextPiece("a", 3.0), Finished("stop", 3.0, 200)).measured(3.0)
    assert (found.first_text_s, found.first_answer_s) == (1.0, 3.0)


def test_an_exchange_without_text_lasted_until_it_ended() -> None:
    assert taken(Sent(1.0)).measured(31.0).total_s == 30.0


def test_with_a_rate_it_counts_from_when_it_was_meant_to_be_sent() -> None:
    found = taken(*STREAM).measured(10.9, since=9.0)
    assert found.first_text_s == pytest.approx(1.2)
    assert found.total_s == pytest.approx(1.6)


@pytest.mark.parametrize(
    ("wake", "warm", "waits", "cold"),
    [
        (Wake.NOTHING, True, False, False),
        (Wake.NOTHING, None, False, None),
        (Wake.WAKES, False, False, True),
        (Wake.WAKES, None, False, None),
        (Wake.WAKES, None, True, True),
        (Wake.NOTHING, True, True, True),
    ],
)
def test_cold_is_what_was_known_or_what_was_waited_for(
    wake: Wake, warm: bool | None, waits: bool, cold: bool | None
) -> None:
    events: list[StreamEvent] = [Waiting("booting", 1.0)] if waits else []
    assert taken(Sent(0.0), *events, wake=wake, warm=warm).measured(1.0).cold is cold


def target(price: Price | TokenPrice | None) -> InferenceTarget:
    return InferenceTarget(Dialect.OPENAI_CHAT, "http://here/v1", MODELS, price=price)


def test_tokens_cost_what_they_cost_and_cached_ones_less() -> None:
    found = cost(target(TOKENS), Measured(tokens_in=1_000_000, tokens_out=500_000, tokens_cached=400_000))
    assert found.usd == Decimal("0.108") + Decimal("0.036") + Decimal("0.30")
    assert found.basis is Basis.TOKENS


def test_without_counts_a_cost_by_tokens_is_not_known() -> None:
    assert cost(target(TOKENS), Measured(total_s=1.0)).usd is None


def test_time_costs_what_an_instance_worked_on_it_as_reported_where_it_is() -> None:
    assert cost(target(HOURLY), Measured(total_s=2.0)).usd == Decimal("0.002")
    assert cost(target(HOURLY), Measured(total_s=60.0, run_s=1.0)).usd == Decimal("0.001")
    assert cost(target(HOURLY), Measured()).usd is None


def test_without_a_price_there_is_no_cost() -> None:
    assert cost(target(None), Measured(total_s=1.0, tokens_in=1, tokens_out=1)).usd is None
