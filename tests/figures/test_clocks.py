"""A platform whose clock is another one than this machine's, as in a sandbox that runs fast."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from peft_tui.credentials import Credentials
from peft_tui.doctor.finding import Level
from peft_tui.doctor.network import network
from peft_tui.domain.operation import OperationState
from peft_tui.services.export import figures_document
from peft_tui.ui.screens.metrics import words
from peft_tui.workers.progress import Progress
from tests.drivers.test_whole_life import SCENES
from tests.figures.test_truth import PLATFORMS, active
from tests.life import SandboxClock, life

HOURS = timedelta(hours=9)


class SlowClock(SandboxClock):
    """This machine's: nine hours behind the platform's."""

    def now(self) -> datetime:
        return super().now() - HOURS


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.life.SandboxClock", SlowClock)


@pytest.mark.usefixtures("behind")
@pytest.mark.parametrize("platform", ["together", "replicate", "predibase"])
async def test_a_cost_by_another_clock_is_said_to_be_one(tmp_path: Path, platform: str) -> None:
    async with active(tmp_path, platform) as scene:
        figures = await scene.figures()
        assert figures.clocks_differ and figures.ahead is not None
        assert abs(figures.ahead - HOURS) < timedelta(seconds=10)
        lines = words.summary(figures, None, scene.clock.now(), 100)
        shown = "\n".join("".join(cell.text for cell in line) for line in lines)
        assert "its clock is 9h00m ahead of ours" in shown or "its clock is 8h59m ahead of ours" in shown
        document = figures_document(figures)
        assert document["cost"]["platform_clock_ahead_seconds"] == pytest.approx(9 * 3600, abs=10)


async def test_clocks_that_agree_are_not_spoken_of(tmp_path: Path) -> None:
    async with active(tmp_path, "together") as scene:
        figures = await scene.figures()
        assert figures.ahead is not None and not figures.clocks_differ
        lines = words.summary(figures, None, scene.clock.now(), 100)
        assert "clock" not in "".join(cell.text for line in lines for cell in line)


@pytest.mark.usefixtures("behind")
async def test_a_wait_that_the_platform_s_clock_ends_goes_by_that_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    report = Progress.report

    def listening(self: Progress, done: int | None, total: int | None, note: str) -> None:
        said.append(note)
        report(self, done, total, note)

    monkeypatch.setattr(Progress, "report", listening)
    async with life(tmp_path, "replicate") as lived:
        _, source, settings = SCENES[PLATFORMS["replicate"]]
        made = await lived.intend(source(tmp_path), **settings)
        assert (await lived.run(made)).state is OperationState.DONE
        await lived.backend.life.delete(made.id)
        began = lived.sandbox.clock.now()
        operation = await lived.run(made)
        assert operation.state is OperationState.DONE, operation.error
        assert 14 * 60 < lived.sandbox.clock.now() - began < 18 * 60
    waits = [int(note.partition(" ")[0]) for note in said if "min left" in note]
    assert waits and max(waits) <= 16


@pytest.mark.usefixtures("behind")
async def test_doctor_notices_a_clock_that_differs(tmp_path: Path) -> None:
    async with life(tmp_path, "together") as lived:
        # It looks at the machine's own clock.
        lived.sandbox.clock.set_now(time.time() + HOURS.total_seconds())
        found = await network(Credentials(lived.sandbox.env), lived.clock)
        assert found[-1].area == "clock" and found[-1].level is Level.NOTE
        assert "behind" in found[-1].message
