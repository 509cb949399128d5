"""What a deployment looks like as a line, without a screen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.operation import (
    AWAIT_ACTIVE,
    Operation,
    OperationKind,
    OperationState,
    OperationStep,
    StepState,
)
from peft_tui.domain.status import Condition, Status
from peft_tui.services.figures import Brief
from peft_tui.store.platforms import PlatformHealth
from peft_tui.ui.filter import Filter
from peft_tui.ui.order import ordered
from peft_tui.ui.platforms import platform_trouble
from peft_tui.ui.rows import COLUMNS, table_row
from peft_tui.ui.status import doing, next_change, seen_ago, seen_at
from peft_tui.ui.theme import ANSI, DARK, LIGHT, ascii_only, choose_theme, plain
from peft_tui.ui.widgets.detail import Subject, folded, whole
from peft_tui.ui.widgets.lines import Line, difference, spread, width_of, wrapped
from peft_tui.ui.widgets.live_table import Cell, lay_out
from peft_tui.ui.widgets.operations import Rates, _amount
from tests.seeds import NOON, made, observed


def with_status(status: Status, minutes: float = 25, **more: object) -> Deployment:
    since = NOON - timedelta(minutes=minutes)
    return replace(made("bot"), observation=observed(status, **more), since=since, listed=True)  # type: ignore[arg-type]


def with_step(**step: object) -> Deployment:
    """A running operation whose second step is under way."""
    return with_operation(upload={"state": StepState.SENT, "started_at": NOON, **step})


def with_operation(
    state: OperationState = OperationState.RUNNING, upload: dict[str, object] | None = None
) -> Deployment:
    steps = (
        OperationStep(
            0, "register", "register the adapter", StepState.DONE, started_at=NOON, finished_at=NOON
        ),
        replace(OperationStep(1, "upload", "upload its files"), **(upload or {})),  # type: ignore[arg-type]
        OperationStep(2, "deployment", "create the deployment", bills=True),
    )
    error = {"kind": "resource", "message": "No credit is left.", "hint": "Add credit.", "detail": "402"}
    operation = Operation(
        "op",
        made("bot").id,
        OperationKind.CREATE,
        state,
        NOON - timedelta(seconds=72),
        NOON,
        steps,
        error if state is OperationState.FAILED else None,
    )
    return replace(made("bot"), operation=operation)


def cell(deployment: Deployment, key: str, seconds_later: float = 0) -> Cell:
    now = NOON + timedelta(seconds=seconds_later)
    row = table_row(deployment, now, seen_at(deployment, None))
    return row.cells[[column.key for column in COLUMNS].index(key)]


def text(lines: list[Line]) -> str:
    return "\n".join("".join(c.text for c in line).rstrip() for line in lines)


@pytest.mark.parametrize(
    ("status", "more", "words", "tone"),
    [
        (Status.ACTIVE, {}, "● active 25m", "good"),
        (Status.FAILED, {}, "✖ failed 25m", "bad"),
        (Status.STOPPED, {}, "◼ stopped 25m", "dim"),
        (Status.DEPLOYING, {}, "◌ deploying 25m00s", "accent"),
        (Status.ACTIVE, {"condition": Condition.ASLEEP}, "● asleep 25m", "dim"),
        (Status.ACTIVE, {"condition": Condition.NO_TRAFFIC}, "● no traffic 25m", "warn"),
        (Status.ACTIVE, {"condition": Condition.DEGRADED}, "◐ degraded 25m", "warn"),
        (Status.ACTIVE, {"condition": Condition.STOPPING}, "◐ stopping, still billing 25m", "warn"),
        (
            Status.ACTIVE,
            {"condition": Condition.STOPPING, "billed_instances": 0},
            "◐ stopping 25m",
            "warn",
        ),
        (Status.ACTIVE, {"condition": Condition.SCALING}, "◐ scaling 25m", "accent"),
        (Status.STOPPED, {"condition": Condition.GONE}, "◼ gone 25m", "dim"),
        (Status.ACTIVE, {"condition": Condition.ASSUMED}, "● ~active 25m", "dim"),
    ],
)
def test_a_status_is_glyph_and_word_and_age(
    status: Status, more: dict[str, object], words: str, tone: str
) -> None:
    shown = cell(with_status(status, **more), "status")
    assert (shown.text, shown.tone) == (words, tone)


def test_a_running_step_is_the_status_before_the_first_observation() -> None:
    assert cell(with_step(done=41, total=100), "status").text == "◌ uploading 41%"
    assert cell(with_step(), "status").text == "◌ uploading 1m10s"


def test_an_operation_that_was_not_begun_is_pending() -> None:
    queued = with_operation(OperationState.QUEUED)
    assert queued.operation is not None
    steps = tuple(replace(s, state=StepState.PENDING, started_at=None) for s in queued.operation.steps)
    queued = replace(queued, operation=replace(queued.operation, steps=steps))
    assert cell(queued, "status").text == "○ pending 1m10s"


def test_a_failed_operation_is_failed() -> None:
    assert cell(with_operation(OperationState.FAILED), "status").text.startswith("✖ failed")


def test_what_the_platform_has_is_shown_although_its_operation_failed() -> None:
    failed = with_operation(OperationState.FAILED)
    there = replace(failed, observation=observed(Status.ACTIVE), since=NOON)
    assert cell(there, "status") == Cell("✖ failed, active", "bad")


@pytest.mark.parametrize(
    ("title", "key", "word"),
    [
        ("upload its files", "upload", "uploading"),
        ("create the endpoint", "endpoint", "creating"),
        ("dry run of the deployment", "dry_run", "checking"),
        ("wait until it is active", AWAIT_ACTIVE, "starting"),
    ],
)
def test_a_step_is_one_word(title: str, key: str, word: str) -> None:
    assert doing(OperationStep(0, key, title)) == word


def test_an_old_observation_looks_old() -> None:
    old = with_status(Status.ACTIVE, seconds_ago=50)
    assert cell(old, "status") == Cell("● active seen 45s ago", "dim")
    assert {c.tone for c in table_row(old, NOON, seen_at(old, None)).cells} == {"dim"}


def test_being_on_the_last_list_is_being_seen() -> None:
    old = with_status(Status.ACTIVE, seconds_ago=50)
    listed = PlatformHealth("together", NOON, looks={"acme": NOON, "globex": NOON - timedelta(hours=1)})
    assert seen_at(replace(old, account="acme"), listed) == NOON
    assert seen_at(replace(old, account="globex"), listed) == NOON - timedelta(seconds=50)
    assert seen_at(replace(old, listed=False), listed) == NOON - timedelta(seconds=50)


def test_what_is_gone_does_not_get_old() -> None:
    gone = with_status(Status.STOPPED, condition=Condition.GONE, seconds_ago=9000)
    assert "seen" not in cell(gone, "status").text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, ""), (14, ""), (15, "15s"), (31, "30s"), (46, "45s"), (61, "1m"), (130, "2m"), (400, "6m")],
)
def test_the_age_of_an_observation_is_coarse(seconds: float, words: str) -> None:
    assert seen_ago(seconds) == words


@pytest.mark.parametrize("seconds", [0, 1, 4, 7, 14])
def test_a_settled_row_stays_as_it_is(seconds: float) -> None:
    settled = replace(with_status(Status.ACTIVE, minutes=25.5, seconds_ago=0))
    later = NOON + timedelta(seconds=seconds)
    assert table_row(settled, NOON, NOON) == table_row(settled, later, NOON)


def test_until_its_next_change_a_row_is_the_same() -> None:
    for minutes in (0.4, 3.7, 25.5, 500):
        for status in (Status.ACTIVE, Status.DEPLOYING):
            deployment = with_status(status, minutes=minutes, seconds_ago=0)
            before = next_change(deployment, NOON, NOON) - timedelta(milliseconds=1)
            if status is Status.ACTIVE:
                assert table_row(deployment, NOON, NOON) == table_row(deployment, before, NOON)
            assert before > NOON


def test_unknown_figures_are_dashes_and_never_zero() -> None:
    bare = made("bot")
    for key in ("instances", "requests", "success", "latency", "hourly", "cost"):
        assert cell(bare, key).text == "—"
    asleep = with_status(Status.ACTIVE, condition=Condition.ASLEEP, usd_per_hour=Decimal(0))
    assert cell(asleep, "hourly").text == "—"


def test_what_bills_says_its_price_per_hour_and_whether_that_is_a_guess() -> None:
    assert cell(with_status(Status.ACTIVE), "hourly").text == "$5.49"
    table = with_status(Status.ACTIVE, price_source="replicate.com/pricing, 2026-09-03")
    assert cell(table, "hourly").text == "~$5.49"
    tail = with_status(Status.ACTIVE, condition=Condition.ASSUMED)
    assert cell(tail, "hourly").text == "~$5.49" and "~active" in cell(tail, "status").text


@pytest.mark.parametrize(
    ("usd", "complete", "said"),
    [
        ("13.07", True, "$13.07"),
        ("13.07", False, "≥$13.07"),
        ("0.004", True, "<$0.01"),
        ("0", True, "$0.00"),
        ("0", False, "—"),
        (None, True, "—"),
    ],
)
def test_what_it_cost_so_far_stands_in_a_column_of_its_own(
    usd: str | None, complete: bool, said: str
) -> None:
    brief = Brief(0, None, None, Decimal(usd) if usd else None, complete)
    row = table_row(with_status(Status.ACTIVE), NOON, brief=brief)
    assert row.cells[[column.key for column in COLUMNS].index("cost")].text == said


@pytest.mark.parametrize(
    ("origin", "name"), [(Origin.OURS, "bot"), (Origin.FOUND, "· bot"), (Origin.ORPHAN, "! bot")]
)
def test_the_origin_is_marked(origin: Origin, name: str) -> None:
    assert cell(replace(made("bot"), origin=origin), "name").text == name


def test_foreign_text_cannot_leave_its_cell() -> None:
    evil = made("a\x1b]52;c;eA==\x07\n[/x]\u202eb", base="\x9b31mbase")
    row = table_row(evil, NOON)
    assert all(c.text.isprintable() for c in row.cells)


WIDE = {"machine", "made"}
"""What only a wide terminal has room for."""


@pytest.mark.parametrize(
    ("width", "gone"),
    [
        (200, set()),
        (160, WIDE - {"made"}),
        (120, {"adapter", "base", *WIDE}),
        (79, {"adapter", "base", "success", "latency", "requests", *WIDE}),
        (59, {"adapter", "base", "success", "latency", "requests", "instances", "cost", *WIDE}),
    ],
)
def test_columns_leave_by_priority(width: int, gone: set[str]) -> None:
    kept = {COLUMNS[slot[0]].key for slot in lay_out(COLUMNS, width)}
    assert {column.key for column in COLUMNS} - kept == gone


def test_name_and_status_never_leave() -> None:
    assert {COLUMNS[slot[0]].key for slot in lay_out(COLUMNS, 24)} == {"name", "status"}


# Order and filter


def test_newest_first_and_by_column_with_unknown_last() -> None:
    cheap = replace(with_status(Status.ACTIVE, usd_per_hour=Decimal(1)), id="cheap")
    dear = replace(with_status(Status.ACTIVE, usd_per_hour=Decimal(9)), id="dear")
    unknown = replace(made("unknown", minutes_ago=1), id="unknown")
    assert [d.id for d in ordered([cheap, unknown, dear], None)][0] == "unknown"
    assert [d.id for d in ordered([cheap, unknown, dear], ("hourly", True))] == ["dear", "cheap", "unknown"]
    assert [d.id for d in ordered([dear, unknown, cheap], ("hourly", False))] == ["cheap", "dear", "unknown"]


@pytest.mark.parametrize(
    ("words", "admitted"),
    [
        ("", True),
        ("bot", True),
        ("bt", True),
        ("llama checkpoint", True),
        ("qwen", False),
        ("status:active", True),
        ("status:act bot", True),
        ("status:failed", False),
        ("platform:together", True),
        ("platform:replicate", False),
    ],
)
def test_the_filter(words: str, admitted: bool) -> None:
    assert Filter.parse(words).admits(with_status(Status.ACTIVE)) is admitted


def test_the_filter_knows_failed_operations_and_conditions() -> None:
    there = replace(with_operation(OperationState.FAILED), observation=observed(Status.ACTIVE))
    assert Filter.parse("status:failed").admits(there)
    assert Filter.parse("status:no-tr").admits(with_status(Status.ACTIVE, condition=Condition.NO_TRAFFIC))
    assert Filter.parse("status:deploying").admits(made("bot"))


def test_a_filter_reads_as_it_is_written() -> None:
    assert str(Filter.parse("  llama platform:modal  STATUS:failed ")) == "status:failed platform:modal llama"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("connection", "together ✖ unreachable since 2m"),
        ("authentication", "together ✖ refuses the key since 2m"),
        ("something new", "together ✖ is failing since 2m"),
    ],
)
def test_a_failing_platform_says_how_and_since_when(kind: str, words: str) -> None:
    health = PlatformHealth("together", None, NOON - timedelta(seconds=130), {"kind": kind})
    assert platform_trouble(health, NOON) == words


# The detail


def test_the_detail_of_a_failure_says_what_to_do() -> None:
    failed = Subject(with_operation(OperationState.FAILED), NOON)
    for lines in (folded(failed, 78, 6), whole(failed, 78)):
        assert "No credit is left." in text(lines)
        assert "Add credit." in text(lines)
    assert "402" in text(whole(failed, 78))


def test_the_detail_shows_the_steps_with_progress_and_what_bills() -> None:
    running = with_step(done=34_100_000, total=84_000_000)
    lines = text(whole(Subject(running, NOON, rate=1_200_000), 78))
    assert "✓ register the adapter" in lines
    assert "▸ upload its files  34.1 of 84 MB  40%  1.2 MB/s  41s left" in lines
    assert "· create the deployment  $ bills from here" in lines


def test_the_rate_is_that_of_the_last_observations() -> None:
    rates = Rates()
    start = NOON - timedelta(seconds=100)
    for second, done in ((0, 1_000_000), (10, 2_000_000), (20, 12_000_000)):
        operation = with_step(done=done, total=100_000_000, started_at=start).operation
        assert operation is not None
        rates.note(operation, start + timedelta(seconds=second))
    assert operation.current is not None
    assert rates.per_second(operation, operation.current, NOON) == 550_000
    assert Rates().per_second(operation, operation.current, NOON) == 120_000


def test_the_words_of_the_origin_are_in_the_detail() -> None:
    orphan = replace(with_status(Status.ACTIVE), origin=Origin.ORPHAN)
    for lines in (whole(Subject(orphan, NOON), 78), folded(Subject(orphan, NOON), 78, 6)):
        assert "nothing here manages it: adopt it or stop it" in " ".join(text(lines).split())


def test_no_line_of_the_detail_is_too_wide() -> None:
    for width in (38, 58, 78, 118):
        for deployment in (
            with_status(Status.ACTIVE, reason="word " * 60),
            with_operation(OperationState.FAILED),
            with_step(note="checking " * 30),
            with_step(done=5, total=84_000_000),
        ):
            subject = Subject(deployment, NOON)
            assert all(
                width_of(line) <= width for line in (*whole(subject, width), *folded(subject, width, 9))
            )


# Lines


def test_words_wrap_and_long_ones_break() -> None:
    assert text(wrapped("one two three", 9)) == "one two\nthree"
    assert text(wrapped("x" * 20, 9)) == "xxxxxxxxx\nxxxxxxxxx\nxx"


def test_the_left_gives_way() -> None:
    line = spread((Cell("a long beginning"),), (Cell("end"),), 12)
    assert "".join(c.text for c in line) == "a long … end"


def test_only_the_cells_that_differ_are_named() -> None:
    assert difference((Cell("label one  "),), (Cell("label two"),), 20) == (6, 9)
    assert difference((Cell("同じ"),), (Cell("x"),), 20) == (0, 20)


# Themes


@pytest.mark.parametrize(
    ("environ", "theme"),
    [
        ({"TERM": "xterm-256color"}, DARK),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, DARK),
        ({"TERM": "xterm-256color", "COLORFGBG": "0;15"}, LIGHT),
        ({"TERM": "xterm-256color", "COLORFGBG": "15;0"}, DARK),
        ({"TERM": "screen"}, ANSI),
        ({"TERM": "linux"}, ANSI),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, ANSI),
        ({"TERM": "xterm-256color", "NO_COLOR": "1", "PEFT_TUI_THEME": "nord"}, "nord"),
        ({"TERM": "xterm-256color", "PEFT_TUI_THEME": "no such"}, DARK),
    ],
)
def test_the_theme_suits_the_terminal(environ: dict[str, str], theme: str) -> None:
    assert choose_theme(environ) == theme


@pytest.mark.parametrize(
    ("environ", "ascii"),
    [
        ({}, False),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, True),
        ({"LANG": "C.UTF-8", "TERM": "linux"}, True),
    ],
)
def test_plain_marks_where_the_font_has_no_others(environ: dict[str, str], ascii: bool) -> None:
    assert ascii_only(environ) is ascii


def test_all_marks_have_a_plain_form() -> None:
    assert plain("● ◌ ✖ → — …") == "* ~ x > - ~"
    assert plain("naïve").isascii()


def test_an_upload_is_never_said_to_be_more_than_the_whole() -> None:
    # BUG: "15.4 of 15 MB".
    assert _amount(15_400_000, 15_400_000) == "15.0 of 15 MB"
    assert _amount(7_000_000, 15_400_000) == "7.0 of 15 MB"
