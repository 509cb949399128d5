"""Secrets that outlive the program, and where each one is.

The ladder: the system's keyring; a file sealed with a passphrase; this session only. An index beside the file
says what is where. It holds names and no values, for a keyring cannot be listed, and what is to be deleted
must be known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from peft_tui.credentials.index import Index, IndexFile, Place
from peft_tui.credentials.ring import Ring, RingFailed
from peft_tui.credentials.sealed import FILE, SealedFile
from peft_tui.credentials.secret import Secret
from peft_tui.domain.errors import AuthenticationFailed, ConfigurationInvalid, PeftTuiError


@dataclass(frozen=True, slots=True)
class Rung:
    """One place where secrets can be kept."""

    place: Place
    usable: bool
    words: str
    """What it is where it is usable; otherwise why not."""


class Vault:
    """Names are the vendors' variables (`TOGETHER_API_KEY`), or paths for what is no platform's own key:
    `modal/proxy-token/<workspace>`, `deployment/<id>/env/<NAME>`.

    `load` reads the former once, so that asking for one waits for nothing; the latter are read when wanted.
    """

    def __init__(
        self,
        directory: Path | None,
        ring: Ring | None = None,
        *,
        passphrase: str = "",
        cost: int | None = None,
    ) -> None:
        """Without a directory nothing is kept beyond this session, and nothing is looked at."""
        self._kept_at = IndexFile(directory) if directory is not None else None
        self._ring = (ring or Ring()) if directory is not None else None
        self._file = SealedFile(directory / FILE, cost) if directory is not None else None
        self._passphrase = passphrase
        self._wrong = "the encrypted file is locked"
        self._index: Index = {}
        self._known: dict[str, tuple[Secret, Place]] = {}
        self._troubles: dict[str, str] = {}
        self._changing = asyncio.Lock()
        self._read_at: tuple[int, ...] = ()
        """The index as it was when it was last read or written from here."""
        self.fault = ""
        """Why the index cannot be read; empty where it can."""
        self.settled = self._kept_at is None or not self._kept_at.exists
        """Whether `load` is done: before that, what is missing may merely not have been read."""

    # Reading

    async def load(self) -> None:
        """Read what is kept for the platforms. What cannot be read now has its `trouble`."""
        async with self._changing:
            self.fault = ""
            if self._kept_at is not None:
                self._read_at = self._kept_at.signature()
            try:
                self._index = await asyncio.to_thread(self._read_index)
                # What was deleted elsewhere, and what is read only when it is wanted, may be another now.
                for name in [n for n, (_, place) in self._known.items() if place is not Place.SESSION]:
                    if "/" in name or name not in self._index:
                        del self._known[name]
                self._troubles = {n: words for n, words in self._troubles.items() if n in self._index}
                await self._read([name for name in self._index if "/" not in name])
            except PeftTuiError as error:
                # The environment may well be all that is needed.
                self.fault = error.message
            finally:
                self.settled = True

    async def reload(self) -> tuple[str, ...]:
        """Read again what another process put or deleted since; the names whose value is another one now."""
        kept_at = self._kept_at
        if kept_at is None or not self.settled or kept_at.signature() == self._read_at:
            return ()
        before = {name: secret.reveal() for name, (secret, _) in self._known.items()}
        await self.load()
        now = {name: secret.reveal() for name, (secret, _) in self._known.items()}
        return tuple(sorted(n for n in before.keys() | now.keys() if before.get(n) != now.get(n)))

    def known(self, name: str) -> tuple[Secret, Place] | None:
        """The secret and where it is kept, if it was read."""
        return self._known.get(name)

    def trouble(self, name: str) -> str:
        """Why one that is kept cannot be read; empty where it can, or where there is none."""
        return "" if name in self._known else self._troubles.get(name, "")

    def places(self, name: str) -> tuple[Place, ...]:
        """Where it is kept, whether it can be read now or not."""
        here = self._known.get(name)
        kept = self._index.get(name, ())
        return kept if here is None or here[1] in kept else (here[1], *kept)

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """All that is kept under `prefix`."""
        return tuple(sorted(n for n in {*self._index, *self._known} if n.startswith(prefix)))

    async def get(self, name: str) -> Secret | None:
        """The secret, None when there is none.

        Raises:
            AuthenticationFailed: it is kept, and cannot be read now.
        """
        if name not in self._known and self._kept_at is not None:
            async with self._changing:
                self._index = await asyncio.to_thread(self._read_index)
                await self._read([name])
        if trouble := self.trouble(name):
            raise AuthenticationFailed(f"{name} cannot be read: {trouble}.", hint=_UNLOCK)
        found = self._known.get(name)
        return found[0] if found is not None else None

    @property
    def is_locked(self) -> bool:
        """There is a sealed file and its passphrase was not given."""
        return self._file is not None and self._file.exists and not self._file.is_open

    async def unlock(self, passphrase: str) -> None:
        """Open the sealed file, or begin one: from then on it is a place to keep secrets in.

        Raises:
            AuthenticationFailed: it does not fit.
        """
        if self._file is None:
            raise ConfigurationInvalid("Here nothing is kept beyond this session.")
        await asyncio.to_thread(self._file.open, passphrase)
        await self.load()

    async def rungs(self, *, again: bool = False) -> tuple[Rung, ...]:
        """The places from the top of the ladder down."""
        if self._ring is None or self._file is None:
            return (Rung(Place.SESSION, True, "forgotten at the end"),)
        trouble = await self._ring.check(again=again)
        if await self._opened():
            file = Rung(Place.FILE, True, str(self._file.path))
        else:
            file = Rung(Place.FILE, False, self._wrong if self._file.exists else "no passphrase was given")
        return (
            Rung(Place.KEYRING, not trouble, trouble or self._ring.name),
            file,
            Rung(Place.SESSION, True, "forgotten at the end"),
        )

    # Changing

    async def put(self, name: str, secret: Secret, place: Place | None = None) -> Place:
        """Keep it at the highest place there is, or at `place`; where that is. Older copies go.

        Raises:
            PeftTuiError: `place` does not keep it.
        """
        failed: PeftTuiError | None = None
        for rung in await self.rungs():
            if (rung.place is place) if place is not None else rung.usable:
                try:
                    async with self._changing:
                        return await self._put(name, secret, rung.place)
                except PeftTuiError as error:
                    failed = error
        raise failed or ConfigurationInvalid(f"Nothing is kept in the {place} here.")

    async def delete(self, name: str) -> tuple[Place, ...]:
        """Delete it everywhere; the places where it was.

        Raises:
            PeftTuiError: it could not be deleted at one of them. It stays listed there.
        """
        async with self._changing:
            self._index = await asyncio.to_thread(self._read_index)
            was = self.places(name)
            for place in was:
                await self._erase(name, place)
            self._known.pop(name, None)
            self._troubles.pop(name, None)
        return was

    # Inside

    async def _put(self, name: str, secret: Secret, place: Place) -> Place:
        if place is Place.KEYRING and self._ring is not None:
            # Listed first: what is listed and not there does no harm, the opposite is never deleted.
            await asyncio.to_thread(self._list, name, place, True)
            try:
                await self._ring.write(name, secret.reveal())
            except RingFailed as error:
                raise PeftTuiError(f"The keyring did not keep it: {error}.") from error
        elif place is Place.FILE and self._file is not None:
            await asyncio.to_thread(self._change_file, {name: secret.reveal()}, ())
        older = [p for p in self.places(name) if p not in (place, Place.SESSION)]
        self._known[name] = (secret, place)
        if place is not Place.SESSION:
            for old in older:
                # Where that cannot be done now it stays listed, and a delete comes back to it.
                with suppress(PeftTuiError):
                    await self._erase(name, old)
        return place

    async def _erase(self, name: str, place: Place) -> None:
        if place is Place.KEYRING and self._ring is not None:
            try:
                await self._ring.erase(name)
            except RingFailed as error:
                raise PeftTuiError(
                    f"{name} is still in the keyring: {error}.", hint="Unlock it and delete once more."
                ) from error
            await asyncio.to_thread(self._list, name, place, False)
        elif place is Place.FILE and self._file is not None:
            if not await self._opened():
                raise AuthenticationFailed(
                    f"{name} is still in {self._file.path.name}, which is locked.", hint=_UNLOCK
                )
            await asyncio.to_thread(self._change_file, {}, (name,))

    async def _opened(self) -> bool:
        """Whether the sealed file can be used, with the passphrase of the environment where there is one."""
        assert self._file is not None
        # Tried once: a wrong one costs half a second each time.
        passphrase, self._passphrase = self._passphrase, ""
        if not self._file.is_open and passphrase:
            try:
                await asyncio.to_thread(self._file.open, passphrase)
            except PeftTuiError as error:
                self._wrong = error.message.rstrip(".")
        return self._file.is_open

    async def _read(self, names: list[str]) -> None:
        """Read each at the first place that has it."""
        sealed: dict[str, str] | None = None
        for name in names:
            known = self._known.get(name)
            if known is not None and known[1] is Place.SESSION:
                continue
            self._known.pop(name, None)
            self._troubles.pop(name, None)
            for place in self._index.get(name, ()):
                try:
                    if place is Place.KEYRING and self._ring is not None:
                        value = await self._ring.read(name)
                    else:
                        sealed = await self._read_file() if sealed is None else sealed
                        value = sealed.get(name)
                except RingFailed as error:
                    self._troubles[name] = f"the keyring: {error}"
                except PeftTuiError as error:
                    self._troubles[name] = error.message.rstrip(".")
                else:
                    # None: somebody deleted it by other means.
                    if value is not None:
                        self._known[name] = (Secret(value), place)
                        break

    async def _read_file(self) -> dict[str, str]:
        assert self._file is not None
        if not await self._opened():
            raise AuthenticationFailed(self._wrong)
        return await asyncio.to_thread(self._file.read)

    # Files, in a thread

    def _change_file(self, put: Mapping[str, str], remove: tuple[str, ...]) -> None:
        assert self._file is not None and self._kept_at is not None
        with self._kept_at.alone():
            values = {**self._file.read(), **put}
            for name in remove:
                values.pop(name, None)
            self._file.write(values)
            for name in put:
                self._note(name, Place.FILE, True)
            for name in remove:
                self._note(name, Place.FILE, False)

    def _list(self, name: str, place: Place, there: bool) -> None:
        assert self._kept_at is not None
        with self._kept_at.alone():
            self._note(name, place, there)

    def _note(self, name: str, place: Place, there: bool) -> None:
        assert self._kept_at is not None
        self._index = self._kept_at.note(name, place, there)
        self._read_at = self._kept_at.signature()

    def _read_index(self) -> Index:
        return {} if self._kept_at is None else self._kept_at.read()


_UNLOCK = "Unlock it in the application, or set PEFT_TUI_PASSPHRASE."
