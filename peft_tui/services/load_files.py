"""The files of a load run: its prompts, and what came of it. No cell is a formula, keys are masked."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.figures import METHOD, Percentile
from peft_tui.domain.inference import PromptRequest
from peft_tui.domain.request import Exchange
from peft_tui.redaction import redacted
from peft_tui.services.csv_cells import cell
from peft_tui.services.load_report import LoadReport, LoadRun
from peft_tui.text import clean_line

COLUMNS = (
    *("number", "at", "model", "outcome", "status", "error_kind", "error", "cold", "wait_s", "connect_s"),
    *("first_text_s", "total_s", "per_token_s", "tokens_in", "tokens_out", "tokens_per_second"),
    *("tokens_source", "cost_usd", "cost_basis", "reason"),
)


MAX_PROMPTS_BYTES = 8 * 1024 * 1024


def read_prompts(name: str, like: PromptRequest) -> tuple[PromptRequest, ...]:
    """The prompts in a JSONL file, each sent `like` that request.

    Raises:
        ConfigurationInvalid: there is no such file, or it holds something else.
    """
    shown = clean_line(name, 80)
    try:
        path = Path(name).expanduser()
        # A device or a pipe has no end, or does not answer.
        if path.exists() and not path.is_file():
            raise ConfigurationInvalid(f"{shown} is no file.")
        if path.stat().st_size > MAX_PROMPTS_BYTES:
            raise ConfigurationInvalid(f"{shown} is larger than {MAX_PROMPTS_BYTES // 1024 // 1024} MiB.")
        text = path.read_text("utf-8")
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationInvalid(f"{shown} cannot be read: {clean_line(reason, 120)}.") from error
    return prompts_of(text, like)


def prompts_of(text: str, like: PromptRequest) -> tuple[PromptRequest, ...]:
    """The prompts of a JSONL file: a string, or an object with `prompt` or `messages`, on each line.

    Raises:
        ConfigurationInvalid: a line is something else; it is named.
    """
    found: list[PromptRequest] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        data: object = None
        with contextlib.suppress(ValueError, RecursionError):
            data = json.loads(line)
        prompt, system = _prompt_of(data)
        if prompt is None:
            raise ConfigurationInvalid(
                f"Line {number} is neither a string nor an object with “prompt” or “messages”.",
                hint='For example {"prompt": "Where is my order?"} on each line.',
            )
        found.append(replace(like, prompt=prompt, system=system if system is not None else like.system))
    if not found:
        raise ConfigurationInvalid("The file holds no prompt.")
    return tuple(found)


def _prompt_of(data: object) -> tuple[str | None, str | None]:
    if isinstance(data, str):
        return data, None
    if not isinstance(data, dict):
        return None, None
    if isinstance(prompt := data.get("prompt"), str):
        return prompt, data["system"] if isinstance(data.get("system"), str) else None
    messages = data.get("messages")
    said: dict[str, str] = {}
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and isinstance(message.get("content"), str):
            said[str(message.get("role"))] = message["content"]
    return said.get("user"), said.get("system")


def as_csv(load: LoadRun) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, exchange in enumerate(load.exchanges, 1):
        row = line(number, exchange)
        writer.writerow([cell(row[column]) for column in COLUMNS])
    return out.getvalue()


def as_json(load: LoadRun) -> str:
    return json.dumps(redacted(document(load)), indent=2)


def document(load: LoadRun) -> dict[str, Any]:
    """The run as one JSON document."""
    report = load.report()
    return {
        "run_id": load.run_id,
        "loop": "open" if load.plan.rate else "closed",
        "rate": load.plan.rate,
        "concurrency": load.plan.concurrency,
        "requests": load.plan.requests,
        "cap_usd": None if load.plan.cap_usd is None else str(load.plan.cap_usd),
        "stopped": load.stopped or None,
        "spent_usd": None if load.spent_usd is None else str(load.spent_usd),
        **summary(report),
        "results": [line(number, exchange) for number, exchange in enumerate(load.exchanges, 1)],
    }


def summary(report: LoadReport) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "failed": report.failed,
        "cancelled": report.cancelled,
        "cold": report.cold,
        "late": report.late,
        "success_rate": report.success_rate,
        "errors": [{"error": words, "count": count} for words, count in report.errors],
        "seconds": report.seconds,
        "requests_per_second": report.requests_per_second,
        "tokens_per_second": report.tokens_per_second,
        "percentile_method": METHOD,
        "first_text_s": [_percentile(p) for p in report.first_text],
        "total_s": [_percentile(p) for p in report.total],
        "per_token_s": [_percentile(p) for p in report.per_token],
    }


def line(number: int, exchange: Exchange) -> dict[str, Any]:
    """One request; what is not known is null."""
    measured = exchange.measured
    return {
        "number": number,
        "at": exchange.at.isoformat(),
        "model": exchange.model,
        "outcome": exchange.outcome.value,
        "status": exchange.status,
        "error_kind": exchange.error_kind,
        "error": exchange.error_message or None,
        "cold": measured.cold,
        "wait_s": exchange.wait_s,
        "connect_s": measured.connect_s,
        "first_text_s": measured.first_text_s,
        "total_s": measured.total_s,
        "per_token_s": measured.per_token_s,
        "tokens_in": measured.tokens_in,
        "tokens_out": measured.tokens_out,
        "tokens_per_second": measured.tokens_per_second,
        "tokens_source": measured.tokens_from,
        "cost_usd": None if exchange.cost.usd is None else str(exchange.cost.usd),
        "cost_basis": exchange.cost.basis.value or None,
        "reason": exchange.reason or None,
    }


def _percentile(found: Percentile) -> dict[str, Any]:
    return {
        "q": found.q,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "needs_n": found.needs,
    }
