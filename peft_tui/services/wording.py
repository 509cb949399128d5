"""The figures of requests in words, the same for the command line and the screens."""

from __future__ import annotations

from collections.abc import Sequence

from peft_tui.domain.ages import took
from peft_tui.domain.figures import METHOD, Percentile, histogram
from peft_tui.domain.measure import Outcome
from peft_tui.domain.money import Provenance, usd
from peft_tui.domain.request import Exchange
from peft_tui.services.load_report import LoadReport, LoadRun

WARMTH = {True: "cold", False: "warm", None: "cold or warm: not known"}


def dash(value: int | None) -> str:
    return "—" if value is None else f"{value:,}"


def figures(exchange: Exchange) -> list[str]:
    """One after the other, each with where it comes from where that is not our own clock."""
    measured = exchange.measured
    parts = [str(exchange.status) if exchange.status else "no answer"]
    if exchange.outcome is Outcome.CANCELLED:
        parts.append("cancelled")
    if measured.first_text_s is not None:
        parts.append(f"first text {took(measured.first_text_s)}")
    parts.append(f"total {took(measured.total_s)}")
    if (pace := measured.tokens_per_second) is not None:
        parts.append(f"{'~' if measured.tokens_from is Provenance.ESTIMATED else ''}{pace:.0f} tok/s")
    # Counted there unless it says that it is a guess.
    about = "~" if measured.tokens_from is Provenance.ESTIMATED else ""
    parts.append(f"in {dash(measured.tokens_in)} · out {about}{dash(measured.tokens_out)}")
    parts.append(usd(exchange.cost.usd) + (" (estimated)" if exchange.cost.usd is not None else ""))
    if measured.total_s is not None:
        parts.append(WARMTH[measured.cold])
    if exchange.reason and exchange.reason != "stop":
        parts.append(exchange.reason)
    return parts


def packed(parts: Sequence[str], width: int, gap: str = "   ") -> list[str]:
    """As many on a line as fit, each whole."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}{gap}{part}" if lines[-1] else part
        if len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def percentile(found: Percentile) -> str:
    """`412 ms (398 ms–430 ms)`; what too few values cannot tell is said."""
    value = took(found.value)
    if found.high is None:
        return f"≥ {value} (needs n ≥ {found.needs})"
    if found.low is None:
        return f"{value} (needs n ≥ {found.needs})"
    return f"{value} ({took(found.low)}–{took(found.high)})"


def progress(run: LoadRun) -> str:
    failed = sum(e.outcome is Outcome.FAILED for e in run.exchanges)
    return f"{run.done}/{run.plan.requests}  {failed} failed  {run.under_way} under way  {usd(run.spent_usd)}"


def report(run: LoadRun, found: LoadReport) -> list[str]:
    """What came of a load run, line by line."""
    plan = run.plan
    loop = (
        f"{plan.rate:g} a second (open loop)" if plan.rate else f"{plan.concurrency} at a time (closed loop)"
    )
    lines = [f"{found.ok} ok, {found.failed} failed, {found.cancelled} cancelled; {loop}"]
    if run.stopped:
        lines.append(f"ended early: {run.stopped}")
    if run.unwritten:
        lines.append(f"{run.unwritten} could not be written down: the store would not take them")
    lines += [f"  {count} × {words}" for words, count in found.errors[:5]]
    if found.seconds:
        tokens = "—" if found.tokens_per_second is None else f"{found.tokens_per_second:.1f}"
        rate = found.requests_per_second or 0.0
        lines.append(
            f"{took(found.seconds)}   {rate:.2f} requests/s   {tokens} tokens/s"
            f"   {usd(run.spent_usd)} (estimated)"
        )
    if found.late:
        lines.append(f"{found.late} were sent later than meant: their times count from when they were meant")
    if found.cold:
        lines.append(f"{found.cold} of them cold")
    rows = [("first text", found.first_text), ("total", found.total), ("per token", found.per_token)]
    for title, percentiles in rows:
        for one in percentiles:
            lines.append(f"{title:<11} P{one.q * 100:g}  {percentile(one)}")
    if found.total:
        failures = f", {found.failed} failures left out" if found.failed else ""
        lines.append(f"of {found.ok} that succeeded{failures}; {METHOD}")
    return lines + bars(found.totals_s)


def bars(values: Sequence[float], width: int = 36) -> list[str]:
    """A histogram in lines of text."""
    found = histogram(values)
    most = max((count for _, _, count in found), default=0)
    lines = []
    for low, high, count in found:
        bar = "█" * max(round(count / most * width), 1 if count else 0)
        lines.append(f"{took(low):>8} – {took(high):<8} {bar} {count or ''}".rstrip())
    return lines
