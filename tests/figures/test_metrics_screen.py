"""The metrics screen by its keys and its text."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from textual.geometry import Size

from peft_tui.domain.billing import GAP
from peft_tui.domain.measure import Source
from peft_tui.domain.status import Status
from peft_tui.store import Store
from peft_tui.store.figures import Figures
from peft_tui.ui.screens.metrics import MetricsScreen, OverviewScreen
from peft_tui.ui.widgets.lines import Lines
from tests.driving import Driver, drive
from tests.figures.loads import exchange, failed, load, record
from tests.seeds import NOON, FrozenClock, made, observed, put, still_app

Fill = Callable[[Store, str], Awaitable[None]]


async def watched(store: Store, minutes: float, until: float = 0.0, platform: str = "together") -> None:
    """Somebody looked from so many minutes ago on."""
    async with store.database.transaction() as transaction:
        seconds = minutes * 60
        while seconds >= until * 60:
            at = NOON - timedelta(seconds=seconds)
            await store.billing.watched(transaction, platform, "acme", at)
            seconds -= GAP.total_seconds()


def scene(fill: Fill | None = None) -> Callable[[Store], Awaitable[None]]:
    async def seed(store: Store) -> None:
        deployment = await put(
            store,
            made("support-bot", minutes_ago=120),
            observed(Status.ACTIVE, 2 * 3600),
            observed(Status.ACTIVE, 2),
        )
        await watched(store, 120)
        if fill is not None:
            await fill(store, deployment.id)

    return seed


async def busy(store: Store, id: str) -> None:
    await record(store, load(id, 900, hours=1, failing=0.02, cold=0.004, seed=3))


async def one(store: Store, id: str) -> None:
    await record(store, [exchange(id, NOON - timedelta(minutes=20))])


async def mixed(store: Store, id: str) -> None:
    """Calls of 200 ms, and a boot of a minute among them."""
    calls = [
        exchange(id, NOON - timedelta(seconds=s), 0.2 + (s % 7) / 100, first_text_s=0.1)
        for s in range(10, 3000, 20)
    ]
    boot = exchange(id, NOON - timedelta(minutes=30), 61.0, first_text_s=60.5, cold=True)
    await record(store, [*calls, boot])


async def gap(store: Store, id: str) -> None:
    early = load(id, 200, end=NOON - timedelta(minutes=40), hours=0.3, failing=0)
    late = load(id, 200, hours=0.3, failing=0)
    await record(store, [*early, *late])


async def opened(at: Driver, name: str = "support-bot") -> None:
    await at.sees(f"▸ {name}")
    await at.press("m")
    await at.until(lambda: isinstance(at.app.screen, MetricsScreen))
    await at.sees("live")
    await at.sees(re.compile(r"requests   +\d"))


async def test_everything_that_was_measured_is_said_with_words(tmp_path: Path) -> None:
    async with drive(still_app(tmp_path, scene(busy)), size=(100, 30)) as at:
        await opened(at)
        await at.sees(
            "requests 900", "failed", "P50", "P95", "P99", "of ", "warm", "cold", "in · ", "a request"
        )
        await at.sees("cost $5.49 = busy", "+ idle", "$5.49/h now", "per 1M tokens, busy", "estimated")
        await at.until(lambda: "e export" in at.footer and "? help" in at.footer)


async def test_without_a_request_it_says_so_and_still_what_it_cost(tmp_path: Path) -> None:
    async with drive(still_app(tmp_path, scene())) as at:
        await opened(at)
        await at.sees("no request in this range", "cost $5.49 = idle $5.49", "0/min now")
        for _ in range(2):
            await at.press("tab")
        await at.sees("no request in this range")


async def test_one_request_is_a_point_and_its_percentiles_are_said_to_need_more(tmp_path: Path) -> None:
    async with drive(still_app(tmp_path, scene(one))) as at:
        await opened(at)
        await at.sees("P95 ≥ 400 ms (needs 72)", "•", "P95 needs 20 in each")


async def test_a_cold_start_of_a_minute_leaves_the_calls_of_200_ms_readable(tmp_path: Path) -> None:
    async with drive(still_app(tmp_path, scene(mixed))) as at:
        await opened(at)
        await at.sees("cold up to 1m01s, off the scale", "cold 1 × 1m01s", "P99 ≥ 259 ms")
        chart = at.app.screen.query_one("#chart-latency", Lines).lines[1:-1]
        scale = {cell.text.strip() for line in chart for cell in line if cell.text.strip().endswith("ms")}
        assert scale and all(text.endswith(" ms") and int(text[:-3]) <= 300 for text in scale)
        assert sum(cell.text.count("×") for line in chart for cell in line) == 1


async def test_a_gap_is_a_gap_and_not_a_line(tmp_path: Path) -> None:
    async with drive(still_app(tmp_path, scene(gap))) as at:
        await opened(at)
        lines = at.app.screen.query_one("#chart-latency", Lines).lines[1:-1]
        rows = ["".join(cell.text for cell in line) for line in lines]
        width = max(map(len, rows))
        columns = ["".join(row.ljust(width)[x] for row in rows) for x in range(10, width)]
        blank = "".join("." if not column.strip(" \u2800") else "#" for column in columns)
        assert re.search(r"#\.{15,}#", blank), blank


async def test_time_that_nobody_watched_is_said_in_the_figures_and_in_the_chart(tmp_path: Path) -> None:
    async def seed(store: Store) -> None:
        await put(
            store,
            made("support-bot", minutes_ago=120),
            observed(Status.ACTIVE, 7200),
            observed(Status.ACTIVE),
        )
        await watched(store, 120, 50)
        await watched(store, 20)

    async with drive(still_app(tmp_path, seed)) as at:
        await opened(at)
        await at.sees("$2.74 of it in 30m00s that nobody watched")
        await at.press("tab", "tab", "tab")
        await at.sees("cost adding up to $5.49 nobody looked")


async def test_ranges_zoom_and_pan_by_keys(tmp_path: Path) -> None:
    async with drive(still_app(tmp_path, scene(busy))) as at:
        await opened(at)
        await at.press("1")
        await at.sees("[15m]", "since")
        await at.until(lambda: "900" not in at.line_with("requests"))
        await at.press("5")
        await at.sees("[all]", "requests 900")
        await at.press("2", "left_square_bracket")
        await at.sees("standing still", "0 live")
        await at.press("0")
        await at.sees("live", "[1h]", "requests 900")
        await at.press("plus")
        await at.gone("[1h]")
        await at.until(lambda: "900" not in at.line_with("requests"))
        await at.press("minus")
        await at.sees("requests 900")


async def test_the_cursor_says_exact_values_and_stays_with_its_time(tmp_path: Path) -> None:
    clock = FrozenClock()
    app = still_app(tmp_path, scene(busy), clock=clock)
    async with drive(app, size=(100, 30)) as at:
        await opened(at)
        await at.press("left", "left", "left")
        values = at.line_with("+ 1 min")
        assert re.search(r"\d+ requests", values) and "P50" in values
        moment = values.split("+")[0].strip()
        clock.turn(180)
        await at.press("r")
        await at.until(lambda: moment in at.text)
        await at.press("escape")
        await at.gone("+ 1 min")
        await at.press("escape")
        await at.until(lambda: not isinstance(at.app.screen, MetricsScreen))


async def test_a_request_that_is_recorded_is_seen_at_once(tmp_path: Path) -> None:
    stores: list[Store] = []

    async def seed(store: Store) -> None:
        await scene()(store)
        stores.append(store)

    async with drive(still_app(tmp_path, seed)) as at:
        await opened(at)
        screen = at.app.screen
        assert isinstance(screen, MetricsScreen)
        await record(stores[0], [exchange(screen._deployment.id, NOON - timedelta(seconds=3))])
        await at.sees("requests 1 ", "1/min now")


async def test_nothing_is_repainted_when_nothing_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with drive(still_app(tmp_path, scene(busy))) as at:
        await opened(at)
        await at.sees("requests 900")
        screen = at.app.screen
        assert isinstance(screen, MetricsScreen)
        await at.until(lambda: not screen._reading)
        await at.pilot.pause()
        read_at = screen._course
        repainted: list[object] = []
        for lines in screen.query(Lines):
            monkeypatch.setattr(lines, "refresh", lambda *a, **k: repainted.append(a))
        screen.read()
        await at.until(lambda: screen._course is not read_at)
        await at.pilot.pause()
        assert repainted == []


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 12)])
async def test_it_fits_and_nothing_is_cut_at_the_edge(tmp_path: Path, size: tuple[int, int]) -> None:
    async with drive(still_app(tmp_path, scene(busy)), size=size) as at:
        await at.sees("support-bot")
        await at.press("m")
        await at.sees("live")
        screen = at.app.screen
        await at.until(lambda: bool(screen.query_one("#metrics-figures", Lines).lines))
        assert all(len(line) <= size[0] for line in at.lines)
        if size == (200, 60):
            for name in ("latency", "requests", "tokens", "cost", "distribution"):
                lines = screen.query_one(f"#chart-{name}", Lines)
                assert lines.size > Size(60, 8) and len(lines.lines) > 4


async def test_with_ascii_marks_nothing_else_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("NO_COLOR", "1")
    async with drive(still_app(tmp_path, scene(busy)), size=(100, 30)) as at:
        await at.sees("> support-bot")
        await at.press("m")
        await at.sees("requests 900", "latency from above")
        for _ in range(5):
            assert at.text.isascii(), at.picture
            await at.press("tab")
        styles = {segment.style for strip in at._strips() for segment in strip if segment.style}
        assert not any(style.color and style.color.triplet for style in styles)


async def test_the_picture_of_a_chart_and_the_files_are_written_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    async with drive(still_app(tmp_path, scene(busy)), size=(100, 30)) as at:
        await opened(at)
        for key, suffix in (("c", "csv"), ("j", "json"), ("p", "prom"), ("s", "svg")):
            await at.press("e")
            await at.sees("into this directory")
            await at.press(key)
            await at.until(lambda suffix=suffix: any(place.glob(f"peft-tui-support-bot-*.{suffix}")))  # type: ignore[misc]
        picture = next(place.glob("*.svg")).read_text()
        assert (
            picture.startswith("<svg")
            and "latency" in picture
            and "&#160;P50" in picture.replace(" ", "&#160;")
        )


async def test_the_overview_is_sorted_by_any_figure_and_opens_one(tmp_path: Path) -> None:
    async def seed(store: Store) -> None:
        for name, count, latency in (("alpha", 40, 0.9), ("beta", 10, 0.3), ("gamma", 0, 0.0)):
            deployment = await put(store, made(name, minutes_ago=120), observed(Status.ACTIVE, 3600))
            calls = [exchange(deployment.id, NOON - timedelta(minutes=n + 1), latency) for n in range(count)]
            await record(store, calls)
        await watched(store, 60)

    async with drive(still_app(tmp_path, seed), size=(140, 30)) as at:
        await at.sees("gamma")
        await at.press("M")
        await at.until(lambda: isinstance(at.app.screen, OverviewScreen))
        await at.sees("3 deployments", "50 requests", "alpha together 40 100 900ms")

        def order() -> list[str]:
            return re.findall(r"alpha|beta|gamma", at.text)

        for _ in range(14):
            sorted_by = at.line_with(" by ")
            if "by req" in sorted_by:
                break
            await at.press("s")
            await at.until(lambda before=sorted_by: at.line_with(" by ") != before)  # type: ignore[misc]
        await at.until(lambda: at.shows("by req") and order() == ["alpha", "beta", "gamma"])
        await at.press("S")
        await at.until(lambda: order() == ["gamma", "beta", "alpha"])
        await at.until(lambda: re.search("[▁▂▃▄▅▆▇█]", at.line_with("alpha")) is not None)
        await at.press("end", "enter")
        await at.until(lambda: isinstance(at.app.screen, MetricsScreen))
        await at.sees("alpha · together", "requests 40")
        await at.press("o")
        await at.until(lambda: isinstance(at.app.screen, OverviewScreen))
        assert not any(isinstance(screen, MetricsScreen) for screen in at.app.screen_stack), "it led back"
        await at.press("escape", "m")
        await at.until(lambda: isinstance(at.app.screen, MetricsScreen))
        await at.press("o")
        await at.until(lambda: isinstance(at.app.screen, OverviewScreen))
        await at.press("escape")
        await at.until(lambda: isinstance(at.app.screen, MetricsScreen))


async def test_while_older_requests_are_counted_the_screen_says_so_and_stays_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, fold = asyncio.Event(), Figures.fold

    async def held(self: Figures, now: datetime | None = None) -> int:
        await may_go_on.wait()
        return await fold(self, now)

    monkeypatch.setattr(Figures, "fold", held)
    monkeypatch.setattr("peft_tui.services.figures.AT_ONCE", 10)
    monkeypatch.setattr("peft_tui.services.figures.EXACT", 10)
    monkeypatch.setattr("peft_tui.ui.screens.metrics.screen.COUNTING_SECONDS", 0.02)
    async with drive(still_app(tmp_path, scene(busy)), size=(100, 30)) as at:
        await at.sees("▸ support-bot")
        await at.press("m")
        await at.sees("counting older requests, 900 to go")
        await at.press("3", "tab")
        await at.sees("[24h]", "requests 0")
        may_go_on.set()
        await at.sees("requests 900", "live")
        await at.gone("counting")


async def test_the_platforms_of_one_adapter_stand_side_by_side(tmp_path: Path) -> None:
    async def seed(store: Store) -> None:
        for name, platform, adapter, count in (
            ("first", "together", "./out/a", 30),
            ("between", "together", "./out/b", 20),
            ("second", "modal", "./out/a", 10),
        ):
            deployment = await put(store, made(name, platform, adapter=adapter), observed(Status.ACTIVE, 60))
            await record(store, load(deployment.id, count, failing=0, hours=0.2))

    async with drive(still_app(tmp_path, seed), size=(140, 30)) as at:
        await at.sees("between")
        await at.press("M")
        await at.sees("3 deployments", "60 requests")

        def order() -> list[str]:
            return re.findall(r"first|between|second", at.text)

        for _ in range(14):
            if at.shows("by req") and order() == ["first", "between", "second"]:
                break
            await at.press("s")
        assert order() == ["first", "between", "second"]
        await at.press("a")
        await at.until(lambda: order() == ["first", "second", "between"])
        await at.sees("└ second", "platforms of one adapter together")
        await at.press("a")
        await at.until(lambda: order() == ["first", "between", "second"])


async def test_who_sent_them_is_told_apart_and_how_many_met_the_usual_targets(tmp_path: Path) -> None:
    async def seed(store: Store, id: str) -> None:
        at_ = NOON - timedelta(minutes=5)
        quick = [exchange(id, at_, 0.3, first_text_s=0.1, tokens=(9, 10)) for _ in range(3)]
        slow = [exchange(id, at_, 2.5, first_text_s=0.25, tokens=(9, 40)) for _ in range(1)]
        loaded = [replace(one, source=Source.LOAD) for one in slow]
        await record(store, [*quick, *loaded, failed(id, at_)])

    async with drive(still_app(tmp_path, scene(seed)), size=(110, 40)) as at:
        await opened(at)
        await at.sees("sent by console 4 P50 300 ms 1 failed load 1 P50 2.50 s")
        # Of five that ended: three are quick, one is good enough for RAG and agents, one failed.
        await at.sees("goodput chat 60.0 % RAG 80.0 % agents 80.0 % code 60.0 %")


async def test_the_table_of_deployments_takes_its_figures_from_here(tmp_path: Path) -> None:
    async with drive(still_app(tmp_path, scene(busy)), size=(130, 30)) as at:
        await at.sees(re.compile(r"support-bot .* 900 +9\d\.\d +3\d\dms +\$5\.49 +\$10\.98"))
