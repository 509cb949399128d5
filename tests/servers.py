"""`peft-tui sandbox` in a process of its own, which can be killed and come back with its world."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx

PROGRAM = [sys.executable, "-m", "peft_tui"]
MAKERS = ("models", "endpoints", "deployments", "trainings")


class Servers:
    """The sandbox at `speed` times the pace of the world, its world in `state`."""

    def __init__(self, state: Path, speed: float) -> None:
        self.env: dict[str, str] = {}
        self.url = ""
        self._state = state
        self._speed = speed
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Come up, at the same address as before if there was one."""
        port = self.url.rpartition(":")[2] or "0"
        self._process = await asyncio.create_subprocess_exec(
            *(*PROGRAM, "sandbox", "--port", port, "--speed", str(self._speed), "--state", str(self._state)),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[1],
        )
        assert self._process.stdout is not None
        ready = json.loads(await self._process.stdout.readline())
        self.url, self.env = ready["url"], ready["env"]

    async def kill(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def get(self, route: str) -> Any:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{self.url}/_sandbox/{route}")).json()

    async def post(self, route: str, **body: Any) -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(f"{self.url}/_sandbox/{route}", json=body)
            assert answer.status_code < 300, answer.text

    async def calls(self) -> list[str]:
        """Everything received: `platform METHOD path`, oldest first."""
        requests = (await self.get("requests"))["requests"]
        return [f"{r['platform']} {r['method']} {r['path']}" for r in requests]

    async def made(self, platform: str) -> list[str]:
        """The creating calls that were received, shortened to their last word."""
        posts = [call for call in await self.calls() if call.startswith(f"{platform} POST")]
        return [word for word in (call.rpartition("/")[2] for call in posts) if word in MAKERS]

    async def living(self) -> list[dict[str, Any]]:
        """What is there and may bill."""
        return [row for row in (await self.get("billing"))["resources"] if not row["deleted"]]

    async def stop_one(self, name: str | None = None) -> None:
        """Somebody else scales a deployment at Together to nought: the first running, or that endpoint's."""
        headers = {"Authorization": f"Bearer {self.env['TOGETHER_API_KEY']}"}
        base = f"{self.env['TOGETHER_BASE_URL']}/v2/projects/{self.env['TOGETHER_PROJECT_ID']}/endpoints"
        async with httpx.AsyncClient(headers=headers, timeout=30) as client:
            after: str | None = ""
            while after is not None:
                query = {"limit": "500", **({"after": after} if after else {})}
                page = (await client.get(base, params=query)).json()
                for endpoint in page["data"]:
                    deployment = endpoint["deployments"][0]
                    running = deployment["state"] == "DEPLOYMENT_STATE_READY"
                    if running and name in (None, endpoint["name"].rpartition("/")[2]):
                        answer = await client.patch(
                            f"{base}/{endpoint['id']}/deployments/{deployment['id']}",
                            params={"updateMask": "autoscaling"},
                            json={"autoscaling": {"minReplicas": 0, "maxReplicas": 0}},
                        )
                        assert answer.status_code == 200, answer.text
                        return
                after = page["next_cursor"]
        raise AssertionError("nothing runs there that could be stopped")
