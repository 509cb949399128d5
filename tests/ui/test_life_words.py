"""Marks, errors of the session, notices and the view that is kept: no screen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PlatformFailed
from peft_tui.domain.operation import Operation, OperationKind, OperationState
from peft_tui.domain.status import Condition, Status
from peft_tui.store.platforms import PlatformHealth
from peft_tui.ui.attention import Watch, notice
from peft_tui.ui.filter import Filter
from peft_tui.ui.marks import Marks
from peft_tui.ui.session import View
from peft_tui.ui.status import status_text
from peft_tui.ui.troubles import MOST, Troubles
from tests.seeds import NOON, made, observed


def seen(status: Status, **more: object) -> Deployment:
    return replace(made("bot"), observation=observed(status, **more))  # type: ignore[arg-type]


def asked(
    kind: OperationKind,
    state: OperationState = OperationState.RUNNING,
    seconds: float = 12,
    message: str = "",
) -> Operation:
    at = NOON - timedelta(seconds=seconds)
    error = {"kind": "platform", "message": message, "hint": "Look."} if message else None
    return Operation("op", "bot", kind, state, at, at, (), error)


# Marks


def test_a_mark_is_put_and_taken_away() -> None:
    marks = Marks()
    marks.toggle("b")
    marks.toggle("a")
    assert marks.keys == ("b", "a")
    marks.toggle("b")
    assert marks.keys == ("a",)


def test_a_range_goes_from_the_last_mark_in_either_direction() -> None:
    shown = ["a", "b", "c", "d"]
    marks = Marks()
    marks.toggle("c")
    marks.extend("a", shown)
    assert set(marks.keys) == {"a", "b", "c"}
    marks.extend("d", shown)
    assert set(marks.keys) == set(shown)


def test_a_range_begins_here_when_the_last_mark_is_not_shown() -> None:
    marks = Marks()
    marks.toggle("z")
    marks.extend("b", ["a", "b", "c"])
    assert set(marks.keys) == {"z", "b"}


def test_all_that_are_shown_are_marked_or_none_of_them() -> None:
    marks = Marks()
    marks.toggle("z")
    marks.toggle_all(["a", "b"])
    assert set(marks.keys) == {"z", "a", "b"}
    marks.toggle_all(["a", "b"])
    assert marks.keys == ("z",)
    assert marks.keep_only({"a"}) and not len(marks)
    assert not marks.keep_only({"a"})


# What a row says of a verb


@pytest.mark.parametrize(
    ("kind", "status", "words", "short"),
    [
        (OperationKind.STOP, Status.ACTIVE, "◐ stopping, still billing 10s", "◐ stopping, bills 10s"),
        (OperationKind.STOP, Status.STOPPED, "◐ stopping 10s", ""),
        (OperationKind.DELETE, Status.ACTIVE, "◐ deleting, still billing 10s", "◐ deleting, bills 10s"),
        (OperationKind.START, Status.STOPPED, "◐ starting 10s", ""),
        (OperationKind.UPDATE, Status.ACTIVE, "◐ updating 10s", ""),
    ],
)
def test_what_was_asked_is_read_before_what_the_platform_said_last(
    kind: OperationKind, status: Status, words: str, short: str
) -> None:
    text = status_text(replace(seen(status), operation=asked(kind)), NOON)
    assert (str(text), text.short) == (words, short)


def test_a_stop_that_failed_is_told_with_what_it_still_is() -> None:
    failed = asked(OperationKind.STOP, OperationState.FAILED, message="Broke.")
    text = status_text(replace(seen(Status.ACTIVE), operation=failed), NOON)
    assert (str(text), text.short) == ("✖ stop failed, active", "✖ failed, active")


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [
        (seen(Status.ACTIVE), True),
        (seen(Status.ACTIVE, condition=Condition.ASLEEP, billed_instances=0), False),
        (seen(Status.ACTIVE, billed_instances=None, usd_per_hour=None), True),
        (seen(Status.STOPPED, billed_instances=None), False),
        (made("bot"), False),
    ],
)
def test_what_bills_is_what_the_platform_says_and_else_what_runs(
    deployment: Deployment, expected: bool
) -> None:
    assert deployment.bills is expected


def test_the_filter_knows_orphans_and_what_is_under_way() -> None:
    stopping = replace(seen(Status.ACTIVE), operation=asked(OperationKind.STOP))
    assert Filter.parse("status:stopping").admits(stopping)
    assert not Filter.parse("status:orphan").admits(stopping)


# Errors of the session


def test_an_operation_that_is_retried_and_then_fails_is_one_error() -> None:
    troubles = Troubles()
    running = asked(OperationKind.STOP, message="Together does not answer.")
    troubles.note_deployment(replace(seen(Status.ACTIVE), operation=running))
    failed = replace(running, state=OperationState.FAILED)
    troubles.note_deployment(replace(seen(Status.ACTIVE), operation=failed))
    (trouble,) = troubles.all
    assert (trouble.what, trouble.error.hint, trouble.over) == ("stop failed", "Look.", False)


def test_what_goes_well_afterwards_is_over() -> None:
    troubles = Troubles()
    failed = asked(OperationKind.STOP, OperationState.FAILED, message="No.")
    troubles.note_deployment(replace(seen(Status.ACTIVE), operation=failed))
    error = {"kind": "connection", "message": "Gone."}
    troubles.note_platform(PlatformHealth("together", None, NOON, error), NOON)
    assert troubles.open == 2
    troubles.note_deployment(seen(Status.STOPPED))
    troubles.note_platform(PlatformHealth("together", NOON), NOON)
    assert troubles.open == 0 and len(troubles) == 2


def test_the_oldest_errors_are_forgotten() -> None:
    troubles = Troubles()
    for number in range(MOST + 5):
        troubles.note("bot", "stop refused", PlatformFailed(str(number)), NOON + timedelta(seconds=number))
    assert len(troubles) == MOST
    assert troubles.all[0].error.message == str(MOST + 4)
    assert troubles.all[-1].error.message == "5"


# Notices


def test_what_is_there_at_the_start_is_no_news_and_a_turn_is_one() -> None:
    watch = Watch()
    assert watch.news([seen(Status.DEPLOYING)], first=True) == []
    assert watch.news([seen(Status.DEPLOYING)]) == []
    assert watch.news([seen(Status.ACTIVE)]) == ["bot is active on together"]
    assert watch.news([seen(Status.ACTIVE)]) == []
    failed = asked(OperationKind.UPDATE, OperationState.FAILED, message="No GPU is free.")
    assert watch.news([replace(seen(Status.ACTIVE), operation=failed)]) == [
        "bot: update failed. No GPU is free."
    ]
    assert watch.news([seen(Status.FAILED, reason="It crashed.")]) == ["bot has failed. It crashed."]


def test_what_wakes_up_is_no_news() -> None:
    watch = Watch()
    watch.news([seen(Status.STOPPED)], first=True)
    assert watch.news([seen(Status.ACTIVE)]) == []


@pytest.mark.parametrize(
    ("environ", "sequence"),
    [
        ({"TERM": "xterm-256color"}, "\x1b]9;peft-tui: up\a\a"),
        ({"TERM": "foot"}, "\x1b]777;notify;peft-tui;up\a\a"),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7600"}, "\x1b]777;notify;peft-tui;up\a\a"),
        (
            {"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"},
            "\x1bPtmux;\x1b\x1b]9;peft-tui: up\a\x1b\\\a",
        ),
        ({"TERM": "screen-256color", "STY": "1.pts"}, "\x1bP\x1b]9;peft-tui: up\a\x1b\\\a"),
        ({"TERM": "linux"}, "\a"),
        ({"TERM": "dumb"}, "\a"),
    ],
)
def test_a_notice_is_wrapped_for_what_stands_between(environ: dict[str, str], sequence: str) -> None:
    assert notice("up", environ) == sequence


def test_foreign_text_ends_no_sequence() -> None:
    words = notice("a\x1b\\b\ac;d\x07", {"TERM": "xterm"})
    assert words == "\x1b]9;peft-tui: a·\\b·c,d·\a\a"


# The view


def test_a_view_comes_back_as_it_was() -> None:
    view = View(Filter.parse("status:active llama"), ("cost", True), "abc")
    assert View.from_dict(view.as_dict(NOON), NOON) == view
    assert View.from_dict(View().as_dict(NOON), NOON) == View()


@pytest.mark.parametrize(
    "kept", [{"sort": ["nonsense", True]}, {"sort": "name"}, {"filter": 3}, {"cursor": []}]
)
def test_what_cannot_be_used_any_more_is_left_out(kept: dict[str, object]) -> None:
    assert View.from_dict(kept, NOON) == View()
