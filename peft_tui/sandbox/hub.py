"""A small Hugging Face hub: enough for `huggingface_hub` to look at its repositories and fetch them."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from aiohttp import web

from peft_tui.sandbox.hubrepos import HF_TOKEN, HubRepo, repos
from peft_tui.sandbox.web import Refusal, origin

MODIFIED = "2026-11-01T09:00:00.000Z"


def refuse(status: int, message: str, code: str | None = None) -> Refusal:
    """An error as the hub gives it: the reason is in `X-Error-Code`."""
    headers = {"X-Error-Message": message}
    if code:
        headers["X-Error-Code"] = code
    return Refusal(status, {"error": message}, headers)


def _allowed(request: web.Request) -> bool:
    """Whether the caller's token is valid; a wrong one is refused outright."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        return False
    if scheme.lower() != "bearer" or token.strip() != HF_TOKEN:
        raise refuse(401, "Invalid credentials in Authorization header")
    return True


def _repo(request: web.Request) -> HubRepo:
    allowed = _allowed(request)
    repo = repos().get(f"{request.match_info['owner']}/{request.match_info['name']}")
    if repo is None or (repo.private and not allowed):
        # Without a token the hub does not tell a missing repository from a private one.
        if allowed:
            raise refuse(404, "Repository not found", "RepoNotFound")
        raise refuse(401, "Invalid username or password.", "RepoNotFound")
    revision = request.match_info.get("revision", "main")
    if revision not in ("main", repo.commit) and not (
        re.fullmatch(r"[0-9a-f]{7,40}", revision) and repo.commit.startswith(revision)
    ):
        raise refuse(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return repo


def _oid(content: bytes) -> str:
    """The git blob id of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324


def _is_large(path: str) -> bool:
    return path.endswith((".safetensors", ".bin"))


def _file_json(path: str, content: bytes) -> dict[str, Any]:
    row: dict[str, Any] = {"size": len(content), "blobId": _oid(content)}
    if _is_large(path):
        digest = hashlib.sha256(content).hexdigest()
        row["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 133}
    return {"rfilename": path, **row}


async def info(request: web.Request) -> web.StreamResponse:
    """`GET /api/models/{owner}/{name}[/revision/{rev}]`."""
    repo = _repo(request)
    blobs = request.query.get("blobs", "").lower() in ("true", "1")
    siblings = [_file_json(p, c) if blobs else {"rfilename": p} for p, c in sorted(repo.files.items())]
    answer: dict[str, Any] = {
        "_id": repo.commit[:24],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.id.partition("/")[0],
        "sha": repo.commit,
        "lastModified": MODIFIED,
        "createdAt": MODIFIED,
        "private": repo.private,
        "gated": "manual" if repo.gated else False,
        "disabled": False,
        "downloads": 42,
        "likes": 3,
        "tags": list(repo.tags),
        "pipeline_tag": "text-generation",
        "library_name": "peft" if repo.kind == "adapter" else "transformers",
        "cardData": {"base_model": repo.base},
        "siblings": siblings,
        "usedStorage": sum(map(len, repo.files.values())),
    }
    if repo.kind == "adapter":
        answer["config"] = {"peft": {"base_model_name_or_path": repo.base, "task_type": "CAUSAL_LM"}}
    return web.json_response(answer)


async def tree(request: web.Request) -> web.StreamResponse:
    """`GET /api/models/{owner}/{name}/tree/{rev}`."""
    repo = _repo(request)
    rows = []
    for path, content in sorted(repo.files.items()):
        row: dict[str, Any] = {"type": "file", "oid": _oid(content), "size": len(content), "path": path}
        if _is_large(path):
            row["lfs"] = {
                "oid": hashlib.sha256(content).hexdigest(),
                "size": len(content),
                "pointerSize": 133,
            }
        rows.append(row)
    return web.json_response(rows)


async def resolve(request: web.Request) -> web.StreamResponse:
    """`GET` or `HEAD /{owner}/{name}/resolve/{rev}/{file}`, whole or a range."""
    repo = _repo(request)
    path = request.match_info["file"]
    common = {"X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes"}
    if repo.gated and not _allowed(request):
        refusal = refuse(
            401,
            f"Access to model {repo.id} is restricted. You must have access to it and be authenticated.",
            "GatedRepo",
        )
        raise refusal
    content = repo.files.get(path)
    if content is None:
        refusal = refuse(404, "Entry not found", "EntryNotFound")
        refusal.headers |= common
        raise refusal
    etag = hashlib.sha256(content).hexdigest() if _is_large(path) else _oid(content)
    headers = {
        **common,
        "ETag": f'"{etag}"',
        "Content-Disposition": f'inline; filename="{path.rpartition("/")[2]}";',
        "X-Linked-Size": str(len(content)),
        "X-Linked-Etag": f'"{etag}"',
        "Content-Type": "application/json" if path.endswith(".json") else "application/octet-stream",
    }
    window = request.http_range if "Range" in request.headers else None
    if window is None:
        return web.Response(body=content, headers=headers)
    start, stop, _ = window.indices(len(content))
    if start >= len(content):
        return web.Response(status=416, headers={**common, "Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
    return web.Response(status=206, body=content[start:stop], headers=headers)


async def whoami(request: web.Request) -> web.StreamResponse:
    """`GET /api/whoami-v2`."""
    if not _allowed(request):
        raise refuse(401, "Invalid username or password.")
    return web.json_response(
        {
            "type": "user",
            "id": "sandbox-acme",
            "name": "acme",
            "fullname": "Acme",
            "email": "ops@acme.example",
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": {"displayName": "sandbox", "role": "read"}},
        }
    )


async def search(request: web.Request) -> web.StreamResponse:
    """`GET /api/models?search=&author=`."""
    allowed = _allowed(request)
    text, author = request.query.get("search", "").lower(), request.query.get("author")
    rows = [
        {"id": r.id, "modelId": r.id, "private": r.private, "tags": list(r.tags), "downloads": 42, "likes": 3}
        for r in repos().values()
        if text in r.id.lower()
        and (author is None or r.id.startswith(f"{author}/"))
        and (allowed or not r.private)
    ]
    return web.json_response(rows)


async def _unknown(request: web.Request) -> web.StreamResponse:
    raise refuse(404, f"Sorry, we can't find the page {origin(request)}{request.path}.")


def routes(prefix: str) -> list[web.AbstractRouteDef]:
    """The routes under a path prefix."""
    one = prefix + "/api/models/{owner}/{name}"
    return [
        web.get(prefix + "/api/whoami-v2", whoami),
        web.get(prefix + "/api/models", search),
        web.get(one, info),
        web.get(one + "/revision/{revision}", info),
        web.get(one + "/tree/{revision}", tree),
        web.get(prefix + "/{owner}/{name}/resolve/{revision}/{file:.+}", resolve),
        web.route("*", prefix + "/{rest:.*}", _unknown),
    ]
