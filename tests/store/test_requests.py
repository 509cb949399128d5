"""What was asked is kept, found again, and deleted for good."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from peft_tui.domain.inference import PromptRequest, Role
from peft_tui.domain.measure import Basis, Cost, Measured, Outcome, Source
from peft_tui.domain.money import Provenance
from peft_tui.domain.request import Exchange, Texts
from peft_tui.store import Changes, Store
from tests.doubles import NOON, deployment

BOT, OTHER = deployment("bot"), deployment("other")


def exchange(prompt: str = "Hello", minute: int = 0, **more: object) -> Exchange:
    asked = PromptRequest(prompt, "Be kind.", 50, 0.2, 0.8, ("END",), 7)
    facts = Exchange(
        BOT.id,
        NOON + timedelta(minutes=minute),
        Source.CONSOLE,
        "acme/bot",
        Role.ADAPTER,
        asked,
        Outcome.OK,
        Measured(0.2, None, 1.5, 0.01, 0.3, 1.1, 9, 50, 4, Provenance.REPORTED, False),
        Cost(Decimal("0.00021"), Basis.TIME, "a list"),
        200,
        None,
        "stop",
        "p1",
        texts=Texts(prompt, "Be kind.", ("END",), "hm", f"answer to {prompt}", "{}"),
    )
    return replace(facts, **more)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
async def deployments(store: Store) -> None:
    async with store.database.transaction() as transaction:
        for item in (BOT, OTHER):
            await store.deployments.insert(transaction, item)


async def test_what_is_written_is_what_is_read(store: Store) -> None:
    (number,) = await store.requests.record([exchange()])
    assert await store.requests.get(number) == replace(exchange(), id=number)
    assert await store.requests.history(BOT.id) == [replace(exchange(), id=number)]


async def test_what_is_not_known_stays_not_known(store: Store) -> None:
    failed = exchange(
        outcome=Outcome.FAILED,
        measured=Measured(total_s=3.0),
        cost=Cost(),
        status=None,
        error={"kind": "timeout", "message": "No answer.", "hint": "", "detail": ""},
    )
    (number,) = await store.requests.record([failed])
    read = await store.requests.get(number)
    assert read == replace(failed, id=number)
    assert read is not None and (read.error_kind, read.error_message) == ("timeout", "No answer.")


async def test_the_newest_come_first_and_only_of_the_one(store: Store) -> None:
    await store.requests.record([exchange(f"p{n}", n) for n in range(12)])
    await store.requests.record([replace(exchange(), deployment_id=OTHER.id)])
    found = await store.requests.history(BOT.id, limit=10)
    assert [e.request.prompt for e in found] == [f"p{n}" for n in range(11, 1, -1)]


async def test_it_is_searched_in_prompt_answer_and_error(store: Store) -> None:
    await store.requests.record(
        [
            exchange("where is order 4711"),
            exchange("a lamp 100% off_sale"),
            exchange("x", error={"kind": "timeout", "message": "No answer."}, outcome=Outcome.FAILED),
        ]
    )

    async def found(words: str) -> list[str]:
        return [e.request.prompt for e in await store.requests.history(BOT.id, search=words)]

    assert await found("4711 order") == ["where is order 4711"]
    assert await found("answer to a lamp") == ["a lamp 100% off_sale"]
    assert await found("no answer.") == ["x"]
    assert await found("100% off_") == ["a lamp 100% off_sale"]
    assert await found("100_") == [], "what is typed is no pattern"


async def test_without_texts_there_are_figures(store: Store) -> None:
    (number,) = await store.requests.record([replace(exchange(), texts=None)])
    read = await store.requests.get(number)
    assert read is not None
    assert (read.texts, read.request.prompt, read.request.max_tokens) == (None, "", 50)
    assert read.measured == exchange().measured


async def test_deleted_is_deleted_and_what_it_cost_stays(store: Store) -> None:
    secret = "the-launch-code-is-xyzzy"
    kept, gone = await store.requests.record([exchange("kept"), exchange(secret)])
    await store.requests.forget([gone])
    assert [e.id for e in await store.requests.history(BOT.id)] == [kept]
    assert await store.requests.get(gone) is None
    row = await store.database.one("SELECT cost_usd, latency_s FROM requests WHERE id = ?", gone)
    assert row is not None and tuple(row) == ("0.00021", 1.5)
    for path in store.database.path.parent.glob("peft-tui.db*"):
        assert secret.encode() not in path.read_bytes(), path.name


async def test_who_shows_a_deployment_hears_of_its_requests(store: Store) -> None:
    heard: list[Changes] = []
    store.database.listen(heard.append)
    await store.requests.record([exchange(), replace(exchange(), deployment_id=OTHER.id)])
    assert heard[-1].requests == {BOT.id, OTHER.id}
    assert not heard[-1].deployments


async def test_another_window_hears_of_them_too(store: Store, memory: Path) -> None:
    other = await Store.open(memory)
    heard: list[Changes] = []
    other.database.listen(heard.append)
    await store.requests.record([exchange()])
    await other.database.notice_others()
    await other.close()
    assert [change.requests for change in heard] == [{BOT.id}]


async def test_old_ones_are_not_announced_again(store: Store, memory: Path) -> None:
    await store.requests.record([exchange()])
    again = await Store.open(memory)
    heard: list[Changes] = []
    again.database.listen(heard.append)
    await again.requests.record([replace(exchange(), deployment_id=OTHER.id)])
    await again.close()
    assert [change.requests for change in heard] == [{OTHER.id}]


async def test_the_history_of_one_is_read_by_its_index(store: Store) -> None:
    plan = await store.database.all(
        "EXPLAIN QUERY PLAN SELECT id FROM requests WHERE deployment_id = ? AND NOT hidden"
        " ORDER BY at DESC, id DESC LIMIT 10",
        BOT.id,
    )
    said = " ".join(row["detail"] for row in plan)
    assert "requests_by_deployment" in said and "TEMP B-TREE" not in said


async def test_requests_are_counted_by_deployment_from_a_moment_on(store: Store) -> None:
    await store.requests.record([exchange(minute=0), exchange(minute=9), exchange(minute=10)])
    await store.requests.record([exchange(minute=20, deployment_id=OTHER.id)])
    lately = NOON + timedelta(minutes=5)
    assert await store.requests.since([BOT.id, OTHER.id, "unknown"], lately) == {BOT.id: 2, OTHER.id: 1}
    assert await store.requests.since([BOT.id], NOON + timedelta(minutes=10)) == {}
