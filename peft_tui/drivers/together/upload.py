"""A local adapter to Together's object store: hashes, presigned parts, completion."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from peft_tui.adapters import read_directory
from peft_tui.domain.errors import AuthenticationFailed, ConfigurationInvalid, ConnectionFailed
from peft_tui.drivers.presigned import Refused, with_fresh_addresses
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.drivers.together.wire import UploadFile, UploadTicket
from peft_tui.drivers.transport import Transport
from peft_tui.drivers.wire import parse

PART = 20 * 1024 * 1024
"""The part size that the vendor's own client uses: the server knows only their number."""
PARTS_AT_A_TIME = 4


@dataclass(frozen=True, slots=True)
class LocalFile:
    name: str
    path: Path
    size: int
    hash: str
    """As an object store writes it: md5, or `<md5 of the parts' md5s>-<parts>`."""

    @property
    def parts(self) -> list[tuple[int, int]]:
        """Offset and size of each."""
        return [(offset, min(PART, self.size - offset)) for offset in range(0, self.size, PART)]


async def upload_directory(transport: Transport, path: str, title: str, context: StepContext) -> Outputs:
    """Send the adapter's two files. Begun again, it skips what has arrived: the server knows the hashes."""
    directory = Path(context.spec.source.reference)
    context.report(None, None, "reading and hashing")
    # Read again: the directory may have changed since the wizard looked at it.
    adapter = await asyncio.to_thread(read_directory, str(directory))
    files = [await asyncio.to_thread(_local_file, directory, name) for name, _ in adapter.files]
    object_id = context.outputs["model_id"]

    async def send() -> list[dict[str, Any]]:
        tickets = await _tickets(transport, path, title, object_id, files)
        return await _send(transport, title, files, tickets, context)

    done = await with_fresh_addresses(send, "Together")
    total = sum(file.size for file in files)
    context.report(total, total, "completing")
    answer = await transport.request("POST", f"{path}/complete", body={"objectId": object_id, "files": done})
    return {"uploaded_revision": str((answer or {}).get("revisionId", ""))}


async def _tickets(
    transport: Transport, path: str, title: str, object_id: str, files: list[LocalFile]
) -> dict[str, UploadFile]:
    """Fresh addresses, by file; of what has arrived before it says so."""
    answer = await transport.request(
        "POST",
        f"{path}/create",
        body={
            "objectId": object_id,
            "files": [{"path": f.name, "hash": f.hash, "numParts": len(f.parts)} for f in files],
        },
    )
    tickets = {file.path: file for file in parse(UploadTicket, answer, title).files}
    if missing := [file.name for file in files if file.name not in tickets]:
        raise ConnectionFailed(f"{title} gave no upload address for {', '.join(missing)}.")
    return tickets


async def _send(
    transport: Transport,
    title: str,
    files: list[LocalFile],
    tickets: dict[str, UploadFile],
    context: StepContext,
) -> list[dict[str, Any]]:
    """Each part to its address; what the completion is told of each file.

    Raises:
        Refused: one of them is not taken there.
    """
    total = sum(file.size for file in files)
    sent = sum(file.size for file in files if tickets[file.name].skip_upload)

    def count(size: int) -> None:
        nonlocal sent
        sent += size
        context.report(sent, total, "")

    count(0)
    gate = asyncio.Semaphore(PARTS_AT_A_TIME)
    done: list[dict[str, Any]] = []
    for file in files:
        remote = tickets[file.name]
        if remote.skip_upload:
            done.append({"path": file.name, "hash": file.hash, "skipUpload": True})
            continue
        _check_parts(file, remote, title)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(
                        _send_part(transport, gate, file, part.part_number, part.url, part.headers, count)
                    )
                    for part in remote.parts
                ]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        details = {
            "uploadId": remote.upload_id,
            "parts": sorted((task.result() for task in tasks), key=itemgetter("partNumber")),
        }
        done.append({"path": file.name, "hash": file.hash, "uploadDetails": details})
    return done


async def _send_part(
    transport: Transport,
    gate: asyncio.Semaphore,
    file: LocalFile,
    number: int,
    url: str,
    headers: dict[str, str],
    count: Any,
) -> dict[str, Any]:
    offset, size = file.parts[number - 1]
    async with gate:
        try:
            answer = await transport.upload(url, file.path, offset, size, headers, count)
        except AuthenticationFailed as error:
            raise Refused(file.name, error) from error
    etag = answer.get("etag", "").strip('"')
    if not etag:
        # What the part is completed with. Without it, whoever answered was not the store.
        raise ConnectionFailed(f"The upload of {file.name} was not acknowledged.", transient=True)
    return {"partNumber": number, "hash": etag}


def _check_parts(file: LocalFile, remote: UploadFile, title: str) -> None:
    wanted = list(range(1, len(file.parts) + 1))
    if sorted(part.part_number for part in remote.parts) != wanted:
        raise ConnectionFailed(f"{title} gave addresses for other parts of {file.name} than were asked for.")


def _local_file(directory: Path, name: str) -> LocalFile:
    path = directory / name
    digests: list[bytes] = []
    size = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(PART):
                digests.append(hashlib.md5(chunk, usedforsecurity=False).digest())
                size += len(chunk)
    except OSError as error:
        raise ConfigurationInvalid(f"{path} cannot be read: {error.strerror}.") from error
    if len(digests) == 1:
        return LocalFile(name, path, size, digests[0].hex())
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
    return LocalFile(name, path, size, f"{whole}-{len(digests)}")
