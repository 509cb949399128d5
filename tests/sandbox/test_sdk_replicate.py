"""The official SDK (replicate 1.0.7) drives a whole life against the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import io

import pytest

replicate = pytest.importorskip("replicate")
from replicate.exceptions import ReplicateError  # noqa: E402


@contextlib.contextmanager
def client_of(sb, token=None):
    token = token or sb.env["REPLICATE_API_TOKEN"]
    client = replicate.Client(api_token=token, base_url=sb.env["REPLICATE_BASE_URL"])
    try:
        yield client
    finally:
        client._client.close()  # it has no public way to let its connections go


def whole_life(sb, client):
    advance = sb.clock.advance

    account = client.accounts.current()
    assert (account.type, account.username) == ("organization", "acme")
    assert "gpu-l40s" in [h.sku for h in client.hardware.list()]
    assert client.webhooks.default.secret().key.startswith("whsec_")
    assert "meta-llama-3-8b-instruct" in [m.name for m in client.models.search("llama").results]

    model = client.models.get("acme/llm-support")
    assert model.visibility == "private"
    versions = list(model.versions.list())
    assert versions[0].id == model.latest_version.id
    assert len(versions) == 2
    schema = model.latest_version.openapi_schema["components"]["schemas"]["Input"]["properties"]
    assert "prompt" in schema

    made = client.deployments.create(
        name="support",
        model=model.id,
        version=versions[1].id,
        hardware="gpu-l40s",
        min_instances=0,
        max_instances=1,
    )
    assert (made.id, made.current_release.number) == ("acme/support", 1)
    assert made.current_release.configuration.max_instances == 1
    with pytest.raises(ReplicateError):
        client.deployments.create(
            name="support",
            model=model.id,
            version=versions[1].id,
            hardware="cpu",
            min_instances=0,
            max_instances=1,
        )
    assert [d.name for d in client.deployments.list()] == ["support"]
    updated = client.deployments.update("acme", "support", version=versions[0].id, max_instances=2)
    assert (updated.current_release.number, updated.current_release.version) == (2, versions[0].id)

    prediction = made.predictions.create({"prompt": "Where is my refund?"})
    assert prediction.status == "starting"
    advance(4)
    prediction.reload()
    assert prediction.status == "succeeded"
    assert prediction.metrics["output_token_count"] == len(prediction.output)
    assert "".join(map(str, prediction.stream())) == "".join(prediction.output)
    waited = client.deployments.predictions.create("acme/support", {"prompt": "again"}, wait=True)
    assert waited.status == "succeeded"
    slow = client.predictions.create(version=versions[0].id, input={"prompt": "x"})
    slow.cancel()
    slow.reload()
    assert slow.status == "canceled"
    assert len(client.predictions.list().results) == 3
    said = client.run("meta/meta-llama-3-8b-instruct", input={"prompt": "hello"})
    assert len("".join(said)) > 20

    client.deployments.update("acme", "support", min_instances=0, max_instances=0)
    with pytest.raises(ReplicateError, match="disabled"):
        made.predictions.create({"prompt": "x"})
    with pytest.raises(ReplicateError, match="15 minutes"):
        client.deployments.delete("acme", "support")
    advance(1000)
    assert client.deployments.delete("acme", "support") is True
    with pytest.raises(ReplicateError):
        client.deployments.get("acme/support")


def an_import(sb, client):
    client.models.create("acme", "imported", visibility="private", hardware="gpu-l40s")
    importer = client.models.get("replicate/cog-vllm").latest_version
    training = client.trainings.create(
        model="replicate/cog-vllm",
        version=importer.id,
        input={"hf_model_id": "acme/llm-support-merged"},
        destination="acme/imported",
    )
    assert training.status == "starting"
    sb.clock.advance(60)
    training.reload()
    assert training.status == "succeeded"
    version = client.models.get("acme/imported").latest_version
    assert training.output["version"].endswith(version.id)
    assert "Packing weights" in training.logs

    file = client.files.create(io.BytesIO(b"hello"))
    assert (file.size, file.content_type) == (5, "application/octet-stream")
    assert [f.id for f in client.files.list()] == [file.id]
    client.files.delete(file.id)


@pytest.mark.parametrize("story", [whole_life, an_import])
async def test_the_official_client_lives_through(sb, story):
    with client_of(sb) as client:
        await asyncio.to_thread(story, sb, client)


async def test_the_official_client_sees_a_bad_token(sb):
    def ask():
        with client_of(sb, "r8_wrong") as client, pytest.raises(ReplicateError, match="valid authentication"):
            client.accounts.current()

    await asyncio.to_thread(ask)
