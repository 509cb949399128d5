"""A refresh tick asks each platform once and paints what changed, and nothing when nothing did."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

from tests.journeys.conftest import Open
from tests.servers import Servers
from tests.terminal import Terminal

MANY = 1000


async def tick(servers: Servers, term: Terminal) -> tuple[int, Counter[str]]:
    """The next tick of two platforms: the bytes that it wrote to the terminal, and the calls it made."""
    before = len(await servers.calls())
    mark = term.mark()
    async with asyncio.timeout(30):
        while not {"together", "replicate"} <= {call.split()[0] for call in (await servers.calls())[before:]}:
            await asyncio.sleep(0.05)
    await term.quiet(1.0)
    return len(term.since(mark)), Counter((await servers.calls())[before:])


async def test_a_tick_over_a_thousand_deployments_is_one_list_a_platform_and_writes_only_what_changed(
    servers: Servers, application: Open
) -> None:
    await servers.post("populate", platform="together", count=MANY)
    async with application(size=(120, 36)) as term:
        await term.sees(re.compile("1,?000 deployments"), timeout=30)
        await term.sees("live")
        await term.quiet(1.0, timeout=30)

        quiet, calls = await tick(servers, term)
        ticks = calls["replicate GET /v1/deployments"]
        lists = [call for call in calls if call.startswith("together")]
        assert lists == ["together GET /v2/projects/proj_acme/endpoints"], "one paged list and nothing else"
        assert calls[lists[0]] <= 2 * (ticks + 1), "two pages of five hundred a tick"
        assert quiet == 0, "nothing changed, so nothing was written"

        # The first line of the details names the selected row in full.
        selected = re.search(r"^ (\S+)  ● active", term.text, re.MULTILINE)
        assert selected is not None
        mark = term.mark()
        await servers.stop_one(selected[1])
        async with asyncio.timeout(30):
            while not term.since(mark):
                await asyncio.sleep(0.05)
        await term.quiet(1.0)
        assert len(term.since(mark)) < 2500, "a row, its details and the figures above: not the screen"
