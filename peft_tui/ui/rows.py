"""From a deployment and the time to the cells of its line: no screen, no clock."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from peft_tui.domain.ages import age, took
from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.money import usd
from peft_tui.domain.status import Condition, Status
from peft_tui.text import clean_line
from peft_tui.ui.status import ORIGIN_MARKS, machine, staleness, status_text
from peft_tui.ui.widgets.live_table import Cell, Column, Row

if TYPE_CHECKING:
    from peft_tui.services.figures import Brief

WORTH_SAYING = Decimal("0.01")
"""Of a cost so far; below it there is only that it is less."""
UNKNOWN = "—"
_DASH = Cell(UNKNOWN, "dim")
_cell = lru_cache(maxsize=2048)(Cell)
_shown = lru_cache(maxsize=16_384)(clean_line)
"""The same names and models come again and again."""

COLUMNS = (
    Column("name", "NAME", 14, grow=True, minimum=8, elide="middle", words="as it is called here"),
    Column("platform", "PLATFORM", 9, priority=1, words="whose cloud it runs in"),
    Column("status", "STATUS", 20, grow=True, minimum=14, words="and for how long"),
    Column("instances", "INST", 4, "right", priority=4, words="ready of at most"),
    Column("requests", "REQ", 6, "right", priority=5, words="sent from here or reported"),
    Column("success", "OK%", 4, "right", priority=7, words="share that succeeded"),
    Column("latency", "P50", 6, "right", priority=6, words="half of the answers came sooner"),
    Column("hourly", "$/H", 7, "right", priority=2, words="what it costs an hour now"),
    Column("cost", "COST", 8, "right", priority=3, words="its cost so far, up to half a minute old"),
    Column("machine", "MACHINE", 18, priority=11, elide="middle", words="what it runs on"),
    Column("made", "MADE", 5, "right", priority=10, words="how long ago it was made"),
    Column("adapter", "ADAPTER", 20, priority=9, grow=True, elide="middle", words="what it serves"),
    Column("base", "BASE MODEL", 24, priority=8, grow=True, elide="middle", words="on which base"),
)


def instances(deployment: Deployment) -> str:
    """`1/2`: ready of at most."""
    observation = deployment.observation
    if observation is None:
        return UNKNOWN
    top = observation.max_instances
    if top is None:
        top = deployment.spec.max_instances if "max_instances" in deployment.spec.settings else None
    if observation.ready_instances is None and top is None:
        return UNKNOWN
    ready = UNKNOWN if observation.ready_instances is None else str(observation.ready_instances)
    return f"{ready}/{UNKNOWN if top is None else top}"


def hourly(deployment: Deployment) -> str:
    """`$5.49` while it is known to bill, `~$0.81` where that is a guess, else unknown."""
    price = deployment.observation.usd_per_hour if deployment.observation else None
    return f"{'~' if deployment.is_guess else ''}{usd(price)}" if price else UNKNOWN


def cost(brief: Brief | None) -> str:
    """`$13.07` so far, `≥$13.07` where somebody looked away."""
    if brief is None or brief.cost_usd is None or not (brief.cost_usd or brief.cost_is_complete):
        return UNKNOWN
    if 0 < brief.cost_usd < WORTH_SAYING:
        return "<$0.01"
    return f"{'' if brief.cost_is_complete else '≥'}{usd(brief.cost_usd)}"


def success(brief: Brief | None) -> str:
    """`99.6`, and `100` only when it is."""
    if brief is None or brief.success_rate is None:
        return UNKNOWN
    share = brief.success_rate * 100
    return f"{share:.0f}" if share in (0, 100) else f"{min(share, 99.9):.1f}"


def adapter_label(deployment: Deployment) -> str:
    return _shown(deployment.spec.source.label, 120) or UNKNOWN


def base_label(deployment: Deployment) -> str:
    """The base without its owner: the table is narrow, the detail has it whole."""
    return _shown(deployment.spec.base_model.rsplit("/", 1)[-1], 120) or UNKNOWN


def table_row(
    deployment: Deployment, now: datetime, seen: datetime | None = None, brief: Brief | None = None
) -> Row:
    """The line of one deployment. `seen`: when it was last seen, see `seen_at`."""
    status = status_text(deployment, now)
    old = staleness(deployment, now, seen)
    name = ORIGIN_MARKS[deployment.origin] + _shown(deployment.name, 120)
    over = deployment.status is Status.STOPPED or deployment.condition is Condition.GONE
    if old:
        status_cell = _cell(f"{status.glyph} {status.word} seen {old} ago", "dim")
    else:
        status_cell = _cell(str(status), status.tone, status.short)
    quiet = "dim" if old or over else ""
    orphan = deployment.origin is Origin.ORPHAN
    adapter = _cell("not ours: adopt or stop", "warn") if orphan else _cell(adapter_label(deployment), "dim")
    return Row(
        deployment.id,
        (
            Cell(name, "warn" if orphan and not old else quiet),
            _cell(_shown(deployment.platform, 40), "dim"),
            status_cell,
            _figure(instances(deployment), quiet),
            _figure(f"{brief.requests:,}" if brief and brief.requests else UNKNOWN, quiet),
            _figure(success(brief), "bad" if brief and (brief.success_rate or 1) < 0.9 else quiet),
            _figure(took(brief.p50_s if brief else None).replace(" ", ""), quiet),
            _figure(hourly(deployment), quiet),
            _figure(cost(brief), quiet),
            _cell(_shown(machine(deployment), 60) or UNKNOWN, "dim"),
            _figure(age(max((now - deployment.created_at).total_seconds(), 0)), "dim"),
            adapter,
            _cell(base_label(deployment), "dim"),
        ),
    )


def _figure(text: str, tone: str) -> Cell:
    return _DASH if text == UNKNOWN else _cell(text, tone)
