"""`peft-tui bench`: a load run without a screen."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

from peft_tui.backend import Backend
from peft_tui.cli.asking import agrees, anybody_there
from peft_tui.cli.output import data, line, talk
from peft_tui.cli.testing import add_request, request_of, whom
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.inference import PromptRequest
from peft_tui.domain.measure import Outcome
from peft_tui.domain.money import usd
from peft_tui.services import load, load_files, load_plan, load_report
from peft_tui.services.wording import progress, report

CAP = Decimal("1.00")
"""Of a run where nothing else is said."""
PROGRESS_SECONDS = 0.5


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    add_request(parser)
    parser.add_argument("--prompt", metavar="TEXT", help="the same prompt each time")
    parser.add_argument("--prompts", metavar="FILE", help="JSONL: a string or {“prompt”: …} on each line")
    parser.add_argument("-n", "--requests", type=int, default=50, metavar="N", help="how many (50)")
    parser.add_argument("-c", "--concurrency", type=int, default=4, metavar="N", help="at a time (4)")
    parser.add_argument(
        "--rate", type=float, metavar="R", help="requests per second, whatever the answers take (open loop)"
    )
    parser.add_argument("--cap", metavar="USD", help=f"the most it may cost ({CAP}); 0 is no cap")
    parser.add_argument("--export", metavar="FILE", help="each request, as .csv or .json")
    parser.add_argument("--no-stream", action="store_true", help="answers in one piece")
    parser.add_argument("--yes", action="store_true", help="do not ask")


async def bench(backend: Backend, args: argparse.Namespace) -> int:
    """A load run: its price first, then progress on standard error, then figures."""
    plan = _plan(args)
    if problem := plan.problem():
        raise ConfigurationInvalid(problem, hint="Nothing was sent.")
    deployment, target, model = await whom(backend, args)
    seen = load_plan.preview(plan, target, deployment, await _lately(backend, deployment))
    talk(seen.words)
    if plan.cap_usd is not None and seen.can_be_capped:
        talk(f"It ends at {usd(plan.cap_usd)} at the latest (--cap).")
    elif not seen.can_be_capped:
        plan = _uncapped(plan, args)
    if not args.yes and not (anybody_there() and await agrees("Go on?")):
        raise ConfigurationInvalid(
            "Nothing was sent: it was not agreed to.", hint="--yes agrees without asking."
        )
    running = load_report.LoadRun(plan)
    told = _Told(quiet=args.json)
    await load.run(backend.prompts, deployment, target, model, running, backend.clock, told.take)
    if args.export:
        _export(Path(args.export), running)
    found = running.report()
    if args.json:
        data(load_files.document(running))
    else:
        for text in report(running, found):
            line(text)
    return 0 if found.ok and not found.failed else 1


def _plan(args: argparse.Namespace) -> load_plan.LoadPlan:
    if (args.prompt is None) == (args.prompts is None):
        raise ConfigurationInvalid("Either --prompt or --prompts is needed.", hint="Nothing was sent.")
    like = request_of(args, args.prompt if args.prompt is not None else "x")
    asked: Sequence[PromptRequest] = (like,)
    if args.prompts is not None:
        asked = load_files.read_prompts(args.prompts, like)
    return load_plan.LoadPlan(tuple(asked), args.requests, args.concurrency, args.rate, _cap(args.cap))


def _cap(said: str | None) -> Decimal | None:
    if said is None:
        return CAP
    try:
        amount = Decimal(said.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise ConfigurationInvalid(f"--cap: “{said}” is no amount of dollars.")
    return amount or None


def _uncapped(plan: load_plan.LoadPlan, args: argparse.Namespace) -> load_plan.LoadPlan:
    """A cap that nobody asked for is let go where it cannot hold; one that was asked for is not."""
    if args.cap is not None and plan.cap_usd is not None:
        raise ConfigurationInvalid(
            "No price is known here, so --cap cannot hold.", hint="Nothing was sent. --cap 0 goes without."
        )
    return replace(plan, cap_usd=None)


async def _lately(backend: Backend, deployment: Deployment) -> float | None:
    """How long a warm request took lately, in the middle."""
    known = sorted(
        e.measured.total_s
        for e in await backend.store.requests.history(deployment.id, 20)
        if e.outcome is Outcome.OK and e.measured.total_s is not None and not e.measured.cold
    )
    return known[len(known) // 2] if known else None


class _Told:
    """Progress, at most twice a second."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._last = 0.0

    def take(self, running: load_report.LoadRun) -> None:
        now = asyncio.get_running_loop().time()
        if not self._quiet and now - self._last >= PROGRESS_SECONDS:
            self._last = now
            talk(progress(running))


def _export(path: Path, running: load_report.LoadRun) -> None:
    as_json = path.suffix.lower() == ".json"
    text = load_files.as_json(running) if as_json else load_files.as_csv(running)
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationInvalid(f"{path} cannot be written: {error.strerror}.") from error
    talk(f"written: {path}")
