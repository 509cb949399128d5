"""`python -m tests.proof [--only PART] [--scene NAME]… [--seed N] [--runs N] [--step N]`: the long form."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time

from tests.proof.crowd import crowd
from tests.proof.faults import FAULTS, Figures, every_fault
from tests.proof.kills import kills
from tests.proof.lives import random_lives
from tests.proof.scenes import SCENES


def main() -> int:
    """Run it and print what was found; 1 when anything was wrong."""
    parser = argparse.ArgumentParser("python -m tests.proof", description=__doc__)
    parser.add_argument("--only", choices=("faults", "kills", "lives", "crowd"))
    parser.add_argument("--scene", action="append", choices=SCENES)
    parser.add_argument("--fault", action="append", choices=FAULTS)
    parser.add_argument("--step", type=int, default=1, help="disturb every Nth call only (1: each)")
    parser.add_argument("--seed", type=int, default=1, help="of kills and lives (1)")
    parser.add_argument("--runs", type=int, default=200, help="of kills, and of lives (200)")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    total = Figures()
    for name in args.scene or SCENES:
        if args.only in (None, "faults"):
            began = time.monotonic()
            found = asyncio.run(every_fault(SCENES[name], tuple(args.fault or FAULTS), step=args.step))
            report(f"faults, {name}", found, began)
            total.add(found)
        if args.only in (None, "kills"):
            began = time.monotonic()
            found = asyncio.run(kills(name, args.runs, args.seed))
            report(f"kills, {name}", found, began)
            total.add(found)
        if args.only in (None, "lives"):
            began = time.monotonic()
            found = random_lives(SCENES[name], args.runs, 25, args.seed)
            report(f"lives, {name}", found, began)
            total.add(found)
    if args.only in (None, "crowd"):
        began = time.monotonic()
        found = asyncio.run(crowd(processes=4, turns=args.runs))
        report("crowd", found, began)
        total.add(found)
    return 1 if total.wrong else 0


def report(what: str, figures: Figures, began: float) -> None:
    """One line, and one for each thing that was wrong."""
    ends = ", ".join(f"{count} {end}" for end, count in sorted(figures.ends.items()))
    seconds = time.monotonic() - began
    print(f"{what}: {figures.cases} cases in {seconds:.0f} s; {ends}; {len(figures.wrong)} wrong", flush=True)
    for sentence in figures.wrong:
        print(f"  {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
