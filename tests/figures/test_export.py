"""What leaves for other tools is read there as it was meant."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import sqlite3
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from peft_tui.backend import Backend
from peft_tui.cli.main import main
from peft_tui.cli.metrics import ScrapePage, everything, seconds_of
from peft_tui.credentials import Secret
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.metrics import Course
from peft_tui.domain.money import Budget
from peft_tui.domain.status import Status
from peft_tui.services import export
from peft_tui.services.figures import FiguresService
from peft_tui.services.lookups import Lookups
from peft_tui.services.openmetrics import CONTENT_TYPE, SECONDS, TOKENS, open_metrics
from peft_tui.store import Store
from tests.figures.loads import exchange, failed, load, record
from tests.seeds import NOON, FrozenClock, StillBackend, made, observed, put


async def scene(store: Store, name: str = "bot", count: int = 300) -> tuple[Deployment, Course]:
    deployment = await put(store, made(name), observed(Status.ACTIVE, 3600), observed(Status.ACTIVE, 2))
    async with store.database.transaction() as transaction:
        for minute in range(0, 61):
            at = NOON - timedelta(minutes=60 - minute)
            for second in range(0, 60, 10):
                await store.billing.watched(transaction, "together", "acme", at + timedelta(seconds=second))
    await record(store, load(deployment.id, count, failing=0.05, cold=0.02))
    figures = FiguresService(store, FrozenClock(), Lookups(store))
    return deployment, await figures.course(deployment, await figures.window(deployment, 3600.0, 60))


def families(text: str) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(family: Any, suffix: str, **labels: str) -> float:
    found = [
        s.value
        for s in family.samples
        if s.name == family.name + suffix and labels.items() <= s.labels.items()
    ]
    assert found, f"no {family.name}{suffix} with {labels}"
    return float(sum(found))


async def test_the_real_parser_reads_our_openmetrics(store: Store) -> None:
    deployment, course = await scene(store)
    figures = course.figures
    found = families(export.document("prometheus", deployment, course, NOON))
    tally = figures.tally
    duration = found["gen_ai_client_operation_duration_seconds"]
    assert duration.type == "histogram" and duration.unit == "seconds"
    assert value(duration, "_count", peft_start="warm") == tally.latency.count
    assert value(duration, "_count", peft_start="cold") == tally.cold_latency.count > 0
    assert value(duration, "_sum", peft_start="warm") == pytest.approx(tally.latency.total)
    assert value(duration, "_bucket", peft_start="warm", le="+Inf") == tally.latency.count
    assert value(duration, "_bucket", peft_start="cold", le="81.92") == tally.cold_latency.count
    labels = duration.samples[0].labels
    assert labels["gen_ai_provider_name"] == "together"
    assert labels["gen_ai_request_model"] == "acme/support-bot"
    assert (labels["server_address"], labels["server_port"]) == ("api.together.ai", "443")
    tokens = found["gen_ai_client_token_usage"]
    assert value(tokens, "_sum", gen_ai_token_type="output") == tally.tokens_out
    assert value(found["peft_requests"], "_total") == tally.total
    assert value(found["peft_requests"], "_total", outcome="failed") == tally.failed
    assert value(found["peft_cost_usd"], "_total", kind="estimated") == pytest.approx(
        float(figures.cost_usd or 0)
    )
    assert value(found["peft_cost_usd_per_hour"], "") == 5.49
    states = {s.labels["peft_deployment_state"]: s.value for s in found["peft_deployment_state"].samples}
    assert states["active"] == 1 and sum(states.values()) == 1


async def test_failures_have_durations_of_their_own_and_chunks_the_time_between_them(store: Store) -> None:
    deployment = await put(store, made("bot"))
    at = NOON - timedelta(minutes=5)
    await record(
        store,
        [
            exchange(deployment.id, at, gaps_s=(0.011, 0.03, 0.5)),
            exchange(deployment.id, at, gaps_s=(0.03,)),
            failed(deployment.id, at, "timeout"),
            failed(deployment.id, at, "resource"),
            failed(deployment.id, at, "resource"),
        ],
    )
    figures = FiguresService(store, FrozenClock(), Lookups(store))
    found = families(open_metrics(await everything(figures, [deployment])))
    duration = found["gen_ai_client_operation_duration_seconds"]
    assert value(duration, "_count", error_type="timeout") == 1
    assert value(duration, "_count", error_type="resource") == 2
    assert value(duration, "_sum", error_type="resource") == 60
    assert value(duration, "_count", peft_start="warm") == 2
    chunk = found["gen_ai_client_operation_time_per_output_chunk_seconds"]
    assert (value(chunk, "_count"), value(chunk, "_bucket", le="0.02")) == (4, 1)
    assert value(chunk, "_bucket", le="0.04") == 3
    assert value(chunk, "_sum") == pytest.approx(0.571)


async def test_what_is_spent_of_a_budget_is_told_where_there_is_one(store: Store) -> None:
    budgets = store.budgets
    await budgets.write("modal", "acme/main", Budget(Decimal("7.50"), Decimal("30")), NOON)
    text = open_metrics([], await budgets.current(NOON))
    assert value(families(text)["peft_budget_ratio"], "", platform="modal", account="acme/main") == 0.25
    await budgets.write("modal", "acme/main", None, NOON)
    assert "budget" not in open_metrics([], await budgets.current(NOON))


async def test_a_budget_is_of_the_platform_that_was_named_and_not_an_old_one(store: Store) -> None:
    for platform in ("modal", "together"):
        await store.budgets.write(platform, "acme", Budget(Decimal(1), Decimal(4)), NOON)
    soon, late = NOON + timedelta(minutes=10), NOON + timedelta(minutes=11)
    assert set(await store.budgets.current(soon)) == {("modal", "acme"), ("together", "acme")}
    assert set(await store.budgets.current(soon, "modal")) == {("modal", "acme")}
    assert await store.budgets.current(late) == {}


async def test_labels_are_few_however_many_requests_there_were(store: Store) -> None:
    deployment, course = await scene(store)
    small = families(open_metrics([(deployment, course.figures)]))
    await record(store, load(deployment.id, 500, seed=9, cold=0.05, failing=0.2))
    figures = FiguresService(store, FrozenClock(), Lookups(store))
    large = families(open_metrics(await everything(figures, [deployment])))
    assert {name: len(family.samples) for name, family in small.items()} == {
        name: len(family.samples) for name, family in large.items()
    }


async def test_the_bounds_are_those_of_the_conventions_and_three_more() -> None:
    assert SECONDS[:14] == (
        *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    )
    assert TOKENS[0] == 1 and TOKENS[-1] == 67108864


async def test_what_is_not_known_is_left_out_and_not_zero(store: Store) -> None:
    deployment = await put(store, made("silent"))
    figures = FiguresService(store, FrozenClock(), Lookups(store))
    text = open_metrics(await everything(figures, [deployment]))
    assert not {name for name in families(text) if "token" in name or "cost" in name or "duration" in name}


async def test_a_name_that_breaks_lines_and_quotes_stays_a_label(store: Store) -> None:
    deployment, course = await scene(store, 'a"b\\c\nd 🦙', 3)
    found = families(open_metrics([(deployment, course.figures)]))
    assert found["peft_requests"].samples[0].labels["deployment"] == 'a"b\\c\nd 🦙'


async def test_a_name_that_is_used_again_makes_no_series_twice(store: Store) -> None:
    deployment, course = await scene(store)
    again = replace(deployment, id="another")
    found = families(open_metrics([(deployment, course.figures), (again, course.figures)]))
    for family in found.values():
        series = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(series) == len(set(series)), family.name
        assert {sample.labels["deployment_id"] for sample in family.samples} == {deployment.id, "another"}


@pytest.mark.parametrize("endpoint", ["https://[::1/v1", "https://api.example:port/v1", "nothing", ""])
async def test_an_endpoint_that_is_no_address_has_no_server_label(store: Store, endpoint: str) -> None:
    deployment, course = await scene(store, count=3)
    assert deployment.observation is not None
    odd = replace(deployment, observation=replace(deployment.observation, endpoint_url=endpoint))
    found = families(export.document("prometheus", odd, course, NOON))
    labels = found["gen_ai_client_operation_duration_seconds"].samples[0].labels
    assert not {name for name in labels if name.startswith("server_")}


async def test_a_secret_that_got_into_a_name_is_not_exported(store: Store) -> None:
    Secret("tgp_v1_do-not-tell-anybody")
    deployment, course = await scene(store, "bot-tgp_v1_do-not-tell-anybody", 3)
    for kind in ("csv", "json", "prometheus"):
        assert "do-not-tell" not in export.document(kind, deployment, course, NOON)


async def test_csv_has_a_row_a_step_and_no_cell_is_a_formula(store: Store) -> None:
    deployment, course = await scene(store)
    bad = replace(deployment, spec=replace(deployment.spec, name='=cmd|"/c calc"!A1', platform="@sum"))
    rows = list(csv.DictReader(io.StringIO(export.as_csv([(bad, course)]))))
    assert len(rows) == len(course.points)
    assert sum(int(row["requests"]) for row in rows) == course.figures.tally.total
    assert {row["deployment"] for row in rows} == {'\'=cmd|"/c calc"!A1'}
    assert {row["platform"] for row in rows} == {"'@sum"}
    assert sum(Decimal(row["cost_usd"]) for row in rows if row["cost_usd"]) == course.figures.cost_usd


async def test_json_says_where_figures_come_from_and_null_for_unknown(store: Store) -> None:
    deployment, course = await scene(store)
    document = json.loads(export.document("json", deployment, course, NOON))
    assert document["measured"]["requests"] == 300
    assert document["measured"]["latency_ms"]["p50"] == pytest.approx(
        (course.figures.tally.latency.value_at(0.5) or 0) * 1000, abs=0.01
    )
    assert document["measured"]["latency_ms"]["p99_interval"][1] is None
    assert document["reported"] is None
    assert Decimal(document["cost"]["usd"]) == course.figures.cost_usd
    assert document["cost"]["provenance"] == "estimated"


@pytest.mark.parametrize(("ahead", "told"), [(timedelta(0), 0.0), (timedelta(hours=1), 3600.0), (None, None)])
async def test_json_says_how_far_the_clocks_are_apart_none_of_it_too(
    store: Store, ahead: timedelta | None, told: float | None
) -> None:
    deployment, course = await scene(store)
    course = replace(course, figures=replace(course.figures, ahead=ahead))
    document = json.loads(export.document("json", deployment, course, NOON))
    assert document["cost"]["platform_clock_ahead_seconds"] == told


async def test_nothing_is_written_over(tmp_path: Path) -> None:
    first = export.save("../a b", "csv", "one", NOON, tmp_path)
    second = export.save("../a b", "csv", "two", NOON, tmp_path)
    assert first != second and first.parent == tmp_path == second.parent
    assert (first.read_text(), second.read_text()) == ("one", "two")
    assert os.stat(first).st_mode & 0o077 == 0


@pytest.mark.parametrize(("text", "seconds"), [("15m", 900), ("1.5h", 5400), ("7d", 604800), ("all", None)])
def test_since_is_read(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "10s", "0m", "1e9d", "-1h", "yesterday"])
def test_since_that_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        seconds_of(text)


async def test_a_scrape_asks_the_platforms_at_most_every_thirty_seconds(store: Store, tmp_path: Path) -> None:
    await scene(store)
    clock = FrozenClock()
    backend = CountingBackend(store, {}, clock, tmp_path, None)
    page = ScrapePage(backend, refresh=True)
    server = await asyncio.start_server(page.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        texts = await asyncio.gather(*(fetch(port, "GET /metrics") for _ in range(5)))
        assert backend.asked == 1
        clock.turn(31)
        texts.append(await fetch(port, "GET /metrics"))
        assert backend.asked == 2
        for text in texts:
            head, _, body = text.partition("\r\n\r\n")
            assert "200 OK" in head and CONTENT_TYPE in head
            assert value(families(body)["peft_requests"], "_total") == 300
        assert "404" in await fetch(port, "GET /")
        assert "405" in await fetch(port, "POST /metrics")
        assert "403" in await fetch(port, "GET /metrics", host="rebound.example:9")
    finally:
        server.close()


async def test_a_scrape_of_a_store_that_cannot_be_read_is_told_so(tmp_path: Path) -> None:
    store = await Store.open(tmp_path)
    page = ScrapePage(StillBackend(store, {}, FrozenClock(), tmp_path, None), refresh=False)
    connection = sqlite3.connect(store.database.path)
    connection.execute("DROP TABLE deployments")
    connection.close()
    server = await asyncio.start_server(page.answer, "127.0.0.1", 0)
    try:
        answer = await fetch(server.sockets[0].getsockname()[1], "GET /metrics")
        assert "503 Service Unavailable" in answer and "peft-tui doctor" in answer
    finally:
        server.close()
        await store.close()


class CountingBackend(StillBackend):
    asked = 0

    async def refresh_once(self, *, figures: bool = False) -> None:
        self.asked += 1


async def fetch(port: int, what: str, host: str = "127.0.0.1:9") -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{what} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    return text


def test_the_command_prints_each_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PEFT_TUI_DATA_DIR", str(tmp_path))

    async def fill() -> None:
        backend = await Backend.open(tmp_path, {})
        await scene(backend.store)
        await backend.close()

    asyncio.run(fill())
    assert main(["metrics", "bot", "--cached", "--since", "all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measured"]["requests"] == 300
    assert main(["metrics", "bot", "--cached", "--since", "all", "--format", "prometheus"]) == 0
    assert value(families(capsys.readouterr().out)["peft_requests"], "_total") == 300
    assert main(["metrics", "bot", "--cached", "--since", "all", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("deployment,platform,seconds,at,requests")
    assert main(["metrics", "bot", "--cached", "--since", "all"]) == 0
    assert "requests    300" in capsys.readouterr().out
    assert main(["metrics", "nobody", "--cached"]) == 4
    capsys.readouterr()
    assert main(["metrics", "--cached", "--since", "all", "--json"]) == 0
    everything_ = json.loads(capsys.readouterr().out)["deployments"]
    assert [d["measured"]["requests"] for d in everything_] == [300]
    assert main(["metrics", "--cached", "--format", "prometheus"]) == 0
    assert value(families(capsys.readouterr().out)["peft_requests"], "_total") == 300
    assert main(["metrics", "--cached", "--format", "csv", "--platform", "modal"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main(["metrics", "--cached", "--since", "all"]) == 0
    assert "bot" in capsys.readouterr().out.splitlines()[1]
    assert main(["metrics", "bot", "--platform", "modal", "--cached"]) == 4
    capsys.readouterr()
    assert main(["list", "--json", "--cached"]) == 0
    listed = json.loads(capsys.readouterr().out)["deployments"][0]
    assert (listed["requests"], listed["latency_ms"] > 100, listed["cost_usd"] is not None) == (
        300,
        True,
        True,
    )
    assert 0.9 < listed["success_rate"] < 1
