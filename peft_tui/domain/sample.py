"""One request as far as figures are concerned: what is counted, summed and held against targets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from peft_tui.domain.buckets import Buckets
from peft_tui.domain.measure import Outcome


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. Unknown is None."""

    at: datetime
    """t0: just before it was written, or when the platform says it was made. UTC."""
    outcome: Outcome
    latency_s: float | None = None
    """To the last text."""
    first_text_s: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: Decimal | None = None
    """Only where tokens are priced: what time costs, a request does not know."""
    cold: bool | None = None
    """True when it had to wait for an instance to boot."""
    error_kind: str = ""
    gaps: Buckets | None = None
    """Seconds between the pieces of its answer."""
    source: str = ""
    """Which part of the program sent it."""

    @property
    def per_token_s(self) -> float | None:
        """From the first text on, for each token after the first."""
        if self.latency_s is None or self.first_text_s is None or (self.tokens_out or 0) < 2:
            return None
        return (self.latency_s - self.first_text_s) / ((self.tokens_out or 0) - 1)

    @property
    def busy_s(self) -> float:
        """How long an instance worked on it: of a cold one only what came after the boot."""
        if self.latency_s is None:
            return 0.0
        if not self.cold:
            return self.latency_s
        return max(self.latency_s - (self.first_text_s or self.latency_s), 0.0)
