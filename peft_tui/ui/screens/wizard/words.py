"""Values as the wizard words them: lines with their tones, and plain sentences."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import UTC, datetime

from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.ages import ago
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.money import Price, Provenance, usd_range
from peft_tui.domain.offers import (
    Capabilities,
    Finding,
    Level,
)
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.text import clean, clean_line
from peft_tui.ui.screens.wizard.draft import Cost
from peft_tui.ui.widgets.lines import Line, marked, wrapped

SOURCE_TITLES = {SourceKind.DIRECTORY: "Directory", SourceKind.HUGGING_FACE: "Hugging Face"}
_MARKS = {Level.OK: ("✓", "good"), Level.WARNING: ("!", "warn"), Level.BLOCKED: ("✖", "bad")}


def source_title(kind: SourceKind, offers: Capabilities) -> str:
    """`Directory`, `Hugging Face`, `At Replicate`."""
    return SOURCE_TITLES.get(kind, f"At {offers.title}")


def price_source(price: Price | None, now: datetime) -> str:
    """Where a price comes from and since when."""
    if price is None:
        return "price unknown"
    source = "platform price" if price.source == "platform" else clean_line(price.source, 60)
    if price.provenance is Provenance.ESTIMATED:
        source += ", estimated"
    as_of = clean_line(price.as_of, 40)
    if "T" in as_of:
        try:
            moment = datetime.fromisoformat(as_of)
        except ValueError:
            return f"{source}, {as_of}"
        as_of = ago(moment if moment.tzinfo else moment.replace(tzinfo=UTC), now)
    return f"{source}, {as_of}" if as_of else source


def cost_range(cost: Cost) -> str:
    """`$5.49 – $10.98/h`."""
    return usd_range(cost.low, cost.high)


def finding_lines(findings: Iterable[Finding], width: int) -> list[Line]:
    """✓ ! ✖ with the sentence, and the hint below it."""
    lines: list[Line] = []
    for finding in findings:
        mark, tone = _MARKS[finding.level]
        lines += marked(mark, tone, finding.message, width)
        if finding.hint:
            lines += wrapped(clean(finding.hint, 600), width, "dim", indent=2)
    return lines


def error_lines(error: PeftTuiError, width: int, *, again: bool = False) -> list[Line]:
    """What went wrong and what to do next; `again` when asking once more may help."""
    lines = marked("✖", "bad", error.message, width)
    if error.hint:
        lines += wrapped(clean(error.hint, 600), width, "dim", indent=2)
    if again:
        lines += wrapped("ctrl+r asks again", width, "dim", indent=2)
    return lines


def command_line(spec: DeploymentSpec) -> str:
    """The same deployment as one line for a shell."""
    words = ["peft-tui", "deploy", spec.source.reference, "--platform", spec.platform, "--name", spec.name]
    words += ["--source", str(spec.source.kind)]
    flags = {"instance_type": "--instance-type", "min_instances": "--min", "max_instances": "--max"}
    for key, flag in flags.items():
        if key in spec.settings:
            words += [flag, str(spec.settings[key])]
    for key, value in spec.settings.items():
        if key not in flags:
            words += ["--set", f"{key}={value}"]
    return " ".join(shlex.quote(clean(word)) for word in (*words, "--yes"))


def unknowns(spec: DeploymentSpec, offers: Capabilities, cost: Cost, available: bool | None) -> list[str]:
    """What nobody can say before it happens."""
    found = []
    if cost.price is None:
        found.append("the price: the platform names none for this instance type")
    if available is None:
        found.append("whether a machine is free now: the platform does not say")
    extra = [step.title for step in offers.plan(spec) if step.bills and step.key != "deployment"]
    if extra:
        found.append(f"what these cost on top: {', '.join(extra)}")
    if offers.time_to_live:
        found.append(f"how long it takes: {offers.time_to_live}")
    return found
