"""A refresh tick asks each platform once and paints what changed, and nothing when nothing did."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

from tests.journeys.conftest import Open
from tests.journeys.walking import LONG
from tests.servers import Servers
from tests.terminal import Terminal

MANY = 1000
LIST = "together GET /v2/projects/proj_acme/endpoints"
FIGURES = re.compile(r"together GET \S+/(analytics|usage)$")
"""What is asked every half minute, not every tick."""
A_ROW = 2500
"""Bytes of a row, its details and the figures above: not of the screen."""
TRIES = 5
"""On a busy machine an age moves on, or the first frame is finished, while it is looked."""


async def tick(servers: Servers, term: Terminal) -> tuple[int, Counter[str]]:
    """The next tick of two platforms: the bytes that it wrote to the terminal, and the calls it made."""
    before = len(await servers.calls())
    mark = term.mark()
    async with asyncio.timeout(LONG):
        while not {"together", "replicate"} <= {call.split()[0] for call in (await servers.calls())[before:]}:
            await asyncio.sleep(0.05)
    await term.quiet(1.0)
    calls = (await servers.calls())[before:]
    return len(term.since(mark)), Counter(call for call in calls if not FIGURES.match(call))


async def change(servers: Servers, term: Terminal) -> int:
    """The bytes that are written when somebody stops the selected one; the next one is selected then."""
    # The first line of the details names the selected row in full.
    selected = re.search(r"^ (\S+)  ● active", term.text, re.MULTILINE)
    assert selected is not None
    mark = term.mark()
    await servers.stop_one(selected[1])
    await term.sees(re.compile(rf"^ {re.escape(selected[1])}  ◼ stopped", re.MULTILINE))
    await term.quiet(1.0)
    written = len(term.since(mark))
    term.press("j")
    await term.gone(re.compile(rf"^ {re.escape(selected[1])}  ◼ stopped", re.MULTILINE))
    await term.quiet(1.0)
    return written


async def test_a_tick_over_a_thousand_deployments_is_one_list_a_platform_and_writes_only_what_changed(
    servers: Servers, application: Open
) -> None:
    await servers.post("populate", platform="together", count=MANY)
    async with application(size=(120, 36)) as term:
        await term.sees(re.compile("1,?000 deployments"))
        await term.sees("live")
        await term.quiet(1.0)

        for _ in range(TRIES):
            written, calls = await tick(servers, term)
            ticks = calls["replicate GET /v1/deployments"]
            lists = [call for call in calls if call.startswith("together")]
            assert lists == [LIST], "one paged list and nothing else"
            assert calls[LIST] <= 2 * (ticks + 1), "two pages of five hundred a tick"
            if written == 0:
                break
        assert written == 0, "nothing changed, so nothing was written"

        for _ in range(TRIES):
            written = await change(servers, term)
            if written < A_ROW:
                break
        assert written < A_ROW
