"""From Together's words to ours."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.drivers.together.states import observe
from peft_tui.drivers.together.wire import Autoscaling, Endpoint, Summary, TrafficEntry
from tests.doubles import NOON


def seen(
    state: str, ready: int = 0, *, weight: float = 1.0, price: str | None = "5.49", low: int = 1, **more: Any
) -> Observation:
    summary = Summary(
        id="dep_1",
        state=state,
        ready_replicas=ready,
        hardware="1xnvidia-h100-80gb",
        autoscaling=Autoscaling(min_replicas=low, max_replicas=3),
        **more,
    )
    traffic = [
        TrafficEntry(deployment_id="dep_1", weight=weight),
        TrafficEntry(deployment_id="dep_2", weight=9),
    ]
    endpoint = Endpoint(id="ep_1", name="acme/bot", traffic_split=traffic)
    return observe(endpoint, summary, NOON, price and Decimal(price), "https://x/v1")  # type: ignore[arg-type]


TABLE = [
    ("PROVISIONING", 0, Status.DEPLOYING, Condition.NONE),
    ("SCALING", 0, Status.DEPLOYING, Condition.NONE),
    ("SCALING", 1, Status.ACTIVE, Condition.SCALING),
    ("READY", 1, Status.ACTIVE, Condition.NONE),
    ("READY", 0, Status.ACTIVE, Condition.NONE),
    ("DEGRADED", 1, Status.ACTIVE, Condition.DEGRADED),
    ("DEGRADED", 0, Status.DEPLOYING, Condition.DEGRADED),
    ("STOPPING", 1, Status.ACTIVE, Condition.STOPPING),
    ("STOPPING", 0, Status.ACTIVE, Condition.STOPPING),
    ("STOPPED", 0, Status.STOPPED, Condition.NONE),
    ("FAILED", 0, Status.FAILED, Condition.NONE),
]


@pytest.mark.parametrize(("word", "ready", "status", "condition"), TABLE)
@pytest.mark.parametrize("prefix", ["DEPLOYMENT_STATE_", ""])
def test_each_word_has_its_status(
    prefix: str, word: str, ready: int, status: Status, condition: Condition
) -> None:
    observation = seen(prefix + word, ready)
    assert (observation.status, observation.condition) == (status, condition)
    assert observation.platform_status == word


@pytest.mark.parametrize("word", ["", "HIBERNATING", "DEPLOYMENT_STATE_UNSPECIFIED", "ready", "FAILED_SOON"])
def test_a_word_that_nobody_knows_is_deploying_and_shown(word: str) -> None:
    observation = seen(word, 1)
    assert observation.status is Status.DEPLOYING and "does not know" in observation.reason
    assert observation.platform_status == word.removeprefix("DEPLOYMENT_STATE_")


@given(st.text(max_size=30))
def test_no_word_but_one_is_failed_and_no_word_but_one_is_stopped(word: str) -> None:
    status = seen(word).status
    bare = seen(word).platform_status
    assert (status is Status.FAILED) == (bare == "FAILED")
    assert (status is Status.STOPPED) == (bare == "STOPPED")


def test_what_is_stopping_is_not_stopped_and_says_that_it_bills() -> None:
    observation = seen("STOPPING", 0)
    assert observation.status is not Status.STOPPED and "still billing" in observation.reason
    assert observation.usd_per_hour == Decimal("5.49")


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_ready_without_traffic_says_so(weight: float) -> None:
    observation = seen("READY", 1, weight=weight)
    assert (observation.status, observation.condition) == (Status.ACTIVE, Condition.NO_TRAFFIC)
    assert observation.reason


def test_the_traffic_of_another_deployment_is_not_its_own() -> None:
    endpoint = Endpoint(id="e", traffic_split=[TrafficEntry(deployment_id="dep_2", weight=1)])
    observation = observe(endpoint, Summary(id="dep_1", state="READY"), NOON, None, "")
    assert observation.condition is Condition.NO_TRAFFIC


def test_a_shadow_gets_its_traffic_without_a_weight() -> None:
    observation = seen("READY", 1, weight=0.0, traffic_mode="TRAFFIC_MODE_SHADOW")
    assert observation.condition is Condition.NONE


@pytest.mark.parametrize(
    ("word", "ready", "desired", "billed"),
    [
        ("PROVISIONING", 0, None, 1),
        ("PROVISIONING", 0, 2, 2),
        ("PROVISIONING", 0, 0, 0),
        ("SCALING", 2, 1, 2),
        ("SCALING", 1, 3, 3),
        ("READY", 1, None, 1),
        ("READY", 2, None, 2),
        ("NEW WORD", 0, None, 1),
        ("STOPPING", 0, 0, 1),
        ("STOPPING", 3, 0, 3),
        ("STOPPED", 0, 2, 0),
        ("FAILED", 0, 2, 0),
        ("FAILED", 1, None, 1),
    ],
)
def test_what_costs_is_rather_counted_too_high_than_too_low(
    word: str, ready: int, desired: int | None, billed: int
) -> None:
    observation = seen(word, ready, desired_replicas=desired)
    assert observation.billed_instances == billed
    assert observation.usd_per_hour == billed * Decimal("5.49")


def test_a_price_that_is_not_known_is_not_nothing() -> None:
    assert seen("READY", 1, price=None).usd_per_hour is None
    assert seen("STOPPED", 0, price=None).usd_per_hour == 0


def test_the_rest_is_told_as_it_is() -> None:
    observation = seen("READY", 1)
    assert (observation.min_instances, observation.max_instances, observation.ready_instances) == (1, 3, 1)
    assert (observation.model, observation.endpoint_url) == ("acme/bot", "https://x/v1")
    assert (observation.instance_type, observation.observed_at) == ("1xnvidia-h100-80gb", NOON)
