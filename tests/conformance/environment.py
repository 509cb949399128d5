"""An environment for a vendor's SDK that is too heavy to be a dependency of the tests.

It is made once with `venv` and pip, outside of the repository, under the name of what is in it, and used
again as long as that is the same. A test that needs one calls `need`. Where it cannot be made the test is
skipped with the reason; with `CI` set it fails instead: there, nothing may go untested. A heavy one is not
made unasked on somebody's machine:

    python -m tests.conformance.environment predibase==2025.10.3
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
AROUND = dict(os.environ)
"""As it was before the tests took everything out of it: pip needs the machine's proxies and indexes."""
FACTS = "facts: "
"""What a script's last line begins with; SDKs print whatever they like before."""
MAKE_SECONDS, RUN_SECONDS = 20 * 60.0, 180.0


class Unavailable(Exception):
    """It cannot be made; the text says why."""


@dataclass(frozen=True)
class Environment:
    """A Python with the SDK in it."""

    python: Path

    async def facts(self, script: str, environ: Mapping[str, str], *arguments: str) -> Any:
        """Run a script of this folder there; the JSON after `facts: ` on its last line.

        Nothing of the machine's own environment is around it but the way to programs.
        """
        process = await asyncio.create_subprocess_exec(
            *(str(self.python), str(HERE / script), *arguments),
            env={"PATH": AROUND.get("PATH", os.defpath), "HOME": os.environ["HOME"], **environ},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(RUN_SECONDS):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        lines = out.decode(errors="replace").splitlines()
        last = lines[-1] if lines else ""
        told = "\n".join([*lines[-20:], err.decode(errors="replace")[-3000:]])
        assert process.returncode == 0 and last.startswith(FACTS), f"{script} failed:\n{told}"
        return json.loads(last.removeprefix(FACTS))


def need(*requirements: str, heavy: bool = False) -> Environment:
    """The environment with `requirements`, or a skip that says why there is none.

    Args:
        heavy: hundreds of megabytes, or minutes: used where it is, made only where `CI` is set or by hand.
    """
    must = bool(AROUND.get("CI"))
    try:
        if heavy and not must and not _is_whole(_place(requirements)):
            raise Unavailable(
                "it is heavy and was not made here; python -m tests.conformance.environment "
                + " ".join(requirements)
            )
        return make(*requirements)
    except Unavailable as error:
        if must:
            raise
        pytest.skip(f"no environment with {', '.join(requirements)}: {error}")


def make(*requirements: str) -> Environment:
    """Make it, or find it made.

    Raises:
        Unavailable: with what pip said.
    """
    place = _place(requirements)
    place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.with_suffix(".lock")):
        if not _is_whole(place):
            # What another process left half-made is of no use.
            shutil.rmtree(place, ignore_errors=True)
            _install(place, requirements)
            _mark(place).touch()
    return Environment(_python(place))


def _install(place: Path, requirements: tuple[str, ...]) -> None:
    command = [str(_python(place)), *("-m", "pip", "install", "--quiet", "--disable-pip-version-check")]
    try:
        venv.create(place, with_pip=True)
        done = subprocess.run(
            [*command, *requirements],
            env={**AROUND, "PYTHONDONTWRITEBYTECODE": ""},
            capture_output=True,
            text=True,
            timeout=MAKE_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{type(error).__name__}: {error}") from error
    if done.returncode != 0:
        raise Unavailable((done.stderr.strip().splitlines() or ["pip failed"])[-1])


def _place(requirements: tuple[str, ...]) -> Path:
    cache = AROUND.get("PEFT_TUI_CONFORMANCE_DIR") or os.path.join(
        AROUND.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "peft-tui", "conformance"
    )
    key = "|".join([sys.version, sys.prefix, *sorted(requirements)])
    first = "".join(c if c.isalnum() else "-" for c in requirements[0])
    return Path(cache) / f"{first}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _python(place: Path) -> Path:
    return place / "bin" / "python"


def _mark(place: Path) -> Path:
    return place / "whole"


def _is_whole(place: Path) -> bool:
    return _mark(place).exists()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("Name what is to be in it, such as predibase==2025.10.3.")
    try:
        print(make(*sys.argv[1:]).python)
    except Unavailable as error:
        sys.exit(f"It cannot be made: {error}")
