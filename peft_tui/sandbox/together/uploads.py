"""Bringing weights: import from a hub repository, or multipart upload to an object store."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from peft_tui.sandbox import hubrepos
from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.together.access import Call
from peft_tui.sandbox.together.lists import page
from peft_tui.sandbox.together.models import add_revision, find_model
from peft_tui.sandbox.together.state import FileUpload, RemoteUpload, UploadedPart, UploadStep
from peft_tui.sandbox.web import origin, world_of
from peft_tui.sandbox.weights import head_needed, read_facts
from peft_tui.sandbox.world import World

STARTED, DOWNLOADED, DONE, REFUSED = 2.0, 7.0, 10.0, 4.0
RESTART = 6.0
MAX_RESTARTS = 3
_HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_REPO = re.compile(r"/(?:huggingface/)?([\w.-]+)/([\w.-]+?)(?:/(?:tree|resolve|blob)/[^?]+)?/?\Z")


def part_hash(md5s: list[str]) -> str:
    """The hash of a whole file: its md5, or S3's `md5-of-md5s-N` when it came in parts."""
    if len(md5s) == 1:
        return md5s[0]
    joined = b"".join(bytes.fromhex(m) for m in md5s)
    return f"{hashlib.md5(joined).hexdigest()}-{len(md5s)}"  # noqa: S324


async def create_remote(call: Call) -> Any:
    """`POST …/models/uploads`."""
    project = call.project()
    body = await call.body()
    model = find_model(call, project, str(body.get("modelId") or ""))
    url = body.get("remoteUrl")
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https"):
        raise call.refuse(400, "Invalid Argument: remoteUrl must be an http(s) URL")
    now = call.now
    upload = RemoteUpload(
        id=call.world.new_id("rup_", 20),
        model_id=model.id,
        project_id=project.id,
        remote_url=url,
        created_at=now,
        steps=[],
    )
    _plan(call, upload, url, str(body.get("token") or ""))
    call.state.remote_uploads[upload.id] = upload
    return remote_json(call, upload)


def _plan(call: Call, upload: RemoteUpload, url: str, token: str) -> None:
    now = call.now
    steps = upload.steps
    steps.append(UploadStep(now, "PENDING", "Waiting for a worker", "upload.created"))
    steps.append(UploadStep(now + STARTED, "RUNNING", "Downloading files", "download.started"))
    late = 0.0
    knobs = call.state.knobs
    if knobs.upload_errors > 0:
        knobs.upload_errors -= 1
        late = RESTART
        steps.append(
            UploadStep(now + 4, "ERROR", "worker lost its connection; it will be restarted", "upload.error")
        )
        steps.append(
            UploadStep(now + 4 + late, "RUNNING", "Downloading files", "download.started", restart=True)
        )
    problem = _problem(call, upload, url, token)
    if problem is not None:
        steps.append(UploadStep(now + REFUSED + late, "FAILED", problem, "download.failed"))
        return
    steps.append(UploadStep(now + DOWNLOADED + late, "RUNNING", "Storing files", "download.completed"))
    steps.append(UploadStep(now + DONE + late, "SUCCEEDED", "Import completed", "upload.completed"))


def _problem(call: Call, upload: RemoteUpload, url: str, token: str) -> str | None:
    parts = urlsplit(url)
    own = parts.netloc == urlsplit(origin(call.request)).netloc
    if parts.hostname not in _HUB_HOSTS and not own:
        return f"could not download {parts.hostname}: the sandbox reaches no archives outside of itself"
    match = _REPO.match(parts.path)
    if match is None:
        return f"{url} is not a Hugging Face repository URL"
    name = "/".join(match.groups())
    repo = hubrepos.repos().get(name)
    allowed = token == hubrepos.HF_TOKEN
    if repo is None or (repo.private and not allowed):
        return f"repository {name} not found on Hugging Face; if it is private, pass a token"
    if repo.gated and not allowed:
        return f"access to repository {name} is restricted; pass a token that has been granted access"
    for path, content in repo.files.items():
        digest = hashlib.md5(content).hexdigest()  # noqa: S324
        upload.files.append(read_facts(path, content, len(content), digest))
    return None


def settle_remote(world: World, upload: RemoteUpload) -> UploadStep:
    """The stage an import has reached; its revision appears when it succeeds."""
    now = world.now()
    reached = [s for s in upload.steps if s.at <= now] or upload.steps[:1]
    step = reached[-1]
    if step.status == "SUCCEEDED" and not upload.revision_made:
        upload.revision_made = True
        model = world.together.models.get(upload.model_id)
        if model is not None:
            add_revision(world, model, upload.files, step.at)
    return step


def settle_model_uploads(world: World) -> None:
    """Let every import that is done leave its revision."""
    for upload in world.together.remote_uploads.values():
        if not upload.revision_made:
            settle_remote(world, upload)


def remote_json(call: Call, upload: RemoteUpload) -> dict[str, Any]:
    """The import as its poll shows it; the token is never shown."""
    step = settle_remote(call.world, upload)
    restarts = sum(s.restart and s.at <= call.now for s in upload.steps)
    answer: dict[str, Any] = {
        "id": upload.id,
        "modelId": upload.model_id,
        "projectId": upload.project_id,
        "remoteUrl": upload.remote_url,
        "status": f"REMOTE_UPLOAD_STATUS_{step.status}",
        "statusMessage": step.message,
        "maxRestarts": MAX_RESTARTS,
        "createdAt": iso(upload.created_at),
        "updatedAt": iso(step.at),
    }
    if restarts:
        answer["restartCount"] = restarts
    return answer


def _find_remote(call: Call) -> RemoteUpload:
    project = call.project()
    upload = call.state.remote_uploads.get(call.arg("upload"))
    if upload is None or upload.project_id != project.id:
        raise call.not_found("upload", call.arg("upload"))
    return upload


async def retrieve_remote(call: Call) -> Any:
    """`GET …/models/uploads/{id}`."""
    return remote_json(call, _find_remote(call))


async def list_remote(call: Call) -> Any:
    """`GET …/models/uploads`, newest first."""
    project = call.project()
    mine = [u for u in call.state.remote_uploads.values() if u.project_id == project.id]
    return page(call, mine[::-1], lambda u: remote_json(call, u), lambda u: u.id)


async def remote_events(call: Call) -> Any:
    """`GET …/models/uploads/{id}/events`."""
    upload = _find_remote(call)
    settle_remote(call.world, upload)
    levels = {"FAILED": "LEVEL_ERROR", "ERROR": "LEVEL_WARN"}
    rows = [
        {
            "id": f"{upload.id}-{number}",
            "createdAt": iso(step.at),
            "level": levels.get(step.status, "LEVEL_INFO"),
            "message": step.message,
            "type": step.event,
        }
        for number, step in enumerate(upload.steps)
        if step.at <= call.now
    ]
    return page(call, rows, lambda r: r, lambda r: str(r["id"]))


async def begin_local(call: Call) -> Any:
    """`POST …/models/upload/create`: presigned URLs for the parts of files not known yet."""
    project = call.project()
    body = await call.body()
    model = find_model(call, project, str(body.get("objectId") or ""))
    files = body.get("files")
    if not isinstance(files, list) or not files:
        raise call.refuse(400, "Invalid Argument: files must not be empty")
    answer: list[dict[str, Any]] = []
    for file in files:
        path, hash, count = (
            (file.get(k) for k in ("path", "hash", "numParts")) if isinstance(file, dict) else (None,) * 3
        )
        if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
            raise call.refuse(400, f"Invalid Argument: file path {path!r} must be relative")
        if not isinstance(hash, str) or not re.fullmatch(r"[0-9a-f]{32}(-\d+)?", hash):
            raise call.refuse(
                400, f"Invalid Argument: file hash {hash!r} must be an md5 or md5-of-md5s with a part count"
            )
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 10_000:
            raise call.refuse(400, "Invalid Argument: numParts must be from 1 to 10000")
        if f"{project.org_id}/{hash}" in call.state.known_files:
            answer.append({"path": path, "skipUpload": True, "uploadId": "", "parts": []})
            continue
        upload = FileUpload(
            id=call.world.new_id("upl_", 24),
            project_id=project.id,
            object_id=model.id,
            path=path,
            hash=hash,
            num_parts=count,
            signature=call.world.new_id("", 40),
            expires_at=call.now + 3600,
        )
        call.state.file_uploads[upload.id] = upload
        base = f"{origin(call.request)}/together/_objects/{upload.id}"
        parts = [
            {
                "partNumber": n,
                "url": f"{base}/{n}?X-Amz-Expires=3600&X-Amz-Signature={upload.signature}",
                "headers": {},
            }
            for n in range(1, count + 1)
        ]
        answer.append({"path": path, "uploadId": upload.id, "parts": parts})
    return {"files": answer}


async def put_part(request: web.Request) -> web.StreamResponse:
    """`PUT` of a part on the object store, with S3's manners and errors."""
    world = world_of(request)
    if "Authorization" in request.headers:
        return _s3_error(
            400, "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
            "string "
            "parameter or the Authorization header should be specified",
        )  # fmt: skip
    upload = world.together.file_uploads.get(request.match_info["upload"])
    if upload is None:
        return _s3_error(404, "NoSuchUpload", "The specified upload does not exist.")
    if request.query.get("X-Amz-Signature") != upload.signature:
        return _s3_error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
    if world.now() > upload.expires_at:
        return _s3_error(403, "AccessDenied", "Request has expired")
    if request.content_length is None:
        return _s3_error(
            501, "NotImplemented",
            "A header you provided implies functionality that is not implemented: Transfer-Encoding",
        )  # fmt: skip
    number = int(request.match_info["part"])
    if not 1 <= number <= upload.num_parts:
        return _s3_error(400, "InvalidArgument", "Part number is outside of this upload.")
    digest = hashlib.md5()  # noqa: S324
    size, head, wanted = 0, bytearray(), head_needed(upload.path) if number == 1 else 0
    rate = world.together.knobs.upload_bytes_per_second
    begun = world.now()
    async for chunk in request.content.iter_chunked(1 << 16):
        digest.update(chunk)
        size += len(chunk)
        if rate > 0:
            await world.clock.pace(begun + size / rate)
        if len(head) < wanted:
            head += chunk[: wanted - len(head)]
    if size != request.content_length:
        return _s3_error(
            400, "IncompleteBody", "You did not provide the number of bytes given by Content-Length."
        )
    promised = request.headers.get("Content-MD5")
    if promised is not None and promised != base64.b64encode(digest.digest()).decode():
        return _s3_error(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
    upload.parts[number] = UploadedPart(digest.hexdigest(), size)
    if number == 1:
        # The header says how much data must follow; whether it does is known when all parts are in.
        upload.facts = read_facts(
            upload.path, bytes(head), max(size, 1 << 62 if upload.num_parts > 1 else 0), upload.hash
        )
    return web.Response(headers={"ETag": f'"{digest.hexdigest()}"', "x-amz-request-id": world.new_id("", 16)})


def _s3_error(status: int, code: str, message: str) -> web.Response:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    text = f"{head}\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


async def complete_local(call: Call) -> Any:
    """`POST …/models/upload/complete`: checks every part and makes a revision."""
    project = call.project()
    body = await call.body()
    model = find_model(call, project, str(body.get("objectId") or ""))
    files = body.get("files")
    if not isinstance(files, list) or not files:
        raise call.refuse(400, "Invalid Argument: files must not be empty")
    facts = []
    for file in files:
        if not isinstance(file, dict):
            raise call.refuse(400, "Invalid Argument: files must be objects")
        path, hash = str(file.get("path")), str(file.get("hash"))
        key = f"{project.org_id}/{hash}"
        if file.get("skipUpload"):
            known = call.state.known_files.get(key)
            if known is None:
                raise call.refuse(400, f"file {path} was not uploaded", "failed_precondition")
            facts.append(replace(known, path=path))
            continue
        upload_id, claimed = _claimed(call, file)
        upload = call.state.file_uploads.get(upload_id)
        if upload is None or upload.object_id != model.id or upload.path != path:
            raise call.refuse(400, f"unknown upload for file {path}", "failed_precondition")
        have = {n: p.md5 for n, p in upload.parts.items()}
        if claimed != have or len(have) != upload.num_parts:
            raise call.refuse(400, f"parts of file {path} are missing or do not match", "failed_precondition")
        if part_hash([have[n] for n in sorted(have)]) != hash or hash != upload.hash:
            raise call.refuse(400, f"hash of file {path} does not match its parts", "failed_precondition")
        assert upload.facts is not None
        done = replace(upload.facts, size=sum(p.size for p in upload.parts.values()))
        call.state.known_files[key] = done
        facts.append(done)
    for file in files:
        if not file.get("skipUpload"):
            call.state.file_uploads.pop(_claimed(call, file)[0], None)
    revision = add_revision(call.world, model, facts, call.now)
    return {"revisionId": revision.id}


def _claimed(call: Call, file: dict[str, Any]) -> tuple[str, dict[int, str]]:
    """Upload id and part hashes that a client says it has sent."""
    details = file.get("uploadDetails")
    try:
        assert isinstance(details, dict)
        parts = {int(p["partNumber"]): str(p["hash"]).strip('"') for p in details.get("parts") or []}
    except (AssertionError, KeyError, TypeError, ValueError):
        raise call.refuse(400, "Invalid Argument: uploadDetails must have uploadId and parts") from None
    return str(details.get("uploadId")), parts
