"""An adapter to Predibase by keys alone: uploaded, deployed, and chosen by a first request."""

from __future__ import annotations

from pathlib import Path

from tests.journeys.conftest import Open
from tests.journeys.test_deploying import refreshed_until
from tests.life import write_adapter
from tests.servers import Servers


async def test_an_adapter_directory_becomes_an_active_deployment_on_predibase(
    servers: Servers, application: Open, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "support-r16")
    async with application() as term:
        await term.sees("n  new deployment")
        term.press("n")
        await term.sees("environment main")
        term.press("j", "j", "j", "enter")
        await term.sees("Adapter from")
        term.type("support-bot")
        term.press("tab", "tab")
        await term.sees("ctrl+o browses")
        term.type(str(adapter))
        await term.sees("chosen")
        term.press("ctrl+n")
        await term.sees("Runs on")
        term.press("ctrl+n")
        await term.sees("[ Deploy ]")
        assert not await servers.living(), "nothing is made before Deploy"
        term.press("ctrl+s")
        await refreshed_until(term, "support-bot .*● active")
        term.press("q")
        await term.wait_exit()
    assert "Traceback" not in term.text
    assert [row["name"].startswith("support-bot-") for row in await servers.living()] == [True]
