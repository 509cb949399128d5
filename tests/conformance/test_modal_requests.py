"""User code on Modal's SDK deploys the same server as our driver: the messages of both, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import modal
import modal._server
import pytest
from google.protobuf.json_format import MessageToDict

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.operation import OperationState
from peft_tui.drivers.modal import engine
from peft_tui.sandbox.modal import calls, service
from tests.life import LLAMA, Life, life
from tests.life import directory as adapter_directory
from tests.sandbox.modal_client import Modal, connected

SETTINGS: dict[str, Any] = {
    "instance_type": "L40S",
    "fallback": "A100-80GB",
    "hub_token": "yes",
    "min_instances": 1,
    "max_instances": 3,
    "buffer": 1,
    "idle_timeout": 600,
    "scale_target": 8,
    "concurrency": 32,
}
IDS = ("Id", "Ids", "id")


@dataclass
class Told:
    """Messages by the name of their call, oldest first."""

    by_name: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def take(self) -> Told:
        taken, self.by_name = Told(self.by_name), {}
        return taken

    def last(self, name: str) -> dict[str, Any]:
        return self.by_name[name][-1]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Everything that the sandbox is asked, as the messages say it."""
    told = Told()

    def noting(name: str, answer: Any) -> Any:
        def noted(call: Any, request: Any) -> Any:
            told.by_name.setdefault(name, []).append(MessageToDict(request))
            return answer(call, request)

        return noted

    service.load()
    for name, answer in list(calls.UNARY.items()):
        monkeypatch.setitem(calls.UNARY, name, noting(name, answer))
    yield told


async def by_our_driver(lived: Life, tmp_path: Path) -> Deployment:
    made = await lived.intend(adapter_directory(tmp_path), **SETTINGS)
    await carried_out(lived, made)
    return made


async def carried_out(lived: Life, made: Deployment) -> None:
    operation = await lived.run(made)
    assert operation.state is OperationState.DONE, operation.error


async def by_user_code(m: Modal, name: str) -> Any:
    """What the vendor's documentation of a vLLM server comes to, for the adapter on our volume."""
    command = [LLAMA, "--host", "0.0.0.0", "--port", "8000", "--enable-lora", "--max-loras", "1"]
    command += ["--max-lora-rank", "16", "--lora-modules", f"{name}=/adapters/{name}"]
    image = modal.Image.from_registry("vllm/vllm-openai:v0.11.2").entrypoint(["vllm", "serve"]).cmd(command)
    volumes = {
        "/root/.cache/huggingface": modal.Volume.from_name("peft-tui-huggingface-cache"),
        "/root/.cache/vllm": modal.Volume.from_name("peft-tui-vllm-cache"),
        "/adapters": modal.Volume.from_name(engine.VOLUME).read_only(),
    }
    app = modal.App(name, tags={"managed-by": "peft-tui"})
    app.server(
        image=image,
        name="Server",
        include_source=False,
        gpu=["L40S", "A100-80GB"],
        volumes=volumes,
        secrets=[modal.Secret.from_name(name)],
        startup_timeout=1200,
        min_containers=1,
        max_containers=3,
        buffer_containers=1,
        scaledown_window=600,
        target_concurrency=8,
        max_concurrency=32,
    )(modal._server._DirectServerCls)
    await app.deploy.aio(client=m.client, environment_name="main")
    return app


def bare(message: Any) -> Any:
    """Without the ids, which are each run's own."""
    if isinstance(message, dict):
        kept = {k: v for k, v in message.items() if not k.endswith(IDS) and k != "clientVersion"}
        return {key: bare(value) for key, value in kept.items()}
    return [bare(one) for one in message] if isinstance(message, list) else message


def the_same_deployment(ours: Told, theirs: Told) -> None:
    """What makes the server; ours is built by steps, so that their order over calls differs."""
    server, its = (told.last("FunctionCreate") for told in (ours, theirs))
    assert bare(server) == bare(its)
    # GPUs in their order of fallback, volumes, secret: each said once more, lest both be empty alike.
    ranked = [one["function"] for one in server["functionData"]["rankedFunctions"]]
    assert [one["resources"]["gpuConfig"]["gpuType"] for one in ranked] == ["L40S", "A100-80GB"]
    (function, *_) = ranked
    assert {mount["mountPath"] for mount in function["volumeMounts"]} == {"/adapters", *engine.CACHES}
    assert [m["readOnly"] for m in function["volumeMounts"] if m["mountPath"] == "/adapters"] == [True]
    assert len(function["secretIds"]) == 1 and not function.get("mountIds")
    data = server["functionData"]
    assert data["autoscalerSettings"] == {
        "minContainers": 1,
        "maxContainers": 3,
        "bufferContainers": 1,
        "scaledownWindow": 600,
        "targetConcurrencyFloat": 8.0,
    }
    assert bare(ours.last("FunctionPrecreate")) == bare(theirs.last("FunctionPrecreate"))
    published, its = (told.last("AppPublish") for told in (ours, theirs))
    assert bare(published) == bare(its), "its name, its tags, no commit and no public address"
    assert published["name"] and published["tags"] == {"managed-by": "peft-tui"}

    image, its = (layers(told) for told in (ours, theirs))
    assert image[0] == its[0] == ["FROM vllm/vllm-openai:v0.11.2"]
    # On purpose: entrypoint and command are one layer of ours and two of the vendor's methods.
    assert instructions(image) == instructions(its)

    # On purpose: ours builds the image in a run of its own before anything is deployed.
    states = [message["appState"] for message in ours.by_name["AppCreate"]]
    assert states == ["APP_STATE_EPHEMERAL", "APP_STATE_INITIALIZING"]
    # Ours was deployed first: of an app that exists user code reads the layout instead.
    assert "AppCreate" not in theirs.by_name and "AppGetLayout" in theirs.by_name


def layers(told: Told) -> list[list[str]]:
    """The commands of each layer, in the order of the last build."""
    seen: dict[str, list[str]] = {}
    for message in told.by_name["ImageGetOrCreate"]:
        commands = message["image"]["dockerfileCommands"]
        seen[str(commands)] = commands
    return list(seen.values())


def instructions(image: list[list[str]]) -> list[str]:
    lines = [line for layer in image[1:] for line in layer if not line.startswith("FROM ")]
    # JSON with and without spaces is the same instruction.
    return [f"{word} {json.loads(rest)}" for word, _, rest in (line.partition(" ") for line in lines)]


async def test_our_driver_sends_what_user_code_sends(told: Told, tmp_path: Path) -> None:
    async with life(tmp_path, "modal") as lived:
        made = await by_our_driver(lived, tmp_path)
        ours = told.take()
        async with connected(lived.sandbox) as m:
            await by_user_code(m, made.remote_name)
            the_same_deployment(ours, told.take())

            await lived.backend.life.update(made.id, {"max_instances": "4", "idle_timeout": "900"})
            await carried_out(lived, made)
            ours = told.take()
            server = modal.Server.from_name(made.remote_name, "Server", client=m.client)
            await server.autoscaler.update.aio(max_containers=4, scaledown_window=900)
            scale = "FunctionUpdateSchedulingParams"
            assert ours.last(scale) == told.take().last(scale)
            assert not {"AppPublish", "FunctionCreate"} & ours.by_name.keys(), "no deployment for it"

            await lived.backend.life.stop(made.id)
            await carried_out(lived, made)
            ours = told.take()
            await by_user_code(m, made.remote_name)
            await (await modal.App.lookup.aio(made.remote_name, client=m.client)).stop.aio()
            assert bare(ours.last("AppStop")) == bare(told.take().last("AppStop"))


async def test_the_adapter_and_the_secret_go_there_as_the_sdk_s_own_methods_send_them(
    told: Told, tmp_path: Path
) -> None:
    async with life(tmp_path, "modal") as lived:
        made = await by_our_driver(lived, tmp_path)
        ours = told.take()
        async with connected(lived.sandbox) as m:
            volume = modal.Volume.from_name(engine.VOLUME, create_if_missing=True, version=2)
            await volume.hydrate.aio(m.client)
            async with volume.batch_upload(force=True) as batch:
                batch.put_directory(str(tmp_path / "adapter"), f"/{made.remote_name}")
            secret = {"HF_TOKEN": lived.sandbox.env["HF_TOKEN"]}
            await modal.Secret.objects.create.aio(
                made.remote_name, secret, environment_name="main", client=m.client, allow_existing=True
            )
            theirs = told.take()
    files = {f["path"]: f for message in ours.by_name["VolumePutFiles2"] for f in message["files"]}
    its = {f["path"]: f for message in theirs.by_name["VolumePutFiles2"] for f in message["files"]}
    # On purpose: a marker of ours beside them says that the deployment exists.
    assert files.keys() - its.keys() == {f"/{made.remote_name}/{engine.MARKER}"}
    for path, file in its.items():
        assert [b["contentsSha256"] for b in files[path]["blocks"]] == [
            b["contentsSha256"] for b in file["blocks"]
        ]
        assert files[path]["size"] == file["size"]
    (mine,), (its_secret,) = (
        [m for m in told.by_name["SecretGetOrCreate"] if "envDict" in m] for told in (ours, theirs)
    )
    # On purpose: written over, for a value may have changed since an attempt that was cut.
    assert mine.pop("objectCreationType") == "OBJECT_CREATION_TYPE_CREATE_OVERWRITE_IF_EXISTS"
    its_secret.pop("objectCreationType")
    assert mine == its_secret
