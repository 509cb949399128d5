"""Load runs: the price first, a cap that holds, times that tell the truth."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from peft_tui.credentials import Secret
from peft_tui.domain.errors import AuthenticationFailed, ConfigurationInvalid, NotPossible, PlatformFailed
from peft_tui.domain.inference import InferenceTarget, PromptRequest, TokenPrice, Usage, Wake
from peft_tui.domain.measure import Source
from peft_tui.domain.money import Price
from peft_tui.domain.request import Exchange
from peft_tui.domain.status import Observation, Status
from peft_tui.services import load as module
from peft_tui.services.csv_cells import cell
from peft_tui.services.load import run
from peft_tui.services.load_files import as_csv, as_json, prompts_of
from peft_tui.services.load_plan import LoadPlan, preview
from peft_tui.services.load_report import LoadRun
from peft_tui.services.prompts import Prompts
from peft_tui.services.wording import bars, report
from peft_tui.store import Store, StoreError
from tests.doubles import NOON, PATIENCE_SECONDS, TARGET, VirtualClock, deployment, finished
from tests.endpoints import Say, ScriptedEndpoints

BOT = replace(deployment("bot"), observation=Observation(Status.ACTIVE, NOON, billed_instances=2))
HELLO = PromptRequest("Hello", max_tokens=100)
TOKENS = TokenPrice(Decimal("1"), Decimal("10"), "a list", "2026-11-01")
HOURLY = Price(Decimal("3.60"), "a list", "2026-11-01")


def target(price: Price | TokenPrice | None = HOURLY, **facts: object) -> InferenceTarget:
    return replace(TARGET, price=price, **facts)  # type: ignore[arg-type]


def plan(requests: int = 20, concurrency: int = 4, **facts: object) -> LoadPlan:
    return LoadPlan((HELLO,), requests, concurrency, **facts)  # type: ignore[arg-type]


class Bench:
    """A service on a clock of its own, and what it was asked."""

    def __init__(self, store: Store, clock: VirtualClock) -> None:
        self.store, self.clock = store, clock
        self.endpoints = ScriptedEndpoints(clock)
        self.prompts = Prompts(store, clock)
        self.prompts.endpoints = self.endpoints

    async def run(self, plan: LoadPlan, aim: InferenceTarget) -> LoadRun:
        load = LoadRun(plan)
        running = asyncio.create_task(run(self.prompts, BOT, aim, aim.models[0], load, self.clock))
        while not running.done():
            # Where only the store is waited for, which takes real time, none passes here.
            await (self.clock.advance(0.05) if self.clock.sleepers else asyncio.sleep(0))
        return await running


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def bench(store: Store, clock: VirtualClock) -> Bench:
    async with store.database.transaction() as transaction:
        await store.deployments.insert(transaction, BOT)
    return Bench(store, clock)


async def test_all_are_sent_with_so_many_at_a_time_and_written_down_without_texts(bench: Bench) -> None:
    load = await bench.run(plan(20, 4), target())
    assert len(bench.endpoints.asked) == load.done == 20
    assert bench.endpoints.most_open == 4
    rows = await bench.store.requests.of_run(load.run_id)
    assert len(rows) == 20
    assert {(row.source, row.texts) for row in rows} == {(Source.LOAD, None)}
    found = load.report()
    assert (found.ok, found.failed, found.success_rate) == (20, 0, 1.0)
    assert found.first_text[0].value == pytest.approx(0.2)


async def test_the_prompts_of_a_file_are_taken_in_turn(bench: Bench) -> None:
    several = LoadPlan(tuple(replace(HELLO, prompt=p) for p in "abc"), 7, 1)
    await bench.run(several, target())
    assert [request.prompt for request, _ in bench.endpoints.asked] == list("abcabca")


async def test_with_a_rate_what_waits_here_counts_too(bench: Bench) -> None:
    """One at a time, each taking 0.3 s, ten a second: the last one waits for nearly two seconds."""
    load = await bench.run(plan(10, 1, rate=10.0), target())
    waits = sorted(e.wait_s or 0.0 for e in load.exchanges)
    assert waits[0] == pytest.approx(0.0, abs=0.06)
    assert waits[-1] > 1.5
    slowest = max(e.measured.total_s or 0.0 for e in load.exchanges)
    assert slowest > 1.8, "measured from when it was meant to be sent"
    assert load.report().late >= 8
    assert any("later than meant" in line for line in report(load, load.report()))


async def test_a_cap_by_tokens_is_never_gone_beyond_whatever_is_under_way(bench: Bench) -> None:
    """The worst case of each: all 100 tokens, at $10 a million, and some for the prompt."""
    bench.endpoints.answer = lambda request, model: Say(usage=Usage(18, 100))
    cap = Decimal("0.0055")
    load = await bench.run(plan(50, 8, cap_usd=cap), target(TOKENS))
    spent = sum((e.cost.usd or Decimal(0) for e in load.exchanges), Decimal(0))
    assert Decimal("0.004") < spent <= cap
    assert spent == load.spent_usd
    assert len(bench.endpoints.asked) == load.done < 50
    assert "cap" in load.stopped


async def test_what_is_not_counted_is_taken_to_have_cost_the_most(bench: Bench) -> None:
    bench.endpoints.answer = lambda request, model: Say(usage=None)
    cap = Decimal("0.0055")
    load = await bench.run(plan(50, 8, cap_usd=cap), target(TOKENS))
    assert load.done <= 5
    assert load.spent_usd is not None and load.spent_usd <= cap


async def test_a_cap_by_time_cancels_what_is_under_way(bench: Bench) -> None:
    """Two instances at $3.60 an hour are $0.002 a second."""
    bench.endpoints.answer = lambda request, model: Say(first_s=60.0)
    load = await bench.run(plan(50, 4, cap_usd=Decimal("0.01")), target())
    assert load.began is not None and load.ended is not None
    # Sixty seconds each, had it not been for the cap; the rest is the clock of this test.
    assert 5.0 <= load.ended - load.began < 15.0
    assert load.report().cancelled == 4
    assert bench.endpoints.open == 0
    assert "instance time" in load.stopped


async def test_a_cap_by_time_ends_a_slow_rate_too(bench: Bench) -> None:
    """The next request would be due in sixteen minutes."""
    load = await bench.run(plan(3, 4, rate=0.001, cap_usd=Decimal("0.01")), target())
    assert load.began is not None and load.ended is not None
    assert 5.0 <= load.ended - load.began < 15.0
    assert load.done == 1 and "instance time" in load.stopped


async def test_a_cap_without_a_price_cannot_hold_and_nothing_is_sent(bench: Bench) -> None:
    with pytest.raises(ConfigurationInvalid):
        await bench.run(plan(cap_usd=Decimal(1)), target(None))
    assert bench.endpoints.asked == []


async def test_what_is_stopped_is_not_asked(bench: Bench) -> None:
    with pytest.raises(NotPossible, match="stopped"):
        await bench.run(plan(), target(wake=Wake.REFUSED, wake_words="It is stopped."))
    assert bench.endpoints.asked == []


async def test_a_key_that_is_refused_ends_it_at_once(bench: Bench) -> None:
    bench.endpoints.answer = lambda request, model: Say((), error=AuthenticationFailed("No such key."))
    load = await bench.run(plan(500, 2), target())
    assert load.done <= 3 and "No such key." in load.stopped


async def test_when_nothing_succeeds_the_rest_is_not_tried(bench: Bench) -> None:
    bench.endpoints.answer = lambda request, model: Say((), error=PlatformFailed("Broken."))
    load = await bench.run(plan(500, 2), target())
    assert load.done < 30
    assert load.report().errors[0][0] == "platform: Broken."


async def test_failures_are_left_out_of_the_percentiles_and_that_is_said(bench: Bench) -> None:
    turns = iter(range(1000))
    bench.endpoints.answer = lambda request, model: (
        Say((), error=PlatformFailed("Broken.")) if next(turns) % 4 == 0 else Say()
    )
    load = await bench.run(plan(40, 4), target())
    found = load.report()
    assert (found.ok, found.failed, found.success_rate) == (30, 10, 0.75)
    lines = "\n".join(report(load, found))
    assert "10 failures left out" in lines
    assert "needs n ≥ 72" in lines


async def test_cancelled_on_the_way_it_keeps_what_has_come(bench: Bench) -> None:
    load = LoadRun(plan(100, 2))
    aim = target()
    running = asyncio.create_task(run(bench.prompts, BOT, aim, aim.models[0], load, bench.clock))
    while load.done < 6:
        await bench.clock.advance(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.endpoints.open == 0
    rows = await bench.store.requests.of_run(load.run_id)
    assert sum(row.outcome == "ok" for row in rows) == load.done
    assert sum(row.outcome == "cancelled" for row in rows) == 2


def test_the_preview_says_what_it_may_cost() -> None:
    by_tokens = preview(plan(), target(TOKENS), BOT)
    assert by_tokens.most_usd == Decimal("0.02036") and "at most $0.020" in by_tokens.words
    by_time = preview(plan(100, 4), target(), BOT, seconds=2.0)
    assert by_time.likely_usd == Decimal("0.1") and "about 50 s" in by_time.words
    assert "whether or not requests come" in by_time.words
    assert preview(plan(), target(None), BOT).can_be_capped is False


@pytest.mark.parametrize(
    "wrong",
    [
        LoadPlan((), 1, 1),
        LoadPlan((PromptRequest(" "),), 1, 1),
        plan(0),
        plan(1, 0),
        plan(1, 1000),
        plan(rate=0.0),
        plan(rate=float("nan")),
        plan(cap_usd=Decimal(0)),
    ],
)
def test_what_cannot_be_is_said(wrong: LoadPlan) -> None:
    assert wrong.problem()


def test_prompts_come_from_a_file_in_any_of_its_forms() -> None:
    text = '"plain"\n\n{"prompt": "p", "system": "s"}\n' + json.dumps(
        {"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "u"}]}
    )
    found = prompts_of(text, replace(HELLO, system="own"))
    assert [(r.prompt, r.system) for r in found] == [("plain", "own"), ("p", "s"), ("u", "be")]


@pytest.mark.parametrize("text", ["", "\n", "{}", "[1]", "not json", '"a"\n{"prompt": 3}'])
def test_a_line_that_holds_no_prompt_is_named(text: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        prompts_of(text, HELLO)


async def test_a_file_holds_every_request_no_formula_and_no_key(bench: Bench) -> None:
    Secret("sk-very-secret-key-1234567890")
    evil = PlatformFailed("=HYPERLINK(evil) for key sk-very-secret-key-1234567890")
    turns = iter(range(10))
    bench.endpoints.answer = lambda request, model: Say((), error=evil) if next(turns) else Say()
    load = await bench.run(plan(3, 1), target())
    text = as_csv(load)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 3
    assert (rows[0]["outcome"], rows[0]["tokens_out"]) == ("ok", "2")
    assert rows[1]["error"].startswith("'=HYPERLINK")
    assert "sk-very-secret" not in text and "sk-very-secret" not in as_json(load)
    document = json.loads(as_json(load))
    assert document["results"][0]["first_text_s"] == pytest.approx(0.2)
    assert document["loop"] == "closed" and document["total_s"][0]["needs_n"] == 6


async def test_an_error_that_quotes_a_signed_address_breaks_no_file(bench: Bench) -> None:
    """Redacted as a whole, the file lost the comma or the backslash behind the signature."""
    signed = PlatformFailed('GET "https://files.example/a?sig=deadbeefcafe" failed')
    bare = PlatformFailed("GET https://files.example/a?sig=deadbeefcafe")
    turns = iter((signed, bare))
    bench.endpoints.answer = lambda request, model: Say((), error=next(turns))
    load = await bench.run(plan(2, 1), target())
    wanted = [
        'GET "https://files.example/a?sig=[redacted]" failed',
        "GET https://files.example/a?sig=[redacted]",
    ]
    rows = list(csv.DictReader(io.StringIO(as_csv(load))))
    assert [row["error"] for row in rows] == wanted
    assert {row["outcome"] for row in rows} == {"failed"} and rows[1]["tokens_in"] == ""
    assert [row["error"] for row in json.loads(as_json(load))["results"]] == wanted


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_is_text_whatever_it_begins_with(text: str) -> None:
    assert cell(text) == f"'{text}"
    assert cell("plain") == "plain" and cell(None) == "" and cell(-1.5) == "-1.5"


async def test_what_is_being_written_when_the_run_ends_is_written_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last request ends while the ones before it are on their way to the disk."""
    record, held = bench.prompts.record, asyncio.Event()

    async def slow(exchanges: Sequence[Exchange]) -> list[int]:
        held.set()
        await asyncio.sleep(0.02)
        return await record(exchanges)

    monkeypatch.setattr(module, "WRITE_SECONDS", 0.05)
    monkeypatch.setattr(bench.prompts, "record", slow)
    load = await bench.run(plan(3, 1), target())
    assert held.is_set() and load.done == 3
    assert len(await bench.store.requests.of_run(load.run_id)) == 3


async def test_a_run_is_written_down_as_its_own_clock_goes(bench: Bench, clock: VirtualClock) -> None:
    turns = iter(range(2))
    bench.endpoints.answer = lambda request, model: Say(first_s=60.0) if next(turns) else Say()
    load = LoadRun(plan(2, 2))
    running = asyncio.create_task(run(bench.prompts, BOT, target(), TARGET.models[0], load, clock))
    await clock.until_asleep(2)
    await clock.advance(0.4)
    assert load.done == 1 and not running.done()
    await clock.advance(module.WRITE_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await bench.store.requests.of_run(load.run_id):
            await asyncio.sleep(0)
    assert not running.done()
    await clock.advance(60)
    await finished(running)


async def test_a_store_that_is_busy_for_a_moment_loses_no_row(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, failures = bench.prompts.record, iter([True, True])

    async def locked_at_first(exchanges: Sequence[Exchange]) -> list[int]:
        if next(failures, False):
            raise StoreError("database is locked")
        return await record(exchanges)

    monkeypatch.setattr(module, "WRITE_SECONDS", 0.05)
    monkeypatch.setattr(bench.prompts, "record", locked_at_first)
    load = await bench.run(plan(6, 2), target())
    assert len(await bench.store.requests.of_run(load.run_id)) == 6


async def test_a_store_that_is_full_hides_no_figure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(exchanges: Sequence[Exchange]) -> list[int]:
        raise StoreError("database or disk is full")

    monkeypatch.setattr(bench.prompts, "record", full)
    load = await bench.run(plan(6, 2), target())
    assert (load.report().ok, load.unwritten) == (6, 6)
    assert any("6 could not be written down" in line for line in report(load, load.report()))


async def test_what_nobody_expected_is_a_failure_in_its_row_and_ends_no_run(bench: Bench) -> None:
    turns = iter(range(100))
    bench.endpoints.answer = lambda request, model: (
        Say((), error=KeyError("odd")) if next(turns) == 3 else Say()
    )
    load = await bench.run(plan(8, 2), target())
    found = load.report()
    assert (found.ok, found.failed) == (7, 1)
    assert found.errors[0][0].startswith("failed: Internal error while asking: KeyError")


@pytest.mark.parametrize("cap", ["NaN", "sNaN", "Infinity", "-1", "0"])
def test_a_cap_that_is_no_amount_is_refused(cap: str) -> None:
    assert "cap" in plan(cap_usd=Decimal(cap)).problem()


@pytest.mark.parametrize("rate", [0.0, -1.0, 1e-300, 1e300, float("nan"), float("inf")])
def test_a_rate_that_no_run_can_have_is_refused(rate: float) -> None:
    assert "rate" in plan(rate=rate).problem()


def test_bars_show_a_slow_one_among_quick_ones() -> None:
    lines = bars([0.2] * 50 + [40.0])
    assert "█" in lines[0] and lines[0].endswith("50")
    assert lines[-1].endswith("█ 1")
    assert bars([]) == []
