"""The hub: what there is, in whole and in part, and what is hidden."""

from __future__ import annotations

import json

import pytest
from safetensors.numpy import load

from peft_tui.sandbox.hubrepos import HF_TOKEN, repos

AUTH = {"Authorization": f"Bearer {HF_TOKEN}"}


async def test_a_repository_tells_its_files_and_commit(hub):
    info = (await hub.get("/api/models/acme/support-r16?blobs=true")).json()
    assert info["sha"] == repos()["acme/support-r16"].commit
    assert {s["rfilename"] for s in info["siblings"]} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors",
    }  # fmt: skip
    assert all(s["size"] for s in info["siblings"])
    assert (await hub.get(f"/api/models/acme/support-r16/revision/{info['sha']}")).status_code == 200
    wrong = await hub.get("/api/models/acme/support-r16/revision/v9")
    assert (wrong.status_code, wrong.headers["X-Error-Code"]) == (404, "RevisionNotFound")


async def test_files_are_true_adapters(hub):
    config = (await hub.get("/acme/support-r16/resolve/main/adapter_config.json")).json()
    assert (config["base_model_name_or_path"], config["r"]) == ("meta-llama/Llama-3.1-8B-Instruct", 16)
    tensors = load((await hub.get("/acme/support-r16/resolve/main/adapter_model.safetensors")).content)
    assert {t.shape[0] for n, t in tensors.items() if "lora_A" in n} == {16}


async def test_a_range_is_honoured(hub):
    path = "/acme/support-r16/resolve/main/adapter_model.safetensors"
    whole = repos()["acme/support-r16"].files["adapter_model.safetensors"]
    answer = await hub.get(path, headers={"Range": "bytes=0-7"})
    assert (answer.status_code, answer.content) == (206, whole[:8])
    assert answer.headers["Content-Range"] == f"bytes 0-7/{len(whole)}"
    length = int.from_bytes(answer.content, "little")
    header = await hub.get(path, headers={"Range": f"bytes=8-{7 + length}"})
    assert "__metadata__" in json.loads(header.content)
    assert (await hub.get(path, headers={"Range": f"bytes={len(whole)}-"})).status_code == 416
    head = await hub.head(path)
    assert head.headers["X-Linked-Size"] == head.headers["Content-Length"] == str(len(whole))
    assert head.headers["X-Repo-Commit"]


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/api/models/acme/missing", {}, 401, "RepoNotFound"),
        ("/api/models/acme/missing", AUTH, 404, "RepoNotFound"),
        ("/api/models/acme/private-lora", {}, 401, "RepoNotFound"),
        ("/api/models/acme/private-lora", AUTH, 200, None),
        ("/acme/private-lora/resolve/main/adapter_config.json", AUTH, 200, None),
        ("/acme/gated-lora/resolve/main/adapter_config.json", {}, 401, "GatedRepo"),
        ("/acme/gated-lora/resolve/main/adapter_config.json", AUTH, 200, None),
        ("/acme/support-r16/resolve/main/nothing.json", {}, 404, "EntryNotFound"),
        ("/api/models/acme/support-r16", {"Authorization": "Bearer hf_wrong"}, 401, None),
    ],
)
async def test_what_is_hidden_is_told_as_by_the_real_hub(hub, path, headers, status, code):
    answer = await hub.get(path, headers=headers)
    assert (answer.status_code, answer.headers.get("X-Error-Code")) == (status, code)


async def test_a_merged_checkpoint_has_no_adapter_config(hub):
    info = (await hub.get("/api/models/acme/llm-support-merged")).json()
    names = {s["rfilename"] for s in info["siblings"]}
    assert "config.json" in names
    assert "adapter_config.json" not in names
