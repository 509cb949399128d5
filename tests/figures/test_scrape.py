"""Prometheus itself reads what is served, where it is installed (`apt install prometheus`)."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from peft_tui.cli.metrics import ScrapePage
from peft_tui.domain.reported import Metric, Reading, Report
from peft_tui.store import Store
from tests.doubles import PATIENCE_SECONDS
from tests.figures.test_export import scene
from tests.seeds import NOON, FrozenClock, StillBackend

PROMETHEUS = shutil.which("prometheus")


async def answered(client: httpx.AsyncClient, query: str) -> list[Any]:
    """The series that answer, as soon as any do: a scrape that came too late on a busy machine has none."""
    while True:
        with suppress(httpx.HTTPError, KeyError, json.JSONDecodeError):
            answer = await client.get("/api/v1/query", params={"query": query})
            if found := list(answer.json()["data"]["result"]):
                return found
        await asyncio.sleep(0.05)


async def port_of(log: Path) -> int:
    """Where it listens, as its log says. A line may be half written."""
    while (found := re.search(r'Listening on.*127\.0\.0\.1:(\d+)["\s]', log.read_text())) is None:
        await asyncio.sleep(0.02)
    return int(found[1])


@pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus here")
async def test_a_real_prometheus_scrapes_it(store: Store, tmp_path: Path) -> None:
    deployment, course = await scene(store)
    bill = Report("x", (Reading(Metric.COST_USD, NOON, 3600, "5.49"),), source="test")
    await store.reported.write(deployment.id, bill, NOON)
    page = ScrapePage(StillBackend(store, {}, FrozenClock(), tmp_path, None), refresh=False)
    server = await asyncio.start_server(page.answer, "127.0.0.1", 0)
    target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    jobs = [{"job_name": "peft", "static_configs": [{"targets": [target]}]}]
    settings = {"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"}, "scrape_configs": jobs}
    (tmp_path / "prometheus.yml").write_text(json.dumps(settings))
    log = tmp_path / "log"
    with log.open("w") as out:
        program = subprocess.Popen(
            [str(PROMETHEUS), f"--config.file={tmp_path}/prometheus.yml",
             f"--storage.tsdb.path={tmp_path}/tsdb", "--web.listen-address=127.0.0.1:0"],
            stdout=out, stderr=out,
        )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{await port_of(log)}") as client:
                assert (await answered(client, "up == 1"))[0]["metric"]["job"] == "peft"
                found = await answered(client, "peft_requests_total")
                counted = {series["metric"]["outcome"]: float(series["value"][1]) for series in found}
                tally = course.figures.tally
                assert counted["ok"] == tally.succeeded and counted["failed"] == tally.failed
                quantile = (
                    "histogram_quantile(0.5,"
                    ' gen_ai_client_operation_duration_seconds_bucket{peft_start="warm"})'
                )
                median = float((await answered(client, quantile))[0]["value"][1])
                assert 0.32 <= median <= 0.64
                billed = await answered(client, 'peft_cost_usd_total{kind="billed"}')
                assert float(billed[0]["value"][1]) == 5.49
    finally:
        program.kill()
        program.wait()
        server.close()
