"""What may be deployed is written down, what may not is refused with nothing written."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.deployment import Origin
from peft_tui.domain.errors import ConfigurationInvalid, Conflict, NotFound, NotPossible, PeftTuiError
from peft_tui.domain.operation import Operation, OperationKind, OperationState, StepState
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.domain.status import Status
from peft_tui.drivers import capabilities
from peft_tui.services.deployments import DeploymentService, summarize
from peft_tui.store import Store, StoreError, Transaction
from tests.doubles import NOON, VirtualClock, deployment, intend, operation, see, seen

DIRECTORY = AdapterSource(SourceKind.DIRECTORY, "/out")
SETTINGS = {**capabilities("together").defaults(), "instance_type": "1xnvidia-h100-80gb"}


def spec(
    name: str = "bot", platform: str = "together", source: AdapterSource = DIRECTORY, **changes: Any
) -> DeploymentSpec:
    settings = {key: value for key, value in {**SETTINGS, **changes}.items() if value is not None}
    return DeploymentSpec(name, platform, source, "base", settings)


@pytest.fixture
def service(store: Store, clock: VirtualClock) -> DeploymentService:
    return DeploymentService(store, clock)


async def test_an_intent_is_a_row_and_its_steps_before_anything_is_sent(
    service: DeploymentService, store: Store, clock: VirtualClock
) -> None:
    made = await service.deploy(spec())
    read = await store.deployments.get(made.id)
    assert read is not None and read.operation is not None
    assert (read.spec, read.origin, read.created_at) == (spec(), Origin.OURS, clock.now())
    assert read.operation.state is OperationState.QUEUED
    plan = capabilities("together").plan(spec())
    assert [(s.key, s.bills, s.state) for s in read.operation.steps] == [
        (step.key, step.bills, StepState.PENDING) for step in plan
    ]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (spec("Not A Name"), "name"),
        (spec(source=AdapterSource(SourceKind.DIRECTORY, "")), "source"),
        (spec(platform="replicate"), "source"),
        (spec(instance_type=None), "instance_type"),
        (spec(instance_type=""), "instance_type"),
        (spec(min_instances=5), "min_instances"),
        (spec(colour="red"), "colour"),
        (spec(timeout=5), "timeout"),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_is_written(
    service: DeploymentService, store: Store, wanted: DeploymentSpec, field: str
) -> None:
    assert field in await service.problems(wanted)
    with pytest.raises(ConfigurationInvalid):
        await service.deploy(wanted)
    assert await store.deployments.all() == []


@pytest.mark.parametrize("bound", ["min_instances", "max_instances"])
@pytest.mark.parametrize("value", [None, ""], ids=["left out", "blank"])
async def test_a_bound_that_is_not_there_is_not_sent_as_nothing(
    service: DeploymentService, bound: str, value: str | None
) -> None:
    # 0/0 is how Together stops one.
    try:
        made = await service.deploy(spec(**{bound: value}))
    except PeftTuiError:
        return
    assert made.spec.min_instances >= 1 and made.spec.max_instances >= 1


async def test_a_name_is_taken_once(service: DeploymentService, store: Store) -> None:
    await service.deploy(spec())
    with pytest.raises(Conflict, match="named “bot” already"):
        await service.deploy(spec())
    assert len(await store.deployments.all()) == 1


async def test_the_same_name_asked_for_twice_at_once_is_made_once(
    service: DeploymentService, store: Store
) -> None:
    # Two keys, or two windows, would pay twice.
    outcomes = await asyncio.gather(*(service.deploy(spec()) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 3
    assert len(await store.deployments.all()) == 1


async def test_a_name_is_free_again_when_nothing_came_of_it(
    service: DeploymentService, store: Store, clock: VirtualClock
) -> None:
    first = await service.deploy(spec())
    [asked] = await store.operations.of_deployment(first.id)
    await store.operations.set_state(asked, OperationState.FAILED, clock.now(), {"kind": "resource"})
    second = await service.deploy(spec())
    assert (await service.find("bot")).id == second.id


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.STOPPED])
async def test_a_name_is_not_free_while_the_platform_has_something_of_it(
    service: DeploymentService, store: Store, clock: VirtualClock, status: Status
) -> None:
    first = await service.deploy(spec())
    [asked] = await store.operations.of_deployment(first.id)
    await store.operations.set_state(asked, OperationState.FAILED, clock.now(), {"kind": "resource"})
    await see(store, first.id, seen(status))
    with pytest.raises(Conflict):
        await service.deploy(spec())


async def test_a_name_is_not_free_while_what_was_made_is_not_yet_seen(
    service: DeploymentService, store: Store, clock: VirtualClock
) -> None:
    # BUG: between a create that failed after its machine and the next list, its row says "came to nothing".
    first = await service.deploy(spec())
    [asked] = await store.operations.of_deployment(first.id)
    machine = next(step for step in asked.steps if step.bills)
    await store.operations.step_done(asked, machine, {}, clock.now())
    await store.operations.set_state(asked, OperationState.FAILED, clock.now(), {"kind": "resource"})
    with pytest.raises(Conflict):
        await service.deploy(spec())


async def test_a_foreign_deployment_does_not_take_a_name_from_us(
    service: DeploymentService, store: Store
) -> None:
    found = replace(deployment("bot"), origin=Origin.FOUND)
    async with store.database.transaction() as transaction:
        await store.deployments.insert(transaction, found)
    await service.deploy(spec("bot"))
    assert (await service.find("bot")).origin is Origin.OURS


async def test_an_interrupted_intent_leaves_nothing(
    service: DeploymentService, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def insert(*_: object) -> None:
        raise RuntimeError("died")

    monkeypatch.setattr(store.operations, "insert", insert)
    with pytest.raises(RuntimeError):
        await service.deploy(spec())
    assert await store.deployments.all() == []


async def test_one_is_found_by_name_remote_name_and_id(service: DeploymentService) -> None:
    made = await service.deploy(spec())
    for name in (made.name, made.remote_name, made.id):
        assert (await service.find(name)).id == made.id


async def test_one_that_is_not_there_is_not_found(service: DeploymentService) -> None:
    with pytest.raises(NotFound):
        await service.find("nothing")


async def test_two_of_one_name_are_both_named(service: DeploymentService, store: Store) -> None:
    for number in (1, 2):
        found = replace(deployment("bot", identity=f"{number}" * 32), origin=Origin.FOUND)
        await intend(store, found)
    with pytest.raises(Conflict) as caught:
        await service.find("bot")
    assert "bot-1111111b" in caught.value.hint and "bot-2222222c" in caught.value.hint


def test_the_header_counts_and_adds_up_what_bills_now() -> None:
    def row(status: Status | None, **more: Any) -> Any:
        return replace(deployment(), observation=seen(status, **more) if status else None)

    summary = summarize(
        [
            row(None),
            row(Status.ACTIVE, usd_per_hour=Decimal("5.49"), billed_instances=1),
            row(Status.ACTIVE, usd_per_hour=None, billed_instances=2),
            row(Status.DEPLOYING, usd_per_hour=None, billed_instances=None),
            row(Status.FAILED, usd_per_hour=Decimal(0), billed_instances=0),
            row(Status.STOPPED, usd_per_hour=Decimal("1.01"), billed_instances=1),
            row(Status.STOPPED, usd_per_hour=None, billed_instances=0),
        ]
    )
    assert (summary.total, summary.active, summary.deploying, summary.failed) == (7, 2, 2, 1)
    assert (summary.usd_per_hour, summary.unpriced) == (Decimal("6.50"), 2)


def test_what_was_asked_for_and_not_seen_yet_is_in_the_sum_as_unknown() -> None:
    asked = operation(deployment())
    waiting = replace(deployment(), operation=asked)
    sent = tuple(replace(step, state=StepState.SENT) for step in asked.steps)
    assert summarize([waiting]).unpriced == 0
    assert summarize([replace(waiting, operation=replace(asked, steps=sent))]).unpriced == 1


NOTHING = {"billed_instances": 0, "usd_per_hour": Decimal(0)}


def starting(step_state: StepState, **more: Any) -> Any:
    """Last seen stopped, and started since."""
    asked = operation(deployment())
    steps = tuple(replace(step, state=step_state) for step in asked.steps)
    asked = replace(asked, kind=OperationKind.START, steps=steps, **more)
    return replace(deployment(), observation=seen(Status.STOPPED, **NOTHING), operation=asked)


@pytest.mark.parametrize(
    ("state", "unpriced"), [(StepState.PENDING, 0), (StepState.SENT, 1), (StepState.DONE, 1)]
)
def test_what_was_stopped_and_is_being_started_is_in_the_sum_as_unknown(
    state: StepState, unpriced: int
) -> None:
    row = starting(state)
    assert summarize([row]).unpriced == unpriced
    assert row.bills is bool(unpriced) and (row.usd_per_hour is None) is bool(unpriced)


def test_a_start_that_the_list_shows_already_has_the_list_s_price() -> None:
    row = replace(starting(StepState.SENT), observation=seen(Status.DEPLOYING, usd_per_hour=Decimal("5.49")))
    assert (summarize([row]).usd_per_hour, summarize([row]).unpriced) == (Decimal("5.49"), 0)


def test_a_start_that_failed_is_unknown_until_the_platform_was_looked_at() -> None:
    row = starting(StepState.SENT, state=OperationState.FAILED)
    assert summarize([row]).unpriced == 1
    later = seen(Status.STOPPED, NOON + timedelta(seconds=5), **NOTHING)
    assert summarize([replace(row, observation=later)]).unpriced == 0


@pytest.mark.parametrize("ended", [OperationState.RUNNING, OperationState.CANCELLED])
def test_what_was_started_and_is_stopped_again_bills_until_it_was_looked_at(ended: OperationState) -> None:
    row = starting(StepState.SENT, state=OperationState.RUNNING, given_up=True)
    start = row.operation
    stop = replace(start, kind=OperationKind.STOP, given_up=False, created_at=NOON + timedelta(seconds=2))
    coming = (start,) if ended is OperationState.RUNNING else ()
    row = replace(row, operation=stop, others=coming)
    assert row.bills and row.usd_per_hour is None and summarize([row]).unpriced == 1
    later = replace(row, observation=seen(Status.STOPPED, NOON + timedelta(seconds=5), **NOTHING), others=())
    assert not later.bills and later.usd_per_hour == 0


def test_what_was_started_and_is_deleted_bills_while_its_start_is_looked_up() -> None:
    row = starting(StepState.SENT, state=OperationState.RUNNING, given_up=True)
    delete = replace(row.operation, kind=OperationKind.DELETE, given_up=False)
    assert replace(row, operation=delete, others=(row.operation,)).bills
    assert not replace(row, operation=delete).bills


async def failed_one(store: Store) -> str:
    """Ours, failed at its platform; its id."""
    wanted = replace(deployment("bot"), spec=spec())
    asked = await intend(store, wanted)
    await store.operations.set_state(asked, OperationState.FAILED, asked.created_at, {"message": "refused"})
    await see(store, wanted.id, seen(Status.FAILED, billed_instances=0), remote_id="ep_1/dep_1")
    return wanted.id


async def test_what_failed_gives_way_in_the_same_breath(service: DeploymentService, store: Store) -> None:
    old = await failed_one(store)
    new = await service.deploy(spec(), instead_of=old)
    row = await store.deployments.get(old)
    assert row is not None and row.under_way is not None
    assert row.under_way.kind is OperationKind.DELETE
    assert {d.id for d in await store.deployments.all()} == {old, new.id}


async def test_what_serves_by_now_does_not_give_way_and_nothing_is_written(
    service: DeploymentService, store: Store
) -> None:
    old = deployment("bot")
    asked = await intend(store, replace(old, spec=spec()))
    await store.operations.set_state(asked, OperationState.DONE, asked.created_at)
    await see(store, old.id, seen(Status.ACTIVE, billed_instances=1), remote_id="ep_1/dep_1")
    with pytest.raises(NotPossible, match="“bot” stays: It has not failed"):
        await service.deploy(spec(), instead_of=old.id)
    (row,) = await store.deployments.all()
    assert row.id == old.id and row.under_way is None


async def test_where_the_old_one_cannot_be_deleted_the_new_one_is_not_asked_for(
    service: DeploymentService, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full after the first of the two intents: neither is there afterwards."""
    old = await failed_one(store)
    really, written = store.operations.insert, []

    async def full(transaction: Transaction, operation: Operation) -> None:
        written.append(operation.kind)
        if len(written) == 2:
            raise StoreError("database or disk is full")
        await really(transaction, operation)

    monkeypatch.setattr(store.operations, "insert", full)
    with pytest.raises(StoreError):
        await service.deploy(spec(), instead_of=old)
    assert set(written) == {OperationKind.CREATE, OperationKind.DELETE}
    (row,) = await store.deployments.all()
    assert row.id == old and row.under_way is None
