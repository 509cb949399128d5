"""One fault of every kind at every call of every operation in turn, then a restart."""

from __future__ import annotations

import re
import ssl
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
import pytest

from peft_tui.domain.operation import OperationKind, OperationState
from peft_tui.drivers import network
from peft_tui.drivers.modal import connection, deployer, volumes
from tests.proof.bench import Bench, bench
from tests.proof.scenes import Scene

RATE = {"message": "rate limit exceeded", "error": {"message": "rate limit exceeded"}}
PASSING: dict[str, Mapping[str, Any]] = {
    "500": {"action": "status", "code": 500},
    "503 html": {"action": "status", "code": 503, "body": "<html>upstream</html>"},
    # Over gRPC the words alone tell a limited rate from money that is spent.
    "429": {"action": "status", "code": 429, "headers": {"Retry-After": "3"}, "body": RATE},
    "reset before": {"action": "reset_before"},
    "reset after": {"action": "reset_after"},
    "hang": {"action": "hang"},
}
"""Faults that pass: in the end everything is done."""
LASTING: dict[str, Mapping[str, Any]] = {
    "401": {"action": "status", "code": 401, "body": {"error": {"message": "bad key"}}},
    "402": {"action": "status", "code": 402, "body": {"error": {"message": "no credit"}}},
    "409": {"action": "status", "code": 409, "body": {"error": {"message": "conflict"}}},
    "404": {"action": "status", "code": 404, "body": {"error": {"message": "no such thing"}}},
    "garbage": {"action": "garbage"},
}
"""Faults that a person may have to look at: what is done or failed with a reason."""
FAULTS = {**PASSING, **LASTING}


@dataclass(slots=True)
class Figures:
    """What a run of the proof found."""

    cases: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    """How the operations ended."""
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        self.cases += other.cases
        self.ends += other.ends
        self.wrong += other.wrong


@cache
def _context() -> ssl.SSLContext:
    return httpx.create_ssl_context()


@contextmanager
def short_timeouts() -> Iterator[None]:
    """A hang costs seconds at most instead of a minute, and certificates are read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx._transports.default, "create_ssl_context", lambda *_, **__: _context())
        patch.setattr(network, "TIMEOUT", httpx.Timeout(0.25, connect=5.0))
        # Whole seconds over gRPC: what the SDK does in one go is several calls.
        for module, name, seconds in (
            (connection, "OPEN_SECONDS", 2.0),
            (connection, "CALL_SECONDS", 2.0),
            (deployer, "BUILD_SECONDS", 5.0),
            (deployer, "DEPLOY_SECONDS", 5.0),
            (volumes, "STALL_SECONDS", 2.0),
        ):
            patch.setattr(module, name, seconds)
        yield


IDS = re.compile(r"(ep|ml|dep|upl|proj|dad)_[a-z0-9]+|[0-9a-f]{64}|/_objects/.*|bot-[0-9a-f]{8}|[a-z0-9]{26}")
ALIKE = 2
"""How many calls that look the same are disturbed: a wait asks the same a hundred times."""


async def calls(room: Bench, kind: OperationKind) -> list[int]:
    """Which calls of `kind` to disturb, counted from 1, when nothing else goes wrong."""
    async with room.case(kind) as case:
        operation = await case.work()
        assert operation.state is OperationState.DONE, (kind, operation.error)
        wrong = await case.check()
        assert not wrong, (kind, wrong)
        made = case.lived.sandbox.world.data.requests[case.asked_for :]
        seen: Counter[str] = Counter()
        chosen: list[int] = []
        for number, call in enumerate(made, 1):
            shape = f"{call.method} {IDS.sub('*', call.path)}"
            seen[shape] += 1
            if seen[shape] <= ALIKE:
                chosen.append(number)
        return chosen


async def one(room: Bench, kind: OperationKind, fault: str, nth: int, *, dies: bool) -> Figures:
    """`fault` at call `nth` of `kind`.

    Args:
        dies: the process dies at the fault; otherwise it rides it out, and dies when all is over.
    """
    async with room.case(kind) as case:
        await case.lived.fault(match="* *", nth=nth, times=1, **FAULTS[fault])
        faults = case.lived.sandbox.world.data.faults
        await case.work(until=(lambda: faults[0].hits > 0) if dies else lambda: False)
        await case.again()
        operation = await case.work()
        wrong = await case.check()
        if fault in PASSING and operation.state is not OperationState.DONE:
            wrong.append(f"{operation.state}: {dict(operation.error or {}).get('message')}")
        figures = Figures(1, Counter({str(operation.state): 1}))
        figures.wrong = [f"{kind}, {fault} at call {nth}{', dies' if dies else ''}: {it}" for it in wrong]
        return figures


async def every_fault(
    scene: Scene,
    faults: tuple[str, ...] = tuple(FAULTS),
    kinds: tuple[OperationKind, ...] | None = None,
    step: int = 1,
) -> Figures:
    """All of it, or every `step`th call of it."""
    figures = Figures()
    with short_timeouts():
        async with bench(scene) as room:
            for kind in kinds or scene.kinds:
                numbers = await calls(room, kind)
                for index, fault in enumerate(faults):
                    for nth in numbers[index % step :: step]:
                        for dies in (False, True):
                            figures.add(await one(room, kind, fault, nth, dies=dies))
    return figures
