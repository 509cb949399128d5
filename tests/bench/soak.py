"""Hours in the background: `python -m tests.bench.soak [--minutes 30] [--json]`.

The application stands on a sandbox at sixty times the pace of the world, with a deployment on each platform,
and nobody touches it. Each minute its memory, its open files and what it wrote are looked at. Growth is what
the second half has over the first: what is loaded and cached once is none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench.measure import SIZE, environment
from tests.life import write_adapter
from tests.servers import PROGRAM, Servers
from tests.terminal import Terminal

DEPLOYMENTS = (
    ("support-bot", "together", "1"),
    ("intents", "replicate", "0"),
    ("router", "modal", "0"),
    ("summaries", "predibase", "1"),
)
MEMORY_GOAL = 1.03
"""What the second half may have over the first: the allocator's own noise."""


SPARE = 2
"""Connections that one moment needs more than another."""


class Look(NamedTuple):
    """The process at one moment."""

    minute: int
    rss_kb: int
    open_files: int
    threads: int
    cpu_s: float
    bytes_written: int
    kinds: dict[str, int]
    """Open files by what they are: a socket, a pipe, a name."""


def look(term: Terminal, minute: int) -> Look:
    """Read /proc."""
    proc = Path(f"/proc/{term.process.pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line)
    ticks = (proc / "stat").read_text().rpartition(")")[2].split()[11:13]
    return Look(
        minute,
        int(status["VmRSS"].split()[0]),
        len(os.listdir(proc / "fd")),
        int(status["Threads"]),
        sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"),
        term.bytes_written,
        dict(Counter(_kind(proc / "fd" / number) for number in os.listdir(proc / "fd"))),
    )


def _kind(link: Path) -> str:
    try:
        return os.path.basename(os.readlink(link)).partition(":")[0]
    except OSError:
        return "closed meanwhile"


def grown(looks: Sequence[Look]) -> list[str]:
    """What is more in the second half than in the first, in words; the first look is left out."""
    settled = looks[1:]
    first, second = settled[: len(settled) // 2], settled[len(settled) // 2 :]
    complaints = []
    before, after = (median(seen.rss_kb for seen in half) for half in (first, second))
    if after > before * MEMORY_GOAL:
        complaints.append(f"memory grew from {before / 1024:.1f} to {after / 1024:.1f} MB")
    for name in ("open_files", "threads"):
        most_before, most_after = (max(getattr(seen, name) for seen in half) for half in (first, second))
        if most_after > most_before + SPARE:
            complaints.append(f"{name} grew from {most_before} to {most_after}: {looks[-1].kinds}")
    return complaints


async def soak(minutes: int, report: bool = True) -> list[Look]:
    """A look at the beginning and after each minute."""
    with tempfile.TemporaryDirectory(prefix="peft-tui-soak-") as name:
        room = Path(name)
        servers = Servers(room / "world.json", speed=60)
        await servers.start()
        try:
            env = environment(
                {
                    **servers.env,
                    "PEFT_TUI_DATA_DIR": str(room / "data"),
                    "PEFT_TUI_CONFIG_DIR": str(room / "c"),
                }
            )
            adapter = write_adapter(room / "support-r16", base="Qwen/Qwen3-8B")
            async with Terminal.run(PROGRAM, env=env, size=SIZE) as term:
                await term.sees("Nothing is deployed yet")
                for deployment in DEPLOYMENTS:
                    await _deploy(env, adapter, *deployment)
                for name, _, _ in DEPLOYMENTS:
                    await term.sees(name, timeout=60)
                await asyncio.sleep(30)
                looks = [look(term, 0)]
                for minute in range(1, minutes + 1):
                    await asyncio.sleep(60)
                    looks.append(look(term, minute))
                    if report:
                        print(*looks[-1][:-1], looks[-1].kinds, sep="\t", flush=True)
                if report:
                    print(term.text, file=sys.stderr)
                return looks
        finally:
            await servers.kill()


async def _deploy(env: dict[str, str | None], adapter: Path, name: str, platform: str, least: str) -> None:
    source = "acme/llm-support" if platform == "replicate" else str(adapter)
    words = ["deploy", source, "--platform", platform, "--name", name, "--min", least, "--max", "1", "--yes"]
    if platform == "replicate":
        words += ["--source", "platform"]
    own = {key: value for key, value in {**os.environ, **env}.items() if value is not None}
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *words, env=own, stdout=asyncio.subprocess.DEVNULL
    )
    if await process.wait():
        raise SystemExit(f"{name} could not be deployed")


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.json:
        print(*Look._fields, sep="\t", flush=True)
    looks = await soak(options.minutes, report=not options.json)
    complaints = grown(looks)
    if options.json:
        json.dump({"looks": [seen._asdict() for seen in looks], "grown": complaints}, sys.stdout, indent=1)
    else:
        print("\n".join(complaints) or "nothing grew")
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    asyncio.run(main())
