"""Measure two programs in turns. The machine is noisy and shared: only ratios of one run mean something."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

from tests.terminal import Terminal, screen_when

SIZE = (120, 36)
TRUECOLOR = {"COLORTERM": "truecolor"}
HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent

T = TypeVar("T")


class Result(NamedTuple):
    """Two medians and what their ratio should not exceed."""

    name: str
    ours: float
    baseline: float
    ratio: float
    goal: float
    unit: str = "ms"


class Cost(NamedTuple):
    """What a key cost."""

    bytes: int
    ms: float
    """From the key to the last byte written because of it; 0 if there was none."""


def program(name: str, *words: str) -> list[str]:
    """Command line of one of the small programs beside this file."""
    return [sys.executable, str(HERE / f"{name}.py"), *words]


def environment(env: Mapping[str, str | None] | None = None) -> dict[str, str | None]:
    """Truecolor, the checkout to import from, and byte code as an installed program has it."""
    path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
    compiled = Path(tempfile.gettempdir()) / f"peft-tui-bench-{os.getuid()}"
    return {
        **TRUECOLOR,
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": None,
        "PYTHONPYCACHEPREFIX": str(compiled),
        **(env or {}),
    }


def compared(name: str, pairs: Sequence[tuple[float, float]], goal: float, unit: str = "ms") -> Result:
    """Medians of (ours, baseline) and their ratio."""
    ours, baseline = (median(side) for side in zip(*pairs, strict=True))
    return Result(name, ours, baseline, ours / baseline if baseline else float("inf"), goal, unit)


async def in_turns(
    ours: Callable[[], Awaitable[T]], baseline: Callable[[], Awaitable[T]], runs: int
) -> list[tuple[T, T]]:
    """Run ours, baseline, ours, baseline…; a first pair is thrown away, it warms the caches."""
    pairs = [(await ours(), await baseline()) for _ in range(runs + 1)]
    return pairs[1:]


async def first_frame(argv: Sequence[str], text: str, env: Mapping[str, str | None] | None = None) -> float:
    """Milliseconds from exec until the screen first shows a text."""
    async with Terminal.run(argv, env=environment(env), size=SIZE) as term:
        await term.sees(text, timeout=30)
        seen = screen_when(term, text)
        assert seen is not None
        return (seen - term.started) * 1000


async def ready(term: Terminal, text: str) -> None:
    """Wait until a program shows a text and has written all there is to write."""
    await term.sees(text, timeout=30)
    await term.quiet(0.4)


async def cost_of(term: Terminal, *keys: str) -> Cost:
    """Press keys in a program that is at rest, wait until it is at rest again."""
    mark = term.mark()
    term.press(*keys)
    await term.quiet(0.25)
    written = term.bytes_written - mark.position
    return Cost(written, (term.chunks[-1].at - mark.at) * 1000 if written else 0.0)


def cpu_seconds(term: Terminal) -> float:
    """What the program has had of the processor so far."""
    ticks = Path(f"/proc/{term.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def resident_mb(term: Terminal) -> float:
    """Its memory as it is now."""
    status = Path(f"/proc/{term.process.pid}/statm").read_text().split()
    return int(status[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def starts(
    name: str, argv: Sequence[str], text: str, goal: float, env: Mapping[str, str | None] | None = None
) -> Callable[[int], Awaitable[list[Result]]]:
    """A bench: the first frame of a program against that of the minimal application of design.md §10."""

    async def bench(runs: int) -> list[Result]:
        pairs = await in_turns(
            lambda: first_frame(argv, text, env),
            lambda: first_frame(program("baseline_app"), "deployment-3"),
            runs,
        )
        return [compared(name, pairs, goal)]

    bench.__name__ = name
    return bench


def keys_cost(
    name: str,
    ours: Sequence[str],
    baseline: Sequence[str],
    text: str,
    keys: Mapping[str, Sequence[str]],
    bytes_goal: float,
    ms_goal: float,
) -> Callable[[int], Awaitable[list[Result]]]:
    """A bench: what the same keys cost in two programs that show the same; bytes and time for each."""

    async def bench(runs: int) -> list[Result]:
        results = []
        async with (
            Terminal.run(ours, env=environment(), size=SIZE) as left,
            Terminal.run(baseline, env=environment(), size=SIZE) as right,
        ):
            await ready(left, text)
            await ready(right, text)
            for label, pressed in keys.items():
                pairs = await in_turns(
                    partial(cost_of, left, *pressed), partial(cost_of, right, *pressed), runs
                )
                sizes = [(float(a.bytes), float(b.bytes)) for a, b in pairs]
                times = [(a.ms, b.ms) for a, b in pairs]
                results.append(compared(f"{name}, {label}", sizes, bytes_goal, "bytes"))
                if any(a for a, _ in times):
                    results.append(compared(f"{name}, {label}", times, ms_goal))
        return results

    bench.__name__ = name
    return bench
