"""What came of a load run, with figures that say how sure they are."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from peft_tui.domain.figures import Percentile, percentile
from peft_tui.domain.measure import Outcome
from peft_tui.domain.request import Exchange
from peft_tui.services.load_plan import LoadPlan

QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(slots=True)
class LoadRun:
    """A run under way, and afterwards what came of it."""

    plan: LoadPlan
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    exchanges: list[Exchange] = field(default_factory=list)
    sent: int = 0
    under_way: int = 0
    began: float | None = None
    ended: float | None = None
    spent_usd: Decimal | None = Decimal(0)
    """None when no price is known."""
    stopped: str = ""
    """Why it ended before its time, in words."""
    unwritten: int = 0
    """How many of the requests the store would not take."""

    @property
    def done(self) -> int:
        return len(self.exchanges)

    def report(self) -> LoadReport:
        return _report(self)


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The figures of a run. Percentiles are of what succeeded; how many did not stands beside them."""

    ok: int
    failed: int
    cancelled: int
    errors: tuple[tuple[str, int], ...]
    """By kind and message, the most frequent first."""
    seconds: float | None
    requests_per_second: float | None
    tokens_per_second: float | None
    first_text: tuple[Percentile, ...]
    total: tuple[Percentile, ...]
    per_token: tuple[Percentile, ...]
    cold: int
    late: int
    """Of an open loop: how many were sent more than 10 ms after their time."""
    totals_s: tuple[float, ...] = ()

    @property
    def success_rate(self) -> float | None:
        """Cancelled ones are neither."""
        count = self.ok + self.failed
        return self.ok / count if count else None


def _report(load: LoadRun) -> LoadReport:
    done = [e for e in load.exchanges if e.outcome is Outcome.OK]
    failed = [e for e in load.exchanges if e.outcome is Outcome.FAILED]
    errors = Counter(f"{e.error_kind}: {e.error_message}" for e in failed)
    seconds = None
    if load.began is not None and load.ended is not None:
        seconds = load.ended - load.began
    tokens = [e.measured.tokens_out for e in done if e.measured.tokens_out is not None]
    totals = _ordered(e.measured.total_s for e in done)
    return LoadReport(
        len(done),
        len(failed),
        load.sent - len(done) - len(failed),
        tuple(errors.most_common()),
        seconds,
        len(done) / seconds if seconds else None,
        sum(tokens) / seconds if seconds and tokens else None,
        _percentiles(_ordered(e.measured.first_text_s for e in done)),
        _percentiles(totals),
        _percentiles(_ordered(e.measured.per_token_s for e in done)),
        sum(e.measured.cold is True for e in done),
        sum((e.wait_s or 0) > 0.01 for e in load.exchanges),
        tuple(totals),
    )


def _ordered(values: Iterable[float | None]) -> list[float]:
    return sorted(value for value in values if value is not None)


def _percentiles(ordered: Sequence[float]) -> tuple[Percentile, ...]:
    return tuple(p for q in QUANTILES if (p := percentile(ordered, q)) is not None)
