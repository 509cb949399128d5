"""Addresses that a platform's answer names, pointed elsewhere: none is followed, and no key goes anywhere.

Each platform lives against the sandbox on a socket; between it and the driver stands somebody who changes
one address of an answer. Where a request goes to is seen below the transport, in the connections it opens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from peft_tui.credentials import Secret
from peft_tui.domain.errors import ConnectionFailed, PeftTuiError
from peft_tui.domain.operation import OperationState
from peft_tui.drivers.dialects.replicate import _Exchange
from peft_tui.drivers.modal.data_plane import DataPlane
from peft_tui.drivers.network import Network, check_store
from peft_tui.drivers.predibase import upload as predibase_upload
from peft_tui.drivers.predibase.wire import UploadTicket as PredibaseTicket
from peft_tui.drivers.replicate import api as replicate
from peft_tui.drivers.together import upload as together_upload
from peft_tui.drivers.together.wire import UploadTicket as TogetherTicket
from peft_tui.sandbox.modal import files
from peft_tui.sandbox.modal.calls import UNARY
from tests.doubles import VirtualClock
from tests.drivers.dialects.test_replicate import aim
from tests.life import directory, life
from tests.raw_server import raw_server, whole
from tests.spoken import channel

NUMBERS = (
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/x",
    "https://[::1]/x",
    "https://[fd00:ec2::254]/x",
    "https://2852039166/x",
    "https://0xa9.0xfe.0xa9.0xfe/x",
    "https://127.1/x",
    "https://localhost/x",
    "https://store.localhost./x",
)
PLAIN = ("http://store.example/x", "http://169.254.169.254/x", "http://10.0.0.1/x", "http://[::1]/x")
NO_WEB = ("file:///etc/passwd", "ftp://store.example/x", "//store.example/x", "x", "")
ELSEWHERE = ("https://store.example/x", *NUMBERS[:3], *PLAIN[:2], NO_WEB[0])
"""For where nothing but the platform's own origin will do."""


@pytest.mark.parametrize("url", [*NUMBERS, *PLAIN, *NO_WEB, "https://user@store.example/x", "https:///x"])
def test_a_store_has_a_name_and_speaks_tls(url: str) -> None:
    with pytest.raises(ConnectionFailed, match="nothing was sent"):
        check_store(url, "api.example", "Acme")


@pytest.mark.parametrize("own", ["api.example", "127.0.0.1"])
@pytest.mark.parametrize(
    "url", ["https://bucket.s3.eu-west-1.amazonaws.com/x?X-Amz-Signature=a", "https://1.example:8443/x"]
)
def test_a_store_may_be_anywhere_on_the_net(url: str, own: str) -> None:
    check_store(url, own, "Acme")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "https://127.0.0.1/x"])
def test_a_platform_on_this_machine_may_have_its_store_there(url: str) -> None:
    check_store(url, "127.0.0.1", "Acme")
    with pytest.raises(ConnectionFailed):
        check_store(url, "api.example", "Acme")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hosts that requests were handed to the network for."""
    hosts: list[str] = []
    handed = Network.send

    async def seen(self: Network, request: httpx.Request, *more: Any) -> httpx.Response:
        hosts.append(f"{request.url.scheme}://{request.url.host}")
        return await handed(self, request, *more)

    monkeypatch.setattr(Network, "send", seen)
    return hosts


OWN = "http://127.0.0.1"


@pytest.mark.parametrize("platform", ["together", "replicate", "predibase"])
async def test_a_redirect_of_a_list_leads_nowhere_else(
    platform: str, tmp_path: Path, sent: list[str]
) -> None:
    async with life(tmp_path, platform) as lived:
        await lived.driver.account()
        for url in ELSEWHERE:
            await lived.fault(match="GET *", times=99, action="status", code=302, headers={"Location": url})
            with pytest.raises(PeftTuiError):
                await lived.driver.deployments()
            async with httpx.AsyncClient() as client:
                await client.delete(f"{lived.sandbox.url}/_sandbox/faults")
        assert set(sent) == {OWN}
        await lived.driver.deployments()


async def test_a_next_page_is_of_the_same_origin(
    tmp_path: Path, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicate alone pages by addresses; the others by tokens."""
    parsed = replicate.parse_page
    async with life(tmp_path, "replicate") as lived:
        await lived.driver.account()
        for url in ELSEWHERE[:-1]:

            def told(*words: Any, url: str = url) -> Any:
                return parsed(*words).model_copy(update={"next": url})

            monkeypatch.setattr(replicate, "parse_page", told)
            with pytest.raises(ConnectionFailed, match="foreign host"):
                await lived.driver.deployments()
        assert set(sent) == {OWN}


def of_together(ticket: Any, url: str) -> Any:
    if not isinstance(ticket, TogetherTicket):
        return ticket
    files = [
        file.model_copy(update={"parts": [part.model_copy(update={"url": url}) for part in file.parts]})
        for file in ticket.files
    ]
    return ticket.model_copy(update={"files": files})


def of_predibase(ticket: Any, url: str) -> Any:
    if not isinstance(ticket, PredibaseTicket):
        return ticket
    return ticket.model_copy(update={"presigned_urls": dict.fromkeys(ticket.presigned_urls, url)})


@pytest.mark.parametrize(
    ("platform", "instance_type", "module", "changed"),
    [
        ("together", "1xnvidia-h100-80gb", together_upload, of_together),
        ("predibase", "a10_24gb_100", predibase_upload, of_predibase),
    ],
    ids=["together", "predibase"],
)
async def test_weights_go_to_no_number_and_nowhere_without_tls(
    platform: str,
    instance_type: str,
    module: ModuleType,
    changed: Callable[[Any, str], Any],
    tmp_path: Path,
    sent: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # BUG: by https they went to any number that an answer named, the cloud's own metadata service included.
    parsed = module.parse
    async with life(tmp_path, platform) as lived:
        source = directory(tmp_path)
        for url in (NUMBERS[0], NUMBERS[2], PLAIN[0], NO_WEB[0]):

            def told(*words: Any, url: str = url) -> Any:
                return changed(parsed(*words), url)

            monkeypatch.setattr(module, "parse", told)
            operation = await lived.run(await lived.intend(source, instance_type=instance_type))
            assert operation.state is OperationState.FAILED and operation.error is not None
            assert "nothing was sent" in str(operation.error["message"])
        assert set(sent) == {OWN}


@pytest.mark.parametrize("url", [NUMBERS[0], PLAIN[0]])
async def test_modal_s_own_library_sends_to_no_number_either(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # BUG: it sent the files wherever the answer said.
    answered = files.put_files_2
    asked = []

    def elsewhere(call: Any, request: Any) -> Any:
        answer = answered(call, request)
        for block in answer.missing_blocks:
            block.put_url = url
            asked.append(url)
        return answer

    monkeypatch.setitem(UNARY, "VolumePutFiles2", elsewhere)
    async with life(tmp_path, "modal") as lived:
        operation = await lived.run(await lived.intend(directory(tmp_path), instance_type="L40S"))
        assert asked
        assert operation.state is OperationState.FAILED and operation.error is not None
        assert "nothing was sent" in str(operation.error["message"])


@pytest.mark.parametrize("key", ["get", "cancel", "stream"])
async def test_a_prediction_is_read_and_cancelled_where_it_was_made(key: str) -> None:
    async with raw_server(whole({})) as server, channel(aim(server)) as asking:
        exchange = _Exchange(asking, streaming=True)
        for url in ELSEWHERE:
            exchange.take({"id": "p", "status": "processing", "urls": {key: url}})
            with pytest.raises(ConnectionFailed):
                if key == "get":
                    await exchange.look()
                elif key == "cancel":
                    await asking.post(exchange.url("cancel"))
                else:
                    async for _ in exchange.follow(201):
                        pass
        assert server.received == []


@pytest.mark.parametrize("url", ELSEWHERE)
async def test_modal_s_servers_are_asked_at_modal_s_own_addresses(url: str, sent: list[str]) -> None:
    plane = DataPlane(Network(VirtualClock()), local=False)
    token = (Secret("wk-1"), Secret("ws-1"))
    assert "not its own" in (await plane.health(url, token)).said
    with pytest.raises(ConnectionFailed, match="not its own"):
        await plane.models(url, token)
    assert sent == []
