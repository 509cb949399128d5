"""Requests of a known kind, written as the console writes them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from peft_tui.domain.inference import PromptRequest, Role
from peft_tui.domain.measure import Basis, Cost, Measured, Outcome, Source
from peft_tui.domain.request import Exchange
from peft_tui.store import Store
from tests.seeds import NOON

OK = Outcome.OK


def exchange(
    deployment_id: str,
    at: datetime = NOON,
    latency_s: float | None = 0.4,
    *,
    first_text_s: float | None = 0.18,
    tokens: tuple[int | None, int | None] = (11, 52),
    outcome: Outcome = OK,
    error: dict[str, Any] | None = None,
    cold: bool | None = False,
    usd: str | None = None,
    remote_id: str = "",
    gaps_s: tuple[float, ...] = (),
    status: int | None = 200,
) -> Exchange:
    return Exchange(
        deployment_id,
        at,
        Source.CONSOLE,
        "adapter",
        Role.ADAPTER,
        PromptRequest("Where is my order?"),
        outcome,
        Measured(
            first_text_s=first_text_s,
            total_s=latency_s,
            tokens_in=tokens[0],
            tokens_out=tokens[1],
            cold=cold,
            gaps_s=gaps_s,
        ),
        Cost(Decimal(usd), Basis.TOKENS) if usd else Cost(),
        status=status,
        error=error,
        remote_id=remote_id,
    )


def failed(deployment_id: str, at: datetime, kind: str = "timeout") -> Exchange:
    return exchange(
        deployment_id, at, 30.0, first_text_s=None, tokens=(None, None), outcome=Outcome.FAILED,
        error={"kind": kind, "message": "no answer", "hint": "", "detail": ""}, status=None,
    )  # fmt: skip


def load(
    deployment_id: str,
    count: int,
    *,
    end: datetime = NOON,
    hours: float = 1.0,
    seed: int = 1,
    failing: float = 0.01,
    cold: float = 0.0,
) -> list[Exchange]:
    """`count` calls spread over the time before `end`: log-normal around 400 ms, some failing, some cold."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        at = end - timedelta(seconds=hours * 3600 * (count - number) / count)
        latency = rng.lognormvariate(-0.9, 0.35)
        if rng.random() < failing:
            made.append(failed(deployment_id, at, rng.choice(["timeout", "resource", "resource"])))
        elif rng.random() < cold:
            boot = rng.uniform(35, 65)
            made.append(exchange(deployment_id, at, boot + latency, first_text_s=boot, cold=True))
        else:
            tokens = (rng.randint(8, 60), rng.randint(20, 120))
            made.append(exchange(deployment_id, at, latency, first_text_s=latency * 0.4, tokens=tokens))
    return made


async def record(store: Store, exchanges: Iterable[Exchange]) -> None:
    await store.requests.record(list(exchanges))
