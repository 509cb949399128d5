"""The lines around the table: the summary, how fresh it is, and what stands there while there is no table."""

from __future__ import annotations

from collections.abc import Sequence

from peft_tui.credentials import CredentialState
from peft_tui.domain.money import usd
from peft_tui.services.deployments import Summary
from peft_tui.ui.filter import Filter
from peft_tui.ui.widgets.lines import Line, clipped, shortened, spread, width_of, wrapped
from peft_tui.ui.widgets.live_table import Cell


def header(summary: Summary, width: int, *, read_only: bool = False) -> Line:
    """` peft-tui  7 deployments  3 active  2 deploying  1 failed      $4.29/h now`, the longest that fits."""
    forms = (
        (" peft-tui  ", " deployments", " deployment", " active", " deploying", " failed", "/h now "),
        (" ", " deployments", " deployment", " active", " deploying", " failed", "/h now "),
        (" ", " total", " total", " active", " deploying", " failed", "/h "),
        (" ", "", "", " act", " dep", " fail", "/h "),
    )
    for name, many, one, active, deploying, failed, per_hour in forms:
        left = (
            Cell(name, "strong"),
            *((Cell("read only", "warn"), Cell("  ")) if read_only else ()),
            Cell(f"{summary.total}{one if summary.total == 1 else many}"),
            *_count(summary.active, active, "good"),
            *_count(summary.deploying, deploying, "accent"),
            *_count(summary.failed, failed, "bad"),
        )
        unpriced = f" + {summary.unpriced} unpriced" if summary.unpriced else ""
        bills = bool(summary.usd_per_hour or summary.unpriced)
        if unpriced and not summary.usd_per_hour:
            money = f"{summary.unpriced} unpriced "
        else:
            about = "~" if summary.is_guess else ""
            money = f"{about}{usd(summary.usd_per_hour)}{per_hour.rstrip()}{unpriced} "
        right = (Cell(money, "strong" if bills else "dim"),)
        if width_of(left) + 1 + width_of(right) <= width:
            break
    return spread(left, right, width)


def _count(number: int, word: str, tone: str) -> Line:
    return (Cell("  "), Cell(f"{number}{word}", tone if number else "dim"))


def state(
    sought: Filter,
    shown: int,
    total: int,
    sort: str,
    fresh: Line,
    width: int,
    *,
    typing: bool = False,
    marked: str = "",
) -> Line:
    """What is marked, else the filter in force and how many it leaves; at the right how fresh it all is."""
    left: list[Cell] = []
    if marked and not typing:
        left += [Cell(" ✓ ", "accent"), Cell(marked, "strong"), Cell("  esc unmarks", "dim")]
    elif sought:
        if not typing:
            left += [Cell(" / ", "accent"), Cell(str(sought))]
        left += [Cell(f"  {shown} of {total}", "" if shown else "warn")]
        if not typing:
            left += [Cell("  esc clears", "dim")]
    else:
        left += [Cell(f" {f'by {sort}' if sort else 'newest first'}", "dim")] if total else []
    return spread(tuple(left), (*fresh, Cell(" ")), width)


def freshness(
    troubles: Sequence[str],
    old: Sequence[str],
    *,
    any_seen: bool,
    asking: bool,
    width: int,
    resting: bool = False,
) -> Line:
    """`live`, or which platform fails or is old; `asking` for a moment after a refresh by hand."""
    if asking:
        return (Cell("asking", "accent"),)
    if troubles or old:
        cells: list[Cell] = []
        room = width
        for words, tone in [(words, "bad") for words in troubles] + [(words, "dim") for words in old]:
            text = ("   " if cells else "") + words
            cells.append(Cell(shortened(text, room), tone))
            room -= len(text)
            if room < 4:
                break
        return tuple(cells)
    if not any_seen:
        return ()
    return (Cell("resting", "dim"),) if resting else (Cell("live", "good"),)


def nothing_matches(sought: Filter) -> list[Line]:
    return [
        (Cell("No deployment matches "), Cell(str(sought), "strong")),
        (),
        (Cell("esc", "accent"), Cell("  clears the filter", "dim")),
    ]


def nothing_yet(
    credentials: Sequence[tuple[str, str, CredentialState]], width: int, *, sandbox: bool
) -> list[Line]:
    """What this is, the first key, and whose keys are there.

    Args:
        credentials: title, the variable of its key, and what is there, by platform.
    """
    poor = not sandbox and all(state.missing and state.settled for _, _, state in credentials)
    new, help = ("n", "new deployment"), ("?", "every key")
    without = (
        "b",
        "try it all in the sandbox: no account, no bill" if width >= 50 else "try it in the sandbox",
    )
    kept = ("C", "credentials: set, check")
    keys = [new, help] if sandbox else [new, kept, without, help]
    if poor:
        # The first thing to do is to get a key in, or to do without.
        keys = [kept, without, new, help]
    lines: list[Line] = [
        (Cell("Nothing is deployed yet.", "strong"),),
        *wrapped("A LoRA adapter, a platform, its price per hour: then one key deploys it.", width, "dim"),
        (),
        *((Cell(key, "accent"), Cell(f"  {words}")) for key, words in keys),
        (),
    ]
    longest = max((len(title) for title, _, _ in credentials), default=0)
    for title, env, state in credentials:
        label = Cell(title.ljust(longest + 2))
        names = f"{', '.join(state.missing)} {'is' if len(state.missing) == 1 else 'are'} "
        if longest + 4 + len(f"{names}not set") > width:
            names = ""
        if not state.missing:
            where = "found" if state.source == "environment" else f"in the {state.source}"
            lines.append((Cell("✓ ", "good"), label, Cell(f"{env} {where}", "dim")))
        elif not state.settled:
            lines.append((Cell("· ", "dim"), label, Cell("reading the keyring…", "dim")))
        else:
            lines.append((Cell("○ ", "dim"), label, Cell(state.trouble or f"{names}not set", "dim")))
    return [clipped(line, width) for line in lines]
