"""What the screens want to know: asked for once, answered in the store, and always answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from peft_tui.credentials import Secret
from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.errors import AuthenticationFailed, ConfigurationInvalid, NotFound
from peft_tui.domain.event import Event
from peft_tui.domain.money import Price, Provenance
from peft_tui.domain.offers import (
    Account,
    Assessment,
    Finding,
    InstanceType,
    Level,
    PlatformModel,
)
from peft_tui.services.lookups import Answer, Lookups, Question, Topic
from peft_tui.store import Changes, Store
from peft_tui.workers.lookups import AT_A_TIME, LookupWorker
from tests.doubles import NOON, PLATFORM, ScriptedDriver, VirtualClock, until

HERE = AdapterSource(SourceKind.DIRECTORY, "/out")
THERE = AdapterSource(SourceKind.PLATFORM, "ml_1")
HUB = AdapterSource(SourceKind.HUGGING_FACE, "acme/support@v2")
GPU = InstanceType("gpu", "GPU", Price(Decimal("5.490"), "s", "2026", Provenance.ESTIMATED), "2 free", True)
VALUES: list[tuple[Question, Any]] = [
    (Question(PLATFORM, Topic.ACCOUNT), Account("acme", "Acme")),
    (Question(PLATFORM, Topic.INSTANCE_TYPES), (GPU, InstanceType("x", "X", None))),
    (Question(PLATFORM, Topic.MODELS), (PlatformModel("ml_1", "m"),)),
    (Question.adapter(HERE), Adapter(HERE, "base", 8, 16.0, ("q",), files=(("a", 1), ("b", 2)))),
    (
        Question(PLATFORM, Topic.ASSESSMENT, HUB),
        Assessment((Finding(Level.WARNING, "w", "h"),), "base", (GPU,), {"serving=attach": "why"}),
    ),
    (Question(PLATFORM, Topic.EVENTS, remote_id="ep_1/dep_1"), (Event(NOON, "ready", "info", "READY"),)),
    (Question(PLATFORM, Topic.LOGS, remote_id="ep_1/dep_1"), ("starting", "ready")),
]


class Hub:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def adapter(self, source: AdapterSource) -> Adapter:
        self.asked.append(source.reference)
        return Adapter(source, "hub/base", 8)


class Desk:
    def __init__(self, store: Store, clock: VirtualClock) -> None:
        self.lookups, self.driver, self.hub = Lookups(store), ScriptedDriver(), Hub()
        self.opens: Any = lambda platform: self.driver
        self.fresh: list[ScriptedDriver] = []
        self.worker = LookupWorker(
            self.lookups,
            lambda name: self.opens(name),
            lambda: self.hub,  # type: ignore[arg-type,return-value]
            clock,
            lambda name: self.open_fresh(),
        )
        self.lookups.carry_out = self.worker.ask
        self.changes: list[Changes] = []
        store.database.listen(self.changes.append)

    def open_fresh(self) -> ScriptedDriver:
        self.fresh.append(ScriptedDriver())
        return self.fresh[-1]

    async def ask(self, question: Question) -> Answer[Any]:
        self.lookups.want(question)
        await until(lambda: not self.worker._running, "it is never found out")
        answer = await self.lookups.answer(question)
        assert answer is not None, "it was never answered"
        return answer


@pytest.fixture
async def desk(store: Store, clock: VirtualClock) -> AsyncIterator[Desk]:
    made = Desk(store, clock)
    yield made
    await made.worker.stop()


@pytest.mark.parametrize(("question", "value"), VALUES, ids=lambda value: str(getattr(value, "topic", "")))
async def test_an_answer_comes_back_from_the_store_as_it_went_in(
    store: Store, question: Question, value: Any
) -> None:
    lookups = Lookups(store)
    assert await lookups.answer(question) is None
    await lookups.write(question, NOON, value)
    assert await lookups.answer(question) == Answer(NOON, value, None)


async def test_an_error_takes_the_place_of_the_answer(store: Store) -> None:
    lookups, question = Lookups(store), Question(PLATFORM, Topic.MODELS)
    await lookups.write(question, NOON, ())
    await lookups.write(question, NOON, error=NotFound("gone", hint="look"))
    answer = await lookups.answer(question)
    assert answer is not None and answer.value is None
    assert type(answer.error) is NotFound and answer.error.hint == "look"


async def test_each_topic_is_asked_of_whom_it_concerns(desk: Desk) -> None:
    assert (await desk.ask(Question(PLATFORM, Topic.ACCOUNT))).value == Account("acme", "acme")
    assert (await desk.ask(Question(PLATFORM, Topic.MODELS))).value == (PlatformModel("acme/llm", "llm"),)
    assert (await desk.ask(Question(PLATFORM, Topic.INSTANCE_TYPES))).value[0].id == "gpu-1"
    assert (await desk.ask(Question.adapter(HUB))).value.base_model == "hub/base"
    assert (await desk.ask(Question(PLATFORM, Topic.ASSESSMENT, HUB))).value.base_model == "hub/base"
    assert (await desk.ask(Question(PLATFORM, Topic.ASSESSMENT, THERE))).value.base_model == ""
    assert desk.hub.asked == ["acme/support@v2"] * 2
    events = await desk.ask(Question(PLATFORM, Topic.EVENTS, remote_id="d1"))
    assert events.value[0].message == "it began"
    assert (await desk.ask(Question(PLATFORM, Topic.LOGS, remote_id="d1"))).value == ("a line",)
    assert desk.driver.calls[-2:] == ["events d1", "logs d1"]


async def test_what_a_container_prints_is_kept_without_secrets(desk: Desk) -> None:
    secret = Secret("hf_abcdefghijklmnop0123456789")

    async def logs(remote_id: str, limit: int) -> tuple[str, ...]:
        return (f"HF_TOKEN={secret.reveal()}", "ready")

    desk.driver.logs = logs  # type: ignore[method-assign]
    answer = await desk.ask(Question(PLATFORM, Topic.LOGS, remote_id="d1"))
    assert secret.reveal() not in answer.value[0] and answer.value[1] == "ready"


async def test_what_was_found_out_is_announced(desk: Desk) -> None:
    await desk.ask(Question(PLATFORM, Topic.MODELS))
    assert desk.changes == [Changes(catalog=frozenset({(PLATFORM, "models", "")}))]


async def test_the_same_question_is_under_way_once(desk: Desk) -> None:
    for _ in range(5):
        desk.lookups.want(Question(PLATFORM, Topic.MODELS))
    await desk.ask(Question(PLATFORM, Topic.MODELS))
    assert desk.driver.calls == ["models"]
    await desk.ask(Question(PLATFORM, Topic.MODELS))
    assert desk.driver.calls == ["models"] * 2


async def test_only_a_few_are_under_way_at_once(desk: Desk) -> None:
    inside, most, go_on = 0, 0, asyncio.Event()

    async def assess(source: AdapterSource, adapter: Adapter | None) -> Assessment:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await go_on.wait()
        inside -= 1
        return Assessment()

    desk.driver.assess = assess  # type: ignore[method-assign]
    for number in range(AT_A_TIME * 3):
        desk.lookups.want(
            Question(PLATFORM, Topic.ASSESSMENT, AdapterSource(SourceKind.PLATFORM, f"ml_{number}"))
        )
    await until(lambda: inside == AT_A_TIME)
    go_on.set()
    await until(lambda: not desk.worker._running)
    assert most == AT_A_TIME


async def test_an_error_of_ours_is_an_answer(desk: Desk) -> None:
    answer = await desk.ask(Question.adapter(AdapterSource(SourceKind.DIRECTORY, "/nowhere")))
    assert isinstance(answer.error, ConfigurationInvalid)


async def test_missing_credentials_are_an_answer(desk: Desk) -> None:
    def opens(platform: str) -> Any:
        raise AuthenticationFailed("No key.")

    desk.opens = opens
    assert isinstance((await desk.ask(Question(PLATFORM, Topic.MODELS))).error, AuthenticationFailed)


async def test_a_bug_is_an_answer_too(desk: Desk) -> None:
    # BUG: nothing is written; the wizard shows its waiting line for ever, and `deploy` ends with a time-out.
    async def models() -> tuple[PlatformModel, ...]:
        raise ValueError("a bug")

    desk.driver.models = models  # type: ignore[method-assign]
    assert (await desk.ask(Question(PLATFORM, Topic.MODELS))).error is not None


async def test_an_answer_that_an_older_version_wrote_is_as_good_as_none(store: Store) -> None:
    # BUG: pydantic's ValidationError reaches the screen that only wanted to read.
    await store.catalog.put(PLATFORM, Topic.ACCOUNT, "", NOON, '{"id": 3, "name": "old"}')
    assert await Lookups(store).answer(Question(PLATFORM, Topic.ACCOUNT)) is None


async def test_stopped_it_leaves_nothing_running(desk: Desk) -> None:
    async def models() -> tuple[PlatformModel, ...]:
        await asyncio.Event().wait()
        return ()

    desk.driver.models = models  # type: ignore[method-assign]
    desk.lookups.want(Question(PLATFORM, Topic.MODELS))
    await asyncio.sleep(0)
    await desk.worker.stop()
    assert not desk.worker._running
    assert await desk.lookups.answer(Question(PLATFORM, Topic.MODELS)) is None


async def test_a_check_asks_anew_each_time_with_a_driver_that_remembers_nothing(desk: Desk) -> None:
    for _ in range(2):
        answer = await desk.ask(Question(PLATFORM, Topic.CHECK))
        assert isinstance(answer.value, Account)
    assert len(desk.fresh) == 2 and desk.driver.calls == []
