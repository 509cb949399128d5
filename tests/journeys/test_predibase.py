"""An adapter to Predibase by keys alone: uploaded, deployed, and chosen by a first request."""

from __future__ import annotations

from pathlib import Path

from tests.journeys.conftest import Open
from tests.journeys.walking import refreshed_until, walk_to_review
from tests.life import write_adapter
from tests.servers import Servers


async def test_an_adapter_directory_becomes_an_active_deployment_on_predibase(
    servers: Servers, application: Open, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "support-r16")
    async with application() as term:
        await walk_to_review(
            term,
            "support-bot",
            adapter,
            downwards=3,
            knows="environment main",
            fits="chosen",
            runs_on="Runs on",
        )
        assert not await servers.living(), "nothing is made before Deploy"
        term.press("ctrl+s")
        await refreshed_until(term, "support-bot .*● active")
        term.press("q")
        await term.wait_exit()
    assert "Traceback" not in term.text
    assert [row["name"].startswith("support-bot-") for row in await servers.living()] == [True]
