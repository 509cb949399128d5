"""A sandbox on a socket with a frozen clock, and short words for what tests do with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from peft_tui.sandbox import Sandbox, run_sandbox
from peft_tui.sandbox.hubrepos import repos

P = "/v2/projects/proj_acme"


def to_mid_month(sandbox: Sandbox) -> None:
    """Let time pass until no month turns for a while: bills begin anew with it."""
    now = datetime.fromtimestamp(sandbox.clock.now(), UTC)
    then = (now.replace(day=1) + timedelta(days=40)).replace(day=10)
    sandbox.clock.advance((then - now).total_seconds())


@pytest.fixture
async def sb() -> AsyncIterator[Sandbox]:
    async with run_sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
async def control(sb: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{sb.url}/_sandbox", trust_env=False) as client:
        yield client


@pytest.fixture
async def hub(sb: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=sb.env["HF_ENDPOINT"], trust_env=False) as client:
        yield client


@dataclass
class Vendor:
    """One caller at one of the clouds; what it expects of an answer is its status."""

    sb: Sandbox
    http: httpx.AsyncClient

    async def call(self, method: str, path: str, status: int = 200, **kwargs: Any) -> Any:
        answer = await self.http.request(method, path, **kwargs)
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    async def get(self, path: str, status: int = 200, **params: Any) -> Any:
        return await self.call("GET", path, status, params=params)


class Together(Vendor):
    """acme at Together."""

    async def post(self, path: str, json: Any, status: int = 200, **params: Any) -> Any:
        return await self.call("POST", path, status, json=json, params=params)

    async def patch(self, path: str, json: Any, status: int = 200, **params: Any) -> Any:
        return await self.call("PATCH", path, status, json=json, params=params)

    async def delete(self, path: str, status: int = 200, **params: Any) -> Any:
        return await self.call("DELETE", path, status, params=params)

    async def base(self, name: str = "meta-llama/Llama-3.1-8B-Instruct") -> dict[str, Any]:
        found = await self.get("/v2/supported-models", search=name)
        return next(m for m in found["data"] if m["name"] == name)

    async def adapter(
        self, repo: str = "acme/support-r16", name: str | None = None, **upload: Any
    ) -> dict[str, Any]:
        """An adapter imported from the hub and judged."""
        base = await self.base("Qwen/Qwen3-8B" if "qwen" in repo else "meta-llama/Llama-3.1-8B-Instruct")
        name = name or repo.partition("/")[2]
        model = await self.post(f"{P}/models", {"name": name, "type": "adapter", "baseModelId": base["id"]})
        url = f"https://huggingface.co/{repo}"
        await self.post(f"{P}/models/uploads", {"modelId": model["id"], "remoteUrl": url, **upload})
        self.sb.clock.advance(20)
        return model

    async def deployment(
        self,
        endpoint: str = "support",
        *,
        profile: int = 0,
        model: str | None = None,
        replicas: int = 1,
        ready: bool = True,
        routed: bool = True,
        status: int = 200,
        **extra: Any,
    ) -> dict[str, Any]:
        """A deployment of the base (or of `model`) under a new endpoint, by default up and routed."""
        base = await self.base()
        chosen = base["deploymentProfiles"][profile]
        ep = await self.post(f"{P}/endpoints", {"name": endpoint})
        body = {
            "name": "main",
            "model": model or chosen["model"],
            "config": chosen["config"],
            "autoscaling": {"minReplicas": replicas, "maxReplicas": replicas},
            **extra,
        }
        made = await self.post(f"{P}/endpoints/{ep['id']}/deployments", body, status)
        if status != 200:
            return made
        if routed:
            split = [{"deploymentId": made["id"], "weight": 1}]
            await self.patch(f"{P}/endpoints/{ep['id']}", {"trafficSplit": split}, updateMask="trafficSplit")
        if ready:
            self.sb.clock.advance(46)
        return await self.read(made)

    async def read(self, deployment: dict[str, Any]) -> dict[str, Any]:
        return await self.get(self.path(deployment))

    def path(self, deployment: dict[str, Any]) -> str:
        return f"{P}/endpoints/{deployment['endpointId']}/deployments/{deployment['id']}"

    async def scale(self, deployment: dict[str, Any], low: int, high: int, status: int = 200) -> Any:
        return await self.patch(
            self.path(deployment),
            {"autoscaling": {"minReplicas": low, "maxReplicas": high}},
            status,
            updateMask="autoscaling",
        )

    async def chat(
        self, model: str, text: str = "Where is my refund?", status: int = 200, **body: Any
    ) -> Any:
        messages = [{"role": "user", "content": text}]
        return await self.post("/v1/chat/completions", {"model": model, "messages": messages, **body}, status)


@pytest.fixture
async def together(sb: Sandbox) -> AsyncIterator[Together]:
    headers = {"Authorization": f"Bearer {sb.env['TOGETHER_API_KEY']}"}
    async with httpx.AsyncClient(
        base_url=sb.env["TOGETHER_BASE_URL"], headers=headers, trust_env=False
    ) as client:
        yield Together(sb, client)


class Replicate(Vendor):
    """acme at Replicate; paths are below `/v1`."""

    async def post(self, path: str, json: Any, status: int = 201, **kwargs: Any) -> Any:
        return await self.call("POST", path, status, json=json, **kwargs)

    async def version(self, number: int = -1) -> str:
        page = await self.get("/models/acme/llm-support/versions")
        return str(page["results"][::-1][number]["id"])

    async def deployment(
        self, name: str = "bot", low: int = 0, high: int = 1, status: int = 200, **extra: Any
    ) -> Any:
        body = {
            "name": name,
            "model": "acme/llm-support",
            "version": await self.version(),
            "hardware": "gpu-l40s",
            "min_instances": low,
            "max_instances": high,
            **extra,
        }
        return await self.post("/deployments", body, status)

    async def predict(
        self, name: str = "bot", prompt: str = "refund", status: int = 201, **kwargs: Any
    ) -> Any:
        return await self.post(
            f"/deployments/acme/{name}/predictions", {"input": {"prompt": prompt}}, status, **kwargs
        )

    async def prediction(self, prediction: dict[str, Any]) -> Any:
        return await self.get(f"/predictions/{prediction['id']}")


@pytest.fixture
async def replicate(sb: Sandbox) -> AsyncIterator[Replicate]:
    headers = {"Authorization": f"Bearer {sb.env['REPLICATE_API_TOKEN']}"}
    async with httpx.AsyncClient(
        base_url=sb.env["REPLICATE_BASE_URL"] + "/v1", headers=headers, trust_env=False
    ) as client:
        yield Replicate(sb, client)


@dataclass
class Money:
    """The truth about money, by resource name."""

    control: httpx.AsyncClient

    async def of(self, name: str) -> dict[str, Any]:
        rows = (await self.control.get("/billing")).json()["resources"]
        return next(r for r in rows if r["name"] == name)


@pytest.fixture
def money(control: httpx.AsyncClient) -> Money:
    return Money(control)


class Predibase(Vendor):
    """acme at Predibase; control paths as they are, serving paths below a deployment."""

    async def post(self, path: str, json: Any, status: int = 200) -> Any:
        return await self.call("POST", path, status, json=json)

    async def deployment(
        self, name: str = "bot", *, ready: bool = True, status: int = 200, **config: Any
    ) -> Any:
        """A deployment of Llama, by default up; null for what is not given, as the vendor's client does."""
        given = {"baseModel": "llama-3-1-8b-instruct", "accelerator": "a10_24gb_100", "quantization": None}
        body = {"name": name, "config": {**given, **config}, "description": ""}
        made = await self.post("/v2/deployments", body, status)
        if ready and status == 200:
            self.sb.clock.advance(46)
        return made

    async def read(self, name: str = "bot", status: int = 200) -> Any:
        answer = await self.get(f"/v2/deployments/{name}", status)
        return answer["data"] if status == 200 else answer

    async def put(self, name: str = "bot", status: int = 200, **config: Any) -> Any:
        return await self.call("PUT", f"/v2/deployments/{name}", status, json={"config": config})

    def serving(self, name: str = "bot", path: str = "") -> str:
        return f"/acme01/deployments/v2/llms/{name}{path}"

    async def prompt(
        self,
        text: str = "Where is my refund?",
        *,
        name: str = "bot",
        path: str = "",
        status: int = 200,
        **p: Any,
    ) -> Any:
        return await self.post(self.serving(name, path), {"inputs": text, "parameters": p}, status)

    async def adapter(self, repo: str = "support", hub: str = "acme/support-r16", **changed: bytes) -> Any:
        """An adapter uploaded as the vendor's client does; `changed` replaces files (dots as underscores)."""
        await self.post("/v2/repos", {"name": repo, "description": None, "existsOk": True})
        ticket = await self.post("/v2/adapters/upload", {"repo": repo})
        files = {n: c for n, c in repos()[hub].files.items() if n in ticket["presignedUrls"]}
        files |= {name: changed[k] for name in files if (k := name.replace(".", "_")) in changed}
        async with httpx.AsyncClient(trust_env=False) as store:
            for name, content in files.items():
                answer = await store.put(
                    ticket["presignedUrls"][name], content=content, headers=ticket["requiredHeaders"]
                )
                assert answer.status_code == 200, answer.text
        return await self.call("PUT", "/v2/adapters/upload/", json={"uploadToken": ticket["uploadToken"]})


@pytest.fixture
async def predibase(sb: Sandbox) -> AsyncIterator[Predibase]:
    headers = {"Authorization": f"Bearer {sb.env['PREDIBASE_API_TOKEN']}"}
    async with httpx.AsyncClient(
        base_url=sb.env["PREDIBASE_GATEWAY"], headers=headers, trust_env=False, timeout=30
    ) as client:
        yield Predibase(sb, client)
