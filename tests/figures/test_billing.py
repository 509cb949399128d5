"""What time cost, from what was seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from peft_tui.domain.billing import Ledger, Mark, Phase, Watch
from peft_tui.domain.metrics import Figures
from peft_tui.domain.tally import Tally

NOON = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
HOURLY = Decimal("3.60")


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def mark(minutes: float, phase: Phase, instances: int | None = 1, usd: Decimal | None = None) -> Mark:
    price = HOURLY * instances if usd is None and instances is not None else usd
    return Mark(at(minutes), phase, instances, price)


def test_start_up_and_ready_time_are_told_apart_and_add_up() -> None:
    marks = [mark(0, Phase.STARTING), mark(10, Phase.READY), mark(70, Phase.OFF, 0)]
    bill = Ledger(marks, [Watch(at(0), at(100))], at(100)).bill(at(0), at(100))
    assert bill.starting_usd == Decimal("0.6")
    assert bill.ready_usd == Decimal("3.6")
    assert bill.usd == Decimal("4.2")
    assert bill.complete and bill.unwatched_s == 0
    assert (bill.starting_s, bill.ready_instance_s) == (600, 3600)


def test_two_instances_cost_twice_as_much() -> None:
    marks = [mark(0, Phase.READY), mark(30, Phase.READY, 2)]
    bill = Ledger(marks, [Watch(at(0), at(60))], at(60)).bill(at(0), at(60))
    assert bill.usd == Decimal("5.4")
    assert bill.ready_instance_s == 90 * 60
    assert bill.ready_s == 60 * 60


def test_a_window_takes_only_its_part() -> None:
    ledger = Ledger([mark(0, Phase.READY)], [Watch(at(0), at(600))], at(600))
    assert ledger.bill(at(15), at(30)).usd == Decimal("0.9")
    assert ledger.bill(at(-60), at(0)).usd == 0
    parts = sum((ledger.bill(at(m), at(m + 7)).usd for m in range(0, 70, 7)), Decimal(0))
    assert parts == ledger.bill(at(0), at(70)).usd


def test_where_nobody_looked_it_is_taken_for_what_it_was_before_and_after_and_said() -> None:
    watches = [Watch(at(0), at(10)), Watch(at(40), at(60))]
    bill = Ledger([mark(0, Phase.READY)], watches, at(60)).bill(at(0), at(60))
    assert bill.usd == Decimal("3.6")
    assert bill.unwatched_usd == Decimal("1.8")
    assert bill.unwatched_s == 30 * 60
    assert bill.complete


def test_a_gap_with_another_state_after_it_is_unknown_and_not_zero() -> None:
    marks = [mark(0, Phase.READY), mark(40, Phase.OFF, 0)]
    watches = [Watch(at(0), at(10)), Watch(at(40), at(60))]
    bill = Ledger(marks, watches, at(60)).bill(at(0), at(60))
    assert bill.usd == Decimal("0.6")
    assert bill.unknown_s == 30 * 60
    assert not bill.complete


def test_since_the_last_look_nothing_is_known() -> None:
    bill = Ledger([mark(0, Phase.READY)], [Watch(at(0), at(10))], at(60)).bill(at(0), at(60))
    assert bill.usd == Decimal("0.6")
    assert bill.unknown_s == 50 * 60


def test_three_periods_of_silence_are_no_gap() -> None:
    watches = [Watch(at(0), at(10)), Watch(at(10.25), at(20))]
    bill = Ledger([mark(0, Phase.READY)], watches, at(20)).bill(at(0), at(20))
    assert (bill.usd, bill.unwatched_s, bill.unknown_s) == (Decimal("1.2"), 0, 0)


def test_what_the_platform_does_not_say_is_not_zero() -> None:
    ledger = Ledger([mark(0, Phase.READY, None)], [Watch(at(0), at(10))], at(10))
    assert not ledger.bill(at(0), at(10)).complete
    assert not Ledger([], [], at(10)).bill(at(0), at(10)).known


def test_of_a_deployment_that_was_never_seen_no_cost_is_known() -> None:
    assert Figures(at(0), at(10)).cost_usd is None


@pytest.mark.parametrize(
    ("busy_s", "occupied_s", "busy_usd"),
    [(600, 900, "0.6"), (6000, 900, "0.9"), (99999, 99999, "3.6")],
    ids=["one at a time", "several at once on one instance", "never more than there was"],
)
def test_busy_is_the_time_in_which_instances_worked(busy_s: float, occupied_s: int, busy_usd: str) -> None:
    bill = Ledger([mark(0, Phase.READY)], [Watch(at(0), at(60))], at(60)).bill(at(0), at(60))
    tally = Tally(succeeded=10, busy_s=busy_s, occupied_s=occupied_s, counted=10)
    tally.tokens_in, tally.tokens_out = 400_000, 600_000
    figures = Figures(at(0), at(60), tally, bill)
    assert figures.busy_usd == Decimal(busy_usd)
    assert figures.busy_usd + figures.idle_usd == Decimal("3.6")
    assert figures.usd_per_million == Decimal("3.6")
    assert figures.usd_per_million_busy == Decimal(busy_usd)
    assert figures.usd_per_request == Decimal("0.36")
