"""The main job, driven by keys alone in a real terminal, over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from tests.journeys.conftest import Open
from tests.journeys.walking import LONG, refreshed_until, walk_to_review
from tests.life import write_adapter
from tests.servers import PROGRAM, Servers
from tests.terminal import Terminal


async def test_an_adapter_directory_becomes_an_active_endpoint_on_together(
    servers: Servers, application: Open, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "support-r16")
    async with application() as term:
        await walk_to_review(term, "support-bot", adapter)
        assert "$5.49/h at least" in term.text
        assert not await servers.living(), "nothing is made before Deploy"
        term.press("ctrl+s")
        await refreshed_until(term, "support-bot .*● active")
        await term.sees("$5.49/h now")
    assert await servers.made("together") == ["models", "endpoints", "deployments", "deployments"]
    assert [row["billing"] for row in await servers.living()] == [True]


async def test_a_model_becomes_an_active_deployment_on_replicate(
    servers: Servers, application: Open, tmp_path: Path
) -> None:
    async with application() as term:
        await term.sees("n  new deployment")
        term.press("n")
        await term.sees("acme (organization)")
        term.press("j", "enter")
        await term.sees("Adapter from")
        term.type("tickets")
        await term.sees(re.compile("Name +tickets"))
        term.press("tab")
        await term.quiet()
        term.press("j", "tab")
        await term.sees("Id there")
        term.type("acme/llm-support")
        await term.sees("acme/llm-support, version")
        term.press("ctrl+n")
        await term.sees("Instance type")
        term.press("ctrl+n")
        await term.sees("[ Deploy ]")
        term.press("ctrl+s")
        await refreshed_until(term, "tickets .*● ~active")
    assert await servers.made("replicate") == ["deployments"]


async def test_killed_in_the_middle_it_goes_on_at_the_next_start_and_makes_nothing_twice(
    servers: Servers, application: Open, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "support-r16")
    await servers.post("faults", platform="together", match="POST *deployments", nth=2, action="hang")
    async with application() as term:
        await walk_to_review(term, "support-bot", adapter)
        term.press("ctrl+s")
        async with asyncio.timeout(LONG):
            while (await servers.made("together")).count("deployments") < 2:
                await asyncio.sleep(0.02)
        term.kill()
        await term.wait_exit()
    async with application() as term:
        await refreshed_until(term, "support-bot .*● active")
    made = await servers.made("together")
    assert made.count("models") == made.count("endpoints") == 1
    assert len(await servers.living()) == 1


async def test_quit_while_deploying_it_goes_on_at_the_next_start(
    servers: Servers, application: Open, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "support-r16")
    async with application() as term:
        await walk_to_review(term, "support-bot", adapter)
        term.press("ctrl+s")
        # Its name stands on the review too: only the list says that it was asked for.
        await term.sees("1 deployment ")
        term.press("q")
        assert await term.wait_exit() == 0
        assert not term.alternate_screen
    async with application() as term:
        await refreshed_until(term, "support-bot .*● active")
    assert len(await servers.living()) == 1


async def test_servers_that_die_are_said_and_their_rows_come_back_by_themselves(
    servers: Servers, application: Open, tmp_path: Path
) -> None:
    await servers.post("populate", platform="together", count=3)
    async with application(size=(120, 30)) as term:
        await term.sees("3 deployments")
        await term.sees("live")
        await servers.kill()
        term.press("r")
        await term.sees(re.compile("together.*(unreachable|connection|✖)"))
        assert "3 deployments" in term.text, "nothing is hidden"
        await servers.start()
        await refreshed_until(term, r"\blive\b")


async def test_deploy_without_a_screen_waits_until_active_and_prints_one_document(
    servers: Servers, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "support-r16")
    process = await asyncio.create_subprocess_exec(
        *(*PROGRAM, "deploy", str(adapter), "--platform", "together", "--name", "support-bot"),
        *("--wait", "--yes", "--json"),
        env={**servers.env, "PEFT_TUI_DATA_DIR": str(tmp_path / "data"), "PATH": "/usr/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    output, talk = await asyncio.wait_for(process.communicate(), LONG)
    assert process.returncode == 0, talk.decode()
    document = json.loads(output)
    assert document["status"] == "active"
    assert document["usd_per_hour"] == "5.49"
    assert document["requests"] is None
    assert "create: done" in talk.decode()


async def test_the_embedded_sandbox_needs_nothing_and_dies_with_the_application(tmp_path: Path) -> None:
    env = {
        "PEFT_TUI_DATA_DIR": str(tmp_path / "data"),
        "HOME": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": None,
    }
    async with Terminal.run([*PROGRAM, "--sandbox"], env=env, size=(80, 24)) as term:
        await term.sees("SANDBOX")
        described = tmp_path / "data" / "sandbox" / "sandbox-running.json"
        async with asyncio.timeout(LONG):
            while not described.exists() or not described.read_text():
                await asyncio.sleep(0.05)
        running = json.loads(described.read_text())
        port = int(running["TOGETHER_BASE_URL"].split(":")[2].split("/")[0])
        term.kill()
        await term.wait_exit()
    async with asyncio.timeout(LONG):
        while await _listening(port):
            await asyncio.sleep(0.05)


async def _listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
