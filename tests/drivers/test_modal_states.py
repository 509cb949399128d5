"""From Modal's lists to one status (the table of its states), and what is never to be said."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from peft_tui.domain.status import Condition, Status
from peft_tui.drivers.modal.data_plane import Answer, Health, is_ours_to_ask, read_health
from peft_tui.drivers.modal.states import FAILURES, Sight, newest_by_name, observe, worth_showing
from peft_tui.drivers.modal.wire import App, Container, Server
from tests.doubles import NOON

WAITING = Container(task_id="ta-1", app_id="ap-1", enqueued_at=1.0)
STARTED = Container(task_id="ta-2", app_id="ap-1", enqueued_at=1.0, started_at=2.0)


def app(state: str = "DEPLOYED", **more: Any) -> App:
    return App(**{"app_id": "ap-1", "name": "bot-0123abcd", "state": state, **more})


def server(low: int = 0) -> Server:
    return Server(
        function_id="fu-1", url="https://x.modal.direct", min_containers=low, max_containers=2, gpu="L40S"
    )


def sight(
    *containers: Container, state: str = "DEPLOYED", low: int = 0, health: Health | None = None, **more: Any
) -> Sight:
    answer = Answer(health) if health else None
    return Sight(app(state), containers, server(low), answer, **more)


TABLE = [
    ("asleep", sight(), Status.ACTIVE, Condition.ASLEEP),
    ("no container yet", sight(low=1), Status.DEPLOYING, Condition.NONE),
    ("waiting for a GPU", sight(WAITING), Status.DEPLOYING, Condition.NONE),
    ("starting", sight(STARTED, health=Health.STARTING), Status.DEPLOYING, Condition.NONE),
    ("no answer", sight(STARTED, health=Health.UNKNOWN), Status.DEPLOYING, Condition.NONE),
    ("ready", sight(STARTED, health=Health.READY), Status.ACTIVE, Condition.NONE),
    ("ready before", sight(STARTED, proved=True), Status.ACTIVE, Condition.NONE),
    ("one more comes", sight(STARTED, WAITING, proved=True), Status.ACTIVE, Condition.SCALING),
    ("token refused", sight(STARTED, health=Health.REFUSED), Status.ACTIVE, Condition.ASSUMED),
    (
        "disabled, and listed as deployed",
        sight(STARTED, health=Health.DISABLED),
        Status.FAILED,
        Condition.NONE,
    ),
    ("no money to wake", sight(spent=True), Status.FAILED, Condition.NONE),
    ("crash loop", sight(WAITING, failures=FAILURES, failure="CUDA"), Status.FAILED, Condition.NONE),
    ("one crash", sight(WAITING, failures=1, failure="CUDA"), Status.DEPLOYING, Condition.NONE),
    ("being built", sight(state="INITIALIZING"), Status.DEPLOYING, Condition.NONE),
    ("stopping", sight(STARTED, state="STOPPING"), Status.ACTIVE, Condition.STOPPING),
    ("stopped, nothing left", sight(state="STOPPING"), Status.STOPPED, Condition.NONE),
    ("stopped", sight(state="STOPPED"), Status.STOPPED, Condition.NONE),
    ("disabled", sight(state="DISABLED"), Status.FAILED, Condition.NONE),
    ("a new word", sight(state="STATE_12"), Status.DEPLOYING, Condition.NONE),
]


@pytest.mark.parametrize(
    ("seen", "status", "condition"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_the_table(seen: Sight, status: Status, condition: Condition) -> None:
    observation = observe(seen, NOON)
    assert (observation.status, observation.condition) == (status, condition)
    assert observation.platform_status == seen.app.state


def test_a_reason_says_what_the_last_container_said() -> None:
    assert "CUDA" in observe(sight(WAITING, failures=FAILURES, failure="CUDA"), NOON).reason


def test_stopped_is_never_said_while_a_container_is_left() -> None:
    observation = observe(sight(STARTED, state="STOPPING"), NOON)
    assert (observation.status, observation.billed_instances) == (Status.ACTIVE, 1)


def test_what_bills_are_containers_those_that_wait_too() -> None:
    observation = observe(sight(STARTED, WAITING, proved=True, usd_per_hour=Decimal("3.90")), NOON)
    assert (observation.billed_instances, observation.ready_instances) == (2, 1)
    assert observation.usd_per_hour == Decimal("3.90")
    assert observe(sight(), NOON).usd_per_hour == 0


def test_without_a_list_of_containers_their_number_is_the_app_s_and_nothing_is_proved() -> None:
    observation = observe(Sight(app(running=2), None, server()), NOON)
    assert (observation.status, observation.condition) == (Status.ACTIVE, Condition.ASSUMED)
    assert (observation.billed_instances, observation.ready_instances) == (2, None)


def test_of_an_app_that_is_not_ours_a_started_container_is_enough() -> None:
    observation = observe(Sight(app(), (STARTED,)), NOON)
    assert (observation.status, observation.condition) == (Status.ACTIVE, Condition.NONE)
    assert (observation.min_instances, observation.endpoint_url) == (None, "")


def test_a_name_that_was_deployed_anew_is_one_row_the_one_that_lives() -> None:
    old = app("STOPPED", app_id="ap-old", created_at=9.0)
    new = app("DEPLOYED", app_id="ap-new", created_at=5.0)
    older = app("STOPPED", app_id="ap-older", created_at=1.0)
    assert [a.app_id for a in newest_by_name([new, old, older])] == ["ap-new"]
    assert [a.app_id for a in newest_by_name([older, old])] == ["ap-old"]


def test_a_run_without_a_name_is_shown_while_it_bills() -> None:
    assert worth_showing(app("STOPPED"))
    assert worth_showing(app("EPHEMERAL", name="", running=1))
    assert not worth_showing(app("EPHEMERAL", name=""))
    assert not worth_showing(app("STOPPED", name="", running=1))


@pytest.mark.parametrize(
    ("status", "said", "health"),
    [
        (200, "", Health.READY),
        (503, "", Health.STARTING),
        (500, "modal-http: internal error", Health.STARTING),
        (303, "", Health.STARTING),
        (429, "", Health.READY),
        (404, '{"detail":"Not Found"}', Health.READY),
        (401, "modal-http: invalid credentials for proxy authorization", Health.REFUSED),
        (404, "modal-http: workspace ac-1 is disabled", Health.DISABLED),
        (404, "modal-http: app for invoked web endpoint is stopped", Health.GONE),
        (404, "modal-http: invalid function call", Health.GONE),
    ],
)
def test_what_the_proxy_and_the_engine_say(status: int, said: str, health: Health) -> None:
    assert read_health(status, said) is health


@pytest.mark.parametrize(
    ("url", "local", "allowed"),
    [
        ("https://acme--bot-server.us-east.modal.direct", False, True),
        ("https://acme--bot.modal.run", False, True),
        ("http://acme--bot.modal.run", False, False),
        ("https://evil.example/.modal.run", False, False),
        ("https://notmodal.run", False, False),
        ("https://acme.modal.run@evil.example", False, False),
        ("https://169.254.169.254", False, False),
        ("http://127.0.0.1:8000/x", False, False),
        ("http://127.0.0.1:8000/x", True, True),
        ("https://acme--bot.modal.run", True, False),
        ("http://[", False, False),
    ],
)
def test_a_proxy_token_goes_to_modal_s_own_addresses_only(url: str, local: bool, allowed: bool) -> None:
    assert is_ours_to_ask(url, local) is allowed
