"""Runs a command; opens the application when there is none."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from peft_tui.backend import Backend
from peft_tui.cli import output
from peft_tui.cli.parser import (
    DESCRIPTION,
    LIFE_HELP,
    command_helps,
    command_parsers,
    is_adapter,
    near_commands,
    no_command,
    parse,
)
from peft_tui.config import Config
from peft_tui.config import load as load_settings
from peft_tui.domain.errors import ConfigurationInvalid, NotUsable, PeftTuiError, read_only
from peft_tui.embedded import EmbeddedSandbox
from peft_tui.logs import log_to
from peft_tui.paths import config_dir, data_dir
from peft_tui.store import Damage, StoreError

WITHOUT_STORE = ("list", "show", "stop")
"""What is done even where the store cannot be used: to find what bills, and to end it."""

MOST_DAMAGES = 3
"""How often one run of the application begins again on a mended store."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, or the application; the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = parse(words)
        return _run(args)
    except PeftTuiError as error:
        return output.failure(error, "--json" in words)
    except KeyboardInterrupt:
        output.talk("Interrupted. What was asked for goes on at the next start: peft-tui list")
        return 130
    except BrokenPipeError:
        # The reader has gone, as with `| head`. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _write_manual(args: argparse.Namespace) -> int:
    from peft_tui.cli.manual import completions, manual
    from peft_tui.cli.statuses import MEANINGS

    if args.command == "man":
        print(manual(command_parsers(), command_helps(), DESCRIPTION, MEANINGS))
    else:
        print(completions(args.shell, command_parsers(), command_helps()))
    return 0


def _run(args: argparse.Namespace, damages: Sequence[Damage] = ()) -> int:
    if len(damages) > MOST_DAMAGES:
        raise NotUsable(
            f"The store is damaged again and again: {damages[-1].why}.",
            hint="Look at the disk, or set PEFT_TUI_DATA_DIR to another one.",
        )
    if args.command in ("man", "completions"):
        return _write_manual(args)
    if args.command == "sandbox":
        from peft_tui.sandbox import run

        return run(args)
    directory = data_dir() / "sandbox" if args.sandbox else data_dir()
    settings = load_settings(config_dir(), os.environ)
    if args.read_only:
        settings = replace(settings, config=replace(settings.config, read_only=True))
    if settings.config.read_only and args.command in ("deploy", *LIFE_HELP):
        raise read_only()
    log_to(directory, settings.config.log_level)
    if args.command == "config":
        from peft_tui.cli.configuration import configuration

        return configuration(settings, args)
    if args.command == "doctor":
        if args.sandbox:
            raise ConfigurationInvalid("doctor looks at the real thing.", hint="Leave --sandbox out.")
        from peft_tui.cli.doctor import doctor

        return asyncio.run(doctor(directory, config_dir(), settings, os.environ, args))
    sandbox = EmbeddedSandbox(directory) if args.sandbox else None
    # On the sandbox no key of the person's own is even looked at.
    environ: Mapping[str, str] = {} if sandbox else os.environ
    if args.command is None:
        _check_screen(args.adapter)
        # Until the first frame all that is made stays: looking for garbage would cost a tenth of the start.
        gc.disable()
        from peft_tui.app import TO_SANDBOX
        from peft_tui.app import run as run_application

        found: list[Damage] = []
        status = run_application(
            lambda: Backend.open(
                directory,
                environ,
                sandbox=sandbox,
                config=settings.config,
                or_without=True,
                damage=damages[-1] if damages else None,
            ),
            sandbox=args.sandbox,
            adapter=args.adapter,
            settings=settings,
            on_damage=found.append,
        )
        if found:
            args.adapter = None
            return _run(args, [*damages, *found])
        if status == TO_SANDBOX:
            args.sandbox = True
            return _run(args)
        return status
    return asyncio.run(_command(args, directory, environ, sandbox, settings.config))


def _check_screen(adapter: str | None) -> None:
    """
    Raises:
        ConfigurationInvalid: no terminal to draw on, or a misspelt word where an adapter should be.
    """
    terminal = sys.stdout.isatty()
    if adapter and not is_adapter(adapter) and (not terminal or near_commands(adapter)):
        raise no_command(adapter)
    if not terminal:
        raise ConfigurationInvalid(
            "The application needs a terminal, and its output goes elsewhere.",
            hint="For scripts there are commands: peft-tui --help",
        )
    if os.environ.get("TERM") == "dumb":
        raise ConfigurationInvalid(
            "This terminal cannot be drawn on: TERM is dumb.",
            hint="Set TERM to what it is, such as xterm-256color; or use the commands: peft-tui list, --help",
        )


async def _command(
    args: argparse.Namespace,
    directory: Path,
    environ: Mapping[str, str],
    sandbox: EmbeddedSandbox | None,
    config: Config,
) -> int:
    lasting = args.command not in WITHOUT_STORE
    backend = await Backend.open(directory, environ, sandbox=sandbox, config=config, or_without=not lasting)
    try:
        return await _carry_out(args, backend)
    except StoreError as error:
        if (damage := backend.store.database.damage) is not None:
            await backend.close()
            backend = await Backend.open(
                directory, environ, sandbox=sandbox, config=config, or_without=not lasting, damage=damage
            )
            if not lasting:
                return await _carry_out(args, backend)
            raise _unfinished(backend, damage) from error
        trouble = NotUsable(
            f"The store in {directory} cannot be used: {error}.",
            hint="Free some space or mend the file; peft-tui list and stop work without it.",
        )
        if lasting or backend.trouble is not None:
            raise trouble from error
        await backend.close()
        backend = await Backend.without_store(trouble, environ, sandbox=sandbox, config=config)
        return await _carry_out(args, backend)
    finally:
        await backend.close()


def _unfinished(backend: Backend, damage: Damage) -> NotUsable:
    """What is not done again by itself: it may bill, and nobody knows how far it came."""
    mended = backend.store.mended
    return NotUsable(
        mended.message if mended else f"The store was taken away meanwhile: {damage.why}.",
        hint=f"{mended.hint if mended else ''} How far this came is shown by peft-tui list.".strip(),
    )


async def _carry_out(args: argparse.Namespace, backend: Backend) -> int:
    if backend.trouble is not None:
        output.talk(f"{backend.trouble.message} {backend.trouble.hint}")
        output.talk("Going on without it: this is what the platforms say, and nothing is remembered.")
    if (mended := backend.store.mended) is not None:
        if args.command == "deploy":
            # It may be there already, and its name with what was lost.
            raise NotUsable(
                mended.message, hint=f"{mended.hint} Nothing was deployed: look at peft-tui list first."
            )
        output.talk(f"{mended.message} {mended.hint}")
    await backend.prepare()
    if args.command == "platforms":
        from peft_tui.cli.listing import platforms

        return platforms(backend, args)
    return await _verb(args.command)(backend, args)


def _verb(command: str) -> Callable[[Backend, argparse.Namespace], Awaitable[int]]:
    from peft_tui.cli.credentials import credentials
    from peft_tui.cli.deploy import deploy
    from peft_tui.cli.life import adopt, change_life
    from peft_tui.cli.listing import list_all, show

    if command in ("test", "bench"):
        from peft_tui.cli.bench import bench
        from peft_tui.cli.testing import test

        return test if command == "test" else bench
    if command == "metrics":
        from peft_tui.cli.metrics import metrics

        return metrics
    verbs: dict[str, Callable[[Backend, argparse.Namespace], Awaitable[int]]] = {
        "deploy": deploy,
        "list": list_all,
        "credentials": credentials,
        "show": show,
        "adopt": adopt,
        **dict.fromkeys(("stop", "start", "update", "delete", "rollback"), change_life),
    }
    return verbs[command]
