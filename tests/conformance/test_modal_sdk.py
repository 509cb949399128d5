"""The official SDK lives a whole life on the sandbox, in a process that knows it by the environment only."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft_tui.sandbox import run_sandbox
from peft_tui.sandbox.ledger import Bill
from peft_tui.sandbox.modal.billing import bills
from tests.conformance.environment import Environment
from tests.sandbox.modal_client import BASE, write_adapter

SPEED = 60.0
SIZE = 9 * 1024 * 1024


@dataclass(frozen=True)
class Lived:
    """What the SDK saw, which calls came of it, and what is left on the bill."""

    facts: dict[str, Any]
    calls: list[str]
    refused: list[str]
    bill: Bill


async def live(home: Path) -> Lived:
    """The SDK is a dependency of the program, so that no environment has to be made for it."""
    (home / "adapter").mkdir()
    write_adapter(home / "adapter", SIZE)
    async with run_sandbox(seed=1, speed=SPEED) as box:
        environment = Environment(Path(sys.executable))
        around = {**box.env, "HOME": str(home)}
        facts = await environment.facts("modal_life.py", around, str(home / "adapter"), box.url)
        rows = [r for r in box.world.data.requests if r.method == "RPC"]
        (bill,) = bills(box.world)
        refused = [r.path for r in rows if r.status != 200]
        return Lived(facts, [r.path for r in rows], refused, bill)


async def test_the_official_sdk_lives_a_whole_life(tmp_path: Path) -> None:
    lived = await live(tmp_path)
    uploaded_deployed_and_asked(lived.facts)
    changed_observed_and_ended(lived.facts)
    called_as_it_was_seen_to_call(lived)
    assert lived.bill.usd_per_hour == 0 and lived.bill.usd_total > 0


def uploaded_deployed_and_asked(facts: dict[str, Any]) -> None:
    assert (facts["workspace"], facts["price"]) == ("acme", "1.95000")
    (config, _), (weights, size) = facts["files"]
    assert (config, weights) == ("support/adapter_config.json", "support/adapter_model.safetensors")
    assert size >= SIZE
    assert facts["listed"][0][0] == "bot"
    assert facts["url"].endswith("/acme--bot-server.us-east.modal.direct")
    assert facts["refused"] == "modal-http: missing credentials for proxy authorization"
    assert facts["seen"] == [503, 200] and facts["containers"] == 1
    assert facts["models"] == [[BASE, None], ["support", BASE]]
    assert facts["tuned"] != facts["base"] and facts["streamed"] == facts["tuned"]
    assert facts["usage"][0] == facts["usage"][1] > 10


def changed_observed_and_ended(facts: dict[str, Any]) -> None:
    assert facts["updated"] == [2, 2, 600]
    assert facts["redeployed"] == [1, True] and facts["version"] == 2
    assert facts["tags"] == {"managed-by": "somebody"}
    assert any("Loaded new LoRA adapter: name 'renamed'" in line for line in facts["log"])
    assert facts["stats"] == [True, "vllm"] and facts["ttft"] is True
    assert facts["spent"] == [True, True, {"managed-by": "somebody"}]
    assert facts["stopped"] == "modal-http: app for invoked web endpoint is stopped"
    assert facts["gone"] == [] and facts["tokens"] == ["sandbox"]
    assert facts["errors"] == ["NotFoundError", "NotFoundError", "AuthError"]


def called_as_it_was_seen_to_call(sdk: Lived) -> None:
    """The order of a first deployment and of a second; scaling is neither; refused is what should be."""
    first, second = [i for i, name in enumerate(sdk.calls) if name == "AppGetByDeploymentName"]
    published = sdk.calls.index("AppPublish", first)
    begun = sdk.calls[first:published]
    assert "AppCreate" in begun and "AppGetLayout" not in begun
    assert begun.index("FunctionPrecreate") < begun.index("ImageGetOrCreate") < begun.index("FunctionCreate")
    again = sdk.calls[second : sdk.calls.index("AppPublish", second)]
    assert "AppGetLayout" in again and "AppCreate" not in again
    between = sdk.calls[published + 1 : second]
    assert between.count("FunctionUpdateSchedulingParams") == 1 and "FunctionCreate" not in between
    assert sdk.refused == ["AppGetOrCreate", "VolumeGetOrCreate", "ClientHello"]
