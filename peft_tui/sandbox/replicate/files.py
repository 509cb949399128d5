"""Files: inputs for predictions, gone after a day."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from aiohttp import web

from peft_tui.sandbox.clock import iso
from peft_tui.sandbox.replicate.access import Call, page
from peft_tui.sandbox.replicate.errors import Fields, refuse
from peft_tui.sandbox.replicate.state import StoredFile
from peft_tui.sandbox.web import world_of

LARGEST = 100 * 1024 * 1024
LIFETIME = 86400.0


def _json(call: Call, file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": file.name,
        "content_type": file.content_type,
        "size": file.size,
        "etag": file.etag,
        "checksums": {"sha256": file.sha256, "md5": file.etag},
        "metadata": file.metadata,
        "created_at": iso(file.created_at),
        "expires_at": iso(file.expires_at),
        "urls": {"get": f"{call.api}/files/{file.id}"},
    }


def _gone() -> Exception:
    return refuse(404, "File not found")


async def create(call: Call) -> Any:
    """`POST /files`, multipart with the field `content` → 201."""
    if not call.request.content_type.startswith("multipart/"):
        fields = Fields()
        fields.add("required", "content", "content is required")
        fields.check()
    form = await call.request.post()
    content = form.get("content")
    if isinstance(content, web.FileField):
        data, name, kind = content.file.read(), content.filename, content.content_type
    elif isinstance(content, str | bytes | bytearray):
        data, name, kind = (content.encode() if isinstance(content, str) else bytes(content)), "content", ""
    else:
        fields = Fields()
        fields.add("required", "content", "content is required")
        fields.check()
        raise AssertionError("refused above")
    if len(data) > LARGEST:
        raise refuse(413, "Files must be less than 100MB in size")
    metadata = _metadata(form.get("metadata"))
    now = call.now
    file = StoredFile(
        id=call.world.new_id("", 40),
        account=call.account.username,
        name=str(form.get("filename") or name or "content"),
        content_type=str(form.get("type") or kind or "application/octet-stream"),
        size=len(data),
        etag=hashlib.md5(data).hexdigest(),  # noqa: S324
        sha256=hashlib.sha256(data).hexdigest(),
        metadata=metadata,
        created_at=now,
        expires_at=now + LIFETIME,
    )
    call.state.files[file.id] = file
    call.world.file_bytes[file.id] = data
    return web.json_response(_json(call, file), status=201)


def _metadata(raw: Any) -> dict[str, Any]:
    if isinstance(raw, web.FileField):
        raw = raw.file.read()
    if not raw:
        return {}
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise refuse(400, "metadata must be a JSON object")
    return value


def _find(call: Call) -> StoredFile:
    file = call.state.files.get(call.arg("id"))
    if file is None or file.account != call.account.username or call.now >= file.expires_at:
        raise _gone()
    return file


async def retrieve(call: Call) -> Any:
    """`GET /files/{id}`."""
    return _json(call, _find(call))


async def list_files(call: Call) -> Any:
    """`GET /files`, newest first."""
    mine = [
        f for f in call.state.files.values() if f.account == call.account.username and call.now < f.expires_at
    ]
    mine.reverse()
    return page(call, mine, lambda f: _json(call, f), lambda f: f.id)


async def delete(call: Call) -> Any:
    """`DELETE /files/{id}` → 204."""
    file = _find(call)
    del call.state.files[file.id]
    call.world.file_bytes.pop(file.id, None)
    return web.Response(status=204)


def signature(seed: int, file: StoredFile, expiry: str) -> str:
    """Base64 HMAC over owner, id and expiry, with the account's webhook secret as the key."""
    text = f"{file.account} {file.id} {expiry}".encode()
    digest = hmac.new(webhook_key(seed, file.account), text, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def webhook_key(seed: int, username: str) -> bytes:
    """The account's signing key, the same for the same seed."""
    return hashlib.sha256(f"{seed}|webhook|{username}".encode()).digest()[:24]


async def download(request: web.Request) -> web.StreamResponse:
    """`GET /files/{id}/download?owner&expiry&signature`: signed, so no token is asked for."""
    world = world_of(request)
    file = world.replicate.files.get(request.match_info["id"])
    query = request.query
    if file is None or query.get("owner") != file.account or file.id not in world.file_bytes:
        raise _gone()
    expiry = query.get("expiry", "")
    wanted = signature(world.data.seed, file, expiry)
    fresh = expiry.isdigit() and int(expiry) >= world.now()
    if not fresh or not hmac.compare_digest(wanted, query.get("signature", "")):
        raise _gone()
    return web.Response(body=world.file_bytes[file.id], content_type=file.content_type)
