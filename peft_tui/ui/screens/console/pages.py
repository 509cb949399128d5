"""What the tabs show beside the text: the exchange as data, its times, and how to ask from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence

from peft_tui.domain.ages import took
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.figures import percentile
from peft_tui.domain.inference import InferenceTarget
from peft_tui.domain.measure import Basis
from peft_tui.domain.money import Provenance, usd
from peft_tui.domain.request import Exchange
from peft_tui.drivers import post_of
from peft_tui.services.snippets import Snippet, variables
from peft_tui.services.wording import WARMTH, dash
from peft_tui.text import clean, clean_line
from peft_tui.ui.screens.console.flowing import broken
from peft_tui.ui.widgets.lines import Line, clipped, wrapped
from peft_tui.ui.widgets.live_table import Cell

TABS = ("text", "json", "timings", "snippets")
UNKNOWN = Cell("—", "dim")


def tab_line(current: str, more: str = "") -> Line:
    cells: list[Cell] = [Cell(" ")]
    for name in TABS:
        cells += [Cell(name, "accent" if name == current else "dim"), Cell("   ")]
    return (*cells, Cell(more, "dim"))


def json_lines(exchange: Exchange | None, target: InferenceTarget | None, width: int) -> list[Line]:
    """What was sent, and what came; long lines go on in the next one."""
    if exchange is None or exchange.texts is None:
        return [(Cell("Nothing yet." if exchange is None else "Its texts are not kept.", "dim"),)]
    lines: list[Line] = []
    if target is not None:
        model = next((m for m in target.models if m.label == exchange.model), target.models[0])
        url, body = post_of(target, model, exchange.request)
        sent = clean(json.dumps(body, indent=2, ensure_ascii=False))
        lines = [(Cell("POST ", "accent"), Cell(clean_line(url, 500))), *_plain(sent, width), ()]
    lines.append((Cell("answered ", "accent"), Cell(str(exchange.status or "nothing"))))
    if exchange.error is not None:
        lines += _plain(json.dumps(dict(exchange.error), indent=2, ensure_ascii=False), width, "bad")
    return lines + _plain(exchange.texts.raw, width)


def timing_lines(exchange: Exchange | None, width: int) -> list[Line]:
    """Every figure with what it means and where it comes from."""
    if exchange is None:
        return [(Cell("Nothing yet.", "dim"),)]
    m, cost = exchange.measured, exchange.cost
    reported = m.tokens_from is Provenance.REPORTED
    counted = "counted by the platform" if reported else "estimated from the characters"
    lines = [
        _row("connect", took(m.connect_s), "a fresh connection, TLS included; — when one was open"),
        _row("first text", took(m.first_text_s), "from sending to the first text (TTFT), measured here"),
        _row("total", took(m.total_s), "from sending to the last text (E2E), measured here"),
        _row("per token", took(m.per_token_s), "(total - first text) / (tokens out - 1)"),
        _row("tokens/s", "—" if m.tokens_per_second is None else f"{m.tokens_per_second:.1f}", "out / total"),
        _row("tokens in", dash(m.tokens_in), "counted by the platform"),
        _row("tokens out", dash(m.tokens_out), counted),
        _row("cached", dash(m.tokens_cached), "of the tokens in, as the platform says"),
        _row("cost", usd(cost.usd), _cost_words(exchange)),
        _row("started", WARMTH[m.cold], "cold: nothing was known to be up, or it was waited for"),
    ]
    if m.first_answer_s is not None and m.first_answer_s != m.first_text_s:
        lines.insert(2, _row("first answer", took(m.first_answer_s), "without its thoughts"))
    if m.queue_s is not None:
        lines.append(_row("queue", took(m.queue_s), "reported: waiting for an instance"))
    if m.run_s is not None:
        lines.append(_row("run", took(m.run_s), "reported: an instance at work"))
    if len(m.gaps_s) >= 2:
        gaps = sorted(m.gaps_s)
        middle, high = percentile(gaps, 0.5), percentile(gaps, 0.95)
        assert middle is not None and high is not None
        words = f"P50 {took(middle.value)}   P95 {took(high.value)}   longest {took(gaps[-1])}"
        lines.append(_row("between", words, f"{m.pieces} pieces; one may hold several tokens"))
    return [clipped(line, width) for line in lines]


def snippet_lines(
    target: InferenceTarget | None,
    found: tuple[Snippet, ...],
    chosen: int,
    trouble: PeftTuiError | None,
    width: int,
) -> list[Line]:
    """The address, and one snippet; ← and → go through them."""
    if target is None:
        words = trouble.sentences if trouble else "Asking how it is asked …"
        return wrapped(clean_line(words, 400), width, "bad" if trouble else "dim")
    lines: list[Line] = [_titles(("address", *(snippet.title for snippet in found)), chosen, width), ()]
    if chosen == 0:
        lines.append((Cell("url      ", "dim"), Cell(clean_line(target.url, 500))))
        lines.append((Cell("dialect  ", "dim"), Cell(target.dialect)))
        for model in target.models:
            lines.append(
                (
                    Cell("model    ", "dim"),
                    Cell(clean_line(model.name, 200) or "(empty)"),
                    Cell(f"  {model.role}", "dim"),
                )
            )
        lines.append(
            (Cell("key      ", "dim"), Cell(", ".join(f"${name}" for name in variables(target)) or "none"))
        )
        return lines
    lines += [(Cell(line),) for line in found[chosen - 1].code.split("\n")]
    return [clipped(line, width) for line in lines]


def _titles(titles: Sequence[str], chosen: int, width: int) -> Line:
    """Side by side; where not all fit, from as far left as lets the chosen one be seen."""
    first = 0
    while first < chosen and len("   ".join(titles[first : chosen + 1])) > width - 2:
        first += 1
    cells = [Cell("‹ ", "dim")] if first else []
    for number, title in enumerate(titles[first:], first):
        cells += [Cell(title, "accent" if number == chosen else "dim"), Cell("   ")]
    return tuple(cells)


def _cost_words(exchange: Exchange) -> str:
    cost = exchange.cost
    if cost.usd is None:
        return "no price is known" if cost.basis is Basis.NONE else "the platform did not count"
    how = (
        "tokens × price"
        if cost.basis is Basis.TOKENS
        else "its time × an instance's price, without idle time"
    )
    return f"estimated: {how} ({clean_line(cost.source, 60)})"


def _row(title: str, value: str, words: str) -> Line:
    return (Cell(f" {title:<13}", "dim"), Cell(f"{value:<12} "), Cell(words, "dim"))


def _plain(text: str, width: int, tone: str = "") -> list[Line]:
    return [(Cell(piece, tone),) for line in text.split("\n") for piece in broken(line, max(width, 8))]
