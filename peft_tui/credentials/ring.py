"""The system's keyring: Secret Service, KWallet, the macOS or Windows store, or none that can be used.

Any call may hang (a prompt that nobody sees, a bus that does not answer): each runs in a thread that the
program does not wait for at its end, and is given up after three seconds.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from peft_tui.text import clean_line

T = TypeVar("T")

SERVICE = "peft-tui"
SECONDS = 3.0
_CANARY = "canary"


class RingFailed(Exception):
    """`str(error)` says why in a few words, for a person."""


class Ring:
    """One keyring. After a call that hung it is not asked again until `check(again=True)`."""

    def __init__(self, open_backend: Callable[[], Any] | None = None, seconds: float = SECONDS) -> None:
        self._open = open_backend or _system_backend
        self._seconds = seconds
        self._backend: Any = None
        self._trouble: str | None = None
        """None: not tried yet. Empty: it works."""
        self._trying = asyncio.Lock()

    @property
    def name(self) -> str:
        """What the backend calls itself, once it was opened."""
        return clean_line(getattr(self._backend, "name", "") or "", 60)

    async def check(self, *, again: bool = False) -> str:
        """Why it cannot be used; nothing when a canary could be written, read and deleted."""
        async with self._trying:
            if self._trouble is None or again:
                try:
                    await self._call(self._probe)
                except RingFailed as error:
                    self._trouble = str(error)
                else:
                    self._trouble = ""
            return self._trouble

    async def read(self, name: str) -> str | None:
        """The value, None when there is none.

        Raises:
            RingFailed: it could not be asked.
        """
        return await self._usable(lambda: self._backend.get_password(SERVICE, name))

    async def write(self, name: str, value: str) -> None:
        """Keep `value`, and read it back: some backends take everything and keep nothing.

        Raises:
            RingFailed: it is not kept.
        """

        def keep() -> None:
            self._backend.set_password(SERVICE, name, value)
            if self._backend.get_password(SERVICE, name) != value:
                raise RingFailed("it does not keep what it is given")

        await self._usable(keep)

    async def erase(self, name: str) -> None:
        """Have it gone, and see that it is.

        Raises:
            RingFailed: it may still be there.
        """

        def erase() -> None:
            with suppress(Exception):
                # What is not there cannot be deleted: whether it is gone is what counts.
                self._backend.delete_password(SERVICE, name)
            if self._backend.get_password(SERVICE, name) is not None:
                raise RingFailed("it did not delete it")

        await self._usable(erase)

    async def _usable(self, call: Callable[[], T]) -> T:
        if self._trouble:
            raise RingFailed(self._trouble)
        if self._backend is None:
            await self._call(self._begin)
        return await self._call(call)

    def _begin(self) -> None:
        self._backend = self._open()

    def _probe(self) -> None:
        self._begin()
        value = os.urandom(8).hex()
        self._backend.set_password(SERVICE, _CANARY, value)
        found = self._backend.get_password(SERVICE, _CANARY)
        self._backend.delete_password(SERVICE, _CANARY)
        if found != value:
            raise RingFailed("it does not keep what it is given")

    async def _call(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def settle(value: T | None, error: Exception | None) -> None:
            if not result.done():
                if error is not None:
                    result.set_exception(error)
                else:
                    result.set_result(value)  # type: ignore[arg-type]  # None is a T where T is optional

        def work() -> None:
            value, error = None, None
            try:
                value = call()
            except RingFailed as failed:
                error = failed
            except Exception as failed:
                error = RingFailed(_reason(failed))
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, value, error)

        threading.Thread(target=work, daemon=True, name="keyring").start()
        try:
            async with asyncio.timeout(self._seconds):
                return await result
        except TimeoutError:
            self._trouble = (
                f"it does not answer within {self._seconds:.0f} s: locked, or waiting for a prompt"
            )
            raise RingFailed(self._trouble) from None


def _reason(error: Exception) -> str:
    """By name, so that nothing of the library has to be loaded to compare with."""
    known = {
        "NoKeyringError": "there is none on this machine",
        "KeyringLocked": "it is locked",
        "TimeoutError": "it does not answer",
        "InitError": "it could not be opened, or its prompt was dismissed",
    }
    name = type(error).__name__
    return known.get(name) or clean_line(f"{name}: {error}", 160)


def _system_backend() -> Any:
    """The keyring of this session, opened in the caller's thread.

    Raises:
        RingFailed: there is none, or none that is safe: the null backend keeps nothing, those of `keyrings.*`
            write plain text or ask for a password on the very terminal that the application has.
    """
    import keyring

    backend: Any = keyring.get_keyring()
    for candidate in getattr(backend, "backends", None) or (backend,):
        module = type(candidate).__module__
        if module in ("keyring.backends.fail", "keyring.backends.null") or module.startswith("keyrings."):
            continue
        return candidate
    module = type(backend).__module__
    if module == "keyring.backends.null":
        raise RingFailed("it is switched off (null backend)")
    if module.startswith("keyrings."):
        raise RingFailed(f"{module} would write plain text, or ask on this terminal")
    raise RingFailed("there is none on this machine")
