"""The gRPC side: every RPC of the SDK's own stubs, observed, checked, disturbed and answered.

What is not implemented answers UNIMPLEMENTED, as an older or newer server of the vendor would.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import socket
import struct
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import h2.exceptions
from google.protobuf.message import Message
from grpclib import GRPCError
from grpclib.const import Handler, Status
from grpclib.server import Server, Stream
from modal_proto.api_grpc import ModalClientBase

from peft_tui.sandbox.faults import GARBAGE, Fault
from peft_tui.sandbox.modal.calls import STREAMED, UNARY, Call, workspace_of
from peft_tui.sandbox.world import LoggedRequest, World

log = logging.getLogger("peft_tui.sandbox")

PLATFORM = "modal"
METHOD = "RPC"
LONGEST_LOG = 200_000
REMEMBERED_ANSWERS = 500
# Modules that answer RPCs; they enter themselves into the table.
_ANSWERING = (
    *("account", "apps", "containers", "files", "functions", "images", "logs", "money", "observing"),
    *("proxy_tokens", "secrets", "series", "volumes"),
)

# How a status of one protocol is told in the other, for the list of calls and for faults.
HTTP_OF = {
    Status.OK: 200,
    Status.CANCELLED: 499,
    Status.INVALID_ARGUMENT: 400,
    Status.OUT_OF_RANGE: 400,
    Status.UNAUTHENTICATED: 401,
    Status.PERMISSION_DENIED: 403,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.ABORTED: 409,
    Status.FAILED_PRECONDITION: 412,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.UNKNOWN: 500,
    Status.INTERNAL: 500,
    Status.DATA_LOSS: 500,
    Status.UNIMPLEMENTED: 501,
    Status.UNAVAILABLE: 503,
    Status.DEADLINE_EXCEEDED: 504,
}
GRPC_OF = {
    400: Status.INVALID_ARGUMENT,
    401: Status.UNAUTHENTICATED,
    402: Status.RESOURCE_EXHAUSTED,
    403: Status.PERMISSION_DENIED,
    404: Status.NOT_FOUND,
    409: Status.ALREADY_EXISTS,
    412: Status.FAILED_PRECONDITION,
    429: Status.RESOURCE_EXHAUSTED,
    499: Status.CANCELLED,
    500: Status.INTERNAL,
    501: Status.UNIMPLEMENTED,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.DEADLINE_EXCEEDED,
}

AnyStream = Stream[Any, Any]


async def _unimplemented(self: ModalClientBase, stream: AnyStream) -> None:
    raise GRPCError(Status.UNIMPLEMENTED, "Method not found")


# The stubs' base class has every RPC as an abstract method; this one has none left.
_Bare = type("_Bare", (ModalClientBase,), dict.fromkeys(ModalClientBase.__abstractmethods__, _unimplemented))


def load() -> None:
    """Import what answers; it enters itself into the table."""
    for name in _ANSWERING:
        importlib.import_module(f"peft_tui.sandbox.modal.{name}")


class Service:
    """The vendor's service `modal.client.ModalClient` over one world.

    Args:
        world: What it is asked about.
        http: Base URL of the HTTP side, for uploads and for the URLs of what is deployed.
    """

    def __init__(self, world: World, http: str) -> None:
        load()
        self._world = world
        self._http = http
        self._answers: OrderedDict[tuple[str, str], Message] = OrderedDict()
        self._transports: set[asyncio.Transport] = set()

    def __mapping__(self) -> dict[str, Handler]:
        """Path to handler, as grpclib wants it; a generated name is `/modal.client.ModalClient/AppList`."""
        bare: dict[str, Handler] = _Bare().__mapping__()
        return {path: self._handler(path.rpartition("/")[2], entry) for path, entry in bare.items()}

    def _handler(self, name: str, entry: Handler) -> Handler:
        async def handle(stream: AnyStream) -> None:
            await self._observe(name, stream)

        return Handler(handle, entry.cardinality, entry.request_type, entry.reply_type)

    def cut_all(self) -> None:
        """Close what clients keep open, so that stopping does not wait for them."""
        for transport in self._transports:
            transport.abort()
        self._transports.clear()

    async def _observe(self, name: str, stream: AnyStream) -> None:
        """Log the call, and let a fault happen to it."""
        world = self._world
        transport = _transport(stream)
        self._transports = {t for t in self._transports if not t.is_closing()} | {transport}
        entry = LoggedRequest(PLATFORM, METHOD, name, None, world.now())
        if len(world.data.requests) < LONGEST_LOG:
            world.data.requests.append(entry)
        fault = next((f for f in world.data.faults if f.matches(PLATFORM, METHOD, name) and f.take()), None)
        try:
            await self._with_fault(fault, name, stream, entry)
            entry.status = 0 if fault is not None and fault.action.startswith("reset") else 200
        except GRPCError as error:
            entry.status = HTTP_OF.get(error.status, 500)
            raise
        except (ConnectionError, h2.exceptions.ProtocolError):
            entry.status = 0
        except asyncio.CancelledError:
            entry.status = 0
            raise
        except Exception:
            entry.status = 500
            log.exception("RPC %s", name)
            raise GRPCError(Status.INTERNAL, "The sandbox failed on this request; see its log.") from None
        finally:
            world.touch(soon=not name.startswith(("AppList", "TaskList")) and "Get" not in name)

    async def _with_fault(
        self, fault: Fault | None, name: str, stream: AnyStream, entry: LoggedRequest
    ) -> None:
        match fault.action if fault is not None else "":
            case "status":
                assert fault is not None
                raise GRPCError(status_of(fault), _words(fault))
            case "hang":
                while not _transport(stream).is_closing():
                    await asyncio.sleep(0.05)
                raise ConnectionResetError("the client gave up")
            case "reset_before":
                _reset(stream)
            case "reset_after":
                await self._answer(name, stream, entry, mute=True)
                _reset(stream)
            case "garbage":
                await stream.recv_message()
                await stream.send_initial_metadata()
                # A whole frame by its length, and no message of any kind inside.
                await stream._stream.send_data(struct.pack(">BI", 0, len(GARBAGE)) + GARBAGE, end_stream=True)
                # grpclib must not add the trailers of a good answer.
                stream._cancel_done = True
            case "delay":
                assert fault is not None
                await asyncio.sleep(fault.seconds)
                await self._answer(name, stream, entry)
            case "slow_body":
                assert fault is not None
                await self._answer(name, stream, entry, pause=fault.seconds / 10)
            case _:
                await self._answer(name, stream, entry)

    async def _answer(
        self, name: str, stream: AnyStream, entry: LoggedRequest, *, mute: bool = False, pause: float = 0.0
    ) -> None:
        metadata: Mapping[str, object] = stream.metadata or {}
        workspace = workspace_of(
            _text(metadata.get("x-modal-token-id")), _text(metadata.get("x-modal-token-secret"))
        )
        call = Call(self._world, workspace, self._http)
        if name in STREAMED:
            request = await self._received(stream, entry)
            async for message in STREAMED[name](call, request):
                if pause:
                    await asyncio.sleep(pause)
                if not mute:
                    await stream.send_message(message)
            return
        if name not in UNARY:
            raise GRPCError(Status.UNIMPLEMENTED, "Method not found")
        request = await self._received(stream, entry)
        # A client that has lost an answer asks again with the same key, and gets that answer.
        key = (name, _text(metadata.get("x-idempotency-key")) or "")
        answer = self._answers.get(key) if key[1] else None
        if answer is None:
            answer = UNARY[name](call, request)
            if key[1]:
                self._answers[key] = answer
                while len(self._answers) > REMEMBERED_ANSWERS:
                    self._answers.popitem(last=False)
        if pause:
            await asyncio.sleep(pause)
        if not mute:
            await stream.send_message(answer)

    async def _received(self, stream: AnyStream, entry: LoggedRequest) -> Any:
        request = await stream.recv_message()
        if request is None:
            raise GRPCError(Status.INVALID_ARGUMENT, "The request has no message")
        entry.bytes_in = request.ByteSize()
        return request


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def status_of(fault: Fault) -> Status:
    """The gRPC status that a fault stands for."""
    if fault.grpc:
        return Status[fault.grpc]
    return GRPC_OF.get(fault.code, Status.UNKNOWN)


def _words(fault: Fault) -> str:
    if isinstance(fault.body, str):
        return fault.body
    if isinstance(fault.body, dict) and isinstance(fault.body.get("message"), str):
        return str(fault.body["message"])
    return "a fault of the sandbox"


def _transport(stream: AnyStream) -> asyncio.Transport:
    # grpclib has no public way to the socket below a call.
    transport: asyncio.Transport = stream._stream._transport
    return transport


def _reset(stream: AnyStream) -> None:
    """Cut the connection with a TCP reset, as `faults.reset` does for HTTP."""
    transport = _transport(stream)
    sock = transport.get_extra_info("socket")
    if sock is not None:
        # SO_LINGER of 0 seconds turns close() into RST.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class RpcServer:
    """Serves the gRPC side on a socket that it is given."""

    def __init__(self, world: World, http: str) -> None:
        self._service = Service(world, http)
        self._server = Server([self._service])

    async def start(self, listening: socket.socket) -> None:
        """Serve a socket that listens."""
        await self._server.start(sock=listening)

    async def stop(self) -> None:
        """Stop listening; open calls are cut."""
        self._server.close()
        self._service.cut_all()
        await self._server.wait_closed()
