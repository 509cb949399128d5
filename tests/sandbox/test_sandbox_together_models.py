"""Together: who may see what, and how weights come in."""

from __future__ import annotations

import hashlib

import httpx
import pytest

from peft_tui.sandbox.hubrepos import HF_TOKEN, repos
from peft_tui.sandbox.together.state import ACME_ORG_KEY, GLOBEX_KEY

P = "/v2/projects/proj_acme"


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


async def as_key(together, key):
    together.http.headers["Authorization"] = f"Bearer {key}"


async def test_whoami_tells_the_kind_of_key(together):
    assert (await together.get("/v3/whoami"))["project"]["slug"] == "acme"
    assert (await together.get("/v1/whoami"))["project_id"] == "proj_acme"
    await as_key(together, ACME_ORG_KEY)
    org = await together.get("/v3/whoami")
    assert org["type"] == "org_api_key"
    assert "project" not in org
    projects = await together.get("/v1/projects")
    assert [p["slug"] for p in projects["data"]] == ["acme", "acme-lab"]
    await as_key(together, "wrong")
    assert (await together.get("/v3/whoami", 401))["error"]["code"] == "invalid_api_key"


async def test_tenants_do_not_see_each_other(together):
    d = await together.deployment()
    await as_key(together, GLOBEX_KEY)
    await together.get(f"{P}/endpoints", 404)
    await together.get(f"/v2/projects/proj_globex/endpoints/{d['endpointId']}", 404)
    assert (await together.get("/v2/projects/proj_globex/endpoints"))["data"] == []
    assert (await together.chat("acme/support", status=404))["error"]["code"] == "model_not_available"


async def test_the_catalogue_needs_no_key(sb):
    async with httpx.AsyncClient(base_url=sb.env["TOGETHER_BASE_URL"], trust_env=False) as nobody:
        models = (await nobody.get("/v2/supported-models?adapterMode=ADAPTER_MODE_DYNAMIC")).json()["data"]
        names = {m["name"] for m in models}
        assert "meta-llama/Llama-3.1-8B-Instruct" in names
        assert "mistralai/Mistral-7B-Instruct-v0.3" not in names
        assert (await nobody.get("/v3/whoami")).status_code == 401


@pytest.mark.parametrize(
    ("repo", "rule"),
    [
        ("acme/support-r16", None),
        ("acme/router-qwen3", None),
        ("acme/support-dora", "dora"),
        ("acme/huge-rank", "max_rank"),
        ("acme/truncated-lora", "weights_complete"),
        ("acme/tone-mistral", "base_model_match"),
        ("acme/llm-support-merged", "adapter_config_present"),
    ],
)
async def test_an_import_is_judged_by_its_files(together, repo, rule):
    model = await together.adapter(repo)
    revision = (await together.get(f"{P}/models/{model['id']}/revisions"))["data"][0]
    if rule is None:
        assert revision["validationStatus"] == "REVISION_VALIDATION_STATUS_SUCCESS"
        assert "validationErrors" not in revision
    else:
        assert revision["validationStatus"] == "REVISION_VALIDATION_STATUS_FAILED"
        assert rule in [e["rule"] for e in revision["validationErrors"]]
        path = f"projects/proj_acme/models/{model['id']}"
        refused = await together.deployment("bad", model=path, status=400)
        assert "not validated" in refused["error"]["message"]


async def test_an_import_goes_through_its_stages(sb, together):
    base = await together.base()
    model = await together.post(f"{P}/models", {"name": "x", "type": "adapters", "baseModelId": base["id"]})
    assert model["weights"]["type"] == "WEIGHTS_TYPE_ADAPTER"
    url = "https://huggingface.co/acme/support-r16/tree/main"
    up = await together.post(f"{P}/models/uploads", {"modelId": model["id"], "remoteUrl": url})
    seen = [up["status"]]
    for _ in range(15):
        sb.clock.advance(1)
        status = (await together.get(f"{P}/models/uploads/{up['id']}"))["status"]
        if seen[-1] != status:
            seen.append(status)
    assert [s.removeprefix("REMOTE_UPLOAD_STATUS_") for s in seen] == ["PENDING", "RUNNING", "SUCCEEDED"]
    events = await together.get(f"{P}/models/uploads/{up['id']}/events")
    assert "download.started" in [e["type"] for e in events["data"]]
    files = await together.get(f"{P}/models/{model['id']}/files")
    content = repos()["acme/support-r16"].files["adapter_model.safetensors"]
    row = next(f for f in files["data"] if f["path"] == "adapter_model.safetensors")
    assert row == {"path": "adapter_model.safetensors", "sizeBytes": str(len(content)), "hash": md5(content)}


@pytest.mark.parametrize(
    ("repo", "token", "status"),
    [
        ("acme/missing", None, "FAILED"),
        ("acme/private-lora", None, "FAILED"),
        ("acme/private-lora", HF_TOKEN, "SUCCEEDED"),
        ("acme/gated-lora", "hf_wrong", "FAILED"),
        ("acme/gated-lora", HF_TOKEN, "SUCCEEDED"),
    ],
)
async def test_imports_need_a_repository_that_may_be_read(together, repo, token, status):
    extra = {"token": token} if token else {}
    await together.adapter(repo, **extra)
    up = (await together.get(f"{P}/models/uploads"))["data"][0]
    assert up["status"] == f"REMOTE_UPLOAD_STATUS_{status}"
    assert "token" not in up
    if status == "FAILED":
        assert "token" in up["statusMessage"]


async def test_an_import_that_stumbles_is_restarted(together, control, sb):
    await control.post("/together/knobs", json={"upload_errors": 1})
    base = await together.base()
    model = await together.post(f"{P}/models", {"name": "x", "type": "adapter", "baseModelId": base["id"]})
    url = "https://hf.co/acme/support-r16"
    up = await together.post(f"{P}/models/uploads", {"modelId": model["id"], "remoteUrl": url})
    sb.clock.advance(5)
    assert (await together.get(f"{P}/models/uploads/{up['id']}"))["status"] == "REMOTE_UPLOAD_STATUS_ERROR"
    sb.clock.advance(20)
    done = await together.get(f"{P}/models/uploads/{up['id']}")
    assert (done["status"], done["restartCount"]) == ("REMOTE_UPLOAD_STATUS_SUCCEEDED", 1)


async def test_registration_refuses_what_cannot_be(together):
    base = await together.base()
    good = {"name": "a", "type": "adapter", "baseModelId": base["id"]}
    for change in ({"name": ""}, {"name": "globex/a"}, {"type": "lora"}, {"baseModelId": "ml_no"}):
        await together.post(f"{P}/models", good | change, 400)
    await together.post(f"{P}/models", good)
    await together.post(f"{P}/models", good | {"name": "acme/a"}, 409)


async def test_a_model_without_files_or_in_use(sb, together):
    base = await together.base()
    model = await together.post(f"{P}/models", {"name": "e", "type": "adapter", "baseModelId": base["id"]})
    path = f"projects/proj_acme/models/{model['id']}"
    refused = await together.deployment("empty", model=path, status=400)
    assert "no revisions" in refused["error"]["message"]
    used = await together.adapter()
    d = await together.deployment("used", model=f"projects/proj_acme/models/{used['id']}")
    assert "/revisions/rv_" in d["model"], "the latest revision is pinned"
    assert "live deployment" in (await together.delete(f"{P}/models/{used['id']}", 400))["error"]["message"]
    renamed = await together.patch(f"{P}/models/{model['id']}", {"name": "f"}, updateMask="name")
    assert renamed["name"] == "acme/f"
    await together.delete(f"{P}/models/{model['id']}")
    await together.get(f"{P}/models/{model['id']}", 404)


async def begin(together, model, files, parts=1):
    body = [{"path": p, "hash": h, "numParts": parts} for p, h in files]
    return (await together.post(f"{P}/models/upload/create", {"objectId": model["id"], "files": body}))[
        "files"
    ]


async def put(url, data, **headers):
    async with httpx.AsyncClient(trust_env=False) as store:
        return await store.put(url, content=data, headers=headers)


async def test_a_local_upload_becomes_a_revision_and_is_remembered(sb, together):
    model = await together.post(
        f"{P}/models", {"name": "l", "type": "adapter", "baseModelId": (await together.base())["id"]}
    )
    files = {k: v for k, v in repos()["acme/support-r16"].files.items() if k != "README.md"}
    planned = await begin(together, model, [(p, md5(c)) for p, c in files.items()])
    done = []
    for file in planned:
        content = files[file["path"]]
        answer = await put(file["parts"][0]["url"], content)
        assert answer.status_code == 200
        assert answer.headers["ETag"] == f'"{md5(content)}"'
        parts = [{"partNumber": 1, "hash": md5(content)}]
        details = {"uploadId": file["uploadId"], "parts": parts}
        done.append({"path": file["path"], "hash": md5(content), "uploadDetails": details})
    complete = f"{P}/models/upload/complete"
    made = await together.post(complete, {"objectId": model["id"], "files": done})
    path = f"{P}/models/{model['id']}/revisions"
    assert (await together.get(path))["data"][0]["validationStatus"] == "REVISION_VALIDATION_STATUS_PENDING"
    sb.clock.advance(4)
    assert (await together.get(path))["data"][0] | {"createdAt": "", "lastValidatedAt": ""} == {
        "revisionId": made["revisionId"],
        "createdAt": "",
        "lastValidatedAt": "",
        "validationStatus": "REVISION_VALIDATION_STATUS_SUCCESS",
    }
    again = await begin(together, model, [(p, md5(c)) for p, c in files.items()])
    assert all(f["skipUpload"] for f in again)
    skipped = [{"path": p, "hash": md5(c), "skipUpload": True} for p, c in files.items()]
    await together.post(complete, {"objectId": model["id"], "files": skipped})


async def test_a_file_in_parts_has_a_hash_of_hashes(together):
    model = await together.post(
        f"{P}/models", {"name": "m", "type": "adapter", "baseModelId": (await together.base())["id"]}
    )
    content = repos()["acme/support-r16"].files["adapter_model.safetensors"]
    half = len(content) // 2
    pieces = [content[:half], content[half:]]
    whole = md5(b"".join(hashlib.md5(p).digest() for p in pieces)) + "-2"
    (file,) = await begin(together, model, [("adapter_model.safetensors", whole)], parts=2)
    for part, piece in zip(file["parts"], pieces, strict=True):
        assert (await put(part["url"], piece)).status_code == 200
    parts = [{"partNumber": n + 1, "hash": md5(p)} for n, p in enumerate(pieces)]
    row = {
        "path": file["path"],
        "hash": whole,
        "uploadDetails": {"uploadId": file["uploadId"], "parts": parts},
    }
    wrong = {**row, "hash": md5(content)}
    await together.post(f"{P}/models/upload/complete", {"objectId": model["id"], "files": [wrong]}, 400)
    await together.post(f"{P}/models/upload/complete", {"objectId": model["id"], "files": [row]})
    files = await together.get(f"{P}/models/{model['id']}/files")
    assert files["totalSizeBytes"] == str(len(content))


async def test_the_object_store_has_the_manners_of_s3(together):
    model = await together.post(
        f"{P}/models", {"name": "s", "type": "adapter", "baseModelId": (await together.base())["id"]}
    )
    (file,) = await begin(together, model, [("a.bin", md5(b"data"))])
    url = file["parts"][0]["url"]
    assert (await put(url, b"data", Authorization="Bearer x")).status_code == 400
    assert "SignatureDoesNotMatch" in (await put(url.replace("Signature=", "Signature=x"), b"data")).text
    assert (await put(url, b"data", **{"Content-MD5": "AAAA"})).status_code == 400

    async def chunks():
        yield b"da"
        yield b"ta"

    assert (await put(url, chunks())).status_code == 501
    assert (await put(url, b"data")).status_code == 200
