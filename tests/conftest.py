"""What every test stands on: nothing of this machine's home, settings or keys, no network but loopback."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from peft_tui.store import Store
from tests.doubles import VirtualClock
from tests.settling import told_by_what_is_to_be_done

FOREIGN = (
    "TOGETHER_",
    "REPLICATE_",
    "PREDIBASE_",
    "MODAL_",
    "HF_",
    "HUGGING",
    "PEFT_TUI_",
    "XDG_",
    "SSL_CERT_",
)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

set_hypothesis_home_dir(os.path.join(tempfile.gettempdir(), "peft-tui-hypothesis"))
settings.register_profile("peft-tui", deadline=None, derandomize=True, database=None, max_examples=150)
settings.load_profile("peft-tui")


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of its own, and an environment without anybody's keys, addresses and proxies."""
    for name in tuple(os.environ):
        if name.startswith(FOREIGN) or name.upper() in PROXIES:
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    # The program sends its log to a file and nowhere else; that must not last beyond a test.
    logger = logging.getLogger("peft_tui")
    monkeypatch.setattr(logger, "propagate", True)
    monkeypatch.setattr(logger, "handlers", [])
    # The person who runs the tests may well have a keyring, with his own keys in it.
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    return home


@pytest.fixture
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same times and colours whoever runs this."""
    for name in ("NO_COLOR", "COLORFGBG", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }.items():
        monkeypatch.setenv(name, value)
    time.tzset()


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Whoever connects to, or looks up, anything but this machine fails his test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
        resolve = socket.getaddrinfo

        def getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
            if not _is_here(host):
                pytest.fail(f"the network: {host} was looked up")
            return resolve(host, *more, **named)

        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


def _guarded(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address[0]):
            pytest.fail(f"the network: a connection to {address[0]}")
        return connect(self, address)

    return guarded


def _is_here(host: Any) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(autouse=True, scope="session")
def one_tls_context() -> Iterator[None]:
    """Thousands of clients speak plain HTTP here: the certificates, 20 ms a time, are read for one of them.

    Whoever names certificates of his own gets them.
    """
    made, kept = httpx.create_ssl_context, []

    def create(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        own = any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
        if own or verify is not True or cert is not None:
            return made(verify, cert, trust_env)
        if not kept:
            kept.append(made())
        return kept[0]

    with pytest.MonkeyPatch.context() as patch:
        for module in (httpx, httpx._transports.default):
            patch.setattr(module, "create_ssl_context", create)
        yield


@pytest.fixture(autouse=True, scope="session")
def settling() -> Iterator[None]:
    """A pilot goes on when the screen has settled, however busy the machine is."""
    with told_by_what_is_to_be_done():
        yield


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory where a flush costs nothing: what is durable is asserted elsewhere, not waited for."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        yield Path(name)


@pytest.fixture
async def store(memory: Path) -> AsyncIterator[Store]:
    opened = await Store.open(memory)
    yield opened
    await opened.close()
