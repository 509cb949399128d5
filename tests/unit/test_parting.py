"""What somebody reads who leaves: what goes on billing, what goes on next time, and no more."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.operation import OperationState, StepState
from peft_tui.domain.status import Status
from peft_tui.services.parting import SANDBOX, parting_words
from peft_tui.store import Store
from tests.doubles import NOON, deployment, operation, seen
from tests.driving import drive
from tests.seeds import listed, made, observed, put, still_app


def billing(name: str, price: str | None = "5.49", **more: Any) -> Deployment:
    facts = {"billed_instances": 1, "usd_per_hour": Decimal(price) if price else None, **more}
    return deployment(name, observation=seen(Status.ACTIVE, **facts))


def words(*deployments: Deployment, minutes: float = 0, sandbox: bool = False) -> str:
    return "\n".join(parting_words(deployments, NOON + timedelta(minutes=minutes), sandbox=sandbox))


def test_what_bills_is_named_with_what_it_costs_together() -> None:
    said = words(billing("a"), billing("b", "1.95"), billing("c", "0", billed_instances=0))
    assert said.startswith("2 deployments go on billing, $7.44/h: a on scripted, b on scripted.")


def test_what_is_not_known_is_not_left_out_of_the_sum_in_silence() -> None:
    assert "$5.49/h and 1 of unknown price" in words(billing("a"), billing("b", None))
    assert "goes on billing, at a price that is not known: b" in words(billing("b", None))


def test_what_was_seen_long_ago_says_so() -> None:
    assert "(seen" not in words(billing("a"))
    assert "$5.49/h (seen 7m ago): a" in words(billing("a"), minutes=7)


def test_many_are_counted() -> None:
    assert "and 4 more." in words(*(billing(f"bot-{number}") for number in range(7)))


def test_what_is_not_finished_goes_on_next_time() -> None:
    wanted = deployment("bot")
    asked = replace(operation(wanted), state=OperationState.RUNNING)
    assert words(replace(wanted, operation=asked)) == (
        "Not finished, and it goes on at the next start: deploying bot."
    )


def test_a_create_that_was_sent_and_not_seen_may_bill_and_one_that_failed_before_does_not() -> None:
    wanted = deployment("bot")
    asked = operation(wanted)
    sent = tuple(replace(step, state=StepState.SENT) for step in asked.steps)
    assert "at a price that is not known" in words(replace(wanted, operation=replace(asked, steps=sent)))
    failed = tuple(replace(step, state=StepState.FAILED) for step in asked.steps)
    ended = replace(asked, steps=failed, state=OperationState.FAILED)
    assert words(replace(wanted, operation=ended)) == ""


def test_nothing_is_said_where_nothing_goes_on() -> None:
    assert words() == words(billing("a", "0", billed_instances=0), sandbox=True) == ""
    assert words(billing("a"), sandbox=True).endswith(SANDBOX)
    assert "peft-tui list" in words(billing("a"))
    assert "peft-tui list" not in words(billing("a"), sandbox=True), "no command reaches that world"


async def test_the_application_leaves_with_it(tmp_path: Path) -> None:
    async def one_active(store: Store) -> None:
        await put(store, made("bot"), observed(Status.ACTIVE))
        await listed(store, "together")

    app = still_app(tmp_path, one_active)
    async with drive(app) as at:
        await at.sees("bot")
        await at.press("q")
    assert app.last_words[0].startswith("1 deployment goes on billing, $5.49/h: bot on together.")
