"""RPCs about the files on volumes of both versions, the mounts of files, and large blobs."""

from __future__ import annotations

import base64
import hashlib
import posixpath
from collections.abc import AsyncIterator, Iterator

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpclib.const import Status
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal import contents
from peft_tui.sandbox.modal.calls import Call, refuse, rpc, stamp, streamed
from peft_tui.sandbox.modal.state import StoredFile, Upload, Volume
from peft_tui.sandbox.modal.volumes import volume_of

BLOCK = 8 * 1024 * 1024
PART = 16 * 1024 * 1024
DEFAULT_MODE = 0o644
ENTRIES_A_MESSAGE = 500


# Putting files


def _clean(path: str) -> str:
    """A path inside a volume, without the leading slash.

    Raises:
        GRPCError: INVALID_ARGUMENT for one that leads out of it.
    """
    if any(part == ".." for part in path.split("/")):
        raise refuse(Status.INVALID_ARGUMENT, f"Invalid path: {path}")
    return posixpath.normpath("/" + path).lstrip("/")


def _free(volume: Volume, paths: list[str], protected: bool) -> None:
    for path in paths:
        if protected and path in volume.files:
            raise refuse(Status.ALREADY_EXISTS, f"{path} already exists")
        if _is_directory(volume, path):
            raise refuse(Status.INVALID_ARGUMENT, f"{path} is a directory")


@rpc("MountPutFile")
def put_file(call: Call, request: pb.MountPutFileRequest) -> Message:
    """Ask whether content is known, or hand it over: as it is, or as a blob uploaded before."""
    digest = request.sha256_hex
    source = request.WhichOneof("data_oneof")
    if source == "data":
        if hashlib.sha256(request.data).hexdigest() != digest:
            raise refuse(Status.INVALID_ARGUMENT, "The data does not match its SHA-256")
        contents.put(call.world, request.data)
    elif source == "data_blob_id":
        upload = call.state.uploads.get(request.data_blob_id)
        if upload is None or not upload.sha256:
            raise refuse(Status.NOT_FOUND, f"Blob {request.data_blob_id} was not uploaded")
        if upload.sha256 != digest:
            raise refuse(Status.INVALID_ARGUMENT, "The blob does not match its SHA-256")
    return pb.MountPutFileResponse(exists=digest in call.state.contents, checked_at=stamp(call.now))


@rpc("MountBatchedCheckExistence")
def check_existence(call: Call, request: pb.MountBatchedCheckExistenceRequest) -> Message:
    missing = [h for h in request.sha256_hex_hashes if h not in call.state.contents]
    return pb.MountBatchedCheckExistenceResponse(
        missing_sha256_hex_hashes=missing, checked_at=stamp(call.now)
    )


@rpc("MountGetOrCreate")
def mount(call: Call, request: pb.MountGetOrCreateRequest) -> Message:
    """The vendor's own mounts exist under every name asked for; others must have been uploaded."""
    digest = hashlib.sha256(request.deployment_name.encode())
    for file in request.files:
        if file.sha256_hex not in call.state.contents:
            raise refuse(Status.FAILED_PRECONDITION, f"{file.filename} was not uploaded")
        digest.update(f"{file.filename}\0{file.sha256_hex}\0".encode())
    if not request.files and request.namespace != pb.DEPLOYMENT_NAMESPACE_GLOBAL:
        if request.object_creation_type == pb.OBJECT_CREATION_TYPE_UNSPECIFIED:
            raise refuse(Status.NOT_FOUND, f"Mount '{request.deployment_name}' not found")
    return pb.MountGetOrCreateResponse(
        mount_id=f"mo-{digest.hexdigest()[:22]}",
        handle_metadata=pb.MountHandleMetadata(content_checksum_sha256_hex=digest.hexdigest()),
    )


@rpc("BlobCreate")
def blob_create(call: Call, request: pb.BlobCreateRequest) -> Message:
    size = request.content_length
    try:
        claimed = base64.b64decode(request.content_sha256_base64, validate=True).hex()
    except ValueError:
        raise refuse(Status.INVALID_ARGUMENT, "content_sha256_base64 is not base64") from None
    upload = Upload(call.new_id("bl"), call.workspace, size, call.world.new_id("", 32), claimed=claimed)
    call.state.uploads[upload.id] = upload
    base = f"{call.http}/blob/{upload.id}"
    if size <= call.state.knobs.multipart_over:
        url = f"{base}?signature={upload.signature}"
        return pb.BlobCreateResponse(blob_ids=[upload.id], upload_urls=pb.UploadUrlList(items=[url]))
    upload.part_length = PART
    parts = -(-size // PART)
    item = pb.MultiPartUpload(
        part_length=PART,
        upload_urls=[f"{base}/{n}?signature={upload.signature}" for n in range(1, parts + 1)],
        completion_url=f"{base}/complete?signature={upload.signature}",
    )
    return pb.BlobCreateResponse(blob_ids=[upload.id], multiparts=pb.MultiPartUploadList(items=[item]))


@rpc("BlobGet")
def blob_get(call: Call, request: pb.BlobGetRequest) -> Message:
    upload = call.state.uploads.get(request.blob_id)
    if upload is None or not upload.sha256:
        raise refuse(Status.NOT_FOUND, f"Blob {request.blob_id} not found")
    return pb.BlobGetResponse(download_url=f"{call.http}/content/{upload.sha256}")


@rpc("VolumePutFiles")
def put_files(call: Call, request: pb.VolumePutFilesRequest) -> Message:
    """Version 1: all files of the batch appear at once, or none."""
    volume = volume_of(call, request.volume_id)
    _of_version(volume, 1)
    paths = [_clean(f.filename) for f in request.files]
    _free(volume, paths, request.disallow_overwrite_existing_files)
    for file in request.files:
        if file.sha256_hex not in call.state.contents:
            raise refuse(Status.FAILED_PRECONDITION, f"{file.filename} was not uploaded")
    for path, file in zip(paths, request.files, strict=True):
        size = call.state.contents[file.sha256_hex]
        volume.files[path] = StoredFile(size, [file.sha256_hex], file.mode or DEFAULT_MODE, call.now)
    return Empty()


@rpc("VolumePutFiles2")
def put_files_2(call: Call, request: pb.VolumePutFiles2Request) -> Message:
    """Version 2: blocks that are missing are named first; without any, the files appear at once."""
    volume = volume_of(call, request.volume_id)
    _of_version(volume, 2)
    paths = [_clean(f.path) for f in request.files]
    _free(volume, paths, request.disallow_overwrite_existing_files)
    answer = pb.VolumePutFiles2Response()
    for file_index, file in enumerate(request.files):
        if len(file.blocks) != -(-file.size // BLOCK):
            raise refuse(Status.INVALID_ARGUMENT, f"{file.path}: the blocks do not make up its size")
        for block_index, block in enumerate(file.blocks):
            digest = block.contents_sha256.hex()
            if digest not in call.state.contents:
                answer.missing_blocks.add(
                    file_index=file_index, block_index=block_index, put_url=f"{call.http}/block/{digest}"
                )
    if answer.missing_blocks:
        return answer
    for path, file in zip(paths, request.files, strict=True):
        pieces = [b.contents_sha256.hex() for b in file.blocks]
        volume.files[path] = StoredFile(file.size, pieces, file.mode or DEFAULT_MODE, call.now)
    return answer


def _of_version(volume: Volume, version: int) -> None:
    if volume.version != version:
        raise refuse(
            Status.INVALID_ARGUMENT,
            f"Volume {volume.id} has version {volume.version}, this call is for version {version}",
        )


# Reading


def _is_directory(volume: Volume, path: str) -> bool:
    return path == "" or any(name.startswith(path + "/") for name in volume.files)


def _entries(volume: Volume, path: str, recursive: bool) -> Iterator[pb.FileEntry]:
    file = volume.files.get(path)
    if file is not None:
        yield _entry(path, file)
        return
    if not _is_directory(volume, path):
        raise refuse(Status.NOT_FOUND, f"No such file or directory: /{path}")
    prefix = f"{path}/" if path else ""
    seen: set[str] = set()
    for name in sorted(volume.files):
        if not name.startswith(prefix):
            continue
        parts = name[len(prefix) :].split("/")
        depths = range(1, len(parts)) if recursive else range(1, min(2, len(parts)))
        for depth in depths:
            directory = prefix + "/".join(parts[:depth])
            if directory not in seen:
                seen.add(directory)
                mtime = int(max(f.mtime for n, f in volume.files.items() if n.startswith(directory + "/")))
                yield pb.FileEntry(path=directory, type=pb.FileEntry.DIRECTORY, mtime=mtime)
        if recursive or len(parts) == 1:
            yield _entry(name, volume.files[name])


def _entry(path: str, file: StoredFile) -> pb.FileEntry:
    return pb.FileEntry(path=path, type=pb.FileEntry.FILE, mtime=int(file.mtime), size=file.size)


def _listed(call: Call, id: str, path: str, recursive: bool, most: int) -> list[list[pb.FileEntry]]:
    entries = list(_entries(volume_of(call, id), _clean(path), recursive))
    entries = entries[:most] if most else entries
    return [entries[i : i + ENTRIES_A_MESSAGE] for i in range(0, len(entries), ENTRIES_A_MESSAGE)]


@streamed("VolumeListFiles")
async def list_files(call: Call, request: pb.VolumeListFilesRequest) -> AsyncIterator[Message]:
    """Entries of a version 1 volume."""
    for part in _listed(call, request.volume_id, request.path, request.recursive, request.max_entries):
        yield pb.VolumeListFilesResponse(entries=part)


@streamed("VolumeListFiles2")
async def list_files_2(call: Call, request: pb.VolumeListFiles2Request) -> AsyncIterator[Message]:
    """Entries of a version 2 volume."""
    for part in _listed(call, request.volume_id, request.path, request.recursive, request.max_entries):
        yield pb.VolumeListFiles2Response(entries=part)


def _file(call: Call, id: str, path: str) -> StoredFile:
    file = volume_of(call, id).files.get(_clean(path))
    if file is None:
        raise refuse(Status.NOT_FOUND, f"No such file: {path}")
    return file


@rpc("VolumeGetFile2")
def get_file(call: Call, request: pb.VolumeGetFile2Request) -> Message:
    """URLs of the blocks that make up a stretch of a file, for volumes of both versions."""
    file = _file(call, request.volume_id, request.path)
    start = min(request.start, file.size)
    end = min(file.size, start + request.len) if request.len else file.size
    urls: list[str] = []
    at = start
    while at < end:
        stop = min(end, (at // BLOCK + 1) * BLOCK)
        if len(file.pieces) > 1:
            piece, offset = file.pieces[at // BLOCK], at % BLOCK
        else:
            piece, offset = file.pieces[0], at
        urls.append(f"{call.http}/content/{piece}?offset={offset}&length={stop - at}")
        at = stop
    return pb.VolumeGetFile2Response(get_urls=urls, size=file.size, start=start, len=end - start)


@rpc("VolumeGetFile")
def get_file_1(call: Call, request: pb.VolumeGetFileRequest) -> Message:
    """The older form, for small files only."""
    file = _file(call, request.volume_id, request.path)
    data = b"".join(contents.get(call.world, piece) or b"" for piece in file.pieces)
    end = request.start + request.len if request.len else len(data)
    part = data[request.start : end]
    return pb.VolumeGetFileResponse(data=part, size=file.size, start=request.start, len=len(part))


# Taking away and copying


def _remove(call: Call, id: str, path: str, recursive: bool) -> Message:
    volume, path = volume_of(call, id), _clean(path)
    if path in volume.files:
        del volume.files[path]
        return Empty()
    if not path or not _is_directory(volume, path):
        raise refuse(Status.NOT_FOUND, f"No such file or directory: /{path}")
    if not recursive:
        raise refuse(Status.INVALID_ARGUMENT, f"/{path} is a directory; use recursive")
    for name in [n for n in volume.files if n.startswith(path + "/")]:
        del volume.files[name]
    return Empty()


@rpc("VolumeRemoveFile")
def remove(call: Call, request: pb.VolumeRemoveFileRequest) -> Message:
    return _remove(call, request.volume_id, request.path, request.recursive)


@rpc("VolumeRemoveFile2")
def remove_2(call: Call, request: pb.VolumeRemoveFile2Request) -> Message:
    return _remove(call, request.volume_id, request.path, request.recursive)


def _copy(call: Call, id: str, sources: list[str], target: str, recursive: bool) -> Message:
    volume, target = volume_of(call, id), _clean(target)
    into = len(sources) > 1 or _is_directory(volume, target)
    for source in map(_clean, sources):
        place = f"{target}/{source.rpartition('/')[2]}".lstrip("/") if into else target
        if source in volume.files:
            volume.files[place] = volume.files[source]
        elif recursive and _is_directory(volume, source):
            for name in [n for n in volume.files if n.startswith(source + "/")]:
                volume.files[place + name[len(source) :]] = volume.files[name]
        else:
            raise refuse(Status.NOT_FOUND, f"No such file: /{source}")
    return Empty()


@rpc("VolumeCopyFiles")
def copy(call: Call, request: pb.VolumeCopyFilesRequest) -> Message:
    return _copy(call, request.volume_id, list(request.src_paths), request.dst_path, request.recursive)


@rpc("VolumeCopyFiles2")
def copy_2(call: Call, request: pb.VolumeCopyFiles2Request) -> Message:
    return _copy(call, request.volume_id, list(request.src_paths), request.dst_path, request.recursive)
