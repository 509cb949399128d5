"""A whole life with the official SDK, which runs where it is installed; prints what it saw as JSON."""

from __future__ import annotations

import json
import os
import sys

from predibase import DeploymentConfig, Predibase, UpdateDeploymentConfig

directory, facts = sys.argv[1], {}
serving = os.environ["PREDIBASE_SERVING_URL"]
pb = Predibase(api_token=os.environ["PREDIBASE_API_TOKEN"])
facts["tenant"] = pb._session.tenant

repo = pb.repos.create(name="support", exists_ok=True)
again = pb.repos.create(name="support", exists_ok=True)
facts["repo"] = [repo.name, repo.uuid == again.uuid, [r.name for r in pb.repos.list()]]
adapter = pb.adapters.upload(directory, repo="support")
facts["uploaded"] = [adapter.repo, adapter.tag, adapter.base_model, adapter.archived]
found = pb.adapters.get("support/1")
facts["adapter"] = [found.repo, found.tag, found.base_model]

made = pb.deployments.create(
    name="bot-1a2b3c4d",
    description="For support",
    config=DeploymentConfig(
        base_model="meta-llama/Llama-3.1-8B-Instruct",
        accelerator="a10_24gb_100",
        min_replicas=0,
        max_replicas=1,
        cooldown_time=3600,
        scale_up_threshold=1,
        preloaded_adapters=["support/1"],
    ),
)
facts["made"] = [made.name, made.type, made.status, made.current_replicas, made.description]
facts["model"] = [made.model, made.context_window, made.accelerator]
facts["config"] = made.config.model_dump(exclude_none=True, by_alias=True)
facts["private"] = [d.name for d in pb.deployments.list(type="private")]
facts["shared"] = sorted(d.name for d in pb.deployments.list(type="shared"))
facts["got"] = pb.deployments.get("bot-1a2b3c4d").uuid == made.uuid
facts["recommended"] = sorted(pb.deployments.get_recommended_config(base_model="qwen3-8b"))

client = pb.deployments.client("bot-1a2b3c4d", serving_url_override=serving)
asked = {"adapter_id": "support/1", "adapter_source": "pbase", "max_new_tokens": 12}
tuned = client.generate("Where is my refund?", details=True, **asked)
base = client.generate("Where is my refund?", max_new_tokens=12)
# The wrapped client of this release streams everything twice once a deployment is known to be up.
bare = pb.deployments.client("bot-1a2b3c4d", force_bare_client=True, serving_url_override=serving)
pieces = list(bare.generate_stream("Where is my refund?", **asked))
facts["text"] = tuned.generated_text
facts["details"] = [tuned.details.generated_tokens, tuned.details.finish_reason, tuned.details.prompt_tokens]
facts["base"] = base.generated_text
facts["streamed"] = ["".join(p.token.text for p in pieces), pieces[-1].generated_text, len(pieces)]

pb.deployments.update("bot-1a2b3c4d", config=UpdateDeploymentConfig(max_replicas=2))
now = pb.deployments.get("bot-1a2b3c4d")
facts["updated"] = [now.config.max_replicas, now.config.cooldown_time, now.config.preloaded_adapters]

pb.deployments.delete("bot-1a2b3c4d")
facts["errors"] = []
for fails in (
    lambda: pb.deployments.get("bot-1a2b3c4d"),
    lambda: pb.adapters.get("support/9"),
    lambda: Predibase(api_token="pb_wrong"),
):
    try:
        fails()
        facts["errors"].append("")
    except Exception as error:
        facts["errors"].append(f"{type(error).__name__}: {error}")
pb.repos.delete("support")
facts["left"] = [r.name for r in pb.repos.list()]
print("facts: " + json.dumps(facts))
