"""The sandbox as a child of this process, for `--sandbox`."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import peft_tui
from peft_tui.domain.errors import PeftTuiError
from peft_tui.paths import private_dir

START_SECONDS = 20.0
RESTART_SECONDS = 1.0
_KEYS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSPHRASE", "TOKEN_ID", "CREDENTIALS")
"""How variables end that hold secrets."""


class EmbeddedSandbox:
    """One world per directory: the first process serves it, others that come meanwhile use the same one.

    It lies in a file between runs, so that a deployment begun today is still there tomorrow. Its servers come
    up where they were, after a crash and in the next run: addresses that were told lead there still.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._port = 0
        self.url = ""
        """Where it listens, once it does; its controls are below /_sandbox."""

    async def start(self) -> Mapping[str, str]:
        """Start it, or find the one that runs; the environment that points at it.

        Raises:
            PeftTuiError: it does not come up.
        """
        private_dir(self._directory)
        self._lock = os.open(self._directory / "sandbox.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            environ = await self._join()
            self.url = environ["TOGETHER_BASE_URL"].removesuffix("/together")
            return environ
        self._port = self._last_port()
        try:
            environ = await self._spawn()
        except PeftTuiError:
            if not self._port:
                raise
            # Somebody else listens there by now.
            self._port = 0
            environ = await self._spawn()
        self._port_file.write_text(str(self._port))
        self._running_file.touch(0o600)
        self._running_file.write_text(json.dumps(dict(environ)))
        self._watch = asyncio.create_task(self._keep_alive())
        return environ

    async def stop(self) -> None:
        """End it, its world saved; nothing happens where another process serves it."""
        if self._watch is not None:
            self._watch.cancel()
            self._running_file.unlink(missing_ok=True)
        if self._process is not None and self._process.returncode is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), 5.0)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _running_file(self) -> Path:
        return self._directory / "sandbox-running.json"

    @property
    def _port_file(self) -> Path:
        return self._directory / "sandbox-port"

    def _last_port(self) -> int:
        try:
            port = int(self._port_file.read_text())
        except (OSError, ValueError):
            return 0
        return port if 0 < port < 65536 else 0

    async def _join(self) -> Mapping[str, str]:
        for _ in range(int(START_SECONDS / 0.2)):
            try:
                environ: dict[str, str] = json.loads(self._running_file.read_text())
                return environ
            except (OSError, ValueError):
                await asyncio.sleep(0.2)
        raise PeftTuiError(
            "Another process has the sandbox and does not say where.", hint="Close it and try again."
        )

    async def _spawn(self) -> Mapping[str, str]:
        """A child that ends when its standard input does: even `kill -9` leaves no server behind."""
        log = open(self._directory / "sandbox.log", "ab", opener=_private)
        with log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                # Where we were started there may be a package of our name: ours is the one that runs.
                *("-P", "-m", "peft_tui.sandbox", "--port", str(self._port), "--json", "--exit-with-stdin"),
                *("--state", str(self._directory / "sandbox-world.json")),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env={**_without_keys(os.environ), "PYTHONPATH": str(Path(peft_tui.__file__).parent.parent)},
            )
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
            ready = json.loads(line)
            self.url = str(ready["url"])
            self._port = int(self.url.rpartition(":")[2])
            environ: dict[str, str] = ready["env"]
        except (TimeoutError, ValueError, KeyError) as error:
            raise PeftTuiError(
                "The sandbox did not come up.", hint=f"Its log is {self._directory / 'sandbox.log'}."
            ) from error
        return environ

    async def _keep_alive(self) -> None:
        while self._process is not None:
            await self._process.wait()
            await asyncio.sleep(RESTART_SECONDS)
            try:
                await self._spawn()
            except PeftTuiError:
                continue


def _without_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """What a child needs, and nobody's keys."""
    return {name: value for name, value in environ.items() if not name.upper().endswith(_KEYS)}


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
