"""A whole life with the official SDK, by the environment alone; prints what it saw as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import modal
import modal._server
import openai

directory, control = sys.argv[1:]
facts: dict[str, Any] = {}
BASE = "Qwen/Qwen3-8B"


def until(condition, what, seconds=90.0):
    """Look again and again; the world runs faster than the clock on the wall."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if (found := condition()) is not None:
            return found
        time.sleep(0.1)
    raise TimeoutError(what)


def starts_in(seconds):
    """What a container takes from now on, until it answers."""
    httpx.post(f"{control}/_sandbox/modal/knobs", json={"ready_seconds": seconds}).raise_for_status()


def deploy(tag, *modules, **more):
    app = modal.App("bot", tags={"managed-by": "somebody"})
    image = modal.Image.from_registry("docker.io/vllm/vllm-openai:v0.11.2").cmd(
        ["--model", BASE, "--enable-lora", "--lora-modules", *modules]
    )
    app.server(
        image=image,
        name="Server",
        include_source=False,
        gpu=["L40S", "A100-80GB"],
        volumes={"/adapters": modal.Volume.from_name("adapters")},
        secrets=[modal.Secret.from_dict({"HF_TOKEN": os.environ["HF_TOKEN"]})],
        startup_timeout=36_000,
        scaledown_window=600,
        max_containers=2,
        **more,
    )(modal._server._DirectServerCls)
    app.deploy(tag=tag)


workspace = modal.Workspace.from_context()
workspace.hydrate()
facts["workspace"] = workspace.name
facts["price"] = str(workspace.billing.rates()["gpu_hour_cost_l40s"])

volume = modal.Volume.from_name("adapters", create_if_missing=True, version=2)
with volume.batch_upload() as batch:
    batch.put_directory(directory, "/support")
facts["files"] = sorted([e.path, e.size] for e in volume.listdir("/support"))

# However slow this machine is, the container is still starting when it is looked at first.
starts_in(30_000)
deploy("one", "support=/adapters/support", min_containers=1)
facts["listed"] = [[a.name, a.containers] for a in modal.experimental.list_deployed_apps()]
server = modal.Server.from_name("bot", "Server")
url = server.get_url()
facts["url"] = url
facts["refused"] = httpx.get(f"{url}/health").text
token = workspace.proxy_tokens.create(name="life")
keys = {"Modal-Key": token.token_id, "Modal-Secret": token.token_secret}
facts["seen"] = []


def health():
    status = httpx.get(f"{url}/health", headers=keys).status_code
    if status not in facts["seen"]:
        facts["seen"].append(status)
    return status if status == 200 else None


health()
starts_in(40)
httpx.post(f"{control}/_sandbox/clock", json={"seconds": 30_000}).raise_for_status()
until(health, "healthy")
facts["containers"] = len(server._experimental_list_containers())

client = openai.OpenAI(base_url=f"{url}/v1", api_key=f"{token.token_id}.{token.token_secret}")
facts["models"] = [[m.id, m.model_dump().get("parent")] for m in client.models.list()]
asked: Any = {"messages": [{"role": "user", "content": "Where is my refund?"}]}
whole = client.chat.completions.create(model="support", **asked)
base = client.chat.completions.create(model=BASE, **asked)
streaming: Any = {"stream": True, "stream_options": {"include_usage": True}}
chunks = list(client.chat.completions.create(model="support", **streaming, **asked))
facts["tuned"], facts["base"] = whole.choices[0].message.content, base.choices[0].message.content
facts["streamed"] = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
facts["usage"] = [whole.usage.completion_tokens, chunks[-1].usage.completion_tokens]

updated = server.autoscaler.update(min_containers=2)
facts["updated"] = [updated.min_containers, updated.max_containers, updated.scaledown_window]
until(lambda: True if len(server._experimental_list_containers()) == 2 else None, "two containers")

deploy("two", "renamed=/adapters/support", min_containers=1)
facts["redeployed"] = [server.autoscaler.settings().min_containers, server.get_url() == url]
until(lambda: True if "renamed" in [m.id for m in client.models.list()] else None, "the new one answers")

app = modal.App.lookup("bot")
facts["version"] = app.info(refresh=True).lifecycle.version
facts["tags"] = app.get_tags()
facts["log"] = [entry.message for entry in app.logs.tail(500)]
now = datetime.now(UTC)
stats = server.stats(since=now - timedelta(days=1), until=now)
facts["stats"] = [stats.request_count_by_status_code.get(200, 0) >= 4, stats.inference.engine]
facts["ttft"] = "time_to_first_token" in stats.inference.percentile_stats
# An hour is on the bill once it has ended.
httpx.post(f"{control}/_sandbox/clock", json={"seconds": 3600}).raise_for_status()
begin, end = now - timedelta(days=2), now + timedelta(days=1)
report = workspace.billing.report(start=begin, end=end, resolution="h", tag_names=["managed-by"])
spent = next(iter(report))
facts["spent"] = [spent["object_id"] == app.app_id, float(spent["cost"]) > 0, spent["tags"]]

app.stop()
facts["stopped"] = httpx.get(f"{url}/health", headers=keys).text
facts["gone"] = [a.name for a in modal.experimental.list_deployed_apps()]
workspace.proxy_tokens.delete(token.token_id)
facts["tokens"] = [t.name for t in workspace.proxy_tokens.list()]
modal.Volume.objects.delete("adapters")
facts["errors"] = []
for fails in (
    lambda: modal.App.lookup("bot"),
    lambda: modal.Volume.from_name("adapters").hydrate(),
    lambda: modal.Client.from_credentials("ak-nobody", "as-nobody").hello(),
):
    try:
        fails()
        facts["errors"].append("")
    except modal.exception.Error as error:
        facts["errors"].append(type(error).__name__)
print("facts: " + json.dumps(facts))
