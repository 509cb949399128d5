"""GNOME's keyring on a bus of its own, where both are installed; and a bus that never answers, everywhere."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "peft_tui"]
BACKEND = "keyring.backends.SecretService.Keyring"
FIRST, SECOND = "tgp_v1_the-first-of-two-keys", "tgp_v1_the-second-of-two-keys"

there = pytest.mark.skipif(
    not all(map(shutil.which, ("dbus-daemon", "gnome-keyring-daemon"))), reason="no gnome-keyring here"
)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """No platform is reached from here: Together's address leads nowhere."""
    return {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHON_KEYRING_BACKEND": BACKEND,
        "TOGETHER_BASE_URL": "http://127.0.0.1:9",
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
    }


@pytest.fixture
def keyring_env(home: dict[str, str]) -> Iterator[dict[str, str]]:
    """What leads to an unlocked keyring with nothing in it."""
    with tempfile.TemporaryDirectory() as room:  # the path of a socket must be short
        run = Path(room)
        env = {**home, "XDG_RUNTIME_DIR": room, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={run / 'bus'}"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        words = ["dbus-daemon", "--session", "--nofork", f"--address={env['DBUS_SESSION_BUS_ADDRESS']}"]
        bus = subprocess.Popen(words, env=env, **quiet)  # type: ignore[call-overload]
        keyring = None
        try:
            while not (run / "bus").exists():
                assert bus.poll() is None
            keyring = subprocess.Popen(
                ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
                env=env,
                stdin=subprocess.PIPE,
                **quiet,  # type: ignore[call-overload]
            )
            assert keyring.stdin is not None
            keyring.stdin.write(b"a passphrase\n")
            keyring.stdin.close()
            yield env
        finally:
            for process in filter(None, (keyring, bus)):
                process.kill()
                process.wait()


def command(env: dict[str, str], *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "credentials", *words], env=env, input=typed, capture_output=True, text=True
    )


@there
async def test_a_key_is_set_replaced_and_deleted_in_it_by_keys_and_from_the_command_line(
    keyring_env: dict[str, str],
) -> None:
    async with Terminal.run(PROGRAM, env=dict(keyring_env), cwd=ROOT, size=(90, 30)) as term:
        await term.sees("Nothing is deployed yet")
        term.press("C")
        await term.sees("New ones are kept in the keyring: SecretService Keyring.")
        term.press("enter")
        await term.sees("it will be kept in the keyring")
        term.paste(FIRST)
        await term.sees("••••")
        term.press("enter")
        await term.sees("TOGETHER_API_KEY is kept in the keyring.")
        # Another process finds it, and what that one sets is seen here.
        assert "TOGETHER_API_KEY     keyring" in (await asyncio.to_thread(command, keyring_env)).stdout
        done = await asyncio.to_thread(command, keyring_env, "set", "together", typed=f"{SECOND}\n")
        assert "is kept in the keyring" in done.stdout + done.stderr, done
        done = await asyncio.to_thread(command, keyring_env, "delete", "together", "--yes")
        assert "was deleted from the keyring" in done.stdout + done.stderr, done
        await term.gone("✓ keyring")
        term.press("enter")
        await term.sees("it will be kept in the keyring")
        term.paste(SECOND)
        await term.sees("••••")
        term.press("enter")
        await term.sees("✓ keyring")
        term.press("x")
        await term.sees("Delete TOGETHER_API_KEY from the keyring?")
        term.press("y")
        await term.sees("TOGETHER_API_KEY was deleted from the keyring.")
        assert FIRST.encode() not in bytes(term.raw) and SECOND.encode() not in bytes(term.raw)
    assert "TOGETHER_API_KEY     —" in (await asyncio.to_thread(command, keyring_env)).stdout


@there
async def test_one_that_is_locked_is_named_and_nothing_is_said_to_be_kept(
    keyring_env: dict[str, str],
) -> None:
    assert command(keyring_env, "set", "together", typed=f"{FIRST}\n").returncode == 0
    lock = (
        "import secretstorage as s; c = s.dbus_init(); k = s.get_default_collection(c); k.lock();"
        "assert k.is_locked()"
    )
    subprocess.run([sys.executable, "-c", lock], env=keyring_env, check=True)
    done = command(keyring_env, "set", "together", typed=f"{SECOND}\n")
    assert done.returncode != 0 and "the keyring: it is locked" in done.stderr
    shown = command(keyring_env).stdout
    assert "locked" in shown and FIRST not in shown


@pytest.fixture
def silent_bus() -> Iterator[str]:
    """It takes whoever comes, and then says nothing more."""
    with tempfile.TemporaryDirectory() as room, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{room}/bus")
        listening.listen()
        guests: list[socket.socket] = []

        def welcome() -> None:
            with suppress(OSError):
                while True:
                    guest, _ = listening.accept()
                    guests.append(guest)
                    guest.recv(1000)
                    guest.sendall(b"OK 1234567890abcdef1234567890abcdef\r\n")

        threading.Thread(target=welcome, daemon=True).start()
        yield f"unix:path={room}/bus"
        listening.shutdown(socket.SHUT_RDWR)
        for guest in guests:
            guest.close()


async def test_a_bus_that_never_answers_costs_three_seconds_and_no_frame(
    home: dict[str, str], silent_bus: str
) -> None:
    env = {**home, "DBUS_SESSION_BUS_ADDRESS": silent_bus}
    async with Terminal.run(PROGRAM, env=dict(env), cwd=ROOT, size=(90, 30)) as term:
        await term.sees("Nothing is deployed yet")
        term.press("C")
        await term.sees("Looking for a keyring")
        # Keys are answered while it is waited for.
        term.press("?")
        await term.sees("enter does it")
        term.press("escape")
        await term.sees("it does not answer within 3 s")
        await term.sees("New ones are kept for this session only.")
        # Together they would be alt+q.
        term.press("escape")
        await term.sees("Nothing is deployed yet")
        term.press("q")
        assert await term.wait_exit() == 0
