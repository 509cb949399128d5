"""This machine: versions, places, the settings, the store, the keyring."""

from __future__ import annotations

import asyncio
import platform
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from peft_tui import __version__
from peft_tui.config import Settings
from peft_tui.credentials import Credentials, Place
from peft_tui.doctor.finding import Finding, bad, good, note
from peft_tui.services.credentials import holders, whereabouts
from peft_tui.store.examine import examine

LITTLE_BYTES = 200_000_000
MODAL_RANGE = ((1, 6), (2, 0))
"""At least, and below: the SDK whose protocol the driver was written for."""


def versions() -> Iterator[Finding]:
    area = "versions"
    try:
        textual = version("textual")
    except PackageNotFoundError:
        textual = "missing"
    words = f"peft-tui {__version__}, Python {platform.python_version()}, Textual {textual}"
    if textual == "missing":
        yield bad(area, words, "Install it again: uv tool install --force peft-tui")
    elif not textual.startswith("8.2."):
        yield note(area, words, "The screens were drawn for Textual 8.2: install peft-tui anew.")
    else:
        yield good(area, f"{words}, {sys.platform}")
    try:
        modal = version("modal")
    except PackageNotFoundError:
        yield note(area, "the Modal SDK is not installed", "Only Modal needs it: pip install 'modal>=1.6,<2'")
    else:
        numbers = tuple(int(part) for part in modal.split(".")[:2] if part.isdigit())
        fits = MODAL_RANGE[0] <= numbers < MODAL_RANGE[1]
        words = f"the Modal SDK is {modal}"
        yield good(area, words) if fits else note(area, words, "Modal may not work: it takes >=1.6,<2.")


def places(data: Path, config: Path) -> Iterator[Finding]:
    for title, directory in (("data", data), ("configuration", config)):
        words = f"{title}: {directory}"
        try:
            mode = stat.S_IMODE(directory.stat().st_mode)
        except FileNotFoundError:
            yield good("places", f"{words} (made when it is needed)")
            continue
        except OSError as error:
            yield bad("places", f"{words}: {error.strerror}", "Make it yours, or name another directory.")
            continue
        if mode & 0o077:
            yield note("places", f"{words} is open to others (mode {mode:o})", f"chmod 700 {directory}")
        else:
            yield good("places", f"{words} (mode {mode:o})")
    free = shutil.disk_usage(data if data.exists() else Path.home()).free
    words = f"{free / 1e9:.1f} GB are free"
    hint = "When it is full nothing can be written down. Stopping still works."
    yield good("places", words) if free > LITTLE_BYTES else bad("places", words, hint)


def settings(loaded: Settings, wrong: Sequence[str] = ()) -> Iterator[Finding]:
    """`wrong` is what of them the screens cannot follow."""
    problems = [*map(str, loaded.problems), *wrong]
    for problem in problems:
        yield bad("settings", problem, "peft-tui config prints what is in force.")
    if not problems:
        there = loaded.path is not None and loaded.path.exists()
        yield good("settings", f"{loaded.path}" if there else "no config.toml: the defaults are in force")


async def store(directory: Path) -> list[Finding]:
    health = await asyncio.to_thread(examine, directory)
    area = "store"
    if health.size_bytes is None:
        return [good(area, "none yet: it is made with the first start")]
    backup = f"the backup of {health.backup_at.astimezone():%Y-%m-%d %H:%M}" if health.backup_at else ""
    if health.problem:
        hint = f"The next start puts it aside and goes on with {backup or 'an empty one'}."
        hint += " What runs is found again at the platforms."
        return [bad(area, f"{health.path} is damaged: {health.problem}", hint)]
    if health.newer:
        return [bad(area, f"a newer peft-tui wrote it (“{health.newer}”)", "Upgrade peft-tui.")]
    size = f"{health.size_bytes / 1e6:.1f} MB"
    return [good(area, f"{health.path} is sound, {size}; {backup or 'no backup yet'}")]


async def keys(credentials: Credentials) -> list[Finding]:
    area = "credentials"
    found: list[Finding] = []
    if fault := credentials.vault.fault:
        found.append(bad(area, fault, "Mend it, or remove it and set the credentials again."))
    rungs = await credentials.vault.rungs()
    best = next(rung for rung in rungs if rung.usable)
    for rung in rungs:
        if rung.place is Place.KEYRING:
            words = f"the keyring works: {rung.words}" if rung.usable else f"no keyring: {rung.words}"
            hint = "" if best.place is not Place.SESSION else "PEFT_TUI_PASSPHRASE, or u in the application, "
            hint += "seals a file instead." if hint else ""
            found.append(good(area, words) if rung.usable else note(area, words, hint))
    for holder in holders():
        for field in holder.fields:
            where = whereabouts(credentials, field)
            if where.trouble:
                hint = "Unlock it: PEFT_TUI_PASSPHRASE, or u in the application."
                found.append(bad(area, f"{field.env}: {where.trouble}", hint))
            elif where.source is not None and field.secret:
                also = f"; {', '.join(where.unused)} not used" if where.unused else ""
                found.append(good(area, f"{field.env}: {where.source}{also}"))
    return found
