"""The one place that imports Modal's SDK, and that uses what it keeps to itself.

What is private here: `modal._server._DirectServerCls` (a server that is an image's own command), the stub of
the control plane for the calls that have no public method, its channel, which is listened to, the progress
hook of a volume's upload, and `modal.runner.get_git_commit_info`, which is kept from looking. They are of the
versions below; another one is refused in plain words rather than half understood.

The SDK lives on a loop of its own in a thread of its own. What begins with an underscore here runs there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from peft_tui.calls import Call, Calls
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.drivers.network import check_store
from peft_tui.text import clean_line

KNOWN = ((1, 6), (1, 7))
"""From the first of these versions to before the second."""
ENDED_STREAMS = 1024
"""How many calls that have ended a connection remembers, for frames that come late. h2's own 65,536 are a
memory that grows for a day."""

_importing = threading.Lock()
_loaded: Sdk | None = None


@dataclass(frozen=True, slots=True)
class Sdk:
    """The SDK, loaded."""

    modal: Any
    api: Any
    """The messages of its protocol."""
    empty: type
    """The message of a call without one."""
    errors: Any
    direct_server: type
    """Stands for a server whose code is its image."""
    unary: Any
    join_image: Any
    upload: Any
    watch: Any

    def client(self, server_url: str, token_id: str, token_secret: str) -> Any:
        """A client of its own for these credentials; it opens with `__aenter__`."""
        kind = self.api.CLIENT_TYPE_CLIENT
        return self.modal.client.Client(server_url or DEFAULT_SERVER, kind, (token_id, token_secret))


DEFAULT_SERVER = "https://api.modal.com,https://api.modal2.com"
"""The SDK's own default: the second answers when the first does not."""


def check_version(version: str) -> None:
    """
    Raises:
        ConfigurationInvalid: what is used here is known of other versions only.
    """
    numbers = tuple(int(part) if part.isdigit() else -1 for part in version.split(".")[:2])
    if not KNOWN[0] <= numbers < KNOWN[1]:
        raise ConfigurationInvalid(
            f"peft-tui knows modal {KNOWN[0][0]}.{KNOWN[0][1]}; {clean_line(version, 40)} is installed.",
            hint="pip install 'modal>=1.6,<1.7', or look for a newer peft-tui. Nothing was sent.",
        )


def load() -> Sdk:
    """Import it, once: a third of a second, for a thread.

    Raises:
        ConfigurationInvalid: it is not there, or another version.
    """
    global _loaded
    with _importing:
        if _loaded is None:
            _loaded = _load()
        return _loaded


def _load() -> Sdk:
    try:
        check_version(metadata.version("modal"))
        # It reads ~/.modal.toml as it is imported; the credentials here are handed in, and only they count.
        before = os.environ.get("MODAL_CONFIG_PATH")
        os.environ["MODAL_CONFIG_PATH"] = os.devnull
        try:
            import h2.connection
            import modal
            import modal.client
            import modal.exception
            import modal.runner
            from google.protobuf.empty_pb2 import Empty
            from modal._server import _DirectServerCls
            from modal._utils.async_utils import synchronize_api
            from modal_proto import api_pb2
        finally:
            if before is None:
                del os.environ["MODAL_CONFIG_PATH"]
            else:
                os.environ["MODAL_CONFIG_PATH"] = before
    except metadata.PackageNotFoundError as error:
        raise ConfigurationInvalid(
            "Modal is spoken to through its own SDK, which is not installed.",
            hint="pip install 'modal>=1.6,<1.7'",
        ) from error
    except (ImportError, AttributeError) as error:
        raise ConfigurationInvalid(
            f"Modal's SDK cannot be loaded: {clean_line(error)}", hint="pip install 'modal>=1.6,<1.7'"
        ) from error
    # It would tell Modal of the git checkout that one happens to stand in: author, and a remote's address,
    # which may hold a token.
    modal.runner.get_git_commit_info = _no_commit  # type: ignore[attr-defined]
    h2.connection.H2Connection.MAX_CLOSED_STREAMS = ENDED_STREAMS
    # It writes on the terminal that the application draws on.
    logger = logging.getLogger("modal-client")
    logger.handlers.clear()
    logger.propagate = True
    warnings.filterwarnings("ignore", category=modal.exception.ServerWarning)
    bridge: Callable[[Any], Any] = synchronize_api
    return Sdk(
        modal,
        api_pb2,
        Empty,
        modal.exception,
        _DirectServerCls,
        *(bridge(function) for function in (_unary, _join_image, _upload, _watch)),
    )


async def _no_commit() -> None:
    """What a deployment is told of the checkout around it."""


async def _unary(client: Any, name: str, request: Any) -> Any:
    """One call that has no public method. The SDK repeats it with the same key when the answer is lost."""
    return await getattr(client._stub, name)(request)


async def _join_image(client: Any, request: Any) -> list[str]:
    """What a build has printed."""
    printed: list[str] = []
    async for answer in client._stub.ImageJoinStreaming.unary_stream(request):
        printed += [item.data for item in answer.task_logs if item.data]
        if answer.result.status:
            break
    return printed


async def _watch(client: Any, calls: Calls, platform: str) -> None:
    """Have every call of the client noted, and every address that an answer names looked at, from the SDK's
    own loop: it sends files wherever it is told to."""
    from grpclib.events import RecvMessage, RecvTrailingMetadata, SendRequest, listen

    open_calls: WeakKeyDictionary[asyncio.Task[Any], Call] = WeakKeyDictionary()
    host = urlsplit(client.server_url.partition(",")[0]).hostname or ""

    async def sent(event: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        if (before := open_calls.get(task)) is not None:
            calls.end(before, "no answer", failed=True)
        open_calls[task] = calls.begin(platform, "RPC", host, event.method_name.rpartition("/")[2])

    async def answered(event: Any) -> None:
        task = asyncio.current_task()
        call = open_calls.pop(task, None) if task is not None else None
        if call is not None:
            status = event.status
            bad = status is None or bool(status.value)
            calls.end(call, status.name if status is not None else "no status", failed=bad)

    async def received(event: Any) -> None:
        for url in _stores(event.message):
            check_store(url, host, platform)

    channel = await client._get_channel(client.server_url)
    listen(channel, SendRequest, sent)
    listen(channel, RecvTrailingMetadata, answered)
    listen(channel, RecvMessage, received)


def _stores(message: Any) -> list[str]:
    """The addresses of object stores in an answer."""
    name = message.DESCRIPTOR.name
    if name == "VolumePutFiles2Response":
        return [block.put_url for block in message.missing_blocks]
    if name == "VolumeGetFile2Response":
        return list(message.get_urls)
    if name == "BlobGetResponse":
        return [message.download_url]
    if name == "BlobCreateResponse":
        parts = [message.multipart, *message.multiparts.items]
        urls = [message.upload_url, *message.upload_urls.items]
        urls += [url for part in parts for url in (*part.upload_urls, part.completion_url)]
        return [url for url in urls if url]
    return []


async def _upload(
    client: Any,
    volume_id: str,
    version: int,
    files: Sequence[tuple[Path | BytesIO, str]],
    progress: Callable[..., Any],
) -> None:
    """All files or none: they appear on the volume when the last one has arrived."""
    from modal.volume import _AbstractVolumeUploadContextManager

    batch = _AbstractVolumeUploadContextManager.resolve(
        version,
        volume_id,
        client,
        progress_cb=progress,
        force=True,
    )
    async with batch:
        for path, remote in files:
            batch.put_file(path, remote)
