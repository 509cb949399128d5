"""Keyrings that behave as those of real machines do, and a ladder on them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peft_tui.credentials import Vault
from peft_tui.credentials.ring import Ring

CHEAP = 2**10
"""scrypt that takes a millisecond."""


class FakeKeyring:
    """Keeps passwords in memory, as a keyring's backend does elsewhere."""

    name = "Fake Secret Service"

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.fails: Exception | None = None
        self.calls = 0
        self.hangs = False
        self.freed = threading.Event()

    def _answer(self) -> None:
        self.calls += 1
        if self.hangs:
            self.freed.wait()
        if self.fails is not None:
            raise self.fails

    def get_password(self, service: str, name: str) -> str | None:
        self._answer()
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, value: str) -> None:
        self._answer()
        self.kept[service, name] = value

    def delete_password(self, service: str, name: str) -> None:
        self._answer()
        del self.kept[service, name]

    @property
    def values(self) -> dict[str, str]:
        return {name: value for (_, name), value in self.kept.items()}


@pytest.fixture
def keyring() -> Iterator[FakeKeyring]:
    made = FakeKeyring()
    yield made
    made.freed.set()


Open = Callable[..., Vault]


@pytest.fixture
def open_vault(tmp_path: Path, keyring: FakeKeyring) -> Open:
    """A vault as a new process opens it, on the same directory and keyring."""

    def opened(*, without_keyring: bool = False, passphrase: str = "", seconds: float = 10.0) -> Vault:
        def backend() -> FakeKeyring:
            if without_keyring:
                raise type("NoKeyringError", (RuntimeError,), {})("no backend")
            return keyring

        return Vault(tmp_path / "config", Ring(backend, seconds=seconds), passphrase=passphrase, cost=CHEAP)

    return opened
