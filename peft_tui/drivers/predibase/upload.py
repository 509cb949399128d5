"""A local adapter into a repository: each file in one piece to an address of its own, then one completion."""

from __future__ import annotations

import asyncio
from pathlib import Path

from peft_tui.adapters import read_directory
from peft_tui.domain.adapter import Adapter, megabytes
from peft_tui.domain.errors import AuthenticationFailed, ConfigurationInvalid, ConnectionFailed, NotFound
from peft_tui.drivers.predibase.api import PredibaseApi
from peft_tui.drivers.predibase.wire import AdapterWire, UploadTicket
from peft_tui.drivers.presigned import Refused, with_fresh_addresses
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.drivers.wire import made, parse

LARGEST_FILE = 5 * 1024**3
"""Of one PUT to an object store; the vendor's client knows no other way to send a file."""
UPLOAD = "/v2/adapters/upload"


def too_large(adapter: Adapter) -> str:
    """A sentence when a file cannot be sent; empty when all can."""
    for name, size in adapter.files:
        if size > LARGEST_FILE:
            return (
                f"{name} has {megabytes(size)}; Predibase takes a file in one piece of at most "
                f"{megabytes(LARGEST_FILE)}"
            )
    return ""


async def upload_directory(api: PredibaseApi, repo: str, context: StepContext) -> Outputs:
    """Send the adapter's two files. Cut off, it is begun again: only the completion makes a version."""
    directory = Path(context.spec.source.reference)
    # Read again: the directory may have changed since the wizard looked at it.
    adapter = await asyncio.to_thread(read_directory, str(directory))
    if problem := too_large(adapter):
        raise ConfigurationInvalid(f"{problem}.", hint="Nothing of it was sent.")

    async def send() -> UploadTicket:
        ticket = await _ticket(api, repo, adapter)
        await _send(api, ticket, directory, adapter, context)
        return ticket

    ticket = await with_fresh_addresses(send, "Predibase")
    total = sum(size for _, size in adapter.files)
    context.report(total, total, "completing")
    answer = await api.http.request("PUT", f"{UPLOAD}/", body={"uploadToken": ticket.upload_token})
    version = made(AdapterWire, answer, api.title)
    return {"adapter": f"{repo}/{version.tag}"}


async def _ticket(api: PredibaseApi, repo: str, adapter: Adapter) -> UploadTicket:
    """Fresh addresses for all files.

    Raises:
        NotFound: the repository was deleted since it was made.
    """
    try:
        answer = await api.http.request("POST", UPLOAD, body={"repo": repo})
    except NotFound as error:
        raise NotFound(
            f"The repository {repo} is not at {api.title} any more: somebody deleted it meanwhile.",
            hint="Nothing bills: no deployment was made. Deploy again.",
            detail=error.detail,
            status=error.status,
        ) from error
    ticket = parse(UploadTicket, answer, api.title)
    if missing := [name for name, _ in adapter.files if name not in ticket.presigned_urls]:
        raise ConnectionFailed(f"{api.title} gave no upload address for {', '.join(missing)}.")
    return ticket


async def _send(
    api: PredibaseApi, ticket: UploadTicket, directory: Path, adapter: Adapter, context: StepContext
) -> None:
    """Each file to its address.

    Raises:
        Refused: one of them is not taken there.
    """
    sent, total = 0, sum(size for _, size in adapter.files)

    def count(size: int) -> None:
        nonlocal sent
        sent += size
        context.report(sent, total, "")

    count(0)
    headers = {"Content-Type": "application/octet-stream", **ticket.required_headers}
    for name, size in adapter.files:
        try:
            url = ticket.presigned_urls[name]
            answer = await api.http.upload(url, directory / name, 0, size, headers, count)
        except AuthenticationFailed as error:
            raise Refused(name, error) from error
        if not answer.get("etag"):
            # What every object store acknowledges with. Without it, somebody else answered.
            raise ConnectionFailed(f"The upload of {name} was not acknowledged.", transient=True)
