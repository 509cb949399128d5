"""What is done to deployments, by keys: asked first, written down, told until it is read back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from textual.app import App

from peft_tui.domain.errors import PlatformFailed
from peft_tui.domain.event import Event
from peft_tui.domain.money import Price
from peft_tui.domain.offers import InstanceType
from peft_tui.domain.operation import Operation, OperationKind, OperationState
from peft_tui.domain.status import Status, gone
from peft_tui.domain.version import Version
from peft_tui.services.lookups import Question, Topic
from peft_tui.store import Store
from peft_tui.ui.screens.deployments import DeploymentsScreen
from tests.driving import Driver, drive
from tests.seeds import (
    H100,
    NOON,
    FrozenClock,
    StillBackend,
    listed,
    made,
    observed,
    populated,
    put,
    see,
    still_app,
)


@asynccontextmanager
async def at_home(
    directory: Path, seed: Any = populated, size: tuple[int, int] = (80, 24), **more: Any
) -> AsyncIterator[Driver]:
    """The list, once what the platforms can do is known."""
    async with drive(still_app(directory, seed, **more), size) as at:
        await at.until(lambda: isinstance(at.app.screen, DeploymentsScreen) and at.app.screen.is_current)
        await at.until(lambda: at.app.screen._loaded and at.app.ready)  # type: ignore[attr-defined]
        await at.sees("STATUS")
        yield at


def store_of(at: Driver) -> Store:
    return backend_of(at.app).store


def backend_of(app: App[Any]) -> StillBackend:
    backend = app._backend  # type: ignore[attr-defined]
    assert isinstance(backend, StillBackend)
    return backend


async def asked(at: Driver, name: str) -> list[Operation]:
    (deployment,) = await store_of(at).deployments.named(name)
    return await store_of(at).operations.of_deployment(deployment.id)


async def kinds(at: Driver, name: str) -> list[tuple[str, str]]:
    return [(operation.kind.value, operation.state.value) for operation in await asked(at, name)]


async def one_active(store: Store) -> None:
    await put(store, made("bot"), observed(Status.ACTIVE, 1800), observed(Status.ACTIVE))
    await listed(store, "together")


async def one_stopped(store: Store) -> None:
    await put(store, made("bot"), observed(Status.ACTIVE, 1800), observed(Status.STOPPED))
    await listed(store, "together")


async def three_active(store: Store) -> None:
    for number, name in enumerate(("one", "two", "three")):
        await put(store, made(name, minutes_ago=60 + number), observed(Status.ACTIVE))
    await listed(store, "together")


# Stop


async def test_a_stop_says_what_it_costs_and_what_ends_and_cancel_comes_first(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        await at.press("x")
        await at.sees("Stop bot on Together AI?", "now $5.49/h", "stops 1 instance of bot-")
        await at.sees(
            "1 set its replicas to 0", "Nothing bills once the platform says stopped", "▸ [ Cancel ]"
        )
        await at.press("enter")
        await at.gone("Stop bot")
        assert await asked(at, "bot") == []


@pytest.mark.parametrize("keys", [("right", "enter"), ("y",)])
async def test_a_stop_that_is_agreed_to_is_written_down(tmp_path: Path, keys: tuple[str, ...]) -> None:
    async with at_home(tmp_path, one_active) as at:
        await at.press("x")
        await at.sees("Stop bot on Together AI?")
        await at.press(*keys)
        await at.sees("◐ stopping, still billing", "asked to stop 0s ago: it bills $5.49/h")
        assert await kinds(at, "bot") == [("stop", "queued")]


async def test_it_is_stopping_until_it_is_read_back(tmp_path: Path) -> None:
    clock = FrozenClock()
    async with at_home(tmp_path, one_active, clock=clock) as at:
        await at.press("x")
        await at.sees("Stop bot")
        await at.press("y")
        await at.sees("stopping, still billing")
        (stop,) = await asked(at, "bot")
        clock.turn(13)
        (bot,) = await store_of(at).deployments.named("bot")
        await see(store_of(at), bot, observed(Status.ACTIVE, -13))
        await at.sees("stopping, still billing 10s", "asked to stop 10s ago")
        await see(store_of(at), bot, observed(Status.STOPPED, -13))
        await at.sees("◐ stopping 10s")
        await store_of(at).operations.set_state(stop, OperationState.DONE, clock.now())
        await at.sees("bot together ◼ stopped")


async def test_on_a_narrow_terminal_it_still_says_that_it_bills(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active, size=(60, 20)) as at:
        await at.press("x")
        await at.sees("Stop bot")
        await at.press("y")
        await at.sees("◐ stopping, bills")


async def test_a_second_press_does_not_ask_twice(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        screen = at.app.screen
        assert isinstance(screen, DeploymentsScreen)
        screen.action_stop()
        screen.action_stop()
        await at.sees("Stop bot on Together AI?")
        await at.press("escape")
        await at.gone("Stop bot")
        assert len(at.app.screen_stack) == 2


async def test_what_was_asked_something_lately_is_stopped_by_its_name_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_home(tmp_path, one_active) as at:
        (bot,) = await store_of(at).deployments.named("bot")

        async def since(ids: Any, moment: Any) -> dict[str, int]:
            assert NOON - moment == timedelta(minutes=15)
            return {bot.id: 41}

        monkeypatch.setattr(store_of(at).requests, "since", since)
        await at.press("x")
        await at.sees("traffic 41 requests from here in the last 15 minutes", "Type bot to stop.")
        await at.press("enter")
        assert await asked(at, "bot") == []
        await at.type("bot")
        await at.press("enter")
        await at.sees("stopping, still billing")


# Why not


async def test_what_is_not_possible_says_why(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        for key, reason in (("o", "It is not stopped."), ("c", "Nothing is under way.")):
            await at.press(key)
            await at.sees(reason)
        await at.press("a")
        await at.sees("It is managed here already.")
        assert len(at.app.screen_stack) == 2
        assert await asked(at, "bot") == []


async def test_the_footer_offers_what_is_possible_and_the_help_says_why_not(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_stopped) as at:
        await at.until(lambda: "o start" in at.footer)
        assert "x stop" not in at.footer
        await at.press("question_mark")
        await at.sees("x Stop It is stopped already.", "o Start Serve again")


async def test_before_anything_is_known_of_the_platforms_nothing_is_greyed(tmp_path: Path) -> None:
    async with drive(still_app(tmp_path, one_stopped)) as at:
        await at.until(lambda: isinstance(at.app.screen, DeploymentsScreen))
        screen = at.app.screen
        assert isinstance(screen, DeploymentsScreen)
        at.app.ready = False  # type: ignore[attr-defined]
        assert screen.refusal("stop") == ""


# Start


async def test_a_start_says_what_it_will_cost(tmp_path: Path) -> None:
    machine = InstanceType(H100, "1 × H100", Price(Decimal("5.49"), "platform", "2026-03-14"))

    async with at_home(tmp_path, one_stopped) as at:
        lookups = backend_of(at.app).lookups
        await lookups.write(Question("together", Topic.INSTANCE_TYPES), NOON, (machine,))
        await at.press("o")
        await at.sees("Start bot on Together AI?", "then $5.49 – $10.98/h", "$ bills from here")
        await at.press("y")
        await at.sees("◐ starting")
        (operation,) = await asked(at, "bot")
        assert operation.kind is OperationKind.START
        assert dict(operation.changes) == {"min_instances": 1, "max_instances": 2}


# Delete


async def test_deleting_what_serves_takes_its_name(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        await at.press("D")
        await at.sees("Delete bot on Together AI?", "delete its endpoint", "Type bot to delete.")
        await at.type("boy")
        await at.press("enter")
        assert at.shows("Type bot to delete.") and await asked(at, "bot") == []
        await at.press("backspace", "t", "enter")
        await at.sees("◐ deleting, still billing")
        assert await kinds(at, "bot") == [("delete", "queued")]


async def test_deleting_what_is_stopped_takes_a_word(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_stopped) as at:
        await at.press("delete")
        await at.sees("Delete bot on Together AI?")
        assert not at.shows("Type bot")
        await at.press("y")
        await at.sees("◐ deleting")


# Adopt, give up


async def test_an_orphan_is_adopted(tmp_path: Path) -> None:
    async with at_home(tmp_path) as at:
        await at.sees("! peft-x-1f3a9c2b together ● orphan, active", "$1.95")
        await at.press("j", "j", "j", "j")
        await at.selects("peft-x")
        await at.until(lambda: "a adopt" in at.footer)
        await at.press("a")
        await at.sees("Adopt peft-x-1f3a9c2b?", "now $1.95/h", "Nothing is sent.")
        await at.press("y")
        await at.sees("peft-x-1f3a9c2b together ● active")
        await at.gone("orphan")


async def test_a_running_create_is_given_up(tmp_path: Path) -> None:
    async with at_home(tmp_path) as at:
        await at.selects("ticket-router")
        await at.press("c")
        await at.sees("Give up what is under way: ticket-router?", "what was made already is deleted")
        await at.press("y")
        await at.sees("ticket-router together ◐ deleting")
        operations = await asked(at, "ticket-router")
        assert [operation.kind for operation in operations] == [OperationKind.DELETE, OperationKind.CREATE]
        assert operations[1].given_up


@pytest.mark.parametrize(
    ("key", "title", "words"),
    [
        ("x", "Stop bot on Together AI?", "starting, which waits for the stop, is given up"),
        ("c", "Give up what is under way: bot?", "bot: it is not started again after the stop"),
    ],
)
async def test_a_start_that_waits_behind_a_stop_is_given_up(
    tmp_path: Path, key: str, title: str, words: str
) -> None:
    async with at_home(tmp_path, one_active) as at:
        life = backend_of(at.app).life
        (bot,) = await store_of(at).deployments.named("bot")
        stop = await life.stop(bot.id)
        await store_of(at).operations.step_sent(stop, stop.steps[0], NOON)
        await life.start(bot.id)
        await at.sees("next it is started again, and bills")
        await at.press(key)
        await at.sees(title, words)
        await at.press("y")
        await at.gone(title)
        await at.until(lambda: "x stop" not in at.footer and "c give up" not in at.footer)
        assert await kinds(at, "bot") == [("start", "cancelled"), ("stop", "queued")]


async def test_what_is_gone_at_the_platform_is_taken_off_the_list(tmp_path: Path) -> None:
    async def one_gone(store: Store) -> None:
        await one_active(store)
        await put(store, made("old"), observed(Status.ACTIVE, 60), gone(NOON, "deleted elsewhere"))

    async with at_home(tmp_path, one_gone) as at:
        await at.sees("old together")
        await at.press("j" if not at.selected.split()[1] == "old" else "k")
        await at.selects("old")
        await at.press("D")
        await at.sees("Delete old on Together AI?", "It does not run at the platform any more")
        assert not at.shows("Type old")
        await at.press("y")
        await at.gone("old together")


# Several


async def test_marks_stay_with_their_deployments_and_verbs_apply_to_all_of_them(tmp_path: Path) -> None:
    async with at_home(tmp_path, three_active) as at:
        await at.press("space", "j", "space")
        await at.sees("✓ 2 marked · $10.98/h", "✓one", "✓three")
        await at.press("s")
        await at.sees("✓one", "✓three")
        await at.press("x")
        await at.sees("Stop 2 deployments?", "now $10.98/h", "one · together · active · $5.49/h")
        await at.press("y")
        await at.sees("Stop asked for: 2 deployments.")
        await at.gone("marked")
        assert [await kinds(at, name) for name in ("one", "two", "three")] == [
            [("stop", "queued")],
            [],
            [("stop", "queued")],
        ]


async def test_a_range_and_all_that_the_filter_leaves(tmp_path: Path) -> None:
    async with at_home(tmp_path) as at:
        await at.press("slash", *"platform", "colon", *"together", "enter")
        await at.sees("5 of 7")
        await at.press("asterisk")
        await at.sees("5 marked")
        await at.press("asterisk")
        await at.gone("marked")
        await at.press("space", "j", "v")
        await at.sees("3 marked")
        await at.press("escape")
        await at.gone("marked")
        assert at.shows("/ platform:together"), "the filter goes with the next escape"


async def test_while_rows_are_marked_they_keep_their_places(tmp_path: Path) -> None:
    async with at_home(tmp_path, three_active) as at:
        await at.press("s", "s", "s")
        await at.sees("by status")
        await at.press("space")
        await at.sees("1 marked")
        before = [_name_on(line) for line in at.lines[4:7]]
        assert before[0] != "two"
        (two,) = await store_of(at).deployments.named("two")
        await see(store_of(at), two, observed(Status.FAILED, 1))
        await at.sees("✖ failed")
        assert [_name_on(line) for line in at.lines[4:7]] == before
        await at.press("escape")
        await at.until(lambda: "two" in at.lines[4], "the order is taken up again")


async def test_what_cannot_be_done_to_some_is_told_row_by_row(tmp_path: Path) -> None:
    async def mixed(store: Store) -> None:
        await one_active(store)
        await put(store, made("idle", minutes_ago=90), observed(Status.STOPPED))

    async with at_home(tmp_path, mixed) as at:
        await at.press("asterisk", "x")
        await at.sees("Stop bot on Together AI?")
        await at.press("y")
        await at.sees("Stop: 1 of 2 asked for", "✖ idle", "It is stopped already.", "✓ bot")
        await at.press("enter")
        await at.sees("1 marked")


async def test_what_vanished_is_marked_no_more(tmp_path: Path) -> None:
    async with at_home(tmp_path, three_active) as at:
        await at.press("asterisk")
        await at.sees("3 marked")
        (two,) = await store_of(at).deployments.named("two")
        async with store_of(at).database.transaction() as transaction:
            await store_of(at).deployments.remove(transaction, two, NOON, "deleted")
        await at.sees("2 marked")


async def test_an_intent_that_is_refused_is_kept_in_the_list_of_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_home(tmp_path, one_active) as at:

        async def stop(deployment_id: str) -> None:
            raise PlatformFailed("It cannot be.", hint="Try again.")

        monkeypatch.setattr(backend_of(at.app).life, "stop", stop)
        await at.press("x")
        await at.sees("Stop bot")
        await at.press("y")
        await at.sees("It cannot be. Try again.")
        await at.press("e")
        await at.sees("Errors 1 of 1 still so", "bot", "stop refused", "Try again.")


# Update


async def test_the_form_shows_the_values_and_the_difference_before_anything_is_sent(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        await at.press("u")
        await at.sees("Update bot · Together AI", "Minimum instances 1", "Nothing is different yet.")
        await at.sees("Instance type 1x_nvidia_h100_80gb_sxm · decided when it was created")
        await at.press("ctrl+s")
        await at.sees("✖ Nothing is different yet.")
        await at.press("tab", "backspace", "5")
        await at.sees("● live", "was 2", "changes Maximum instances 2 → 5 live")
        await at.sees("costs $5.49 – $27.45/h now $5.49 – $10.98/h", "steps change it while it serves")
        await at.press("ctrl+s")
        await at.sees(
            "Update bot on Together AI?", "then $5.49 – $27.45/h", "changes Maximum instances: 2 → 5 · live"
        )
        assert await asked(at, "bot") == []
        await at.press("y")
        await at.sees("◐ updating")
        (operation,) = await asked(at, "bot")
        assert dict(operation.changes) == {"max_instances": 5}


async def test_a_value_that_cannot_be_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        await at.press("u")
        await at.sees("Minimum instances")
        await at.press("backspace", "9")
        await at.sees("✖ Minimum instances: at most the maximum, 2")
        await at.press("ctrl+s")
        assert not at.shows("Update bot on")
        await at.press("escape")
        await at.sees("NAME")
        assert await asked(at, "bot") == []


async def test_several_of_one_platform_are_changed_alike(tmp_path: Path) -> None:
    async with at_home(tmp_path, three_active) as at:
        await at.press("asterisk", "u")
        await at.sees("Update 3 deployments on Together AI", "$16.47/h now")
        await at.press("tab", "backspace", "4", "ctrl+s")
        await at.sees("Update 3 deployments?", "then $16.47 – $65.88/h")
        await at.press("y")
        await at.sees("Update asked for: 3 deployments.")
        for name in ("one", "two", "three"):
            assert [dict(operation.changes) for operation in await asked(at, name)] == [{"max_instances": 4}]


async def test_deployments_of_two_platforms_have_no_form_in_common(tmp_path: Path) -> None:
    async with at_home(tmp_path) as at:
        await at.press("j", "j", "j", "space", "j", "space", "u")
        await at.sees("Settings are each platform's own")


# The screen of one deployment


async def test_its_sections_are_a_key_away(tmp_path: Path) -> None:
    async with at_home(tmp_path) as at:
        await at.press("j", "j", "j", "enter")
        await at.sees("1 overview ●", "endpoint https://api.together.ai/v1", "settings", "Guard")
        await at.press("5")
        await at.sees("5 observations ●", "deploying SCALING_UP")
        await at.press("4")
        await at.sees("Nothing was asked of it from here.")
        await at.press("right")
        await at.sees("5 observations ●")
        await at.press("tab")
        await at.sees("1 overview ●")


async def test_operations_stand_there_with_their_steps_and_errors(tmp_path: Path) -> None:
    async with at_home(tmp_path) as at:
        await at.press("j", "enter", "4")
        await at.sees("create failed after", "✖ start the import", "Add credit at replicate.com")


async def test_events_are_asked_for_and_shown_when_they_come(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        backend = backend_of(at.app)
        questions: list[Question] = []
        backend.lookups.carry_out = questions.append
        await at.press("enter", "2")
        await at.sees("asking together for its events")
        (bot,) = await store_of(at).deployments.named("bot")
        asked_for = Question("together", Topic.EVENTS, remote_id=bot.remote_id)
        assert questions == [asked_for]
        happened = (
            Event(NOON, "Replica 1 is ready [/x]", "info", "deployment.ready"),
            Event(NOON, "No GPU", "error"),
            Event(NOON, "", "info", "deployment.scaled"),
        )
        await backend.lookups.write(asked_for, NOON, happened)
        await at.sees("· Replica 1 is ready [/x] deployment.ready", "✖ No GPU", "· deployment.scaled")
        await at.press("r")
        await at.until(lambda: questions == [asked_for] * 2)


async def one_on_modal(store: Store) -> None:
    bot = made("bot", "modal", instance_type="H100")
    await put(store, bot, observed(Status.ACTIVE, instance_type="H100", usd_per_hour=Decimal("3.95")))
    await listed(store, "modal")


async def test_an_earlier_version_is_picked_and_what_that_does_is_shown_first(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_on_modal) as at:
        backend = backend_of(at.app)
        questions: list[Question] = []
        backend.lookups.carry_out = questions.append
        await at.press("enter", "b")
        await at.sees("Versions of bot", "asking for its versions")
        (bot,) = await store_of(at).deployments.named("bot")
        asked_for = Question("modal", Topic.VERSIONS, remote_id=bot.remote_id)
        assert questions == [asked_for]
        versions = (
            Version(3, NOON, "by ada[/x]", serves=True, refused="It serves."),
            Version(2, NOON, "rolled back to 1 · by ada", refused="Modal does not let it serve again."),
            Version(1, NOON - timedelta(days=1), "by ada"),
        )
        await backend.lookups.write(asked_for, NOON, versions)
        await at.sees("3 ", "serves", "by ada[/x]", "rolled back to 1")
        await at.press("enter")
        await at.sees("It serves.")
        await at.press("j", "enter")
        await at.sees("Modal does not let it serve again.")
        await at.press("j", "enter")
        await at.sees("Rollback bot on Modal?", "now $3.95/h", "Version 1 serves", "both bill")
        assert await asked(at, "bot") == []
        await at.press("y")
        await at.sees("rolling back")
        assert await kinds(at, "bot") == [("rollback", "queued")]


async def test_where_no_versions_are_kept_the_key_says_so(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        await at.press("enter", "b")
        await at.sees("Together AI keeps")


async def test_an_error_of_the_look_up_is_said_with_its_next_step(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        (bot,) = await store_of(at).deployments.named("bot")
        asked_for = Question("together", Topic.EVENTS, remote_id=bot.remote_id)
        error = PlatformFailed("Together broke.", hint="Ask again later.")
        await backend_of(at.app).lookups.write(asked_for, NOON, error=error)
        await at.press("enter", "2")
        await at.sees("Together broke.", "Ask again later.")


async def test_where_there_are_no_logs_the_reason_stands_there(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        questions: list[Question] = []
        backend_of(at.app).lookups.carry_out = questions.append
        await at.press("enter", "3")
        await at.sees("Together hands out no logs of a deployment")
        assert questions == []


async def test_verbs_are_there_too_and_a_deleted_one_says_so(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        await at.press("enter")
        await at.sees("1 overview ●")
        await at.press("x")
        await at.sees("Stop bot on Together AI?")
        await at.press("y")
        await at.sees("bot ◐ stopping, still billing", "stop asked for 0s ago")
        (bot,) = await store_of(at).deployments.named("bot")
        async with store_of(at).database.transaction() as transaction:
            await store_of(at).deployments.remove(transaction, bot, NOON, "deleted")
        await at.sees("bot deleted: nothing of it is left")


async def test_its_figures_are_a_key_away_too(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        await at.press("enter")
        await at.sees("1 overview ●")
        await at.press("m")
        await at.until(lambda: type(at.app.screen).__name__ == "MetricsScreen")


async def test_beside_the_overview_on_a_wide_terminal(tmp_path: Path) -> None:
    async with at_home(tmp_path, size=(140, 40)) as at:
        await at.press("j", "j", "j", "enter", "5")
        await at.sees("endpoint https://api.together.ai/v1", "deploying SCALING_UP")
        await at.pilot.resize_terminal(60, 20)
        await at.until(lambda: not at.shows("endpoint") and at.shows("SCALING_UP"))
        await at.pilot.resize_terminal(140, 40)
        await at.sees("endpoint https://api.together.ai/v1", "deploying SCALING_UP")


# Errors, and a person who looks elsewhere


async def test_errors_of_operations_and_platforms_are_listed_and_lead_there(tmp_path: Path) -> None:
    async def failing(store: Store) -> None:
        await populated(store)
        error = {"kind": "connection", "message": "No answer.", "hint": "Check the network."}
        await store.platforms.failed("together", error, NOON - timedelta(minutes=2))

    async with at_home(tmp_path, failing) as at:
        await at.press("e")
        await at.sees("2 of 2 still so", "legal-draft", "create failed", "connection", "Check the network.")
        await at.press("j")
        await at.sees("Add credit at replicate.com")
        await at.press("enter")
        await at.selects("legal-draft")


async def test_an_error_of_our_own_is_in_the_list_as_well(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:

        async def broken() -> None:
            raise KeyError("[/x]")

        at.app.run_worker(broken(), exit_on_error=False)
        await at.sees("Internal error: KeyError")
        await at.press("e")
        await at.sees("internal error", "Please report it, with the log")


async def test_without_errors_the_key_says_so(tmp_path: Path) -> None:
    async with at_home(tmp_path, one_active) as at:
        assert at.app.screen.refusal("errors")  # type: ignore[attr-defined]
        await at.press("e")
        await at.sees("nothing went wrong in this session")


@pytest.mark.parametrize(
    ("focused", "wanted", "tells"), [(False, True, 1), (True, True, 0), (False, False, 0)]
)
async def test_a_person_who_looks_elsewhere_is_told_unless_she_wants_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, focused: bool, wanted: bool, tells: int
) -> None:
    async with at_home(tmp_path) as at:
        written: list[str] = []
        monkeypatch.setattr(at.app._driver, "write", written.append)
        at.app.app_focus = focused
        settings = at.app.settings  # type: ignore[attr-defined]
        config = replace(settings.config, notifications=wanted)
        at.app.settings = replace(settings, config=config)  # type: ignore[attr-defined]
        (summaries,) = await store_of(at).deployments.named("summaries")
        await see(store_of(at), summaries, observed(Status.ACTIVE, 1))
        await at.sees("summaries together ● active")
        notices = [text for text in written if "summaries is active on together" in text]
        assert len(notices) == tells


# As it was left


async def test_filter_order_and_cursor_are_as_they_were_left(tmp_path: Path) -> None:
    async def nothing(store: Store) -> None:
        """The store is there already."""

    async with at_home(tmp_path) as at:
        await at.press("s", "p", "p", "j", "j")
        await at.sees("/ platform:together", "NAME ▲")
        name = at.selected.split()[1]

        async def kept() -> bool:
            view = await store_of(at).views.get("deployments")
            return bool(view.get("cursor"))

        await _until(at, kept)
    async with at_home(tmp_path, nothing) as at:
        await at.sees("/ platform:together", "NAME ▲")
        await at.selects(name)


@pytest.mark.usefixtures("plain_terminal")
@pytest.mark.parametrize(
    ("size", "keys", "wanted", "theme"),
    [
        pytest.param((80, 24), ["j", "j", "j", "x"], "▸ [ Cancel ]", "", id="stop"),
        pytest.param((60, 20), ["j", "j", "j", "D"], "Type support-bot", "peft-ansi", id="delete-ansi"),
        pytest.param(
            (80, 24), ["j", "j", "j", "u", "tab", "backspace", "3"], "2 → 3", "peft-light", id="update-light"
        ),
        pytest.param((140, 40), ["j", "enter", "4"], "4 operations ●", "", id="deployment-wide"),
    ],
)
def test_looks(
    snap_compare: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    keys: list[str],
    wanted: str,
    theme: str,
) -> None:
    monkeypatch.setenv("PEFT_TUI_THEME", theme)

    async def settle(pilot: Any) -> None:
        at = Driver(pilot)
        await at.until(lambda: at.shows("support-bot") and at.app.ready)  # type: ignore[attr-defined]
        for key in keys:
            await pilot.press(key)
        await at.sees(wanted)
        await pilot.pause()

    assert snap_compare(still_app(tmp_path, populated), terminal_size=size, run_before=settle)


def _name_on(line: str) -> str:
    return line.strip(" ▸✓").split()[0]


async def _until(at: Driver, fact: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1000):
        if await fact():
            return
        await at.pilot.pause(0.01)
    raise AssertionError("it was never kept")
