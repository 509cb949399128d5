"""The way to Modal's control plane: one client, opened at the first need; every error in our words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from peft_tui.credentials import Secret
from peft_tui.domain.errors import ConnectionFailed, PeftTuiError, PlatformFailed, TimedOut
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.modal import sdk
from peft_tui.drivers.modal.failures import TITLE, translate, unreachable
from peft_tui.drivers.network import Network
from peft_tui.drivers.transport import Transport

OPEN_SECONDS = 20.0
LEAVING_SECONDS = 3.0
CALL_SECONDS = 60.0
"""For one call with the SDK's own repetitions in it."""


class Connection:
    """One token at one control plane."""

    def __init__(self, network: Network, server_url: str, token_id: Secret, token_secret: Secret) -> None:
        self.server_url = server_url or sdk.DEFAULT_SERVER
        # Several addresses are tried in turn by the SDK; each must be one.
        first, *_ = (
            Transport(network, url.strip(), None, TITLE).origin for url in self.server_url.split(",")
        )
        self._origin = first
        self._network = network
        self._token = (token_id, token_secret)
        self._sdk: sdk.Sdk | None = None
        self._client: Any = None
        self._opening = asyncio.Lock()
        self._forget = network.at_close(self._end)
        self.environment = ""
        """The name of the environment that all is asked in, once it is known; and its id."""
        self.environment_id = ""
        self.leaving: Callable[[], Awaitable[None]] | None = None
        """What is still to be asked when the program ends; it is not waited for long."""

    @property
    def local(self) -> bool:
        """A control plane on this machine: its data plane may be here too."""
        return self._origin.startswith(("http://127.0.0.1:", "http://localhost:"))

    async def loaded(self) -> sdk.Sdk:
        """The SDK, imported in a thread at the first need."""
        if self._sdk is None:
            self._sdk = await asyncio.to_thread(sdk.load)
        return self._sdk

    async def _end(self) -> None:
        """The program ends; what is closed before that, a driver that is replaced, leaves nothing."""
        try:
            if self.leaving is not None and self._client is not None:
                async with asyncio.timeout(LEAVING_SECONDS):
                    await self.leaving()
        except (PeftTuiError, TimeoutError):
            pass
        finally:
            await self.close()

    async def close(self) -> None:
        self._forget()
        client, self._client = self._client, None
        if client is not None:
            await client.close.aio()

    @asynccontextmanager
    async def asking(
        self,
        *,
        safe: bool,
        urgency: Urgency | None = Urgency.NORMAL,
        seconds: float | None = None,
    ) -> AsyncIterator[Any]:
        """The open client, for one thing asked of it.

        Args:
            safe: repeating it can do no harm.
            urgency: None for what takes minutes and would keep a place from the others.
            seconds: for all of it; None: as long as one call may take.

        Raises:
            PeftTuiError: and nothing else, whatever the SDK raised inside.
        """
        loaded = await self.loaded()
        host = self._network.host(self._origin)
        async with AsyncExitStack() as held:
            if urgency is not None:
                host.check(urgency)
                await held.enter_async_context(host.place(urgency))
            try:
                client = await self._open(loaded)
            except PeftTuiError:
                host.failed()
                raise
            try:
                async with asyncio.timeout(CALL_SECONDS if seconds is None else seconds):
                    yield client
            except PeftTuiError:
                raise
            except Exception as error:
                told = translate(error, loaded.errors, safe)
                if isinstance(told, ConnectionFailed | TimedOut) or (
                    isinstance(told, PlatformFailed) and told.transient
                ):
                    host.failed()
                else:
                    host.succeeded()
                raise told from error
            host.succeeded()

    async def rpc(
        self,
        name: str,
        request: str,
        /,
        *,
        safe: bool = True,
        urgency: Urgency = Urgency.NORMAL,
        **fields: Any,
    ) -> Any:
        """One call without a public method: `name` with a `request` message of `fields`."""
        loaded = await self.loaded()
        message = getattr(loaded.api, request)(**fields) if request else loaded.empty()
        async with self.asking(safe=safe, urgency=urgency) as client:
            return await loaded.unary.aio(client, name, message)

    async def _open(self, loaded: sdk.Sdk) -> Any:
        async with self._opening:
            if self._client is None:
                token_id, token_secret = self._token
                client = loaded.client(self.server_url, token_id.reveal(), token_secret.reveal())
                try:
                    async with asyncio.timeout(OPEN_SECONDS):
                        await client.__aenter__()
                        await loaded.watch.aio(client, self._network.calls, TITLE)
                except Exception as error:
                    await client.close.aio()
                    raise unreachable(self.server_url, error) from error
                except asyncio.CancelledError:
                    await client.close.aio()
                    raise
                self._client = client
            return self._client
