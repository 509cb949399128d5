"""The workspace's volumes: what lies there, and putting more there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from peft_tui.domain.errors import NotFound, PlatformFailed
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.modal.connection import Connection
from peft_tui.drivers.modal.progress import Meter
from peft_tui.text import clean_line

UPLOAD_SECONDS = 6 * 3600.0
STALL_SECONDS = 120.0
"""Without a byte going out. The SDK repeats a part that was cut for minutes, which comes to nothing with some
versions of its HTTP library; begun again, what has arrived is not sent again."""
MAX_CONFIG = 1024 * 1024


class Volumes:
    """Those of the connection's environment, by name."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def _make(self, name: str) -> None:
        """Make the volume, unless it is there: of the second kind, where what is sent counts in parts."""
        try:
            async with self._open(name):
                return
        except NotFound:
            pass
        loaded = await self.connection.loaded()
        await self.connection.rpc(
            "VolumeGetOrCreate",
            "VolumeGetOrCreateRequest",
            deployment_name=name,
            environment_name=self.connection.environment,
            object_creation_type=loaded.api.OBJECT_CREATION_TYPE_CREATE_IF_MISSING,
            version=loaded.api.VOLUME_FS_VERSION_V2,
        )

    @asynccontextmanager
    async def _open(self, name: str, *, seconds: float | None = None) -> AsyncIterator[tuple[Any, Any]]:
        """The open volume, and the client."""
        modal = (await self.connection.loaded()).modal
        urgency = Urgency.NORMAL if seconds is None else None
        async with self.connection.asking(safe=True, urgency=urgency, seconds=seconds) as client:
            volume = modal.Volume.from_name(name, environment_name=self.connection.environment)
            await volume.hydrate.aio(client)
            yield volume, client

    async def upload(self, name: str, files: Sequence[tuple[Path | BytesIO, str]], meter: Meter) -> None:
        """Put `files` on the volume `name`; they appear there when all have arrived."""
        loaded = await self.connection.loaded()
        await self._make(name)
        async with self._open(name, seconds=UPLOAD_SECONDS) as (volume, client):
            version = volume._get_metadata().version
            async with asyncio.timeout(STALL_SECONDS) as limit:
                now = asyncio.get_running_loop().time
                meter.moved = lambda: limit.reschedule(now() + STALL_SECONDS)
                try:
                    await loaded.upload.aio(client, volume.object_id, version, files, meter)
                finally:
                    meter.moved = lambda: None

    async def listing(self, name: str, path: str) -> dict[str, int | None]:
        """What lies directly under `path`: size of a file, None for a directory.

        Raises:
            NotFound: there is no such volume or directory.
        """
        async with self._open(name) as (volume, _):
            entries = await volume.listdir.aio(f"/{path}")
        return {
            clean_line(entry.path).strip("/").rpartition("/")[2]: entry.size
            if entry.type.name == "FILE"
            else None
            for entry in entries
        }

    async def paths(self, name: str) -> set[str]:
        """Every file and directory on the volume `name`."""
        async with self._open(name) as (volume, _):
            return {
                clean_line(entry.path).strip("/") for entry in await volume.listdir.aio("/", recursive=True)
            }

    async def read(self, name: str, path: str) -> bytes:
        """The file at `path`, as far as a configuration may be long."""
        content = bytearray()
        async with self._open(name) as (volume, _):
            async for chunk in volume.read_file.aio(f"/{path}"):
                content += chunk
                if len(content) > MAX_CONFIG:
                    raise PlatformFailed(f"{path} on {name} is larger than a configuration is.")
        return bytes(content)

    async def remove(self, name: str, path: str) -> None:
        try:
            async with self._open(name) as (volume, _):
                await volume.remove_file.aio(f"/{path}", recursive=True)
        except NotFound:
            # The volume or the directory: gone is what was wanted.
            pass
