"""The socket of Modal's gRPC side: loaded late, closed cleanly, and never brought down by what is sent."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import pytest
from modal_proto import api_pb2 as pb

from peft_tui.sandbox import PortBusy, Sandbox
from peft_tui.sandbox.modal.calls import STREAMED, UNARY
from peft_tui.sandbox.modal.service import load
from tests.sandbox.modal_client import connected

PROGRAM = """
import asyncio, sys
from peft_tui.sandbox import run_sandbox
async def main():
    async with run_sandbox() as sandbox:
        print("modal_proto" in sys.modules)
        port = sandbox.env["MODAL_SERVER_URL"].rpartition(":")[2]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n")
        await reader.read(1)
        print("modal_proto" in sys.modules, "modal" in sys.modules)
asyncio.run(main())
"""


def port_of(sandbox):
    return int(sandbox.env["MODAL_SERVER_URL"].rpartition(":")[2])


def test_nothing_of_grpc_is_loaded_before_somebody_connects():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True", "False"], done.stderr


async def test_it_stops_at_once_with_and_without_open_connections():
    quiet = Sandbox(speed=0)
    await quiet.start()
    await asyncio.wait_for(quiet.stop(), 20)
    sandbox = Sandbox(speed=0)
    await sandbox.start()
    async with connected(sandbox) as m:
        await m.adapter()
        app = await m.deploy("bot")
        following = asyncio.create_task(
            m.stream("AppGetLogs", pb.AppGetLogsRequest(app_id=app.app_id, timeout=55))
        )
        await m.has_heard("RPC", "AppGetLogs")
        await asyncio.wait_for(sandbox.stop(), 20)
        with pytest.raises(Exception):  # noqa: B017, PT011 - how the SDK says it is not ours to test
            await following
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port_of(sandbox))


def held(port=0):
    """A socket that has a port; None if somebody else has it."""
    listening = socket.socket()
    try:
        listening.bind(("127.0.0.1", port))
    except OSError:
        listening.close()
        return None
    listening.listen()
    return listening


@pytest.mark.parametrize("taken", [False, True])
async def test_the_port_is_next_to_the_main_one_or_any_other_if_that_is_taken(taken):
    # Whatever else runs here may take a port in between; then another three are tried.
    for _ in range(20):
        first = held()
        main = first.getsockname()[1]
        third = held(main + 2)
        first.close()
        if third is None:
            continue
        if not taken:
            third.close()
        sandbox = Sandbox(speed=0, port=main)
        try:
            await sandbox.start()
        except PortBusy:
            continue
        finally:
            if taken:
                third.close()
        got = port_of(sandbox)
        await sandbox.stop()
        if taken:
            assert got != main + 2
            return
        if got == main + 2:
            return
    pytest.fail("the port was never the wanted one")


async def test_what_is_no_grpc_does_no_harm(sb):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 200, preface + b"\xff" * 64):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(sb))
        writer.write(junk)
        writer.close()
    async with connected(sb) as m:
        await m.client.hello.aio()


def odd(message, depth=2):
    """A message with something unusual in every field: an unknown id, a huge number, a strange path."""
    for field in message.DESCRIPTOR.fields:
        target = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].type == field.TYPE_STRING:
                target["../x\x01"] = "\u202e"
        elif field.message_type is not None:
            if depth:
                odd(target.add() if field.is_repeated else target, depth - 1)
                if not field.is_repeated:
                    target.SetInParent()
        elif field.is_repeated:
            if field.type == field.TYPE_STRING:
                target.append("../x\x01")
        elif field.type == field.TYPE_STRING:
            setattr(message, field.name, "" if field.name == "environment_name" else "../x\x01-\u202e")
        elif field.type == field.TYPE_BYTES:
            setattr(message, field.name, b"\xff\x00")
        elif field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
            setattr(message, field.name, 1e12 if field.name != "timeout" else 0.0)
        elif field.type != field.TYPE_BOOL and field.enum_type is None:
            setattr(message, field.name, 2**31 - 1)
    return message


async def test_nothing_that_is_sent_makes_it_fail(sb):
    """Every call that is answered, with nothing in its message and with oddities, before and after a life."""
    load()
    service = pb.DESCRIPTOR.services_by_name["ModalClient"].methods_by_name
    async with connected(sb) as m:
        await m.adapter()
        app = await m.deploy("bot", min_containers=1)
        sb.clock.advance(45)
        await m.chat("support")
        function = (await m.server())._get_service_function().object_id
        known = {
            "app_id": app.app_id,
            "function_id": function,
            "app_name": "bot",
            "volume_id": next(iter(sb.world.modal.volumes)),
            "image_id": next(iter(sb.world.modal.images)),
            "secret_id": "",
        }
        ends = ("AppStop", "ImageDelete", "VolumeDelete", "AppClientDisconnect")
        for name in sorted({*UNARY, *STREAMED}, key=lambda n: n in ends):
            kind = service[name].input_type._concrete_class
            half = odd(kind())
            for key, value in known.items():
                if key in kind.DESCRIPTOR.fields_by_name:
                    setattr(half, key, value)
            if "timeout" in kind.DESCRIPTOR.fields_by_name:
                half.timeout = 0.0
            for request in (kind(), odd(kind()), half):
                try:
                    await (m.stream if name in STREAMED else m.rpc)(name, request)
                except Exception:  # noqa: S110 - the list of calls has the statuses
                    pass
        failed = {path for _, path, status in await m.called() if status in (0, 500)}
        assert failed == set()
        await m.http.get(f"{sb.url}/_sandbox/billing")
