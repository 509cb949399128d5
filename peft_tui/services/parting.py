"""What somebody who leaves should know: what goes on billing, and what waits for the next start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from peft_tui.domain.ages import age
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.money import per_hour
from peft_tui.domain.operation import DOING

NAMED = 3
"""Deployments that are named one by one; the rest is counted."""
OLD_SECONDS = 60
SANDBOX = (
    "That is the sandbox's own bill: nobody pays it. Its world is kept and its time goes on;"
    " peft-tui --sandbox opens it again."
)


def parting_words(deployments: Sequence[Deployment], now: datetime, *, sandbox: bool) -> list[str]:
    """A line or two, from what was last seen; nothing where nothing goes on."""
    words = _billing([d for d in deployments if d.bills], now)
    if words and not sandbox:
        words[0] += " peft-tui list shows all, stop ends it."
    unfinished = [
        f"{DOING[one.kind]} {deployment.name}"
        for deployment in deployments
        for one in (deployment.under_way, *deployment.others)
        if one is not None and not one.given_up
    ]
    if unfinished:
        words.append(f"Not finished, and it goes on at the next start: {_few(unfinished)}.")
    return [*words, SANDBOX] if words and sandbox else words


def _billing(deployments: Sequence[Deployment], now: datetime) -> list[str]:
    if not deployments:
        return []
    prices = [d.usd_per_hour for d in deployments if d.usd_per_hour is not None]
    unknown = len(deployments) - len(prices)
    guess = any(d.is_guess for d in deployments)
    costs = [per_hour(sum(prices, Decimal(0)), guess)] if prices else []
    costs += [f"{unknown} of unknown price" if costs else "at a price that is not known"] if unknown else []
    seen = min((d.observation.observed_at for d in deployments if d.observation), default=now)
    passed = (now - seen).total_seconds()
    old = f" (seen {age(passed)} ago)" if passed >= OLD_SECONDS else ""
    names = _few([f"{d.name} on {d.platform}" for d in deployments])
    many = "1 deployment goes" if len(deployments) == 1 else f"{len(deployments)} deployments go"
    return [f"{many} on billing, {' and '.join(costs)}{old}: {names}."]


def _few(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
