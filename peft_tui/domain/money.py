"""Money is `Decimal`, and a price says where it comes from and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum


class Provenance(StrEnum):
    """Where a figure comes from."""

    MEASURED = "measured"
    REPORTED = "reported"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True)
class Price:
    """What one instance costs while it exists."""

    usd_per_hour: Decimal
    source: str
    """For a person: "platform" for a live figure, or the page a table was copied from."""
    as_of: str
    """ISO date or time at which the source said so."""
    provenance: Provenance = Provenance.REPORTED


BUDGET_EVERY = timedelta(minutes=5)
"""Between two looks at what is left to spend."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What an account has spent in the current cycle of what the platform lets it."""

    used_usd: Decimal
    limit_usd: Decimal
    """Not 0: no limit is no budget."""

    @property
    def ratio(self) -> Decimal:
        return self.used_usd / self.limit_usd


def usd(amount: Decimal | None) -> str:
    """As many digits as matter: `$13.07`, `$0.00021`, `—` when unknown."""
    if amount is None:
        return "—"
    if amount == 0 or abs(amount) >= Decimal("0.1"):
        return f"${amount:,.2f}"
    digits = -amount.adjusted() + 1
    return f"${amount:.{digits}f}"


def per_hour(amount: Decimal | None, guess: bool = False) -> str:
    """`$5.49/h`, `~$0.81/h` where it is a guess, `—` when unknown."""
    return "—" if amount is None else f"{'~' if guess else ''}{usd(amount)}/h"


def usd_range(low: Decimal | None, high: Decimal | None) -> str:
    """`$5.49 – $10.98/h`; one figure when both ends agree; `—` when neither is known."""
    if low is None or high is None:
        return "—"
    return f"{usd(low)}/h" if low == high else f"{usd(low)} – {usd(high)}/h"
