"""The state of a deployment at a platform that has no word for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_tui.domain.status import Condition, Status
from peft_tui.drivers.replicate.states import BOOT_TIME, IDLE_TAIL, QUEUE_TIME, belongs_to, derive, moment
from peft_tui.drivers.replicate.wire import Configuration, Deployment, Prediction, Release
from tests.doubles import NOON

HOUR = timedelta(hours=1)


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def release(low: int | None = 0, high: int | None = 1, age: timedelta = HOUR, **more: Any) -> Deployment:
    configuration = Configuration(hardware="gpu-l40s", min_instances=low, max_instances=high)
    facts = {"created_at": stamp(NOON - age), **more}
    return Deployment(owner="acme", name="bot", current_release=Release(configuration=configuration, **facts))


def asked(status: str, age: timedelta = timedelta(minutes=1), **more: Any) -> Prediction:
    return Prediction(id="p", deployment="acme/bot", status=status, created_at=stamp(NOON - age), **more)


def done(age: timedelta) -> Prediction:
    return asked("succeeded", age + timedelta(seconds=3), completed_at=stamp(NOON - age))


LONG_AGO = timedelta(minutes=30)
SECOND = timedelta(seconds=1)
NONE, ASLEEP, ASSUMED = Condition.NONE, Condition.ASLEEP, Condition.ASSUMED
NEW, OLD = asked("starting", SECOND), asked("starting", QUEUE_TIME)
WARM, COLD = done(SECOND), done(LONG_AGO)
BROKEN = asked("failed", error="Setup failed: OOM")
TABLE: list[Any] = [
    # id, deployment, predictions newest first, complete, status, condition
    ("0/0 is stopped", release(0, 0), [], True, Status.STOPPED, NONE),
    ("0/0 is stopped whatever was asked", release(0, 0), [WARM], True, Status.STOPPED, NONE),
    ("at work", release(), [asked("processing")], True, Status.ACTIVE, NONE),
    ("at work before all else", release(), [OLD, asked("processing")], True, Status.ACTIVE, NONE),
    ("warm, perhaps", release(), [done(IDLE_TAIL - SECOND)], True, Status.ACTIVE, ASSUMED),
    ("asleep", release(), [done(IDLE_TAIL)], True, Status.ACTIVE, ASLEEP),
    ("asleep, list cut", release(), [COLD], False, Status.ACTIVE, ASLEEP),
    ("never used", release(), [], True, Status.PENDING, ASLEEP),
    ("silent, list cut", release(), [], False, Status.ACTIVE, ASSUMED),
    ("waiting", release(), [OLD], True, Status.DEPLOYING, NONE),
    ("just asked", release(), [NEW], True, Status.DEPLOYING, NONE),
    ("just asked while warm", release(), [NEW, WARM], True, Status.ACTIVE, ASSUMED),
    ("setup failed", release(), [BROKEN], True, Status.FAILED, NONE),
    ("cannot boot", release(1), [asked("failed", error="no boot")], True, Status.FAILED, NONE),
    ("setup failed, but it served", release(), [BROKEN, COLD], True, Status.ACTIVE, ASLEEP),
    ("kept warm and served", release(1), [COLD], True, Status.ACTIVE, NONE),
    ("kept warm and new", release(1, age=BOOT_TIME - SECOND), [], True, Status.DEPLOYING, NONE),
    ("kept warm, never asked", release(1, age=BOOT_TIME), [], True, Status.ACTIVE, ASSUMED),
    ("no bounds told", release(None, None), [], True, Status.PENDING, ASLEEP),
    ("a word that nobody knows", release(), [asked("levitating")], True, Status.PENDING, ASLEEP),
    ("before the release", release(age=SECOND), [done(2 * SECOND)], True, Status.PENDING, ASLEEP),
]


@pytest.mark.parametrize(
    ("deployment", "predictions", "complete", "status", "condition"),
    [pytest.param(*row[1:], id=row[0]) for row in TABLE],
)
def test_a_state_is_derived(
    deployment: Deployment,
    predictions: list[Prediction],
    complete: bool,
    status: Status,
    condition: Condition,
) -> None:
    found = derive(deployment, predictions, complete, NOON)
    assert found[:2] == (status, condition)
    assert found[2], "every state has a word"


@pytest.mark.parametrize("low", [0, 1])
@pytest.mark.parametrize(
    "status, error",
    [("failed", "prompt is too long"), ("canceled", ""), ("aborted", "")],
    ids=["failed", "canceled", "aborted"],
)
def test_what_was_asked_and_did_not_go_well_is_not_never_used(low: int, status: str, error: str) -> None:
    # A create whose probe ended so would wait for ever.
    found = derive(release(low), [asked(status, error=error)], True, NOON)
    assert found[2] != "never used" and found[0] is not Status.PENDING


def test_a_release_without_a_date_takes_its_predictions_as_they_are() -> None:
    assert derive(release(1, created_at=""), [done(LONG_AGO)], True, NOON)[0] is Status.ACTIVE


def test_the_platform_s_own_reason_is_kept() -> None:
    assert (
        derive(release(), [asked("failed", error="Setup failed: OOM")], True, NOON)[3] == "Setup failed: OOM"
    )


@given(
    st.lists(
        st.tuples(
            st.text(max_size=12) | st.sampled_from(["succeeded", "failed", "starting"]), st.text(max_size=30)
        ),
        max_size=5,
    ),
    st.none() | st.integers(-1, 5),
    st.none() | st.integers(-1, 5),
    st.booleans(),
)
def test_stopped_is_said_of_0_0_only(
    predictions: list[tuple[str, str]], low: int | None, high: int | None, complete: bool
) -> None:
    given_ = [Prediction(id="p", status=status, created_at=created) for status, created in predictions]
    status, *_ = derive(release(low, high), given_, complete, NOON)
    assert (status is Status.STOPPED) == (high == 0)


class TestMoment:
    @pytest.mark.parametrize(
        ("text", "at"),
        [
            ("2026-03-14T12:00:00Z", NOON),
            ("2026-03-14T12:00:00.5Z", NOON + timedelta(milliseconds=500)),
            ("2026-03-14T12:00:00.123456789Z", NOON + timedelta(microseconds=123456)),
            ("2026-03-14T12:00:00.999999999Z", NOON + timedelta(microseconds=999999)),
            ("2026-03-14T12:00:00.Z", NOON),
            ("2026-03-14T13:00:00.123456789+01:00", NOON + timedelta(microseconds=123456)),
            ("2026-03-14T12:00:00", NOON),
            (" 2026-03-14T12:00:00Z\n", NOON),
        ],
    )
    def test_a_time_is_read_with_any_number_of_digits(self, text: str, at: datetime) -> None:
        assert moment(text) == at
        assert (moment(text) or at).tzinfo is not None

    @pytest.mark.parametrize(
        "text", [None, "", " ", "soon", "2026", "2026-13-14T12:00:00Z", "1710417600", "Z", "."]
    )
    def test_what_is_no_time_is_none(self, text: str | None) -> None:
        assert (
            moment(text) in (None, datetime(2026, 1, 1, tzinfo=UTC))
            if text == "2026"
            else moment(text) is None
        )

    @given(
        st.text(max_size=30)
        | st.from_regex(
            r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{1,9}\.?[0-9]{0,12}[Z+-]?[0-9:]{0,6}", fullmatch=True
        )
    )
    def test_no_text_gets_anything_else_out_than_a_time_with_its_zone(self, text: str) -> None:
        found = moment(text)
        assert found is None or found.tzinfo is not None


@pytest.mark.parametrize(
    ("name", "belongs"),
    [("acme/bot", True), ("bot", True), ("acme/bot2", False), ("other/bot", False), ("", False)],
)
def test_a_prediction_belongs_to_one_deployment(name: str, belongs: bool) -> None:
    assert belongs_to(Prediction(id="p", deployment=name), release()) is belongs
