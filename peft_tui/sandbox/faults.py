"""Faults on demand: which call fails, how, and how often."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, cast, get_args

from aiohttp import web

Action = Literal["status", "delay", "hang", "reset_before", "reset_after", "slow_body", "garbage"]
ACTIONS: tuple[str, ...] = get_args(Action)

# The names of gRPC's statuses, without OK.
GRPC_STATUSES = (
    "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip

GARBAGE = b"<html><body>\xff\xfe\x00 upstream connect error or disconnect/reset before headers"


@dataclass
class Trace:
    """What happens to the request that is being answered.

    Attributes:
        slow: The fault that slows a streamed body down.
        lost: The work is done, but no answer must go out.
        cut: The connection was reset.
    """

    slow: Fault | None = None
    lost: bool = False
    cut: bool = False


TRACE: ContextVar[Trace] = ContextVar("trace")


@dataclass
class Fault:
    """One fault.

    Attributes:
        action: What happens.
        platform: Only calls to this platform; None for all.
        match: `<METHOD path-glob>` against the vendor's own path, without the sandbox's prefix; for a
            gRPC call `RPC <name-glob>`.
        nth: The first matching call that is hit, counted from 1 when the fault was added.
        times: How many calls are hit; None for all that follow.
        code: `status`: the HTTP status; a gRPC call answers with the status that is nearest.
        grpc: `status`: the gRPC status by name, given as `code`: `"UNAVAILABLE"`.
        body: `status`: JSON value or text of the answer; `garbage`: text of the answer.
        headers: `status` and `garbage`: headers of the answer.
        seconds: `delay`: real seconds before the work; `slow_body`: real seconds the body takes.
        after_bytes: `slow_body`: cut the connection after so many bytes.
        seen: Matching calls so far.
        hits: Calls hit so far.
    """

    action: Action
    platform: str | None = None
    match: str = "* *"
    nth: int = 1
    times: int | None = 1
    code: int = 500
    grpc: str = ""
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 1.0
    after_bytes: int | None = None
    seen: int = 0
    hits: int = 0

    def matches(self, platform: str, method: str, path: str) -> bool:
        """Whether this call is one the fault speaks of."""
        if self.platform is not None and self.platform != platform:
            return False
        wanted_method, _, wanted_path = self.match.partition(" ")
        return fnmatchcase(method, wanted_method.upper()) and fnmatchcase(path, wanted_path or "*")

    def take(self) -> bool:
        """Count a matching call; whether it is to be hit."""
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


def parse_fault(data: object) -> Fault:
    """A fault from the body of `POST /_sandbox/faults`.

    Raises:
        ValueError: With a sentence on what is wrong.
    """
    if not isinstance(data, dict):
        raise ValueError("A fault is a JSON object.")
    data = _plain(data)
    known = set(Fault.__dataclass_fields__) - {"seen", "hits", "grpc"}
    if unknown := sorted(set(data) - known):
        raise ValueError(f"Unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}.")
    action = data.get("action")
    if action not in ACTIONS:
        raise ValueError(f"'action' must be one of {', '.join(ACTIONS)}.")
    fault = Fault(action=cast(Action, action))
    if data.get("platform") is not None:
        fault.platform = _typed(data, "platform", str)
    if "match" in data:
        fault.match = _typed(data, "match", str)
        if re.fullmatch(r"[A-Z][a-z]\w*", fault.match):
            # The name of a gRPC call alone.
            fault.match = f"RPC {fault.match}"
        if " " not in fault.match:
            raise ValueError(
                "'match' is '<METHOD path-glob>', for example 'POST /v2/projects/*/endpoints', "
                "or the name of a gRPC call."
            )
    if "nth" in data:
        fault.nth = _typed(data, "nth", int)
        if fault.nth < 1:
            raise ValueError("'nth' counts from 1.")
    if "times" in data:
        fault.times = None if data["times"] is None else _typed(data, "times", int)
        if fault.times is not None and fault.times < 1:
            raise ValueError("'times' must be at least 1, or null for every call.")
    if isinstance(data.get("code"), str):
        if data["code"] not in GRPC_STATUSES:
            raise ValueError(f"'code' must be an HTTP status or one of {', '.join(GRPC_STATUSES)}.")
        fault.grpc = data["code"]
    elif "code" in data:
        fault.code = _typed(data, "code", int)
        if not 200 <= fault.code <= 599:
            raise ValueError("'code' must be an HTTP status from 200 to 599.")
    for key in ("seconds",):
        if key in data:
            if isinstance(data[key], bool) or not isinstance(data[key], int | float) or data[key] < 0:
                raise ValueError(f"'{key}' must be a number of seconds, not negative.")
            fault.seconds = float(data[key])
    if data.get("after_bytes") is not None:
        fault.after_bytes = _typed(data, "after_bytes", int)
    if "headers" in data:
        headers = _typed(data, "headers", dict)
        fault.headers = {str(k): str(v) for k, v in headers.items()}
    fault.body = data.get("body")
    return fault


_ALIASES = {"status": "code", "s": "seconds", "delay": "seconds"}


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """One spelling for the ways people write a fault: `{"action": {"status": {…}}}`, `{"s": 2}`."""
    action = data.get("action")
    if isinstance(action, dict):
        rest = {k: v for k, v in data.items() if k != "action"}
        named = next((k for k in ("type", "name", "kind") if isinstance(action.get(k), str)), None)
        if named is not None:
            data = {**rest, **{k: v for k, v in action.items() if k != named}, "action": action[named]}
        elif len(action) == 1:
            ((word, inner),) = action.items()
            if not isinstance(inner, dict):
                inner = {} if inner is None else {"code" if word == "status" else "seconds": inner}
            data = {**rest, **inner, "action": word}
    return {_ALIASES.get(k, k): v for k, v in data.items()}


def _typed(data: dict[str, Any], key: str, kind: type) -> Any:
    value = data[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"'{key}' must be of type {kind.__name__}.")
    return value


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def apply(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the fault happen to a request."""
    match fault.action:
        case "status":
            return _status_answer(fault)
        case "garbage":
            body = fault.body.encode("utf-8", "replace") if isinstance(fault.body, str) else GARBAGE
            headers = {"Content-Type": "application/json", **fault.headers}
            return web.Response(status=200, body=body, headers=headers)
        case "delay":
            await asyncio.sleep(fault.seconds)
            return await handler(request)
        case "hang":
            await hang(request)
            return reset(request)
        case "reset_before":
            return reset(request)
        case "reset_after":
            TRACE.get().lost = True
            await handler(request)
            return reset(request)
        case "slow_body":
            TRACE.get().slow = fault
            return await _slowly(fault, request, await handler(request))


def _status_answer(fault: Fault) -> web.Response:
    headers = dict(fault.headers)
    if fault.body is None or isinstance(fault.body, str):
        text = fault.body or ""
        headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        return web.Response(status=fault.code, body=text.encode(), headers=headers)
    return web.json_response(fault.body, status=fault.code, headers=headers)


async def hang(request: web.Request) -> None:
    """Wait until the other side gives up."""
    while request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.05)


def reset(request: web.Request) -> web.Response:
    """Cut the connection with a TCP reset, so that the client sees an error and not an end."""
    transport = request.transport
    TRACE.get().cut = True
    if transport is not None:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            # SO_LINGER of 0 seconds turns close() into RST.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)


async def _slowly(fault: Fault, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if response.prepared or not isinstance(response, web.Response):
        return response
    body = response.body if isinstance(response.body, bytes) else b""
    slow = web.StreamResponse(status=response.status)
    for key, value in response.headers.items():
        slow.headers[key] = value
    slow.content_length = len(body)
    await slow.prepare(request)
    pieces = min(20, len(body)) or 1
    size = -(-len(body) // pieces) or 1
    sent = 0
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        if fault.after_bytes is not None and sent + len(piece) > fault.after_bytes:
            await slow.write(piece[: max(0, fault.after_bytes - sent)])
            reset(request)
            return slow
        await slow.write(piece)
        sent += len(piece)
        await asyncio.sleep(fault.seconds / pieces)
    await slow.write_eof()
    return slow
