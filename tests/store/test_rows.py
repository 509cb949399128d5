"""Deployments, what was seen of them, and the journal of what was asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from peft_tui.domain.operation import OperationState, StepState
from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.store import Changes, Store
from tests.doubles import NOON, PLATFORM, deployment, intend, operation, see, seen

SOON, LATER = NOON + timedelta(seconds=5), NOON + timedelta(seconds=10)


async def added(store: Store, name: str = "bot", **more: Any) -> str:
    wanted = deployment(name, **more)
    async with store.database.transaction() as transaction:
        await store.deployments.insert(transaction, wanted)
    return wanted.id


async def read(store: Store, identity: str) -> Any:
    found = await store.deployments.get(identity)
    assert found is not None
    return found


async def listed(store: Store, at: Any, platform: str = PLATFORM) -> None:
    async with store.database.transaction() as transaction:
        await store.platforms.listed(transaction, platform, at)


class TestObservations:
    async def test_all_of_it_comes_back(self, store: Store) -> None:
        identity = await added(store)
        full = Observation(
            Status.ACTIVE,
            NOON,
            "READY",
            "why",
            Condition.SCALING,
            1,
            2,
            1,
            3,
            "gpu",
            Decimal("5.490"),
            "https://x",
            "m",
        )
        await see(store, identity, full, remote_id="id-1")
        found = await read(store, identity)
        assert found.observation == full
        assert (found.remote_id, found.listed, found.since) == ("id-1", True, NOON)

    async def test_nothing_known_is_not_nought(self, store: Store) -> None:
        identity = await added(store)
        await see(store, identity, seen())
        observation = (await read(store, identity)).observation
        assert (observation.usd_per_hour, observation.ready_instances) == (None, None)

    async def test_the_same_again_is_no_line_of_history(self, store: Store) -> None:
        identity = await added(store)
        await see(store, identity, seen(at=NOON, usd_per_hour=Decimal(1)))
        await see(store, identity, seen(at=SOON, usd_per_hour=Decimal(2)))
        assert len(await store.deployments.history(identity)) == 1
        assert (await read(store, identity)).observation.usd_per_hour == 2

    @pytest.mark.parametrize(
        "news",
        [
            {"status": Status.FAILED},
            {"platform_status": "DEGRADED"},
            {"reason": "why"},
            {"condition": Condition.SCALING},
            {"ready_instances": 2},
            {"min_instances": 2},
            {"max_instances": 2},
            {"instance_type": "gpu-2"},
        ],
        ids=lambda news: next(iter(news)),
    )
    async def test_news_is_a_line_of_history(self, store: Store, news: dict[str, Any]) -> None:
        identity = await added(store)
        first = seen(at=NOON)
        await see(store, identity, first)
        await see(store, identity, replace(first, observed_at=SOON, **news))
        assert [line.observed_at for line in await store.deployments.history(identity)] == [NOON, SOON]

    async def test_the_history_is_the_newest_lines_oldest_first(self, store: Store) -> None:
        identity = await added(store)
        for number in range(5):
            await see(store, identity, seen(at=NOON, ready_instances=number))
        lines = await store.deployments.history(identity, limit=3)
        assert [line.ready_instances for line in lines] == [2, 3, 4]

    async def test_since_is_the_begin_of_the_status_and_not_of_its_details(self, store: Store) -> None:
        identity = await added(store)
        await see(store, identity, seen(Status.DEPLOYING, NOON))
        await see(store, identity, seen(Status.DEPLOYING, SOON, reason="why"))
        assert (await read(store, identity)).since == NOON
        await see(store, identity, seen(Status.ACTIVE, LATER))
        assert (await read(store, identity)).since == LATER

    async def test_an_unchanged_row_is_as_young_as_the_platform_s_last_list(self, store: Store) -> None:
        identity = await added(store)
        await see(store, identity, seen(at=NOON))
        await listed(store, LATER)
        assert (await read(store, identity)).observation.observed_at == LATER

    async def test_the_list_of_another_platform_makes_nothing_younger(self, store: Store) -> None:
        identity = await added(store)
        await see(store, identity, seen(at=NOON))
        await listed(store, LATER, "another")
        assert (await read(store, identity)).observation.observed_at == NOON

    async def test_an_observation_younger_than_the_list_keeps_its_time(self, store: Store) -> None:
        identity = await added(store)
        await listed(store, NOON)
        await see(store, identity, seen(at=SOON))
        assert (await read(store, identity)).observation.observed_at == SOON

    @pytest.mark.parametrize("microseconds", [0, 1, 500_000])
    async def test_the_younger_of_two_times_is_found_with_and_without_fractions(
        self, store: Store, microseconds: int
    ) -> None:
        identity = await added(store)
        await see(store, identity, seen(at=NOON))
        later = NOON + timedelta(seconds=1, microseconds=microseconds)
        await listed(store, later)
        assert (await read(store, identity)).observation.observed_at == later
        await listed(store, NOON - timedelta(microseconds=1))
        assert (await read(store, identity)).observation.observed_at == NOON

    async def test_what_a_list_left_out_keeps_the_age_that_it_had(self, store: Store) -> None:
        identity = await added(store)
        await see(store, identity, seen(at=NOON))
        await listed(store, SOON)
        async with store.database.transaction() as transaction:
            await store.deployments.missed(transaction, await read(store, identity))
        await listed(store, LATER)
        found = await read(store, identity)
        assert (found.observation.observed_at, found.listed) == (SOON, False)

    async def test_what_is_not_listed_is_not_made_younger_by_the_list(self, store: Store) -> None:
        identity = await added(store)
        await see(store, identity, seen(at=NOON), listed=False)
        await listed(store, LATER)
        assert (await read(store, identity)).observation.observed_at == NOON

    async def test_an_id_once_known_is_not_forgotten(self, store: Store) -> None:
        identity = await added(store)
        await see(store, identity, seen(), remote_id="id-1")
        await see(store, identity, seen(at=SOON), remote_id="")
        assert (await read(store, identity)).remote_id == "id-1"


class TestDeployments:
    async def test_they_come_oldest_first(self, store: Store) -> None:
        await added(store, "young", created_at=LATER)
        await added(store, "old", created_at=NOON)
        assert [d.name for d in await store.deployments.all()] == ["old", "young"]

    async def test_some_are_those_that_exist(self, store: Store) -> None:
        identity = await added(store)
        await added(store, "other")
        assert [d.id for d in await store.deployments.some([identity, "nothing"])] == [identity]
        assert await store.deployments.some([]) == []

    async def test_an_account_is_written_once(self, store: Store) -> None:
        identity = await added(store)
        await store.deployments.belongs_to(identity, "acme")
        await store.deployments.belongs_to(identity, "other")
        assert (await read(store, identity)).account == "acme"

    async def test_an_account_has_its_own_and_those_of_nobody_yet(self, store: Store) -> None:
        for name, account in (("ours", "acme"), ("new", ""), ("theirs", "other")):
            await added(store, name, account=account)
        assert {d.name for d in await store.deployments.of_account(PLATFORM, "acme")} == {"ours", "new"}
        assert await store.deployments.of_account("another", "acme") == []

    async def test_a_name_with_wildcards_means_itself(self, store: Store) -> None:
        await added(store, "bot")
        assert await store.deployments.named("b%") == []
        assert await store.deployments.named("' OR 1=1 --") == []


class TestPlatforms:
    async def test_a_failure_keeps_its_begin_until_it_is_over(self, store: Store) -> None:
        await store.platforms.failed("p", {"kind": "timeout"}, NOON)
        await store.platforms.failed("p", {"kind": "connection"}, SOON)
        health = (await store.platforms.all())["p"]
        assert (health.failing_since, health.error, health.listed_at) == (NOON, {"kind": "connection"}, None)
        await listed(store, LATER, "p")
        health = (await store.platforms.all())["p"]
        assert (health.failing_since, health.error, health.listed_at) == (None, None, LATER)

    async def test_a_failure_does_not_forget_the_last_list(self, store: Store) -> None:
        await listed(store, NOON, "p")
        await store.platforms.failed("p", {"kind": "timeout"}, SOON)
        health = (await store.platforms.all())["p"]
        assert (health.listed_at, health.failing_since) == (NOON, SOON)


class TestJournal:
    async def test_steps_come_in_the_order_of_the_plan(self, store: Store) -> None:
        asked = await intend(store, deployment())
        read_ = await store.operations.get(asked.id)
        assert read_ == asked
        assert [step.seq for step in read_.steps] == [0, 1, 2, 3]

    async def test_a_step_goes_from_sent_to_done_with_its_times_and_outputs(self, store: Store) -> None:
        asked = await intend(store, deployment())
        await store.operations.step_sent(asked, asked.steps[0], NOON)
        await store.operations.progress(asked, asked.steps[0], 10, 84, "half")
        step = (await store.operations.get(asked.id) or asked).steps[0]
        assert (step.state, step.started_at, step.done, step.total, step.note) == (
            StepState.SENT,
            NOON,
            10,
            84,
            "half",
        )
        await store.operations.step_done(
            asked, asked.steps[0], {"id": "x", "nested": [1, {"a": None}]}, LATER
        )
        step = (await store.operations.get(asked.id) or asked).steps[0]
        assert (step.state, step.started_at, step.finished_at) == (StepState.DONE, NOON, LATER)
        assert (step.outputs, step.done, step.note) == ({"id": "x", "nested": [1, {"a": None}]}, 84, "")

    async def test_a_step_that_is_sent_again_began_when_it_was_first_sent(self, store: Store) -> None:
        asked = await intend(store, deployment())
        await store.operations.step_sent(asked, asked.steps[0], NOON)
        await store.operations.step_pending(asked, asked.steps[0], "again")
        await store.operations.step_sent(asked, asked.steps[0], LATER)
        step = (await store.operations.get(asked.id) or asked).steps[0]
        assert (step.state, step.started_at, step.note) == (StepState.SENT, NOON, "")

    async def test_one_step_s_change_touches_no_other(self, store: Store) -> None:
        asked = await intend(store, deployment())
        second = await intend(store, deployment("other"))
        await store.operations.step_done(asked, asked.steps[1], {}, NOON)
        states = [step.state for step in (await store.operations.get(asked.id) or asked).steps]
        assert states == [StepState.PENDING, StepState.DONE, StepState.PENDING, StepState.PENDING]
        assert await store.operations.get(second.id) == second

    async def test_every_change_of_the_journal_is_a_change_of_the_row(self, store: Store) -> None:
        asked = await intend(store, deployment())
        changes: list[Changes] = []
        store.database.listen(changes.append)
        await store.operations.step_sent(asked, asked.steps[0], NOON)
        await store.operations.progress(asked, asked.steps[0], 1, 2, "")
        await store.operations.set_state(asked, OperationState.FAILED, NOON, {"kind": "timeout"})
        assert changes == [Changes(frozenset({asked.deployment_id}))] * 3

    async def test_unfinished_is_what_is_queued_or_running_in_the_order_of_asking(self, store: Store) -> None:
        operations = []
        for number, state in enumerate(OperationState):
            wanted = deployment(f"bot-{number}")
            # A clock that was set back between the two changes nothing about their order.
            asked = replace(operation(wanted, at=NOON - timedelta(seconds=number)), state=state)
            async with store.database.transaction() as transaction:
                await store.deployments.insert(transaction, wanted)
                await store.operations.insert(transaction, asked)
            operations.append(asked)
        queued, running, *_ = operations
        assert [o.id for o in await store.operations.unfinished(PLATFORM)] == [queued.id, running.id]
        assert await store.operations.unfinished("another") == []

    @pytest.mark.parametrize("state", OperationState)
    async def test_a_row_shows_what_is_under_way_or_has_failed_last(
        self, store: Store, state: OperationState
    ) -> None:
        wanted = deployment()
        old = await intend(store, wanted)
        await store.operations.set_state(old, OperationState.FAILED, NOON, {"kind": "timeout"})
        new = replace(operation(wanted, at=LATER), state=state)
        async with store.database.transaction() as transaction:
            await store.operations.insert(transaction, new)
        shown = (await read(store, wanted.id)).operation
        over = state in (OperationState.DONE, OperationState.CANCELLED)
        assert (shown.id if shown else None) == (None if over else new.id)
        assert [o.id for o in await store.operations.of_deployment(wanted.id)] == [new.id, old.id]

    async def test_an_error_is_kept_and_taken_away(self, store: Store) -> None:
        asked = await intend(store, deployment())
        await store.operations.set_state(
            asked, OperationState.FAILED, NOON, {"kind": "timeout", "message": "m"}
        )
        assert (await store.operations.get(asked.id) or asked).error == {"kind": "timeout", "message": "m"}
        await store.operations.set_state(asked, OperationState.RUNNING, LATER)
        again = await store.operations.get(asked.id)
        assert again is not None and (again.error, again.updated_at) == (None, LATER)
