"""Repositories and their numbered adapters; upload of a directory by presigned addresses."""

from __future__ import annotations

import hashlib
import re
import zipfile
from io import BytesIO
from typing import Any

from aiohttp import web

from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.predibase.access import Call
from peft_tui.sandbox.predibase.catalog import base_of
from peft_tui.sandbox.predibase.errors import refuse
from peft_tui.sandbox.predibase.state import Repo, Ticket, Version
from peft_tui.sandbox.web import origin, world_of
from peft_tui.sandbox.weights import head_needed, judge_adapter, read_facts

FILES = ("adapter_config.json", "adapter_model.bin", "adapter_model.safetensors")
WEIGHTS = FILES[1:]
REQUIRED_HEADERS = {"x-amz-server-side-encryption": "AES256"}
TICKET_SECONDS = 3600.0
LARGEST_PUT = 5 * 1024**3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


def repo_json(repo: Repo) -> dict[str, Any]:
    """A repository as its own answer and the list show it."""
    return {
        "uuid": repo.uuid,
        "name": repo.name,
        "description": repo.description,
        "versions": [
            {
                "tag": version.tag,
                "createdAt": iso(version.created_at),
                "createdBy": version.created_by,
                "baseModel": version.base_model,
                "archived": version.archived,
            }
            for version in repo.living
        ],
    }


def adapter_json(repo: Repo, version: Version) -> dict[str, Any]:
    """An adapter: a version of a repository."""
    return {
        "repo": repo.name,
        "tag": version.tag,
        "archived": version.archived,
        "baseModel": version.base_model,
        "checkpoint": None,
        "description": repo.description,
        "adapterPath": f"{repo.uuid}/{version.tag}",
        "finetuningJob": None,
        "status": "completed",
    }


async def create(call: Call) -> Any:
    """`POST /v2/repos`."""
    body = await call.body()
    name, description = body.get("name"), body.get("description")
    if not isinstance(name, str) or not _NAME.match(name):
        raise refuse(400, "invalid repo name")
    if description is not None and not isinstance(description, str):
        raise refuse(400, "description must be a string")
    key = f"{call.user.tenant}/{name}"
    if key in call.state.repos:
        if body.get("existsOk") is not True:
            raise refuse(409, f"repo {name} already exists")
        return repo_json(call.state.repos[key])
    digits = call.world.new_id("", 32, "0123456789abcdef")
    uuid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    call.state.repos[key] = Repo(uuid, call.user.tenant, name, description, call.now)
    return repo_json(call.state.repos[key])


async def list_repos(call: Call) -> Any:
    """`GET /v2/repos?limit=`, newest first."""
    limit = call.request.query.get("limit", "10")
    if not limit.isdigit() or int(limit) < 1:
        raise refuse(400, f"invalid limit: {limit}")
    mine = [repo for repo in call.state.repos.values() if repo.tenant == call.user.tenant]
    return {"data": {"repos": [repo_json(repo) for repo in mine[::-1][: int(limit)]]}}


async def retrieve(call: Call) -> Any:
    """`GET /v2/repos/{nameOrUuid}`."""
    return repo_json(call.repo(call.arg("repo")))


async def delete(call: Call) -> Any:
    """`DELETE /v2/repos/{nameOrUuid}`."""
    repo = call.repo(call.arg("repo"))
    del call.state.repos[f"{repo.tenant}/{repo.name}"]
    return web.Response(status=204)


def _version(call: Call) -> tuple[Repo, Version]:
    repo, tag = call.repo(call.arg("repo")), call.arg("tag")
    for version in repo.living:
        if str(version.tag) == tag.partition("@")[0]:
            return repo, version
    raise refuse(404, f"adapter {repo.name}/{tag} not found")


async def retrieve_version(call: Call) -> Any:
    """`GET /v2/repos/{repo}/version/{tag}`."""
    return adapter_json(*_version(call))


async def archive_version(call: Call) -> Any:
    """`PUT /v2/repos/{repo}/version/{tag}`."""
    repo, version = _version(call)
    archived = (await call.body()).get("archived")
    if not isinstance(archived, bool):
        raise refuse(400, "archived must be a boolean")
    version.archived = archived
    return adapter_json(repo, version)


async def delete_version(call: Call) -> Any:
    """`DELETE /v2/repos/{repo}/version/{tag}`."""
    _, version = _version(call)
    version.deleted = True
    return web.Response(status=204)


async def download_version(call: Call) -> Any:
    """`GET …/download`: a zip of the files' names; their bytes are not kept."""
    try:
        _, version = _version(call)
    except Exception as error:
        body = getattr(error, "body", {})
        return web.json_response({"error": {"message": body.get("error", "not found")}}, status=404)
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in version.files:
            archive.writestr(file.path, "")
    return web.Response(body=packed.getvalue(), content_type="application/zip")


async def begin_upload(call: Call) -> Any:
    """`POST /v2/adapters/upload`: an address for each file that there may be."""
    repo = call.repo(str((await call.body()).get("repo") or ""))
    ticket = Ticket(
        token=call.world.new_id("upl_", 32),
        id=call.world.new_id("", 20),
        tenant=call.user.tenant,
        user=call.user.username,
        repo=repo.name,
        signature=call.world.new_id("", 40),
        expires_at=call.now + TICKET_SECONDS,
    )
    call.state.tickets[ticket.id] = ticket
    base = f"{origin(call.request)}/predibase/_objects/{ticket.id}"
    query = f"X-Amz-Expires={TICKET_SECONDS:.0f}&X-Amz-Signature={ticket.signature}"
    return {
        "uploadToken": ticket.token,
        "requiredHeaders": REQUIRED_HEADERS,
        "presignedUrls": {name: f"{base}/{name}?{query}" for name in FILES},
    }


async def put_file(request: web.Request) -> web.StreamResponse:
    """`PUT` of a whole file on the object store, with S3's manners and errors.

    A key that comes along is written down: the vendor's own client sends none.
    """
    world = world_of(request)
    ticket = world.predibase.tickets.get(request.match_info["ticket"])
    name = request.match_info["file"]
    if ticket is None or name not in FILES:
        return _s3_error(404, "NoSuchKey", "The specified key does not exist.")
    ticket.bearer_seen |= "Authorization" in request.headers
    if request.query.get("X-Amz-Signature") != ticket.signature:
        return _s3_error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
    if world.now() > ticket.expires_at:
        return _s3_error(403, "AccessDenied", "Request has expired")
    if any(request.headers.get(key) != value for key, value in REQUIRED_HEADERS.items()):
        return _s3_error(403, "AccessDenied", "There were headers missing which were signed")
    if request.content_length is None:
        return _s3_error(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    if request.content_length > LARGEST_PUT:
        return _s3_error(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
    digest, size, head = hashlib.md5(), 0, bytearray()  # noqa: S324
    begun, rate = world.now(), world.predibase.knobs.upload_bytes_per_second
    async for chunk in request.content.iter_chunked(1 << 16):
        digest.update(chunk)
        size += len(chunk)
        if rate > 0:
            await world.clock.pace(begun + size / rate)
        if len(head) < head_needed(name):
            head += chunk[: head_needed(name) - len(head)]
    if size != request.content_length:
        return _s3_error(
            400, "IncompleteBody", "You did not provide the number of bytes given by Content-Length."
        )
    ticket.files[name] = read_facts(name, bytes(head), size, digest.hexdigest())
    return web.Response(headers={"ETag": f'"{digest.hexdigest()}"', "x-amz-request-id": world.new_id("", 16)})


def _s3_error(status: int, code: str, message: str) -> web.Response:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    text = f"{head}\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


async def end_upload(call: Call) -> Any:
    """`PUT /v2/adapters/upload/`: what has arrived becomes the next version."""
    token = (await call.body()).get("uploadToken")
    ticket = next((t for t in call.state.tickets.values() if t.token == token and not t.used), None)
    if ticket is None or ticket.tenant != call.user.tenant:
        raise refuse(404, "upload not found or already completed")
    if "adapter_config.json" not in ticket.files:
        raise refuse(400, "adapter_config.json was not uploaded")
    if not any(name in ticket.files for name in WEIGHTS):
        raise refuse(400, "adapter weights were not uploaded")
    repo = call.repo(ticket.repo)
    config = ticket.files["adapter_config.json"].document
    if config is None:
        raise refuse(400, "adapter_config.json is not valid JSON")
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise refuse(400, "adapter_config.json names no base_model_name_or_path")
    files = list(ticket.files.values())
    known = base_of(base)
    # Taken as it is: what is wrong with it shows when an engine is to load it.
    defects = judge_adapter(files, base) if "adapter_model.safetensors" in ticket.files else []
    version = Version(
        tag=1 + max((v.tag for v in repo.versions), default=0),
        created_at=call.now,
        created_by=call.user.username,
        base_model=known.name if known else base,
        files=files,
        problem="; ".join(defect.message for defect in defects) or None,
    )
    repo.versions.append(version)
    ticket.used = True
    return adapter_json(repo, version)
