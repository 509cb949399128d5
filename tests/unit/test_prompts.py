"""Asking: what is written down of it, and what is not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from peft_tui.credentials import Secret
from peft_tui.domain.errors import ConfigurationInvalid, TimedOut
from peft_tui.domain.inference import PromptRequest, Role, StreamEvent, TextPiece
from peft_tui.domain.measure import Outcome, Source
from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.services.comparing import Verdict, compare
from peft_tui.services.parameters import number, problems, seed
from peft_tui.services.prompts import Prompts, Question, warm
from peft_tui.store import Store, StoreError
from tests.doubles import NOON, TARGET, VirtualClock, deployment
from tests.endpoints import Say, ScriptedEndpoints

UP = Observation(Status.ACTIVE, NOON)
BOT = replace(deployment("bot"), observation=UP)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(leaps=True)


@pytest.fixture
def endpoints(clock: VirtualClock) -> ScriptedEndpoints:
    return ScriptedEndpoints(clock)


@pytest.fixture
async def prompts(store: Store, clock: VirtualClock, endpoints: ScriptedEndpoints) -> Prompts:
    async with store.database.transaction() as transaction:
        await store.deployments.insert(transaction, BOT)
    made = Prompts(store, clock)
    made.endpoints = endpoints
    return made


def question(prompt: str = "Hello", **facts: object) -> Question:
    return Question(BOT, TARGET, TARGET.models[0], PromptRequest(prompt), **facts)  # type: ignore[arg-type]


async def test_an_answer_is_handed_on_piece_by_piece_and_then_written_down(
    prompts: Prompts, store: Store
) -> None:
    heard: list[StreamEvent] = []
    exchange = await prompts.ask(question(), heard.append)
    assert [event.text for event in heard if isinstance(event, TextPiece)] == ["Hel", "lo"]
    assert exchange.texts is not None and exchange.texts.response == "Hello"
    (kept,) = await store.requests.history(BOT.id)
    assert kept.id == exchange.id
    assert (kept.outcome, kept.status, kept.source) == (Outcome.OK, 200, Source.CONSOLE)
    assert kept.measured.first_text_s == pytest.approx(0.2)
    assert kept.measured.total_s == pytest.approx(0.3)
    assert kept.measured.cold is False
    assert kept.request == question().request


async def test_a_failure_is_written_down_with_what_came_until_then(
    prompts: Prompts, store: Store, endpoints: ScriptedEndpoints
) -> None:
    endpoints.answer = lambda request, model: Say(("Hel",), error=TimedOut("Nothing more.", status=200))
    exchange = await prompts.ask(question())
    (kept,) = await store.requests.history(BOT.id)
    assert (kept.outcome, kept.error_kind, kept.error_message) == (Outcome.FAILED, "timeout", "Nothing more.")
    assert kept.texts is not None and kept.texts.response == "Hel"
    assert exchange.id == kept.id


async def test_what_is_cancelled_closes_the_connection_and_is_written_down(
    prompts: Prompts, store: Store, endpoints: ScriptedEndpoints
) -> None:
    endpoints.answer = lambda request, model: Say(("Hel",), hangs=True)
    heard = asyncio.Event()
    asking = asyncio.create_task(
        prompts.ask(question(), lambda event: heard.set() if isinstance(event, TextPiece) else None)
    )
    await heard.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (endpoints.open, endpoints.closed_early) == (0, 1)
    (kept,) = await store.requests.history(BOT.id)
    assert kept.outcome is Outcome.CANCELLED
    assert kept.texts is not None and kept.texts.response == "Hel"


async def test_what_nobody_expected_is_a_failure_that_says_what_happened(
    prompts: Prompts, store: Store, endpoints: ScriptedEndpoints, caplog: pytest.LogCaptureFixture
) -> None:
    Secret("sk-very-secret-key-1234567890")
    bug = RuntimeError("odd \x1b[2Jsk-very-secret-key-1234567890")
    endpoints.answer = lambda request, model: Say(("Hel",), error=bug)
    exchange = await prompts.ask(question())
    assert exchange.outcome is Outcome.FAILED
    assert exchange.error_message == "Internal error while asking: RuntimeError: odd [redacted]"
    assert endpoints.open == 0
    (kept,) = await store.requests.history(BOT.id)
    assert (kept.outcome, kept.error_kind, kept.id) == (Outcome.FAILED, "failed", exchange.id)
    assert kept.texts is not None and kept.texts.response == "Hel"
    assert any(record.exc_info and record.exc_info[1] is bug for record in caplog.records)


async def test_where_nobody_listens_any_more_it_ends_and_is_written_down_as_cancelled(
    prompts: Prompts, store: Store, endpoints: ScriptedEndpoints
) -> None:
    """The command line's reader has gone: `peft-tui test … | head`."""

    def gone(event: StreamEvent) -> None:
        if isinstance(event, TextPiece):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await prompts.ask(question(), gone)
    assert (endpoints.open, endpoints.closed_early) == (0, 1)
    (kept,) = await store.requests.history(BOT.id)
    assert kept.outcome is Outcome.CANCELLED


async def test_an_answer_that_cannot_be_written_down_is_not_lost(
    prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(exchanges: object) -> list[int]:
        raise StoreError("database or disk is full")

    monkeypatch.setattr(prompts, "record", full)
    exchange = await prompts.ask(question())
    assert (exchange.outcome, exchange.id) == (Outcome.OK, 0)
    assert exchange.texts is not None and exchange.texts.response == "Hello"


async def test_an_answer_can_do_nothing_to_the_terminal_however_it_is_split(
    prompts: Prompts, store: Store, endpoints: ScriptedEndpoints
) -> None:
    payload = "a\x1b]52;c;cm0gLXJmIH4=\x1b\\b\x1b[2Jc\x9b31md\u202ee\r\nf"
    endpoints.answer = lambda request, model: Say(list(payload))
    await prompts.ask(question())
    (kept,) = await store.requests.history(BOT.id)
    assert kept.texts is not None and kept.texts.response == "abcd·e\nf"


async def test_that_another_one_answered_is_said(prompts: Prompts, endpoints: ScriptedEndpoints) -> None:
    adapter, base = TARGET.models
    endpoints.answer = lambda request, model: Say(answered_as=base.name)
    said = (await prompts.ask(question())).warning
    assert "not as" in said and base.label in said
    endpoints.answer = lambda request, model: Say(answered_as="some/alias")
    assert (await prompts.ask(question())).warning == ""
    endpoints.answer = lambda request, model: Say()
    assert (await prompts.ask(question())).warning == ""


def test_what_is_served_is_listed_as_what_it_is() -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        TARGET.model("nobody")
    for model in TARGET.models:
        assert f"{model.label} ({model.role}" in caught.value.hint


async def test_texts_that_are_not_to_be_kept_are_shown_and_not_kept(prompts: Prompts, store: Store) -> None:
    prompts.keep_texts = False
    exchange = await prompts.ask(question("my secret"))
    assert exchange.texts is not None and exchange.texts.response == "Hello"
    (kept,) = await store.requests.history(BOT.id)
    assert kept.texts is None and kept.request.prompt == ""
    assert await store.database.all("SELECT * FROM request_texts") == []


async def test_what_is_gone_cannot_be_asked(prompts: Prompts) -> None:
    gone = replace(BOT, observation=replace(UP, condition=Condition.GONE))
    with pytest.raises(ConfigurationInvalid):
        await prompts.target(gone)


async def test_who_asks_before_the_network_is_there_waits(store: Store, clock: VirtualClock) -> None:
    early = Prompts(store, clock)
    waiting = asyncio.create_task(early.target(BOT))
    await asyncio.sleep(0)
    assert not waiting.done()
    early.endpoints = ScriptedEndpoints(clock)
    assert await waiting is TARGET


@pytest.mark.parametrize(
    ("status", "condition", "known"),
    [
        (Status.ACTIVE, Condition.NONE, True),
        (Status.ACTIVE, Condition.ASLEEP, False),
        (Status.ACTIVE, Condition.ASSUMED, None),
        (Status.STOPPED, Condition.NONE, False),
    ],
)
def test_what_is_known_of_it_at_the_beginning(
    status: Status, condition: Condition, known: bool | None
) -> None:
    assert warm(replace(BOT, observation=Observation(status, NOON, condition=condition))) is known
    assert warm(deployment("new")) is None


class TestComparison:
    async def compared(self, prompts: Prompts, *asked: str) -> Verdict:
        requests = [PromptRequest(prompt, temperature=0.7) for prompt in asked]
        return await compare(prompts, BOT, TARGET, requests, "run-1")

    async def test_different_answers_say_that_it_is_applied(
        self, prompts: Prompts, endpoints: ScriptedEndpoints
    ) -> None:
        endpoints.answer = lambda request, model: Say((f"I am {model.role}",))
        verdict = await self.compared(prompts, "Who are you?", "Hi")
        assert verdict.applied is True
        assert "Different on 2 of 2" in verdict.words

    @pytest.mark.parametrize("keep", [True, False])
    async def test_identical_ones_are_a_warning_whether_or_not_texts_are_kept(
        self, prompts: Prompts, endpoints: ScriptedEndpoints, keep: bool
    ) -> None:
        prompts.keep_texts = keep
        assert (await self.compared(prompts, "Who are you?", "Hi")).applied is False
        endpoints.answer = lambda request, model: Say((f"I am {model.role}",))
        assert (await self.compared(prompts, "Who are you?")).applied is True

    async def test_they_are_asked_greedily_with_one_seed_in_the_order_abba(
        self, prompts: Prompts, endpoints: ScriptedEndpoints, store: Store
    ) -> None:
        await self.compared(prompts, "a", "b")
        order = [(request.prompt, model.role) for request, model in endpoints.asked]
        assert order == [("a", Role.BASE), ("a", Role.ADAPTER), ("b", Role.ADAPTER), ("b", Role.BASE)]
        assert {(r.temperature, r.seed) for r, _ in endpoints.asked} == {(0.0, 0)}
        assert {e.source for e in await store.requests.of_run("run-1")} == {Source.COMPARE}

    async def test_a_failure_is_no_verdict(self, prompts: Prompts, endpoints: ScriptedEndpoints) -> None:
        endpoints.answer = lambda request, model: Say((), error=TimedOut("Nothing."))
        verdict = await self.compared(prompts, "a")
        assert verdict.applied is None

    async def test_where_only_one_is_served_nothing_is_sent(
        self, prompts: Prompts, endpoints: ScriptedEndpoints
    ) -> None:
        alone = replace(TARGET, models=TARGET.models[:1])
        with pytest.raises(ConfigurationInvalid):
            await compare(prompts, BOT, alone, [PromptRequest("a")], "run")
        assert endpoints.asked == []


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [("max_tokens", "100", 100), ("temperature", "0", 0), ("temperature", "2.0", 2), ("top_p", "0,5", 0.5)],
)
def test_a_parameter_is_read_as_it_is_typed(key: str, text: str, value: float) -> None:
    assert number(key, text) == value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *(("max_tokens", text) for text in ("", "0", "1.5", "-3", "x", "1e9", "nan", "inf")),
        *(("temperature", text) for text in ("-0.1", "2.01", "nan", "")),
        *(("top_p", text) for text in ("1.1", "-1", "one")),
    ],
)
def test_what_cannot_be_is_said_with_its_range(key: str, text: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="to"):
        number(key, text)


def test_a_seed_is_a_whole_number_or_nothing() -> None:
    assert (seed(" 7 "), seed("")) == (7, None)
    for text in ("-1", "1.5", "x", "٣"):
        with pytest.raises(ConfigurationInvalid):
            seed(text)


def test_what_cannot_be_sent() -> None:
    assert problems(PromptRequest("Hello")) == {}
    assert problems(PromptRequest("  ")).keys() == {"prompt"}
    assert problems(PromptRequest("a", stop=("1", "2", "3", "4", "5"))).keys() == {"stop"}
