"""The official SDKs of Together and Replicate and our drivers: the calls that change something, side by side.

Both live the same life on a sandbox of the same seed, and what they send is compared whole: path, query and
body, with each run's own ids taken out. What differs on purpose is listed with its reason.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_tui.domain.operation import OperationState
from peft_tui.sandbox import Sandbox
from tests.conformance.recorder import Recorder, Sent, recorder
from tests.conformance.test_predibase_sdk import Through
from tests.life import LLAMA, Life, at_platform, directory, life
from tests.sandbox.test_sdk_together import upload

together = pytest.importorskip("together")
replicate = pytest.importorskip("replicate")

NAME = "bot-1a2b3c4d"
IDS = re.compile(
    r"\b(ep|ml|dep|upl|rv)_[a-z0-9]+"
    r"|bot-[0-9a-f]{8}|(?<=_objects/)[^/?]+"
    r"|\"etag\": \"W[0-9]+\"|'etag': 'W[0-9]+'"
)

TOGETHER_ON_PURPOSE = {
    "validateOnly": "the platform's own check of the whole request, before anything bills",
}
REPLICATE_ON_PURPOSE = {
    "/predictions": "one request of one token proves that the version starts; it says when to give it up",
}


def written(sent: Recorder, on_purpose: dict[str, str], prefix: str) -> list[str]:
    """The calls that change something, in their order, without ids and without what only ours sends."""
    calls = [told(one, prefix) for one in sent.sent if one.method != "GET"]
    return [call for call in calls if not any(part in call for part in on_purpose)]


def told(one: Sent, prefix: str) -> str:
    query = {key: value for key, value in one.query.items() if not key.startswith("X-Amz")}
    body = f"{len(one.body)} bytes" if "_objects" in one.path else json.dumps(one.json, sort_keys=True)
    said = f"{one.method} {one.path.removeprefix(prefix)} {query or ''} {body}"
    return IDS.sub("*", said)


async def lived_by_us(lived: Life, sent: Recorder, source: Any, **settings: Any) -> None:
    """Create, change, stop, delete, by our own intents."""
    lived.sandbox = Through(lived.sandbox, sent.env)
    lived._begin()
    made = await lived.intend(source, **settings)
    verbs = lived.backend.life
    for intend in (
        None,
        lambda: verbs.update(made.id, {"max_instances": "2"}),
        lambda: verbs.stop(made.id),
        lambda: verbs.delete(made.id),
    ):
        if intend is not None:
            await intend()
        operation = await lived.run(made)
        assert operation.state is OperationState.DONE, operation.error


async def lived_by_the_sdk(sandbox: Sandbox, live: Callable[[Sandbox], None]) -> None:
    await asyncio.to_thread(live, sandbox)


def together_life(adapter: Path) -> Callable[[Sandbox], None]:
    """What the vendor's own command line does with an adapter directory."""

    def live(sandbox: Sandbox) -> None:
        env = sandbox.env
        client = together.Together(
            base_url=env["TOGETHER_BASE_URL"], api_key=env["TOGETHER_API_KEY"], max_retries=0
        )
        client.project_id = env["TOGETHER_PROJECT_ID"]
        with client:
            (base,) = client.models.list_supported(search="Llama-3.1-8B-Instruct").data
            model = client.models.create(name=NAME, type="adapter", base_model_id=base.id)
            names = ("adapter_config.json", "adapter_model.safetensors")
            files = {name: (adapter / name).read_bytes() for name in names}
            revision = upload(sandbox, client, model.id, files)
            sandbox.clock.advance(30)
            configs = client.models.configs.list(reference_model_id=model.id).data
            config = next(c for c in configs if not any(s.key == "adapter_mode" for s in c.selectors))
            endpoint = client.endpoints.create(name=NAME, visibility="VISIBILITY_PRIVATE")
            made = client.endpoints.deployments.create(
                endpoint.id,
                name="main",
                model=f"projects/{model.project_id}/models/{model.id}/revisions/{revision}",
                config=f"projects/{config.project_id}/configs/{config.id}",
                autoscaling={
                    "min_replicas": 1,
                    "max_replicas": 1,
                    "scaling_metrics": [
                        {
                            "name": "inflight_requests",
                            "type": "METRIC_TARGET_TYPE_AVERAGE_VALUE",
                            "target": 8,
                        }
                    ],
                },
                inactive_timeout=60,
            )
            endpoint = client.endpoints.update(
                endpoint.id,
                traffic_split=[{"deployment_id": made.id, "weight": 1}],
                update_mask="trafficSplit",
                etag=endpoint.etag,
            )
            sandbox.clock.advance(60)
            where = {"endpoint_id": endpoint.id}
            made = client.endpoints.deployments.retrieve(made.id, **where)
            made = client.endpoints.deployments.update(
                made.id,
                autoscaling={"max_replicas": 2},
                update_mask="autoscaling.maxReplicas",
                etag=made.etag,
                **where,
            )
            sandbox.clock.advance(60)
            made = client.endpoints.deployments.update(
                made.id,
                autoscaling={"min_replicas": 0, "max_replicas": 0},
                update_mask="autoscaling.minReplicas,autoscaling.maxReplicas",
                etag=made.etag,
                **where,
            )
            sandbox.clock.advance(60)
            endpoint = client.endpoints.update(
                endpoint.id, traffic_split=[], update_mask="trafficSplit", etag=endpoint.etag
            )
            made = client.endpoints.deployments.retrieve(made.id, **where)
            client.endpoints.deployments.delete(made.id, etag=made.etag, **where)
            endpoint = client.endpoints.retrieve(endpoint.id)
            client.endpoints.delete(endpoint.id, etag=endpoint.etag)
            client.models.delete(model.id)

    return live


def replicate_life(sandbox: Sandbox) -> None:
    env = sandbox.env
    client = replicate.Client(api_token=env["REPLICATE_API_TOKEN"], base_url=env["REPLICATE_BASE_URL"])
    try:
        model = client.models.get("acme/llm-support")
        client.deployments.create(
            name=NAME,
            model=model.id,
            version=model.latest_version.id,
            hardware="gpu-l40s",
            min_instances=1,
            max_instances=1,
        )
        sandbox.clock.advance(120)
        client.deployments.update("acme", NAME, max_instances=2)
        client.deployments.update("acme", NAME, min_instances=0, max_instances=0)
        sandbox.clock.advance(1000)
        client.deployments.delete("acme", NAME)
    finally:
        client._client.close()


async def test_our_driver_sends_what_together_s_sdk_sends(tmp_path: Path) -> None:
    source = directory(tmp_path)
    async with life(tmp_path / "ours", "together") as lived:
        async with recorder(lived.sandbox.url, lived.sandbox.env) as ours:
            await lived_by_us(lived, ours, source, instance_type="1xnvidia-h100-80gb")
    async with life(tmp_path / "theirs", "together") as lived:
        async with recorder(lived.sandbox.url, lived.sandbox.env) as theirs:
            through = Through(lived.sandbox, theirs.env)
            await lived_by_the_sdk(through, together_life(Path(source.reference)))
    mine = written(ours, TOGETHER_ON_PURPOSE, "/together")
    assert mine == written(theirs, {}, "/together")
    assert sum(LLAMA in call for call in mine) == 0 and len(mine) > 12
    for one in (*ours.sent, *theirs.sent):
        assert ("authorization" in one.headers) is ("_objects" not in one.path), one.call


async def test_our_driver_sends_what_replicate_s_sdk_sends(tmp_path: Path) -> None:
    async with life(tmp_path / "ours", "replicate") as lived:
        async with recorder(lived.sandbox.url, lived.sandbox.env) as ours:
            source = at_platform("acme/llm-support")
            await lived_by_us(lived, ours, source, instance_type="gpu-l40s", min_instances=1)
    async with life(tmp_path / "theirs", "replicate") as lived:
        async with recorder(lived.sandbox.url, lived.sandbox.env) as theirs:
            await lived_by_the_sdk(Through(lived.sandbox, theirs.env), replicate_life)
    mine = written(ours, REPLICATE_ON_PURPOSE, "/replicate")
    assert mine == written(theirs, {}, "/replicate")
    assert [call.split()[0] for call in mine] == ["POST", "PATCH", "PATCH", "DELETE"]
    (proof,) = [one for one in ours.sent if one.path.endswith("/predictions") and one.method == "POST"]
    assert proof.json == {"input": {"prompt": "Hello", "max_tokens": 1}}
    for one in (*ours.sent, *theirs.sent):
        assert one.headers["authorization"].startswith("Bearer r8_"), one.call
