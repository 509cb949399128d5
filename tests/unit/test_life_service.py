"""What may be asked for when, what is written for it, and what is told before."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.errors import ConfigurationInvalid, Conflict
from peft_tui.domain.offers import Change
from peft_tui.domain.operation import OperationKind, OperationState, StepState
from peft_tui.domain.status import Condition, Status, gone
from peft_tui.drivers import capabilities
from peft_tui.services.changes import current_value
from peft_tui.services.life import LifeService
from peft_tui.services.previews import preview, total_usd_per_hour
from peft_tui.services.reasons import why_not, why_not_adopt
from peft_tui.store import Store
from peft_tui.ui.screens.dialogs.question import asked_about
from tests.doubles import NOON, VirtualClock, deployment, operation, see, seen

STOP, START, UPDATE, DELETE = (
    OperationKind.STOP,
    OperationKind.START,
    OperationKind.UPDATE,
    OperationKind.DELETE,
)
SETTINGS = {**capabilities("together").defaults(), "instance_type": "1xnvidia-h100-80gb", "max_instances": 2}


def row(status: Status | None = Status.ACTIVE, **more: Any) -> Deployment:
    facts = {key: more.pop(key) for key in ("origin", "operation", "start_bounds", "others") if key in more}
    made = deployment(settings=SETTINGS)
    bounds = {"min_instances": 1, "max_instances": 2, "billed_instances": 1}
    if status is Status.STOPPED:
        bounds = {"min_instances": 0, "max_instances": 0, "billed_instances": 0}
    observation = None if status is None else seen(status, **{**bounds, **more})
    return replace(made, spec=replace(made.spec, platform="together"), observation=observation, **facts)


def under_way(kind: OperationKind) -> Any:
    return replace(operation(row()), kind=kind, state=OperationState.RUNNING)


class Service:
    def __init__(self, store: Store) -> None:
        self.store, self.life = store, LifeService(store, VirtualClock())

    async def added(self, wanted: Deployment) -> str:
        async with self.store.database.transaction() as transaction:
            await self.store.deployments.insert(transaction, wanted)
        if wanted.observation is not None:
            await see(self.store, wanted.id, wanted.observation, remote_id="ep_1/dep_1")
        return wanted.id

    async def read(self, identity: str) -> Deployment:
        found = await self.store.deployments.get(identity)
        assert found is not None
        return found


@pytest.fixture
def service(store: Store) -> Service:
    return Service(store)


@pytest.mark.parametrize(
    ("deployed", "allowed"),
    [
        (row(), {STOP, UPDATE, DELETE}),
        (row(Status.STOPPED), {START, UPDATE, DELETE}),
        (row(Status.FAILED, billed_instances=0), {DELETE}),
        (row(Status.FAILED, billed_instances=1), {STOP, DELETE}),
        (row(condition=Condition.STOPPING), {STOP, UPDATE, DELETE}),
        (row(origin=Origin.FOUND), {STOP}),
        (row(origin=Origin.ORPHAN), {STOP}),
        (row(operation=under_way(OperationKind.CREATE)), {STOP, UPDATE, DELETE}),
        (row(operation=under_way(STOP)), {START, DELETE}),
        (row(Status.STOPPED, operation=under_way(START)), {STOP, UPDATE, DELETE}),
        (row(operation=under_way(DELETE)), set()),
    ],
)
def test_what_may_be_done_when(deployed: Deployment, allowed: set[OperationKind]) -> None:
    assert {kind for kind in (STOP, START, UPDATE, DELETE) if not why_not(deployed, kind)} == allowed
    for kind in {STOP, START, UPDATE, DELETE} - allowed:
        assert why_not(deployed, kind).endswith("."), "a sentence"


@pytest.mark.parametrize(("asked", "passed"), [(True, 0), (False, 5)])
def test_what_may_run_since_a_start_that_failed_can_be_stopped(asked: bool, passed: int) -> None:
    """Its answer was lost, or the store is older than that: “it is stopped already” is not known."""
    start = under_way(START)
    sent = tuple(replace(step, state=StepState.SENT) for step in start.steps)
    failed = replace(start, state=OperationState.FAILED, steps=sent, updated_at=NOON)
    nothing = seen(
        Status.STOPPED, NOON + timedelta(seconds=passed), billed_instances=0, usd_per_hour=Decimal(0)
    )
    row_ = replace(row(), observation=nothing, operation=failed, asked=asked)
    assert row_.bills and row_.usd_per_hour is None
    assert why_not(row_, STOP) == ""
    known = replace(nothing, observed_at=NOON + timedelta(seconds=9))
    assert why_not(replace(row_, observation=known, asked=True), STOP) == "It is stopped already."


def test_what_is_gone_can_only_be_taken_off_the_list() -> None:
    nothing = replace(row(), observation=gone(NOON, "deleted"))
    assert all(why_not(nothing, kind) for kind in (STOP, START, UPDATE)) and not why_not(nothing, DELETE)
    found = replace(nothing, origin=Origin.FOUND)
    assert why_not_adopt(found) and why_not(found, DELETE)
    told = preview(nothing, DELETE)
    assert told.forgets and told.steps == () and told.stops == ""
    assert told.afterwards.startswith("It does not run at the platform any more; it is taken off the list.")
    assert "(the adapter, an endpoint): that is not looked for, and is not billed" in told.afterwards


def test_what_waits_behind_a_stop_is_what_a_second_stop_ends() -> None:
    coming = replace(under_way(START), state=OperationState.QUEUED)
    stopping = row(operation=under_way(STOP), others=(coming,))
    assert not why_not(stopping, STOP)
    assert why_not(stopping, START) == "It is started again once it is stopped."
    told = preview(stopping, STOP)
    assert (told.gives_up, told.steps) == (coming, ())
    assert told.afterwards.startswith("It is being stopped already, and is not started again after it.")


class TestStop:
    async def test_it_is_an_intent_with_the_platform_s_steps(self, service: Service) -> None:
        identity = await service.added(row())
        asked = await service.life.stop(identity)
        assert (asked.kind, asked.state) == (STOP, OperationState.QUEUED)
        assert [step.key for step in asked.steps] == ["stop", "await_stopped"]
        with pytest.raises(Conflict, match="being stopped already"):
            await service.life.stop(identity)

    async def test_what_was_never_sent_ends_at_once_without_a_call(self, service: Service) -> None:
        wanted = row(None)
        identity = await service.added(wanted)
        async with service.store.database.transaction() as transaction:
            await service.store.operations.insert(transaction, operation(wanted))
        asked = await service.life.stop(identity)
        assert (asked.kind, asked.state, asked.steps) == (DELETE, OperationState.DONE, ())
        operations = await service.store.operations.of_deployment(identity)
        assert [one.state for one in operations] == [OperationState.DONE, OperationState.CANCELLED]
        assert await service.store.deployments.all() == []
        assert not await service.store.deployments.name_is_taken("bot")

    async def test_a_start_that_was_to_follow_is_taken_back_by_a_second_stop(self, service: Service) -> None:
        identity = await service.added(row())
        first = await service.life.stop(identity)
        later = await service.life.start(identity)
        assert (await service.life.stop(identity)).id == first.id
        ended = await service.store.operations.get(later.id)
        assert ended is not None and ended.state is OperationState.CANCELLED

    async def test_its_row_tells_what_waits_behind_it(self, service: Service) -> None:
        identity = await service.added(row())
        stop = await service.life.stop(identity)
        await service.store.operations.step_sent(stop, stop.steps[0], NOON)
        start = await service.life.start(identity)
        read = await service.read(identity)
        assert read.operation is not None and read.operation.id == stop.id
        assert [one.id for one in read.others] == [start.id]
        with pytest.raises(Conflict, match="once it is stopped"):
            await service.life.start(identity)
        assert (await service.life.cancel(start.id)).id == stop.id
        assert (await service.read(identity)).others == ()

    async def test_two_windows_ask_at_once_and_it_is_one_stop(self, service: Service) -> None:
        identity = await service.added(row())
        other = await Store.open(service.store.database.path.parent)
        try:
            both = await asyncio.gather(
                service.life.stop(identity),
                LifeService(other, VirtualClock()).stop(identity),
                return_exceptions=True,
            )
        finally:
            await other.close()
        assert sorted(isinstance(one, Conflict) for one in both) == [False, True]
        assert len(await service.store.operations.of_deployment(identity)) == 1


class TestStart:
    async def test_it_starts_with_the_last_bounds_that_were_not_nought(self, service: Service) -> None:
        identity = await service.added(row(min_instances=3, max_instances=7))
        await see(service.store, identity, row(Status.STOPPED).observation or seen())
        asked = await service.life.start(identity)
        assert dict(asked.changes) == {"min_instances": 3, "max_instances": 7}

    async def test_a_create_that_was_given_up_half_way_is_not_started(self, service: Service) -> None:
        wanted = row(Status.STOPPED)
        identity = await service.added(wanted)
        half = replace(operation(wanted), state=OperationState.CANCELLED)
        async with service.store.database.transaction() as transaction:
            await service.store.operations.insert(transaction, half)
        with pytest.raises(Conflict, match="did not get past “make the model”"):
            await service.life.start(identity)


class TestUpdate:
    async def test_settings_are_different_when_it_is_done_and_not_before(self, service: Service) -> None:
        identity = await service.added(row())
        asked = await service.life.update(identity, {"max_instances": "4", "description": "new"})
        assert dict(asked.changes) == {"max_instances": 4}
        found = (await service.read(identity)).spec
        assert (found.max_instances, found.text("description")) == (2, "new")

    async def test_the_bounds_of_what_is_stopped_are_kept_for_its_start(self, service: Service) -> None:
        identity = await service.added(row(Status.STOPPED))
        asked = await service.life.update(identity, {"min_instances": "2", "max_instances": "5"})
        assert (asked.state, dict(asked.changes)) == (OperationState.DONE, {})
        assert (await service.read(identity)).bounds_to_start == (2, 5)

    async def test_where_a_start_makes_it_anew_all_changes_wait_for_it(self, service: Service) -> None:
        # BUG: what is stopped on Modal was sent a new version, which was refused half-way.
        settings = {**capabilities("modal").defaults(), "instance_type": "L4"}
        made = deployment(settings=settings)
        stopped = seen(Status.STOPPED, instance_type="L4", billed_instances=0)
        made = replace(made, spec=replace(made.spec, platform="modal"), observation=stopped)
        identity = await service.added(made)
        changes = {"instance_type": "A10", "idle_timeout": "600", "batch_size": "64"}
        told = preview(made, UPDATE, changes)
        assert told.steps == () and {line.how for line in told.changes} == {"kept here"}
        asked = await service.life.update(identity, changes)
        assert (asked.state, dict(asked.changes), asked.steps) == (OperationState.DONE, {}, ())
        found = await service.read(identity)
        assert [current_value(found, key) for key in changes] == ["A10", 600, 64]
        started = await service.life.start(identity)
        assert started.state is OperationState.QUEUED

    async def test_values_that_a_start_would_not_put_there_are_not_kept_for_it(
        self, service: Service
    ) -> None:
        # BUG: it was kept, and the server was deployed anew with the secret of before.
        made = deployment(settings={**capabilities("modal").defaults(), "instance_type": "L4"})
        stopped = seen(Status.STOPPED, instance_type="L4", billed_instances=0)
        made = replace(made, spec=replace(made.spec, platform="modal"), observation=stopped)
        identity = await service.added(made)
        with pytest.raises(ConfigurationInvalid, match="with a new version, and it is stopped"):
            await service.life.update(identity, {"environment": "WANDB_MODE", "batch_size": "64"})
        assert current_value(await service.read(identity), "batch_size") != 64

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"min_instances": "3"}, "min_instances: at most the maximum, 2"),
            ({"max_instances": ""}, "max_instances: it cannot be empty"),
            ({"instance_type": "1xb200"}, "instance_type: it is decided when"),
            ({"timeout": "5"}, "timeout: not supported here"),
            ({"colour": "red"}, "no setting “colour”"),
            ({"idle_timeout": "soon"}, "idle_timeout=soon: a whole number"),
        ],
    )
    async def test_what_cannot_be_is_refused_and_nothing_is_written(
        self, service: Service, changes: dict[str, str], words: str
    ) -> None:
        identity = await service.added(row())
        with pytest.raises(ConfigurationInvalid, match=words):
            await service.life.update(identity, {"description": "new", **changes})
        assert (await service.read(identity)).spec.text("description") == ""
        assert await service.store.operations.of_deployment(identity) == []

    async def test_a_setting_is_taken_away_by_an_empty_text(self, service: Service) -> None:
        identity = await service.added(row())
        asked = await service.life.update(identity, {"idle_timeout": ""})
        assert dict(asked.changes) == {"idle_timeout": ""}


class TestAdoptAndCancel:
    async def test_what_is_adopted_is_ours_with_what_was_seen_of_it(self, service: Service) -> None:
        found = row(origin=Origin.FOUND, instance_type="1xnvidia-h100-80gb")
        identity = await service.added(replace(found, spec=replace(found.spec, settings={})))
        adopted = await service.life.adopt(identity, "mine")
        assert (adopted.origin, adopted.name) == (Origin.OURS, "mine")
        wanted = {"instance_type": "1xnvidia-h100-80gb", "min_instances": 1, "max_instances": 2}
        assert dict(adopted.spec.settings) == wanted
        with pytest.raises(Conflict, match="managed here already"):
            await service.life.adopt(identity)

    async def test_a_name_that_is_taken_is_not_adopted(self, service: Service) -> None:
        await service.added(row())
        other = replace(row(origin=Origin.FOUND), id="0" * 32, remote_name="other")
        with pytest.raises(Conflict, match="“bot” already"):
            await service.life.adopt(await service.added(other))

    async def test_a_delete_is_given_up_until_it_is_sent(self, service: Service) -> None:
        identity = await service.added(row())
        asked = await service.life.delete(identity)
        await service.store.operations.step_sent(asked, asked.steps[0], NOON)
        given_up = await service.life.cancel(asked.id)
        assert given_up.given_up and not given_up.state.ended

        wanted = await service.added(replace(row(), id="1" * 32, remote_name="second"))
        asked = await service.life.delete(wanted)
        for step in asked.steps:
            await service.store.operations.step_sent(asked, step, NOON)
        with pytest.raises(Conflict, match="cannot be taken back"):
            await service.life.cancel(asked.id)


class TestDelete:
    async def test_it_takes_the_place_of_a_stop_that_was_sent(self, service: Service) -> None:
        identity = await service.added(row())
        stop = await service.life.stop(identity)
        await service.store.operations.step_done(stop, stop.steps[0], {}, NOON)
        await service.store.operations.step_sent(stop, stop.steps[1], NOON)
        asked = await service.life.delete(identity)
        ended = await service.store.operations.get(stop.id)
        assert ended is not None and ended.given_up and not ended.state.ended, "the worker ends it"
        assert ended.steps[1].note == "given up for the delete, which stops it as well"
        shown = await service.read(identity)
        assert shown.operation is not None and shown.operation.id == asked.id
        assert shown.status is Status.ACTIVE, "until it is read back"

    async def test_what_is_gone_is_taken_off_the_list_without_a_call(self, service: Service) -> None:
        identity = await service.added(row())
        await see(service.store, identity, gone(NOON, "deleted elsewhere"))
        assert [one.id for one in await service.store.deployments.all()] == [identity]
        asked = await service.life.delete(identity)
        assert (asked.kind, asked.state, asked.steps) == (DELETE, OperationState.DONE, ())
        assert await service.store.deployments.all() == []
        lines = await service.store.deployments.history(identity)
        assert [line.condition for line in lines] == [Condition.NONE, Condition.GONE]

    async def test_of_what_is_gone_a_call_that_may_be_out_is_awaited(self, service: Service) -> None:
        identity = await service.added(row(Status.STOPPED, start_bounds=(1, 2)))
        start = await service.life.start(identity)
        await service.store.operations.step_sent(start, start.steps[0], NOON)
        await see(service.store, identity, gone(NOON, "deleted elsewhere"))
        asked = await service.life.delete(identity)
        assert asked.state is OperationState.QUEUED and asked.steps, "the start may have made it anew"
        assert not preview(await service.read(identity), DELETE).forgets


class TestPreview:
    def test_a_stop_says_what_it_costs_and_what_ends(self) -> None:
        coming = under_way(UPDATE)
        told = preview(row(usd_per_hour=Decimal("5.49"), ready_instances=1, operation=coming), STOP)
        assert (told.usd_per_hour, told.refused, told.gives_up) == (Decimal("5.49"), "", coming)
        assert [step.key for step in told.steps] == ["stop", "await_stopped"]
        assert told.stops.startswith("1 instance of bot-")

    def test_an_update_says_old_and_new_and_what_is_kept_here(self) -> None:
        told = preview(row(), UPDATE, {"max_instances": "4", "description": "x", "scale_target": "8"})
        lines = [(c.key, c.old, c.new, c.change, c.kept_here) for c in told.changes]
        assert lines == [
            ("max_instances", 2, 4, Change.LIVE, False),
            ("description", None, "x", Change.LIVE, True),
        ]
        assert [step.key for step in told.steps] == ["update"] and not told.rolls_out

    def test_several_cost_together_what_is_known(self) -> None:
        known = preview(row(usd_per_hour=Decimal("1.5")), STOP)
        assert total_usd_per_hour([known, known, preview(row(), STOP)]) == (Decimal(3), 1)

    def test_what_is_refused_has_no_steps(self) -> None:
        told = preview(row(), START)
        assert told.refused == "It is not stopped." and told.steps == ()


def on_predibase(name: str, status: Status = Status.ACTIVE, **more: Any) -> Deployment:
    made = deployment(name)
    spec = replace(made.spec, platform="predibase", base_model="llama")
    return replace(made, spec=spec, observation=seen(status, **more))


def test_what_is_attached_and_ends_with_it_is_named_before() -> None:
    carrier = on_predibase("llama", ready_instances=1, billed_instances=1)
    rider = on_predibase("intents", instance_type=f"on:{carrier.remote_name}")
    others = [carrier, rider, on_predibase("alone", instance_type="a10_24gb_100"), row()]
    for kind in (STOP, DELETE):
        assert preview(carrier, kind, others=others).takes_along == ("intents",)
    assert preview(rider, DELETE, others=others).takes_along == ()
    assert preview(carrier, UPDATE, {}, others).takes_along == ()
    asked = asked_about([preview(carrier, STOP, others=others)], ("$1.82", ""))
    assert ("mind", "intents: attached to llama, and ends with it") in [
        (fact.label, fact.text) for fact in asked.facts
    ]
    both = [preview(one, DELETE, others=others) for one in (carrier, rider)]
    assert "mind" not in {fact.label for fact in asked_about(both, ("$1.82", "")).facts}


def test_what_sleeps_is_not_said_to_be_under_way() -> None:
    asleep = row(condition=Condition.ASLEEP, ready_instances=0, billed_instances=0)
    assert preview(asleep, STOP).stops == "Nothing runs now; a request does not boot it any more."


def test_a_start_is_not_promised_where_what_was_adopted_is_known_by_its_name_only() -> None:
    made = deployment("bot")
    spec = replace(
        made.spec,
        platform="modal",
        base_model="",
        source=AdapterSource(SourceKind.PLATFORM, made.remote_name),
    )
    adopted = replace(made, spec=spec, observation=seen(ready_instances=1, billed_instances=1))
    assert "may have to be deployed anew" in preview(adopted, STOP).afterwards
    known = replace(adopted, spec=replace(spec, base_model="llama"))
    assert "Its settings stay" in preview(known, STOP).afterwards
