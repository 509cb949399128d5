"""The socket of the gRPC side. What serves it is loaded with the first connection."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

from peft_tui.sandbox.world import World

if TYPE_CHECKING:
    from peft_tui.sandbox.modal.service import RpcServer

log = logging.getLogger("peft_tui.sandbox")

BACKLOG = 100


class RpcPort:
    """Listens at once, and loads gRPC and the vendor's protocol only when somebody comes.

    They take a sixth of a second, which nobody should wait for who does not use this cloud.

    Args:
        world: What is asked about.
        http: Base URL of the cloud's HTTP side.
    """

    def __init__(self, world: World, http: str) -> None:
        self._world = world
        self._http = http
        self._socket: socket.socket | None = None
        self._loading: asyncio.Task[RpcServer] | None = None

    def start(self, host: str, port: int) -> int:
        """Listen; the port it got, which is `port` unless that is 0.

        Raises:
            OSError: It is taken.
        """
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
        listening.setblocking(False)
        self._socket = listening
        asyncio.get_running_loop().add_reader(listening, self._somebody_came, listening)
        return int(listening.getsockname()[1])

    def _somebody_came(self, listening: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(listening)
        self._loading = asyncio.create_task(self._serve(listening))

    async def _serve(self, listening: socket.socket) -> RpcServer:
        # In a thread, so that the other clouds answer meanwhile.
        make = await asyncio.to_thread(_load)
        server = make(self._world, self._http)
        await server.start(listening)
        return server

    async def stop(self) -> None:
        """Stop listening; open calls are cut."""
        listening, self._socket = self._socket, None
        if listening is None:
            return
        if self._loading is None:
            asyncio.get_running_loop().remove_reader(listening)
        else:
            server = await self._loading
            self._loading = None
            await server.stop()
        listening.close()


def _load() -> type[RpcServer]:
    from peft_tui.sandbox.modal.service import RpcServer, load

    load()
    return RpcServer
