"""What the commands write: the only writer to standard output, which carries data and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from peft_tui.domain.ages import age
from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.money import usd
from peft_tui.domain.operation import Operation
from peft_tui.domain.status import GLYPHS
from peft_tui.redaction import redact, redacted
from peft_tui.text import clean, clean_line

if TYPE_CHECKING:
    from peft_tui.services.figures import Brief


def data(document: dict[str, Any]) -> None:
    """The one JSON document of a `--json` run."""
    print(json.dumps(document, indent=2, default=_plain))


def line(text: str = "") -> None:
    """A line for a person, on standard output."""
    print(clean(text))


def piece(text: str) -> None:
    """A part of a text that was cleaned as it came, at once."""
    sys.stdout.write(
        text.encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding or "utf-8")
    )
    sys.stdout.flush()


def talk(text: str) -> None:
    """Progress and remarks, on standard error."""
    print(redact(clean_line(text)), file=sys.stderr, flush=True)


def failure(error: PeftTuiError, as_json: bool) -> int:
    """Say what went wrong; the exit status that belongs to it."""
    if as_json:
        data({"error": redacted(error.as_dict())})
    else:
        talk(f"peft-tui: {error.message}")
        if error.hint:
            talk(f"  {error.hint}")
    return error.exit_status


def deployment_document(deployment: Deployment, brief: Brief | None = None) -> dict[str, Any]:
    """The deployment as scripts see it; unknown is null. The names are a contract: see the README.

    Args:
        brief: what was measured of it, all of it.
    """
    seen, spec = deployment.observation, deployment.spec
    return {
        "id": deployment.id,
        "name": deployment.name,
        "platform": deployment.platform,
        "status": deployment.standing,
        "platform_status": (seen.platform_status or None) if seen else None,
        "condition": deployment.condition or None,
        "reason": (seen.reason or None) if seen else None,
        "adapter": spec.source.reference or None,
        "base_model": spec.base_model or None,
        "endpoint_url": (seen.endpoint_url or None) if seen else None,
        "model": (seen.model or None) if seen else None,
        "instance_type": ((seen.instance_type if seen else "") or spec.instance_type) or None,
        "min_instances": _known(seen.min_instances if seen else None, spec.settings.get("min_instances")),
        "max_instances": _known(seen.max_instances if seen else None, spec.settings.get("max_instances")),
        "ready_instances": seen.ready_instances if seen else None,
        "usd_per_hour": seen.usd_per_hour if seen else None,
        "created_at": deployment.created_at,
        "since": deployment.since,
        "observed_at": seen.observed_at if seen else None,
        "requests": brief.requests if brief else None,
        "success_rate": brief.success_rate if brief else None,
        "latency_ms": round(brief.p50_s * 1000, 1) if brief and brief.p50_s is not None else None,
        "cost_usd": brief.cost_usd if brief else None,
        "cost_is_complete": brief.cost_is_complete if brief and brief.cost_usd is not None else None,
        "origin": deployment.origin,
        "remote_name": deployment.remote_name,
        "operation": operation_document(deployment.operation) if deployment.operation else None,
    }


def deployment_table(deployments: Sequence[Deployment], now: datetime) -> None:
    """One line a deployment, aligned."""
    rows = [("NAME", "PLATFORM", "STATUS", "INST", "$/H", "SEEN", "ADAPTER")]
    for d in deployments:
        seen = d.observation
        status = f"{GLYPHS[d.standing]} {status_words(d)}"
        instances = f"{_dash(seen.ready_instances)}/{_dash(seen.max_instances)}" if seen else "—"
        mark = "" if d.origin is Origin.OURS else " (not made here)"
        rows.append(
            (
                d.name + mark,
                d.platform,
                status,
                instances,
                usd(seen.usd_per_hour) if seen else "—",
                f"{age((now - seen.observed_at).total_seconds())} ago" if seen else "—",
                d.spec.source.label,
            )
        )
    table(rows)


def status_words(deployment: Deployment) -> str:
    """`asleep`; `failed, asleep` for what is there although its create failed."""
    words = str(deployment.condition or deployment.status)
    return f"failed, {words}" if deployment.standing is not deployment.status else words


def table(rows: Iterable[Sequence[str]], indent: str = "") -> None:
    """Aligned columns; the last one as long as it likes."""
    cleaned = [[clean_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cleaned) for column in range(len(cleaned[0]))]
    for row in cleaned:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line((indent + "  ".join(cells)).rstrip())


def operation_document(operation: Operation) -> dict[str, Any]:
    """An operation with its steps as scripts see it."""
    return {
        "kind": operation.kind,
        "state": operation.state,
        "error": operation.error,
        "steps": [
            {
                "key": s.key,
                "title": s.title,
                "state": s.state,
                "done": s.done,
                "total": s.total,
                "note": s.note,
            }
            for s in operation.steps
        ],
    }


def _known(*values: object) -> object:
    return next((value for value in values if value is not None), None)


def _dash(number: int | None) -> str:
    return "—" if number is None else str(number)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        # Money is a decimal number and JSON's is not: a string keeps every digit.
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a document")
