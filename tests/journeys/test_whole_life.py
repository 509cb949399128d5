"""The whole life of a deployment, by keys alone in a real terminal, and what the bill says of it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.journeys.conftest import Open
from tests.journeys.walking import refreshed_until, walk_to_review
from tests.life import write_adapter
from tests.servers import Servers


async def test_stopped_read_back_started_again_and_deleted(
    servers: Servers, application: Open, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "support-r16")
    async with application() as term:
        await walk_to_review(term, "support-bot", adapter)
        term.press("ctrl+s")
        await refreshed_until(term, "support-bot .*● active")

        term.press("x")
        await term.sees("Stop support-bot on Together AI?")
        await term.sees("$5.49/h")
        assert [row["billing"] for row in await servers.living()] == [True], "asking changes nothing"
        term.press("y")
        await term.sees("stopping")
        await refreshed_until(term, "support-bot .*◼ stopped")
        assert [row["billing"] for row in await servers.living()] == [False], "stopped means stopped"
        await term.sees("$0.00/h now")

        await term.sees("o start")
        term.press("o")
        await term.sees("Start support-bot on Together AI?")
        term.press("right", "enter")
        await term.sees("starting")
        await refreshed_until(term, "support-bot .*● active")
        assert [row["billing"] for row in await servers.living()] == [True]

        term.press("enter")
        await term.sees("1 overview")
        term.press("4")
        await term.sees(re.compile("stop +done in"))
        term.press("2")
        await term.sees("All replicas ready")
        term.press("escape")
        await term.sees("NAME")

        term.press("D")
        await term.sees("Type support-bot to delete.")
        term.type("support-bot")
        term.press("enter")
        await term.sees("deleting")
        await refreshed_until(term, "Nothing is deployed yet")
        assert await servers.living() == []
        term.press("q")
        assert await term.wait_exit() == 0
    made = await servers.made("together")
    assert made.count("deployments") <= 2, "a dry run, and one that made it"
