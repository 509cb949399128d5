"""The store behind uploads: pre-signed URLs for blobs, blocks of version 2 volumes, and reading both.

Errors are XML, as the vendor's store is an S3.
"""

from __future__ import annotations

import hashlib

from aiohttp import web

from peft_tui.sandbox.modal import contents
from peft_tui.sandbox.modal.state import Upload
from peft_tui.sandbox.web import world_of

CHUNK = 1 << 16


def _error(status: int, code: str, message: str) -> web.Response:
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


async def _body(request: web.Request) -> bytes | None:
    """The body at the pace of a line; None if it ends before the announced length."""
    world = world_of(request)
    rate = world.modal.knobs.upload_bytes_per_second
    begun, data = world.now(), bytearray()
    async for chunk in request.content.iter_chunked(CHUNK):
        data += chunk
        if rate > 0:
            await world.clock.pace(begun + len(data) / rate)
    if request.content_length is not None and len(data) != request.content_length:
        return None
    return bytes(data)


def _upload(request: web.Request) -> Upload | web.Response:
    upload = world_of(request).modal.uploads.get(request.match_info["id"])
    if upload is None:
        return _error(404, "NoSuchUpload", "The specified upload does not exist.")
    if request.query.get("signature") != upload.signature:
        return _error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
    return upload


async def put_blob(request: web.Request) -> web.StreamResponse:
    """`PUT /blob/{id}`: a blob in one piece; the ETag is its MD5."""
    upload = _upload(request)
    if isinstance(upload, web.Response):
        return upload
    data = await _body(request)
    if data is None or len(data) != upload.size:
        return _error(400, "IncompleteBody", "The body does not have the length that was announced.")
    digest = contents.put(world_of(request), data)
    if upload.claimed and digest != upload.claimed:
        return _error(400, "BadDigest", "The Content-SHA256 you specified did not match what we received.")
    upload.sha256 = digest
    return web.Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})  # noqa: S324


async def put_part(request: web.Request) -> web.StreamResponse:
    """`PUT /blob/{id}/{part}`: one part of a large blob."""
    upload = _upload(request)
    if isinstance(upload, web.Response):
        return upload
    number = int(request.match_info["part"])
    parts = -(-upload.size // upload.part_length) if upload.part_length else 0
    if not 1 <= number <= parts:
        return _error(400, "InvalidArgument", "Part number is outside of this upload.")
    data = await _body(request)
    wanted = min(upload.part_length, upload.size - (number - 1) * upload.part_length)
    if data is None or len(data) != wanted:
        return _error(400, "IncompleteBody", "The body does not have the length that was announced.")
    upload.parts[number] = contents.put(world_of(request), data)
    return web.Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})  # noqa: S324


async def complete(request: web.Request) -> web.StreamResponse:
    """`POST /blob/{id}/complete`: put the parts together; the answer has the combined ETag."""
    world = world_of(request)
    upload = _upload(request)
    if isinstance(upload, web.Response):
        return upload
    parts = -(-upload.size // upload.part_length) if upload.part_length else 0
    pieces = [contents.get(world, upload.parts[n]) for n in range(1, parts + 1) if n in upload.parts]
    whole = [p for p in pieces if p is not None]
    if not parts or len(whole) != parts:
        return _error(400, "InvalidPart", "One or more of the specified parts could not be found.")
    upload.sha256 = contents.put(world, b"".join(whole))
    sums = b"".join(hashlib.md5(p).digest() for p in whole)  # noqa: S324
    etag = f"{hashlib.md5(sums).hexdigest()}-{parts}"  # noqa: S324
    text = f"<CompleteMultipartUploadResult><ETag>&quot;{etag}&quot;</ETag></CompleteMultipartUploadResult>"
    return web.Response(text=text, content_type="application/xml")


async def put_block(request: web.Request) -> web.StreamResponse:
    """`PUT /block/{sha256}`: a block of a version 2 volume; the answer is its receipt."""
    world = world_of(request)
    data = await _body(request)
    digest = request.match_info["digest"]
    if data is None or hashlib.sha256(data).hexdigest() != digest:
        return _error(400, "BadDigest", "The block does not match its SHA-256.")
    contents.put(world, data)
    return web.Response(body=f"stored {digest}".encode(), content_type="application/octet-stream")


async def read(request: web.Request) -> web.StreamResponse:
    """`GET /content/{sha256}`: a stretch of stored bytes; zeros at its end may be left out."""
    data = contents.get(world_of(request), request.match_info["digest"])
    if data is None:
        return _error(404, "NoSuchKey", "The specified key does not exist.")
    try:
        offset = int(request.query.get("offset", 0))
        length = int(request.query.get("length", len(data)))
    except ValueError:
        return _error(400, "InvalidArgument", "offset and length are numbers.")
    return web.Response(body=data[offset : offset + length], content_type="application/octet-stream")
