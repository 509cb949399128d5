"""The official SDK lives a whole life on the sandbox; our driver sends what it sends."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.operation import OperationState
from peft_tui.sandbox import Sandbox, run_sandbox
from tests.conformance.environment import need
from tests.conformance.recorder import Recorder, Sent, recorder
from tests.life import Life, directory, life, write_adapter

SDK = "predibase==2025.10.3"
SPEED = 30.0
"""The SDK looks every two seconds whether a deployment is ready, which takes 45 of the sandbox's."""
NAMES = re.compile(r"bot-[0-9a-f]{8}|support(?=/|$)|_objects/[a-z0-9]+")


@dataclass(frozen=True)
class Lived:
    """What the SDK saw, and what it sent for it."""

    facts: dict[str, Any]
    sent: Recorder


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """The SDK's whole life, lived once."""
    environment, home = need(SDK, heavy=True), tmp_path_factory.mktemp("sdk")

    async def live() -> Lived:
        adapter = write_adapter(home / "adapter")
        async with run_sandbox(seed=1, speed=SPEED) as box, recorder(box.url, box.env) as recorded:
            around = {**recorded.env, "HOME": str(home)}
            return Lived(await environment.facts("predibase_life.py", around, str(adapter)), recorded)

    return asyncio.run(live())


class Through(Sandbox):
    """The same sandbox, by another address."""

    def __init__(self, sandbox: Sandbox, env: dict[str, str]) -> None:
        self.__dict__ = sandbox.__dict__
        self._through = env

    @property
    def env(self) -> dict[str, str]:
        return self._through


async def lived_by_us(lived: Life, recorded: Recorder, tmp_path: Path) -> None:
    """Create, change, delete: what the SDK's script does, by our own intents."""
    lived.sandbox = Through(lived.sandbox, recorded.env)
    lived._begin()
    made = await lived.intend(directory(tmp_path), instance_type="a10_24gb_100", description="For support")
    await carried_out(lived, made)
    await lived.backend.life.update(made.id, {"max_instances": "2"})
    await carried_out(lived, made)
    await lived.backend.life.delete(made.id)
    await carried_out(lived, made)


async def carried_out(lived: Life, made: Deployment) -> None:
    operation = await lived.run(made)
    assert operation.state is OperationState.DONE, operation.error


def shapes(sent: list[Sent]) -> set[str]:
    """The calls with the names in them taken out."""
    return {NAMES.sub("*", one.call.replace("/predibase", "", 1)) for one in sent}


def given(body: dict[str, Any]) -> dict[str, Any]:
    """What was chosen of a configuration."""
    return {key: value for key, value in body["config"].items() if value is not None}


def test_the_official_sdk_lives_a_whole_life(sdk: Lived) -> None:
    facts = sdk.facts
    assert facts["tenant"] == "acme01"
    assert facts["repo"] == ["support", True, ["support"]]
    assert facts["uploaded"] == ["support", 1, "llama-3-1-8b-instruct", False]
    assert facts["adapter"] == ["support", 1, "llama-3-1-8b-instruct"]
    assert facts["made"] == ["bot-1a2b3c4d", "private", "ready", 1, "For support"]
    assert facts["model"] == ["llama-3-1-8b-instruct", 63999, "a10_24gb_100"]
    assert facts["config"]["preloadedAdapters"] == ["support/1"]
    assert facts["config"]["cooldownTime"] == 3600
    assert facts["private"] == ["bot-1a2b3c4d"] and "llama-3-1-8b-instruct" in facts["shared"]
    assert facts["got"] is True and facts["recommended"] == ["data"]
    assert facts["details"] == [12, "length", 4]
    assert facts["streamed"] == [facts["text"], facts["text"], 12]
    assert facts["base"] and facts["base"] != facts["text"]
    assert facts["updated"] == [2, 3600, ["support/1"]]
    gone, missing, refused = facts["errors"]
    assert "404" in gone and "404" in missing and "Error 401: unauthorized" in refused
    assert facts["left"] == []
    # It hands its key to both planes and to no presigned address.
    for one in sdk.sent.sent:
        assert ("authorization" in one.headers) is ("_objects" not in one.path), one.call


async def test_our_driver_sends_what_the_sdk_sends(sdk: Lived, tmp_path: Path) -> None:
    theirs = sdk.sent
    async with life(tmp_path, "predibase") as lived:
        async with recorder(lived.sandbox.url, lived.sandbox.env) as ours:
            await lived_by_us(lived, ours, tmp_path)
    # Ours asks for the notes that stand beside deployments too; nothing else of it is unknown to the SDK.
    assert shapes([one for one in ours.sent if one.method != "GET"]) == shapes(
        [one for one in theirs.sent if one.method != "GET"]
    ) | {"DELETE /v2/repos/*-note"}
    assert shapes([one for one in ours.sent if one.method == "GET"]) - shapes(theirs.sent) <= {
        "GET /v2/repos/*",
        "GET /v2/repos/*-note",
    }

    (mine,), (its,) = (r.of("POST", "/v2/deployments") for r in (ours, theirs))
    assert mine.json.keys() == its.json.keys() and mine.json["description"] == its.json["description"]
    assert mine.json["config"].keys() == its.json["config"].keys(), (
        "every field, null where nothing is chosen"
    )
    adapter = mine.json["config"]["preloadedAdapters"]
    assert given(mine.json) == {**given(its.json), "preloadedAdapters": adapter}

    (mine,), (its,) = ([one for one in r.of("PUT") if "/v2/deployments/" in one.path] for r in (ours, theirs))
    assert mine.json["config"] == its.json["config"] and len(given(mine.json)) == 1

    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (mine,), (its,) = (r.of("PUT", name) for r in (ours, theirs))
        assert mine.body == its.body
        for header in ("content-type", "x-amz-server-side-encryption", "content-length"):
            assert mine.headers[header] == its.headers[header]
        assert "authorization" not in mine.headers and "transfer-encoding" not in mine.headers
    (mine,), (its,) = (r.of("POST", "/v2/adapters/upload") for r in (ours, theirs))
    assert mine.json.keys() == its.json.keys()

    # The one request that proves the adapter is shaped like any of theirs.
    (mine,) = [one for one in ours.sent if one.method == "POST" and "/deployments/v2/llms/" in one.path]
    its = next(one for one in theirs.sent if one.method == "POST" and "/deployments/v2/llms/" in one.path)
    assert mine.json.keys() == its.json.keys()
    assert mine.json["parameters"].keys() <= its.json["parameters"].keys()
    assert mine.headers["authorization"].startswith("Bearer pb_")
