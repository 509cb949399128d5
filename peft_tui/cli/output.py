"""What the commands write: the only writer to standard output, which carries data and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from peft_tui.domain.ages import age
from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.money import usd
from peft_tui.domain.status import GLYPHS, word_for
from peft_tui.redaction import redact, redacted
from peft_tui.services.documents import plain
from peft_tui.text import clean, clean_line


def data(document: dict[str, Any]) -> None:
    """The one JSON document of a `--json` run."""
    print(json.dumps(document, indent=2, default=plain))


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
                ("~" if d.is_guess else "") + usd(d.usd_per_hour),
                f"{age((now - seen.observed_at).total_seconds())} ago" if seen else "—",
                d.spec.source.label,
            )
        )
    table(rows)


def status_words(deployment: Deployment) -> str:
    """`asleep`; `failed, asleep` for what is there although its create failed."""
    words = word_for(deployment.status, deployment.condition)
    return f"failed, {words}" if deployment.standing is not deployment.status else words


def table(rows: Iterable[Sequence[str]], indent: str = "") -> None:
    """Aligned columns; the last one as long as it likes."""
    cleaned = [[clean_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cleaned) for column in range(len(cleaned[0]))]
    for row in cleaned:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line((indent + "  ".join(cells)).rstrip())


def _dash(number: int | None) -> str:
    return "—" if number is None else str(number)
