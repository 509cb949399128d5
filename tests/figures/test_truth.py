"""A generated load on each platform: our figures are what the sandbox says it served and billed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from peft_tui.credentials import Credentials
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import TimedOut
from peft_tui.domain.inference import PromptRequest
from peft_tui.domain.measure import Outcome, Source
from peft_tui.domain.metrics import Course, Figures
from peft_tui.domain.operation import OperationState
from peft_tui.domain.reported import Metric
from peft_tui.drivers.modal.driver import ModalDriver
from peft_tui.drivers.modal.figures import reports
from peft_tui.paths import config_dir
from peft_tui.services.prompts import Question
from peft_tui.ui.screens.metrics import words
from peft_tui.workers.figures import FiguresWorker
from peft_tui.workers.inference import InferenceWorker
from tests.drivers.test_whole_life import SCENES
from tests.life import Life, life

PERIOD = 5.0
PLATFORMS = {
    "together": "together, directory",
    "replicate": "replicate, model",
    "predibase": "predibase, directory",
    "modal": "modal, directory",
}
PREDIBASE_PRICE = '[predibase.usd_per_hour]\na10_24gb_100 = "2.00"\n'
"""Predibase tells no price: a person takes it from the invoice, here the sandbox's."""


class Scene(Life):
    """A life in which something is asked."""

    deployment: Deployment
    worker: FiguresWorker

    async def pass_by(self, seconds: float, every: float = PERIOD) -> None:
        """Time goes on, and the refresh loop looks every five seconds."""
        self.backend.store.looked_every = timedelta(seconds=every)
        passed = 0.0
        while passed < seconds:
            await self.clock.sleep(every)
            await self.refresh.tick()
            passed += every
        current = await self.backend.store.deployments.get(self.deployment.id)
        assert current is not None
        self.deployment = current

    async def ask(self, count: int, every: float = 10.0) -> None:
        for number in range(count):
            target = await self.backend.prompts.target(self.deployment)
            request = PromptRequest(
                f"Question {number}: where is my order?", max_tokens=20 + number, seed=number
            )
            question = Question(self.deployment, target, target.model(""), request, Source.COMMAND)
            exchange = await self.backend.prompts.ask(question, lambda event: None)
            assert exchange.outcome is Outcome.OK, exchange.error
            await self.pass_by(every)

    async def course(self) -> Course:
        figures = self.backend.figures
        return await figures.course(self.deployment, await figures.window(self.deployment, None, 200))

    async def figures(self) -> Figures:
        return (await self.course()).figures

    async def billed(self) -> Decimal:
        """The truth: what the sandbox's own meter says."""
        name = self.deployment.remote_name
        row = next(row for row in await self.resources() if name in row["name"])
        return Decimal(str(row["usd_total"]))

    @property
    def hourly(self) -> Decimal:
        seen = self.deployment.observation
        assert seen is not None and seen.usd_per_hour is not None
        return seen.usd_per_hour


@asynccontextmanager
async def active(tmp_path: Path, platform: str) -> AsyncIterator[Scene]:
    scene = SCENES[PLATFORMS[platform]]
    config_dir().mkdir(parents=True, exist_ok=True)
    (config_dir() / "prices.toml").write_text(PREDIBASE_PRICE)
    async with life(tmp_path, scene[0]) as lived:
        lived.__class__ = Scene
        assert isinstance(lived, Scene)
        lived.deployment = await lived.intend(scene[1](tmp_path), **scene[2])
        operation = await lived.run(lived.deployment)
        assert operation.state is OperationState.DONE, operation.error
        store, credentials = lived.backend.store, Credentials(lived.sandbox.env)
        lived.backend.prompts.endpoints = InferenceWorker(lived.network, credentials, lambda _: lived.driver)
        lived.worker = FiguresWorker(platform, lived.driver, store, lived.clock)
        await lived.pass_by(PERIOD)
        yield lived


def served(scene: Scene) -> list[tuple[int, int]]:
    """Tokens in and out of each request that the platform says it served."""
    data: Any = scene.sandbox.world
    if scene.platform == "together":
        return [
            (s.prompt_tokens, s.completion_tokens)
            for deployment in data.together.deployments.values()
            for s in deployment.samples
        ]
    if scene.platform == "replicate":
        return [(0, 0) for p in data.replicate.predictions.values() if p.deployment]
    if scene.platform == "modal":
        # It counts looks at its health too, which are no requests of ours.
        return [(0, 0) for f in data.modal.functions.values() for s in f.samples if s.tokens]
    return [(0, 0) for d in data.predibase.deployments.values() for _ in range(d.requests)]


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_requests_tokens_and_cost_are_what_was_served_and_billed(tmp_path: Path, platform: str) -> None:
    async with active(tmp_path, platform) as scene:
        before = len(served(scene))
        await scene.ask(12)
        await scene.pass_by(600, every=20.0)
        figures = await scene.figures()
        told = served(scene)
        assert figures.tally.total == len(told) - before == 12
        assert figures.tally.success_rate == 1.0
        assert figures.tally.tokens_out > 0 and figures.tally.counted == 12
        if platform == "together":
            mine = told[before:]
            assert (figures.tally.tokens_in, figures.tally.tokens_out) == tuple(
                map(sum, zip(*mine, strict=True))
            )
        truth, cost = await scene.billed(), figures.cost_usd
        assert cost is not None and figures.cost_is_complete
        # It is seen when it is looked: the start and each change is off by a period at most.
        tolerance = 3 * scene.hourly * Decimal(PERIOD) / 3600
        assert abs(cost - truth) <= tolerance, (cost, truth)
        assert cost == figures.bill.starting_usd + figures.busy_usd + figures.idle_usd
        assert figures.bill.unwatched_s == 0


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_what_the_platform_reports_stands_beside_it_and_is_the_same(
    tmp_path: Path, platform: str
) -> None:
    async with active(tmp_path, platform) as scene:
        before = len(served(scene))
        await scene.worker.tick()
        await scene.ask(6)
        await scene.pass_by(60)
        for _ in range(3):
            # However often it is told: a request is one request.
            await scene.worker.tick()
            await scene.clock.sleep(30)
        told = (await scene.figures()).told
        assert told is not None
        tally = told.tally
        count = told.requests if told.requests is not None else tally and tally.total
        assert (await scene.figures()).tally.total == 6
        # A counter says only what it grew by since it was read first; the others tell of the first probe too.
        if platform == "modal":
            assert count is not None and count > 6 + before
        else:
            assert count == (6 if platform == "predibase" else 6 + before)
        if platform == "replicate":
            assert tally is not None and tally.latency.count + tally.cold_latency.count == 6 + before
        if platform in ("predibase", "modal"):
            assert Metric.LATENCY_P50_S in told.newest


async def test_together_s_bill_is_read_by_the_hour_and_stands_beside_the_estimate(tmp_path: Path) -> None:
    async with active(tmp_path, "together") as scene:
        await scene.pass_by(2 * 3600, every=60.0)
        await scene.worker.tick()
        figures = await scene.figures()
        assert figures.told is not None and figures.told.cost_usd is not None
        assert 0 < figures.told.cost_usd <= figures.cost_usd  # type: ignore[operator]
        again = figures.told.cost_usd
        await scene.clock.sleep(60)
        await scene.worker.tick()
        assert (await scene.figures()).told.cost_usd == again  # type: ignore[union-attr]


async def test_modal_s_bill_is_read_by_the_hour_and_stands_beside_the_estimate(tmp_path: Path) -> None:
    async with active(tmp_path, "modal") as scene:
        scene.sandbox.world.modal.budgets["acme"] = Decimal(50)
        await scene.pass_by(3 * 3600, every=300.0)
        await scene.worker.tick()
        told = (await scene.figures()).told
        assert told is not None and told.cost_usd is not None and told.billed is not None
        assert told.estimate_usd is not None and told.cost_usd > 0
        budget = (await scene.backend.store.budgets.current(scene.clock.now())).popitem()
        assert budget[0][0] == "modal" and 0 < budget[1].ratio < 1
        # Whole hours only; and of those it is what was estimated here.
        assert scene.clock.now() - told.billed[1] < timedelta(hours=1)
        assert told.cost_usd < await scene.billed()
        assert abs(told.cost_usd - told.estimate_usd) <= 3 * scene.hourly * Decimal(60) / 3600
        asked = reports_asked(scene)
        await scene.clock.sleep(60)
        await scene.worker.tick()
        again = (await scene.figures()).told
        assert again is not None and again.cost_usd == told.cost_usd
        # It is of whole hours: nobody asks for it every thirty seconds.
        assert reports_asked(scene) == asked == 1


def reports_asked(scene: Scene) -> int:
    return sum(r.path == "WorkspaceBillingReport" for r in scene.sandbox.world.data.requests)


async def test_a_bill_of_modal_s_that_did_not_come_is_read_soon_and_from_as_far_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime] = []
    async with active(tmp_path, "modal") as scene:
        assert isinstance(scene.driver, ModalDriver)
        # Within one hour: in the next one there is more to read.
        driver, now = scene.driver, scene.clock.now().replace(minute=5)
        hour = now.replace(minute=0, second=0, microsecond=0, tzinfo=None) - timedelta(hours=1)

        async def billed(begin: datetime, end: datetime) -> list[tuple[str, datetime, Decimal]]:
            asked.append(begin)
            if len(asked) == 1:
                raise TimedOut("no answer")
            return [("ap-1", hour, Decimal(2))]

        monkeypatch.setattr(driver.api.control, "billed", billed)
        driver.api.bill_due = None
        driver.api.bill_read = False
        for minutes, count in ((0, 1), (1, 1), (3, 2), (4, 2), (40, 3)):
            await reports(driver.api, {"ap-1": now}, now + timedelta(minutes=minutes))
            assert len(asked) == count
        assert asked[0] == asked[1] <= now - timedelta(days=7) < asked[2]


@pytest.mark.parametrize("why", ["forbidden", "unimplemented"])
async def test_where_modal_s_bill_may_not_be_read_the_other_figures_stay_and_it_is_unknown(
    tmp_path: Path, why: str
) -> None:
    async with active(tmp_path, "modal") as scene:
        if why == "forbidden":
            scene.sandbox.world.modal.knobs.billing_forbidden = True
        else:
            await scene.fault(
                match="WorkspaceBillingReport", action="status", code="UNIMPLEMENTED", times=None
            )
        await scene.ask(2)
        await scene.pass_by(2 * 3600, every=600.0)
        for _ in range(2):
            await scene.worker.tick()
            await scene.clock.sleep(3600)
        told = (await scene.figures()).told
        assert told is not None and told.requests is not None and told.requests > 2
        assert (told.cost_usd, told.billed, told.estimate_usd) == (None, None, None)
        assert "billed —" in "".join(cell.text for cell in words.billed(told))
        # Asked once: what is not allowed now is not allowed in half an hour.
        assert reports_asked(scene) == 1


async def test_replicate_s_predictions_are_kept_after_they_have_vanished_there(tmp_path: Path) -> None:
    async with active(tmp_path, "replicate") as scene:
        before = len(served(scene))
        await scene.ask(3)
        await scene.pass_by(30)
        await scene.worker.tick()
        scene.sandbox.world.replicate.predictions.clear()
        await scene.pass_by(60)
        await scene.worker.tick()
        told = (await scene.figures()).told
        assert told is not None and told.tally is not None and told.tally.total == 3 + before


async def test_a_deployment_that_sleeps_is_not_woken_for_figures(tmp_path: Path) -> None:
    async with active(tmp_path, "predibase") as scene:
        data: Any = scene.sandbox.world
        for deployment in data.predibase.deployments.values():
            deployment.config["minReplicas"] = 0
        await scene.pass_by(4000, every=60.0)
        assert not any(d.replicas for d in data.predibase.deployments.values())
        before = len(data.data.requests)
        await scene.worker.tick()
        paths = [r.path for r in data.data.requests[before:]]
        assert not [path for path in paths if path.endswith("/metrics")]
        assert not any(d.replicas for d in data.predibase.deployments.values())


async def test_time_that_nobody_watched_is_in_the_bill_as_such(tmp_path: Path) -> None:
    async with active(tmp_path, "together") as scene:
        await scene.pass_by(300)
        await scene.clock.sleep(1800)
        await scene.pass_by(30)
        figures = await scene.figures()
        assert figures.bill.unwatched_s == pytest.approx(1800, abs=2 * PERIOD)
        assert figures.cost_usd is not None
        assert abs(figures.cost_usd - await scene.billed()) <= 3 * scene.hourly * Decimal(PERIOD) / 3600


async def test_a_failing_platform_says_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    async with active(tmp_path, "together") as scene:
        await scene.fault(
            match="GET /v2/projects/*/endpoints/*/analytics", action="status", code=500, times=None
        )
        await scene.worker.tick()
        assert (await scene.figures()).told is None


MORNING: Callable[[int, int], datetime] = lambda hour, minute: datetime(2026, 3, 29, hour, minute, tzinfo=UTC)  # noqa: E731


async def test_late_and_repeated_readings_replace_themselves(tmp_path: Path) -> None:
    from peft_tui.domain.reported import Reading, Report
    from peft_tui.store import Store
    from tests.seeds import made, put

    store = await Store.open(tmp_path / "data")
    deployment = await put(store, made("bot"))

    def minutes(*counts: str) -> Report:
        readings = [Reading(Metric.REQUESTS, MORNING(0, n), 60, count) for n, count in enumerate(counts)]
        return Report("x", tuple(readings), source="test")

    for counts in (("1", "2"), ("1", "5", "3"), ("4", "5", "3")):
        await store.reported.write(deployment.id, minutes(*counts), MORNING(1, 0))
    told = await store.reported.told(deployment.id, MORNING(0, 0), MORNING(1, 0))
    assert told is not None and told.requests == 12
    counter = [
        Reading(Metric.TOKENS_OUT, MORNING(0, n), 0, count)
        for n, count in enumerate(("100", "150", "20", "30"))
    ]
    await store.reported.write(deployment.id, Report("x", tuple(counter), source="test"), MORNING(1, 0))
    told = await store.reported.told(deployment.id, MORNING(0, 0), MORNING(1, 0))
    # 50 until its server began anew, then 20 and 10.
    assert told is not None and told.tokens_out == 80
    assert (await store.reported.told(deployment.id, MORNING(2, 0), MORNING(3, 0))).requests is None  # type: ignore[union-attr]
    bill = Report("x", (Reading(Metric.COST_USD, MORNING(0, 0), 3600, "5.49"),), source="test")
    await store.reported.write(deployment.id, bill, MORNING(1, 0))
    await store.reported.prune(MORNING(5, 0))
    told = await store.reported.told(deployment.id, MORNING(0, 0), MORNING(1, 0))
    # What it cost stays for ever: it adds up.
    assert told is not None and told.requests is None and told.cost_usd == Decimal("5.49")
    assert await store.reported.billed([deployment.id]) == {deployment.id: Decimal("5.49")}
    await store.close()
