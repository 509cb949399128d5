"""The figures as lines: what was measured, what it cost, what the platform says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from decimal import Decimal

from peft_tui.domain.ages import age, clocks, span, took
from peft_tui.domain.buckets import Buckets
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.goodput import TARGETS
from peft_tui.domain.metrics import Figures, Point, Told
from peft_tui.domain.money import Price, usd
from peft_tui.domain.reported import Metric
from peft_tui.text import clean_line
from peft_tui.ui.screens.metrics.charts import moment, step_words
from peft_tui.ui.widgets.lines import Line, clipped, spread, width_of
from peft_tui.ui.widgets.live_table import Cell

LABEL = 11
RANGES = ("15m", "1h", "24h", "7d", "all")
GAP = Cell("   ")


def head(deployment: Deployment, right: Line, width: int) -> Line:
    left = (
        Cell(f" {clean_line(deployment.name, 60)}", "strong"),
        Cell(f" · {clean_line(deployment.platform, 40)}", "dim"),
    )
    return spread(left, right, width)


def ranges(chosen: str, window: str, freshness: Line, width: int) -> Line:
    """The ranges with the one in force marked, the window in words, and how fresh it is."""
    cells: list[Cell] = [Cell(" ")]
    for number, name in enumerate(RANGES, 1):
        if name == chosen:
            cells.append(Cell(f"[{name}]", "accent"))
        else:
            cells.append(Cell(f" {name} ", "dim"))
        cells.append(Cell("" if number == len(RANGES) else " "))
    cells.append(Cell(f"   {window}", "dim"))
    return spread(tuple(cells), (*freshness, Cell(" ")), width)


def window_words(begin: datetime, end: datetime, live: bool, zone: tzinfo | None) -> str:
    """`since 09:10`, or from when to when."""
    seconds = (end - begin).total_seconds()
    if live:
        return f"since {moment(begin, max(seconds, 60), zone, exact=seconds > 20 * 3600)}"
    return f"{moment(begin, 60, zone, exact=True)} – {moment(end, 60, zone, exact=True)}"


def counting(left: int) -> str:
    """What is not in the figures yet."""
    return f"counting older requests, {left:,} to go"


def summary(
    figures: Figures, price: Price | None, now: datetime, width: int, *, more: bool = True
) -> list[Line]:
    """All of it, in as few lines as the width allows.

    Args:
        more: False leaves out what a low terminal has no line for.
    """
    return [
        *_requests(figures, width),
        *(_sources(figures, width) if more else []),
        *_latency(figures, width),
        *(_goodput(figures, width) if more else []),
        *_tokens(figures, width),
        *_cost(figures, price, width),
        *reported(figures.told, figures, now, width),
    ]


def _requests(figures: Figures, width: int) -> list[Line]:
    tally = figures.tally
    rate = tally.success_rate
    failed = [Cell(f"{tally.failed:,} failed", "bad" if tally.failed else "dim")]
    if tally.errors:
        kinds = sorted(tally.errors.items(), key=lambda pair: -pair[1])[:3]
        failed.append(Cell(" (" + ", ".join(f"{clean_line(k, 20)} {n:,}" for k, n in kinds) + ")", "dim"))
    parts: list[Line] = [
        (Cell(f"{tally.total:,}", "strong"),),
        (Cell("—" if rate is None else f"{_percent(rate)} ok", _rate_tone(rate)),),
        tuple(failed),
        (Cell(f"{figures.per_minute:,}/min now", "" if figures.per_minute else "dim"),),
        *([(Cell(f"{tally.cancelled:,} cancelled", "dim"),)] if tally.cancelled else []),
    ]
    return _flowed("requests", parts, width)


def _latency(figures: Figures, width: int) -> list[Line]:
    tally = figures.tally
    parts: list[Line] = []
    if (mean := tally.latency.mean) is not None:
        parts.append((Cell(f"avg {took(mean)}"),))
    parts += percentiles(tally.latency, (0.5, 0.95, 0.99))
    left_out = f", {tally.failed:,} failed left out" if tally.failed else ""
    warm = f"of {tally.latency.count:,} warm{left_out}" if tally.latency.count or left_out else "—"
    parts.append((Cell(warm, "dim"),))
    lines = _flowed("latency", parts, width)
    parts = percentiles(tally.first_text, (0.5, 0.95)) or [(Cell("—", "dim"),)]
    if (pace := tally.speed.value_at(0.5)) is not None:
        parts.append((Cell(f"{pace:.0f} tok/s"),))
    if tally.cold:
        found = tally.cold_latency
        shown = took(found.value_at(0.5))
        least = f" (slowest {took(found.highest)})" if found.count > 1 else ""
        parts.append((Cell(f"cold {tally.cold:,} × {shown}", "bad"), Cell(f"{least} apart", "dim")))
    else:
        parts.append((Cell("none cold", "dim"),))
    return [*lines, *_flowed("first text", parts, width)]


def _sources(figures: Figures, width: int) -> list[Line]:
    """Which part of the program sent how many, where there are several: a load run is no console."""
    if len(figures.by_source) < 2:
        return []
    parts: list[Line] = []
    for source, tally in figures.by_source.items():
        cells = [Cell(f"{source} ", "dim"), Cell(f"{tally.total:,}")]
        if (median := tally.latency.value_at(0.5)) is not None:
            cells.append(Cell(f" P50 {took(median)}", "dim"))
        if tally.failed:
            cells.append(Cell(f" {tally.failed:,} failed", "bad"))
        parts.append(tuple(cells))
    return _flowed("sent by", parts, width)


def _goodput(figures: Figures, width: int) -> list[Line]:
    """The share that met each of the usual targets, whatever else it was."""
    parts: list[Line] = []
    for target in TARGETS:
        if (share := figures.goodput(target)) is not None:
            parts.append((Cell(f"{target.title} ", "dim"), Cell(_percent(share))))
    if not parts:
        return []
    return _flowed("goodput", [*parts, (Cell("met the targets of it", "dim"),)], width)


def percentiles(found: Buckets, shares: Sequence[float]) -> list[Line]:
    """Each with `≥` and greyed where there are too few samples for it to have an upper bound."""
    parts: list[Line] = []
    for q in shares:
        one = found.percentile(q)
        if one is None:
            continue
        name = f"P{q * 100:g} "
        if one.high is None:
            parts.append((Cell(f"{name}≥ {took(one.value)}", "dim"), Cell(f" (needs {one.needs})", "dim")))
        else:
            parts.append((Cell(name, "dim"), Cell(took(one.value))))
    return parts


def _tokens(figures: Figures, width: int) -> list[Line]:
    tally = figures.tally
    if not tally.counted:
        return _flowed("tokens", [(Cell("—", "dim"),)], width)
    parts: list[Line] = [
        (Cell(f"{tally.tokens_in:,} in · {tally.tokens_out:,} out"),),
        (Cell(f"{figures.tokens:,} together", "dim"),),
        (Cell(f"{figures.tokens / tally.counted:,.0f} a request", "dim"),),
    ]
    if tally.counted < tally.succeeded:
        parts.append((Cell(f"of {tally.counted:,} that said", "dim"),))
    return _flowed("tokens", parts, width)


def _cost(figures: Figures, price: Price | None, width: int) -> list[Line]:
    cost, bill = figures.cost_usd, figures.bill
    if cost is None:
        parts: list[Line] = [(Cell("—", "dim"),), (Cell("nothing was seen to bill yet", "dim"),)]
    else:
        least = "" if figures.cost_is_complete else "≥ "
        parts = [(Cell(f"{least}{usd(cost)}", "strong"), *_breakdown(figures))]
    if figures.usd_per_hour is not None:
        parts.append((Cell(f"{usd(figures.usd_per_hour)}/h now", "" if figures.usd_per_hour else "dim"),))
    lines = _flowed("cost", parts, width)
    second: list[Line] = []
    if (each := figures.usd_per_request) is not None:
        second.append((Cell(usd(each)), Cell(" a request", "dim")))
    if (million := figures.usd_per_million) is not None:
        busy = figures.usd_per_million_busy
        second.append((Cell(usd(million)), Cell(f" per 1M tokens, busy {usd(busy)}", "dim")))
    if bill.unwatched_s:
        words = f"{usd(bill.unwatched_usd)} of it in {span(bill.unwatched_s)} that nobody watched"
        second.append((Cell(words, "warn"),))
    if bill.known and not bill.complete:
        second.append((Cell(f"{span(bill.unknown_s)} not known", "warn"),))
    if figures.clocks_differ:
        second.append((Cell(clocks(figures.ahead), "warn"),))
    source = f"estimated, price: {clean_line(price.source, 40)} {price.as_of[:10]}" if price else "estimated"
    if cost is not None:
        second.append((Cell(source, "dim"),))
    return lines + (_flowed("", second, width) if second else [])


def _breakdown(figures: Figures) -> Line:
    parts = [
        ("start-up", figures.bill.starting_usd),
        ("busy", figures.busy_usd),
        ("idle", figures.idle_usd),
        ("tokens", figures.tally.cost_usd),
    ]
    kept = [(name, amount) for name, amount in parts if amount > Decimal("0.00001")]
    if not kept:
        return ()
    return (Cell(" = " + " + ".join(f"{name} {usd(amount)}" for name, amount in kept), "dim"),)


def reported(told: Told | None, figures: Figures, now: datetime, width: int) -> list[Line]:
    """What the platform says, beside ours and not mixed with it."""
    if told is None:
        return []
    tally = told.tally
    requests = told.requests if told.requests is not None else (tally.total if tally else None)
    failed = told.failed if told.failed is not None else (tally.failed if tally else None)
    into = told.tokens_in if told.tokens_in is not None else (tally.tokens_in if tally else None)
    out = told.tokens_out if told.tokens_out is not None else (tally.tokens_out if tally else None)
    parts: list[Line] = [(Cell(clean_line(told.source, 40), "accent"),)]
    if requests is not None:
        parts.append((Cell(f"{requests:,} requests"), Cell(f" (here {figures.tally.total:,})", "dim")))
    if failed is not None:
        parts.append((Cell(f"{failed:,} failed", "bad" if failed else "dim"),))
    for name, metric in _NEWEST:
        if metric in told.newest:
            value, seconds = told.newest[metric]
            over = f" over {step_words(seconds)}" if seconds and metric is _NEWEST[0][1] else ""
            parts.append((Cell(f"{name} ", "dim"), Cell(_shown(metric, value)), Cell(over, "dim")))
    if tally is not None and tally.latency.count:
        parts += percentiles(tally.latency, (0.5, 0.95))
    if into is not None or out is not None:
        parts.append((Cell(f"{into or 0:,} in · {out or 0:,} out", "dim"),))
    parts.append(billed(told))
    parts.append((Cell(f"{age((now - told.as_of).total_seconds())} ago", "dim"),))
    return _flowed("platform", parts, width)


def billed(told: Told) -> Line:
    """What it billed, until when, and what was estimated here for the same stretch."""
    if told.cost_usd is None or told.billed is None:
        return (Cell("billed —", "dim"),)
    begin, end = told.billed
    until = moment(end, (end - begin).total_seconds(), None, exact=True)
    here = "" if told.estimate_usd is None else f", here {usd(told.estimate_usd)}"
    return (Cell(f"billed {usd(told.cost_usd)}"), Cell(f" until {until}{here}", "dim"))


_NEWEST = (
    ("P50", Metric.LATENCY_P50_S),
    ("P95", Metric.LATENCY_P95_S),
    ("P99", Metric.LATENCY_P99_S),
    ("first text P50", Metric.FIRST_TEXT_P50_S),
    ("GPU", Metric.GPU_USE),
    ("queue", Metric.QUEUE),
    ("running", Metric.RUNNING),
)


def _shown(metric: Metric, value: float) -> str:
    if metric is Metric.GPU_USE:
        return f"{value * 100:.0f} %"
    return took(value) if metric.endswith("_s") else f"{value:g}"


def at_cursor(point: Point, zone: tzinfo | None, width: int) -> Line:
    """The exact values of one step."""
    tally = point.tally
    when = moment(point.at, point.seconds, zone, exact=True)
    cells = [Cell(f" {when}", "accent"), Cell(f" + {step_words(point.seconds)}", "dim"), GAP]
    cells.append(Cell(f"{tally.total:,} requests"))
    if tally.failed:
        cells.append(Cell(f", {tally.failed:,} failed", "bad"))
    for q in (0.5, 0.95, 0.99):
        if (value := tally.latency.value_at(q)) is not None:
            cells += [Cell(f"  P{q * 100:g} ", "dim"), Cell(took(value))]
    if tally.cold:
        cells.append(Cell(f"  cold {took(tally.cold_latency.highest)}", "bad"))
    if tally.counted:
        cells.append(Cell(f"  {tally.tokens_in:,} in · {tally.tokens_out:,} out", "dim"))
    if point.usd is not None:
        cells.append(Cell(f"  {usd(point.usd)}"))
    if not point.seen:
        cells.append(Cell("  nobody looked", "warn"))
    return clipped(tuple(cells), width)


# Small things


def _flowed(label: str, parts: Sequence[Line], width: int) -> list[Line]:
    """The parts one after the other, on further lines where they do not fit; never cut in the middle."""
    lines: list[list[Cell]] = [[Cell(f" {label}".ljust(LABEL + 1), "dim")]]
    for part in parts:
        begun = len(lines[-1]) > 1
        if begun and width_of(tuple(lines[-1])) + width_of(part) + 3 > width:
            lines.append([Cell(" " * (LABEL + 1))])
            begun = False
        lines[-1] += [*([GAP] if begun else []), *part]
    return [clipped(tuple(line), width) for line in lines]


def _percent(share: float) -> str:
    """100 only when it is: 99.97 is not rounded up to it."""
    if share >= 1:
        return "100 %"
    return f"{min(share * 100, 99.99):.1f} %" if share < 0.9995 else f"{min(share * 100, 99.99):.2f} %"


def _rate_tone(rate: float | None) -> str:
    if rate is None:
        return "dim"
    return "good" if rate >= 0.99 else "warn" if rate >= 0.9 else "bad"
