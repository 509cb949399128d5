"""`python -m tests.proof [--only PART] [--scene NAME]… [--seed N] [--runs N] [--step N]`: the long form."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.proof.crowd import crowd
from tests.proof.faults import FAULTS, Figures, every_fault
from tests.proof.kills import kills
from tests.proof.lives import random_lives
from tests.proof.scenes import SCENES
from tests.proof.truth import COLUMNS, counted

PARTS = ("faults", "kills", "lives")
"""Of each scene."""


def main() -> int:
    """Run it and print what was found; 1 when anything was wrong."""
    parser = argparse.ArgumentParser("python -m tests.proof", description=__doc__)
    parser.add_argument("--only", choices=(*PARTS, "crowd"))
    parser.add_argument("--scene", action="append", choices=SCENES)
    parser.add_argument("--fault", action="append", choices=FAULTS)
    parser.add_argument("--step", type=int, default=1, help="disturb every Nth call only (1: each)")
    parser.add_argument("--seed", type=int, default=1, help="of kills and lives (1)")
    parser.add_argument("--runs", type=int, default=200, help="of kills, and of lives (200)")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    rows: list[Row] = []
    chosen = [(part, name) for name in args.scene or SCENES for part in PARTS]
    try:
        for part, name in (*chosen, ("crowd", "")):
            if args.only in (None, part):
                rows.append(Row.of(part, name, args))
    finally:
        for line in table(rows):
            print(line, flush=True)
    return 1 if any(row.figures.wrong for row in rows) else 0


def prove(part: str, name: str, args: argparse.Namespace) -> Figures:
    match part:
        case "faults":
            faults = tuple(args.fault or FAULTS)
            return asyncio.run(every_fault(SCENES[name], faults, step=args.step))
        case "kills":
            return asyncio.run(kills(name, args.runs, args.seed))
        case "lives":
            return random_lives(SCENES[name], args.runs, 25, args.seed)
        case _:
            return asyncio.run(crowd(processes=4, turns=args.runs))


@dataclass(frozen=True, slots=True)
class Row:
    """What one part found in one scene."""

    part: str
    scene: str
    figures: Figures
    seconds: float

    @classmethod
    def of(cls, part: str, scene: str, args: argparse.Namespace) -> Row:
        """Run it, and print one line, and one more for each thing that was wrong."""
        began = time.monotonic()
        try:
            found = prove(part, scene, args)
        except Exception as error:
            # The other parts have their say too.
            found = Figures(wrong=[f"it broke: {error!r}"])
        row = cls(part, scene, found, time.monotonic() - began)
        ends = ", ".join(f"{count} {end}" for end, count in sorted(found.ends.items()))
        what = f"{part}, {scene}" if scene else part
        print(f"{what}: {found.cases} cases in {row.seconds:.0f} s; {ends}; {len(found.wrong)} wrong")
        for sentence in found.wrong:
            print(f"  {sentence}", flush=True)
        return row

    @property
    def cells(self) -> tuple[str, ...]:
        kinds = counted(self.figures.wrong)
        counts = (self.figures.cases, *(kinds[kind] for kind in COLUMNS))
        return (self.scene or "—", self.part, *map(str, counts), f"{self.seconds:.0f} s")


def table(rows: Sequence[Row]) -> list[str]:
    """In Markdown, for a note."""
    titles = ("scene", "part", "cases", *COLUMNS, "time")
    lines = [titles, tuple("---" for _ in titles), *(row.cells for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


if __name__ == "__main__":
    sys.exit(main())
