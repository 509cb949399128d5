"""`peft-tui metrics`: the figures of one deployment, or all of them for a Prometheus to scrape."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import sys
from collections.abc import Sequence
from typing import Any

from peft_tui.backend import Backend
from peft_tui.cli.output import data, line, table, talk
from peft_tui.domain.ages import clocks, span, took
from peft_tui.domain.buckets import Buckets
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid, PeftTuiError
from peft_tui.domain.metrics import Course
from peft_tui.domain.money import usd
from peft_tui.drivers import PLATFORMS
from peft_tui.redaction import redacted
from peft_tui.services import export
from peft_tui.services.figures import FiguresService
from peft_tui.services.openmetrics import CONTENT_TYPE, open_metrics
from peft_tui.store.database import StoreError

log = logging.getLogger(__name__)

UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
POINTS = 400
SCRAPE_REFRESH_SECONDS = 30.0
REQUEST_SECONDS = 5.0
MAX_HEAD = 16 * 1024


def add_metrics_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="all of them when none is named")
    parser.add_argument("--platform", choices=PLATFORMS, help="of this one, or where several have the name")
    parser.add_argument(
        "--since", metavar="T", help="15m, 1h, 24h, 7d, … or all (24h; all for a Prometheus, which counts)"
    )
    parser.add_argument("--format", choices=("text", "json", "csv", "prometheus"), default="text")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument(
        "--serve", type=int, metavar="PORT", help="serve all deployments' figures at 127.0.0.1:PORT/metrics"
    )
    parser.add_argument("--cached", action="store_true", help="from the store, asking no platform")


def seconds_of(text: str) -> float | None:
    """`90m`, `1.5h`, `7d`; None for `all`.

    Raises:
        ConfigurationInvalid: it is none of these.
    """
    if text == "all":
        return None
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([mhdw])", text)
    found = float(match[1]) * UNITS[match[2]] if match else 0.0
    if found < 60:
        raise ConfigurationInvalid(
            f"--since {text} is no span of time.", hint="It looks like 15m, 1h, 24h, 7d, or all."
        )
    return found


async def metrics(backend: Backend, args: argparse.Namespace) -> int:
    if args.serve is not None:
        return await _serve(backend, args.serve, refresh=not args.cached)
    kind = "json" if args.json else args.format
    since = seconds_of(args.since or ("all" if kind == "prometheus" else "24h"))
    if not args.cached:
        await backend.refresh_once(figures=True)
    figures = backend.figures
    await figures.count_all()
    if args.name:
        chosen = [await backend.deployments.find(args.name, args.platform or "")]
    else:
        everywhere = await backend.store.deployments.all()
        chosen = [d for d in everywhere if args.platform in (None, d.platform)]
    found = [(d, await figures.course(d, await figures.window(d, since, POINTS))) for d in chosen]
    if kind == "json":
        documents = [export.as_json(deployment, course) for deployment, course in found]
        data(redacted(documents[0] if args.name else {"deployments": documents}))
    elif kind == "csv":
        sys.stdout.write(export.as_csv(found))
    elif kind == "prometheus":
        now = backend.clock.now()
        budgets = {} if args.name else await backend.store.budgets.current(now, args.platform)
        sys.stdout.write(open_metrics([(d, course.figures) for d, course in found], budgets))
    elif args.name:
        for words in _lines(*found[0]):
            line(words)
    elif found:
        _side_by_side(found)
    else:
        line("No deployments.")
    return 0


def _side_by_side(found: Sequence[tuple[Deployment, Course]]) -> None:
    rows = []
    for deployment, course in found:
        figures = course.figures
        tally, rate = figures.tally, figures.tally.success_rate
        least = "" if figures.cost_is_complete or figures.cost_usd is None else "≥ "
        rows.append(
            (
                deployment.name,
                deployment.platform,
                f"{tally.total:,}",
                "—" if rate is None else f"{rate * 100:.4g}",
                took(tally.latency.value_at(0.5)),
                took(tally.latency.value_at(0.95)),
                f"{figures.tokens:,}" if tally.counted else "—",
                f"{least}{usd(figures.cost_usd)}",
            )
        )
    titles = ("NAME", "PLATFORM", "REQUESTS", "OK%", "P50", "P95", "TOKENS", "COST")
    table([titles, *rows])


def _lines(deployment: Deployment, course: Course) -> list[str]:
    figures = course.figures
    tally, bill = figures.tally, figures.bill
    rate = "—" if tally.success_rate is None else f"{tally.success_rate * 100:.2f} %"
    errors = ", ".join(f"{kind} {count}" for kind, count in sorted(tally.errors.items()))
    cost = figures.cost_usd
    least = "" if cost is None or figures.cost_is_complete else "at least "
    lines = [
        f"{deployment.name}  {deployment.platform}  {figures.begin:%Y-%m-%d %H:%M} – {figures.end:%H:%M} UTC",
        f"requests    {tally.total:,}  {tally.failed:,} failed{f' ({errors})' if errors else ''}"
        f"  {tally.cancelled:,} cancelled  {rate} ok  {figures.per_minute}/min now",
        f"latency     {_distribution(tally.latency)}",
        f"first text  {_distribution(tally.first_text)}",
        *([f"cold        {tally.cold:,}: {_distribution(tally.cold_latency)}"] if tally.cold else []),
        f"tokens      {tally.tokens_in:,} in, {tally.tokens_out:,} out" if tally.counted else "tokens      —",
        f"cost        {least}{usd(cost)} (estimated)  start-up {usd(bill.starting_usd)}"
        f"  busy {usd(figures.busy_usd)}  idle {usd(figures.idle_usd)}"
        if bill.known
        else f"cost        {usd(cost)}",
        f"per request {usd(figures.usd_per_request)}  per 1M tokens {usd(figures.usd_per_million)}"
        f" (busy {usd(figures.usd_per_million_busy)})",
    ]
    if bill.unwatched_s or bill.unknown_s >= 60:
        lines.append(
            f"            {usd(bill.unwatched_usd)} of it in {span(bill.unwatched_s)} that nobody watched,"
            f" {span(bill.unknown_s)} not known"
        )
    if figures.clocks_differ:
        lines.append(f"            {clocks(figures.ahead)}")
    if (told := figures.told) is not None:
        told_tally = told.tally
        requests = told.requests if told.requests is not None else told_tally and told_tally.total
        counted = "—" if requests is None else f"{requests:,}"
        lines.append(f"{told.source}: {counted} requests  billed {usd(told.cost_usd)}")
        if told.billed is not None:
            lines[-1] += f" until {told.billed[1]:%Y-%m-%d %H:%M} UTC, here {usd(told.estimate_usd)}"
    return lines


def _distribution(found: Buckets) -> str:
    if not found.count:
        return "—"
    words = [f"avg {took(found.mean)}"]
    for q in (0.5, 0.95, 0.99):
        one = found.percentile(q)
        assert one is not None
        bound = "≥ " if one.high is None else ""
        words.append(f"P{q * 100:g} {bound}{took(one.value)}")
    return "  ".join(words) + f"  (n={found.count:,})"


# A target for a Prometheus


async def _serve(backend: Backend, port: int, *, refresh: bool) -> int:
    """Until it is interrupted: everything since each deployment was made, on loopback only."""
    if not 0 <= port <= 65535:
        raise ConfigurationInvalid(f"{port} is no port.")
    page = ScrapePage(backend, refresh=refresh)
    try:
        server = await asyncio.start_server(page.answer, "127.0.0.1", port, limit=MAX_HEAD)
    except OSError as error:
        raise ConfigurationInvalid(
            f"Port {port} cannot be had: {error}.", hint="Choose another one."
        ) from error
    async with server:
        bound = server.sockets[0].getsockname()[1]
        talk(f"http://127.0.0.1:{bound}/metrics; ctrl+c ends it")
        await server.serve_forever()
    return 0


class ScrapePage:
    """Answers GET /metrics; the platforms are asked at most every 30 seconds however often it is scraped."""

    def __init__(self, backend: Backend, *, refresh: bool) -> None:
        self._backend = backend
        self._refresh = refresh
        self._asked: float | None = None
        self._asking = asyncio.Lock()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, kind, body = await self._respond(head)
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            writer.close()
            return
        content = body.encode()
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
            "Connection: close\r\n\r\n".encode()
            + content
        )
        try:
            await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def _respond(self, head: str) -> tuple[str, str, str]:
        plain = "text/plain; charset=utf-8"
        words = head.partition("\r\n")[0].split(" ")
        if len(words) != 3 or words[0] != "GET":
            return "405 Method Not Allowed", plain, "only GET\n"
        host = re.search(r"^host:\s*([^\r\n]+)", head, re.I | re.M)
        # A page in a browser may be given our address under its own name: what it would read is not its own.
        if host and host[1].rpartition(":")[0].strip() not in ("127.0.0.1", "localhost"):
            return "403 Forbidden", plain, "only at 127.0.0.1\n"
        if words[1].partition("?")[0] != "/metrics":
            return "404 Not Found", plain, "the figures are at /metrics\n"
        try:
            return "200 OK", CONTENT_TYPE, await self.text()
        except (StoreError, PeftTuiError) as error:
            log.warning("a scrape cannot be answered: %s", error)
            return "503 Service Unavailable", plain, "the store cannot be read; peft-tui doctor says more\n"

    async def text(self) -> str:
        backend = self._backend
        async with self._asking:
            now = backend.clock.monotonic()
            if self._refresh and (self._asked is None or now - self._asked >= SCRAPE_REFRESH_SECONDS):
                self._asked = now
                await backend.refresh_once(figures=True)
        await backend.figures.count_all()
        store = backend.store
        deployments = await store.deployments.all()
        found = await everything(backend.figures, deployments)
        billed = await store.reported.billed([deployment.id for deployment in deployments])
        return open_metrics(found, await store.budgets.current(backend.clock.now()), billed)


async def everything(figures: FiguresService, deployments: list[Deployment]) -> list[Any]:
    """Each deployment with its figures of all time, which is what counters are."""
    courses = await figures.overview(deployments, None, 1)
    return [(d, course.figures) for d, course in zip(deployments, courses, strict=True)]
