"""What every RPC needs: who calls, refusals in gRPC's words, and the table of those that are answered."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpclib import GRPCError
from grpclib.const import Status

from peft_tui.sandbox.modal import life
from peft_tui.sandbox.modal.state import (
    ENVIRONMENT,
    STOPPED,
    TOKENS,
    WORKSPACE_IDS,
    App,
    Function,
    ModalState,
)
from peft_tui.sandbox.world import World

Unary = Callable[["Call", Any], Message]
Streamed = Callable[["Call", Any], AsyncIterator[Message]]

# Callers take "now" from their own clock, a little before they are heard.
CLOCKS_APART = 120.0

UNARY: dict[str, Unary] = {}
STREAMED: dict[str, Streamed] = {}


def rpc(name: str) -> Callable[[Unary], Unary]:
    """This function answers the RPC of that name with one message."""

    def add(function: Unary) -> Unary:
        UNARY[name] = function
        return function

    return add


def streamed(name: str) -> Callable[[Streamed], Streamed]:
    """This function answers the RPC of that name with a stream of messages."""

    def add(function: Streamed) -> Streamed:
        STREAMED[name] = function
        return function

    return add


@dataclass(frozen=True)
class Call:
    """One RPC: the world it is asked of, the workspace of its token, and where the HTTP side is."""

    world: World
    workspace: str
    http: str

    @property
    def state(self) -> ModalState:
        """The cloud."""
        return self.world.modal

    @property
    def now(self) -> float:
        """World time."""
        return self.world.now()

    def new_id(self, prefix: str) -> str:
        """An id with a prefix such as `ap`."""
        return life.new_id(self.world, prefix)

    def environment(self, name: str) -> str:
        """The environment that is meant; there is only `main`.

        Raises:
            GRPCError: NOT_FOUND for another one.
        """
        if name not in ("", ENVIRONMENT):
            raise refuse(Status.NOT_FOUND, f"Environment '{name}' not found")
        return ENVIRONMENT

    def app(self, id: str) -> App:
        """An app of this workspace, brought up to date.

        Raises:
            GRPCError: NOT_FOUND.
        """
        app = self.state.apps.get(id)
        if app is None or app.workspace != self.workspace:
            raise refuse(Status.NOT_FOUND, f"App {id} not found")
        life.settle_app(self.world, app)
        return app

    def deployed(self, name: str) -> App | None:
        """The app that has a deployment name now."""
        for app in self.state.apps.values():
            if app.workspace == self.workspace and app.name == name and app.state != STOPPED:
                life.settle_app(self.world, app)
                return app
        return None

    def function(self, id: str) -> Function:
        """A function of this workspace, brought up to date.

        Raises:
            GRPCError: NOT_FOUND.
        """
        function = self.state.functions.get(id)
        if function is None:
            raise refuse(Status.NOT_FOUND, f"Function {id} not found")
        self.app(function.app_id)
        return function

    def url(self, function: Function) -> str:
        """Where a function is called, or "" if it is not called over HTTP."""
        return f"{self.http}/app/{function.host}" if function.host else ""

    def may_change(self) -> None:
        """Refuse what a disabled workspace may not do.

        Raises:
            GRPCError: FAILED_PRECONDITION.
        """
        if self.state.knobs.workspace_disabled:
            id = WORKSPACE_IDS[self.workspace]
            raise refuse(Status.FAILED_PRECONDITION, f"workspace {id} is disabled")

    def may_spend(self) -> None:
        """Refuse what costs money where there is none.

        Raises:
            GRPCError: RESOURCE_EXHAUSTED or FAILED_PRECONDITION.
        """
        self.may_change()
        if life.over_limit(self.world, self.workspace):
            id = WORKSPACE_IDS[self.workspace]
            raise refuse(Status.RESOURCE_EXHAUSTED, f"Workspace {id} has exceeded its spend limit")


def refuse(status: Status, message: str) -> GRPCError:
    """A refusal; to be raised."""
    return GRPCError(status, message)


def workspace_of(token_id: str | None, secret: str | None) -> str:
    """Whose token it is.

    Raises:
        GRPCError: UNAUTHENTICATED.
    """
    if not token_id or not secret:
        raise refuse(Status.UNAUTHENTICATED, "Token missing. Could not authenticate client.")
    for workspace, pair in TOKENS.items():
        if pair == (token_id, secret):
            return workspace
    raise refuse(Status.UNAUTHENTICATED, "Token validation failed. Please check your credentials.")


def entry_number(text: str) -> int:
    """The number in a place in a log, which is `<anything>-<number>`; 0 for the beginning.

    Raises:
        GRPCError: INVALID_ARGUMENT.
    """
    number = text.rpartition("-")[2]
    if number and not (number.isascii() and number.isdigit()):
        raise refuse(Status.INVALID_ARGUMENT, f"Invalid entry id {text!r}")
    return int(number or 0)


def stamp(when: float) -> Timestamp:
    """A time as the protocol has it."""
    seconds = int(when)
    return Timestamp(seconds=seconds, nanos=int((when - seconds) * 1e9))


def window_end(call: Call, value: Timestamp) -> float:
    """The end of a window, exclusive. Who says "until now" means the world's now, not his own clock's."""
    end = moment(value, time.time())
    if abs(end - time.time()) < CLOCKS_APART or end > call.now:
        return call.now + 0.001
    return end


def moment(value: Timestamp, default: float) -> float:
    """Seconds since the epoch; the default for a time that was not given."""
    return value.seconds + value.nanos / 1e9 if value.seconds or value.nanos else default
