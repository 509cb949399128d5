"""acme at Modal, through the real SDK and its raw stub, and by HTTP."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import modal
import modal._server
from modal._utils.async_utils import synchronizer
from modal_proto import api_pb2 as pb

from peft_tui.sandbox import Sandbox
from peft_tui.sandbox.modal.state import PROXY_TOKEN
from tests.doubles import until

# The decorator of the package hides the module.
sdk = importlib.import_module("modal.client")
KEYS = dict(zip(("Modal-Key", "Modal-Secret"), PROXY_TOKEN, strict=True))
BASE = "Qwen/Qwen3-8B"
LORA = ("--enable-lora", "--lora-modules", "support=/adapters/support")


@synchronizer.create_blocking
async def _raw(client: Any, name: str, request: Any) -> Any:
    return await getattr(client._stub, name)(request)


@synchronizer.create_blocking
async def _raw_stream(client: Any, name: str, request: Any) -> list[Any]:
    return [message async for message in getattr(client._stub, name).unary_stream(request)]


class Modal:
    """The SDK's client and what tests do with it."""

    def __init__(self, sb: Sandbox, client: Any, http: httpx.AsyncClient) -> None:
        self.sb, self.client, self.http = sb, client, http

    async def rpc(self, name: str, request: Any) -> Any:
        return await _raw.aio(self.client, name, request)

    async def stream(self, name: str, request: Any) -> list[Any]:
        return await _raw_stream.aio(self.client, name, request)

    async def volume(self, files: dict[str, bytes], name: str = "adapters", version: int = 1) -> Any:
        volume = modal.Volume.from_name(name, create_if_missing=True, version=version)
        await volume.hydrate.aio(self.client)
        async with volume.batch_upload(force=True) as batch:
            for path, content in files.items():
                batch.put_file(io.BytesIO(content), path)
        return volume

    async def adapter(self, rank: int = 16, **volume: Any) -> Any:
        """A volume with an adapter that looks whole."""
        config = json.dumps({"r": rank, "base_model_name_or_path": BASE}).encode()
        return await self.volume(
            {"/support/adapter_config.json": config, "/support/adapter_model.safetensors": b"weights"},
            **volume,
        )

    async def deploy(
        self,
        name: str = "bot",
        *flags: str,
        base: str = BASE,
        image: str = "vllm/vllm-openai:v0.11.2",
        tag: str = "",
        env: dict[str, str] | None = None,
        **settings: Any,
    ) -> Any:
        app = modal.App(name, tags={"managed-by": "peft-tui"})
        command = ["--model", base, *(flags or LORA)]
        options: dict[str, Any] = {"gpu": "L40S", "startup_timeout": 900, "max_containers": 2, **settings}
        if "volumes" not in options:
            options["volumes"] = {"/adapters": modal.Volume.from_name("adapters")}
        if env:
            options["secrets"] = [modal.Secret.from_dict(env)]
        app.server(
            image=modal.Image.from_registry(image).cmd(command),
            name="Server",
            include_source=False,
            **options,
        )(modal._server._DirectServerCls)
        await app.deploy.aio(client=self.client, tag=tag)
        return await modal.App.lookup.aio(name, client=self.client)

    async def server(self, name: str = "bot") -> Any:
        return await modal.Server.from_name(name, "Server", client=self.client).hydrate.aio()

    async def url(self, name: str = "bot") -> str:
        return str(await (await self.server(name)).get_url.aio())

    async def tasks(self) -> list[Any]:
        return list((await self.rpc("TaskList", pb.TaskListRequest())).tasks)

    async def listed(self) -> dict[str, Any]:
        apps = (await self.rpc("AppList", pb.AppListRequest())).apps
        return {app.name or app.description: app for app in apps}

    async def knobs(self, **knobs: Any) -> None:
        answer = await self.http.post(f"{self.sb.url}/_sandbox/modal/knobs", json=knobs)
        assert answer.status_code == 200, answer.text

    async def bill(self, name: str = "bot") -> dict[str, Any]:
        rows = (await self.http.get(f"{self.sb.url}/_sandbox/billing")).json()["resources"]
        return next(r for r in rows if r["name"] == f"acme/{name}")

    async def called(self) -> list[tuple[str, str, int]]:
        rows = (await self.http.get(f"{self.sb.url}/_sandbox/requests?platform=modal")).json()["requests"]
        return [(r["method"], r["path"], r["status"]) for r in rows]

    async def has_heard(self, method: str, path: str) -> None:
        """Wait until a call has come in, answered or not. Paths of the gRPC side are the names of calls."""
        heard = self.sb.world.data.requests
        await until(lambda: any((r.method, r.path) == (method, path) for r in heard), f"no {method} {path}")

    async def fault(self, **fault: Any) -> None:
        answer = await self.http.post(f"{self.sb.url}/_sandbox/faults", json={"platform": "modal", **fault})
        assert answer.status_code == 201, answer.text

    async def log(self, app: Any) -> list[str]:
        request = pb.AppFetchLogsRequest(app_id=app.app_id, limit=1000)
        answer = await self.rpc("AppFetchLogs", request)
        return [item.data for batch in answer.batches for item in batch.items]

    async def ask(
        self, path: str, url: str | None = None, method: str = "GET", **more: Any
    ) -> httpx.Response:
        more.setdefault("headers", KEYS)
        return await self.http.request(method, f"{url or await self.url()}{path}", **more)

    async def chat(self, model: str, url: str | None = None, **body: Any) -> httpx.Response:
        messages = [{"role": "user", "content": "Where is my refund?"}]
        body = {"model": model, "messages": messages, **body}
        return await self.ask("/v1/chat/completions", url, "POST", json=body)


@asynccontextmanager
async def connected(sb: Sandbox, token: tuple[str, str] | None = None) -> AsyncIterator[Modal]:
    """acme, or whoever's token is given; each connection has its own address."""
    pair = token or (sb.env["MODAL_TOKEN_ID"], sb.env["MODAL_TOKEN_SECRET"])
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        async with sdk.Client(sb.env["MODAL_SERVER_URL"], pb.CLIENT_TYPE_CLIENT, pair) as client:
            yield Modal(sb, client, http)


def write_adapter(directory: Path, size: int) -> None:
    """A directory as a training leaves it, with weights of `size` bytes."""
    (directory / "adapter_config.json").write_text(json.dumps({"r": 16, "base_model_name_or_path": BASE}))
    (directory / "adapter_model.safetensors").write_bytes(bytes(range(1, 256)) * (size // 255 + 1))
