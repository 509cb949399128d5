"""Run the benches and print their ratios: `python -m tests.bench [part of a name…] [--runs N] [--json]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from tests.bench.benches import BENCHES
from tests.bench.measure import Result


def line(result: Result) -> str:
    """A result as one line of the table."""
    mark = "ok" if result.ratio <= result.goal else "MISSED"
    digits = 1 if result.ours >= 10 else 3
    figures = f"{result.ours:>11,.{digits}f} {result.baseline:>11,.{digits}f}  {result.unit:<5}"
    return f"{result.name:<44} {figures} {result.ratio:>8.3f}  ≤ {result.goal:<6g} {mark}"


async def main() -> None:
    """Run those whose name has one of the words, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--runs", type=int, default=7, help="alternating runs of each side (default 7)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chosen = [
        bench
        for bench in BENCHES
        if not options.words or any(word in bench.__name__ for word in options.words)
    ]
    results = []
    if not options.json:
        print(f"{'':<44} {'ours':>11} {'baseline':>11}  {'':<5} {'ratio':>8}  goal")
    for bench in chosen:
        for result in await bench(options.runs):
            results.append(result)
            if not options.json:
                print(line(result), flush=True)
    if options.json:
        json.dump([result._asdict() for result in results], sys.stdout, indent=1)


asyncio.run(main())
