"""The words and flags. Opens the application when there is no command."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from peft_tui import __version__
from peft_tui.backend import Backend
from peft_tui.cli import output
from peft_tui.config import Config
from peft_tui.config import load as load_settings
from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.errors import ConfigurationInvalid, PeftTuiError, read_only
from peft_tui.drivers import PLATFORMS
from peft_tui.embedded import EmbeddedSandbox
from peft_tui.logs import log_to
from peft_tui.paths import config_dir, data_dir
from peft_tui.store import Damage, StoreError
from peft_tui.text import clean_line

LIFE_HELP = {
    "stop": "end the billing; what is being created is given up for it",
    "start": "let it serve again, with the bounds that it had",
    "update": "change settings",
    "delete": "leave nothing of it at the platform",
    "rollback": "let an earlier version serve again",
    "adopt": "manage what was made elsewhere",
}
COMMANDS = (
    *("deploy", "list", "metrics", "show", *LIFE_HELP, "test", "bench"),
    *("platforms", "credentials", "config", "doctor", "completions", "man", "sandbox"),
)

DESCRIPTION = "Deploy a LoRA adapter from the terminal it was trained in, and know what it costs."
WITHOUT_STORE = ("list", "show", "stop")
"""What is done even where the store cannot be used: to find what bills, and to end it."""

MOST_DAMAGES = 3
"""How often one run of the application begins again on a mended store."""

EXIT = """exit status: 0 done · 1 failed · 2 usage · 3 authentication · 4 not found · 5 timed out ·
6 unreachable · 7 refused by the platform. With --json, standard output is one JSON document."""


class _Parser(argparse.ArgumentParser):
    """Ends in our own error, so that `--json` is kept even for a misspelt flag."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationInvalid(message, hint=f"{self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, or the application; the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parse(words)
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


def _parse(words: list[str]) -> argparse.Namespace:
    command = next((word for word in words if not word.startswith("-")), None)
    parser = _Parser(
        "peft-tui",
        description=DESCRIPTION,
        epilog=EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"peft-tui {__version__}")
    parser.add_argument(
        "--sandbox",
        action="store_true",
        help="on local servers that behave like the platforms; needs no account",
    )
    parser.add_argument(
        "--read-only", action="store_true", help="look only: nothing is deployed, changed, stopped or deleted"
    )
    if command in COMMANDS:
        _add_commands(parser, command)
        return parser.parse_args(words)
    flags = "[-h] [--version] [--sandbox] [--read-only]"
    parser.usage = f"peft-tui {flags} [ADAPTER]\n       peft-tui COMMAND … --help"
    parser.add_argument(
        "adapter", nargs="?", metavar="ADAPTER", help="a directory or Hugging Face id: opens the wizard on it"
    )
    if {"-h", "--help"} & set(words):
        from peft_tui.cli.manual import overview

        commands = overview(_command_helps(), COMMANDS)
        parser.epilog = f"commands (peft-tui COMMAND --help says more):\n{commands}\n\n{EXIT}"
    args = parser.parse_args(words)
    args.command = None
    return args


def _command_helps() -> dict[str, str]:
    """What each command does, in a few words."""
    return {a.dest: a.help or "" for a in _add_commands(_Parser("peft-tui"), "")._choices_actions}


def _command_parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, with all that it takes."""
    return {command: _add_commands(_Parser("peft-tui"), command).choices[command] for command in COMMANDS}


def _add_commands(parser: argparse.ArgumentParser, command: str) -> argparse._SubParsersAction[_Parser]:
    """All commands by name; what one takes only where it is the one that is meant."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    deploy = commands.add_parser("deploy", help="deploy an adapter", epilog=EXIT)
    deploy.add_argument(
        "adapter", metavar="ADAPTER", help="directory, Hugging Face id, or the platform's own id"
    )
    deploy.add_argument("--platform", required=True, choices=PLATFORMS)
    deploy.add_argument("--name", required=True, metavar="N")
    deploy.add_argument(
        "--source", choices=list(SourceKind), help="what ADAPTER is, where it could be several"
    )
    deploy.add_argument("--base-model", metavar="M", help="only where the adapter does not say")
    deploy.add_argument("--instance-type", metavar="T", help="default: the cheapest that is available")
    deploy.add_argument("--min", metavar="N", help="minimum instances")
    deploy.add_argument("--max", metavar="N", help="maximum instances")
    deploy.add_argument("--set", action="append", metavar="KEY=VALUE", help="see peft-tui platforms")
    deploy.add_argument("--env", action="append", metavar="K=V", help="environment of the container")
    deploy.add_argument("--wait", action="store_true", help="until it is active")
    deploy.add_argument("--timeout", type=float, default=3600.0, metavar="S", help="of --wait (3600)")
    deploy.add_argument("--yes", action="store_true", help="do not ask")
    deploy.add_argument("--json", action="store_true")
    listing = commands.add_parser("list", help="all deployments", epilog=EXIT)
    listing.add_argument("--plain", action="store_true", help="one fact a line, for a screen reader")
    show = commands.add_parser("show", help="one deployment with its history", epilog=EXIT)
    show.add_argument("name", metavar="NAME")
    show.add_argument("--platform", choices=PLATFORMS, help="where several have the same name")
    for verb, words in LIFE_HELP.items():
        changing = commands.add_parser(verb, help=words, epilog=EXIT)
        if command == verb:
            from peft_tui.cli.life import add_arguments as add_life_arguments

            add_life_arguments(changing, verb)
    for reading in (listing, show):
        reading.add_argument("--cached", action="store_true", help="from the store, asking no platform")
        reading.add_argument("--json", action="store_true")
    test = commands.add_parser("test", help="send one prompt", epilog=EXIT)
    bench = commands.add_parser("bench", help="send many, after a look at the price", epilog=EXIT)
    if command in ("test", "bench"):
        from peft_tui.cli.bench import add_bench_arguments
        from peft_tui.cli.testing import add_test_arguments

        add_test_arguments(test)
        add_bench_arguments(bench)
    figures = commands.add_parser("metrics", help="what it did, how quickly, and what that cost", epilog=EXIT)
    if command == "metrics":
        from peft_tui.cli.metrics import add_metrics_arguments

        add_metrics_arguments(figures)
    platforms = commands.add_parser("platforms", help="what each platform supports", epilog=EXIT)
    platforms.add_argument("--json", action="store_true")
    keys = commands.add_parser(
        "credentials", help="where each secret comes from; set, delete, check", epilog=EXIT
    )
    if command == "credentials":
        from peft_tui.cli.credentials import add_arguments as add_credentials_arguments

        add_credentials_arguments(keys)
    config = commands.add_parser("config", help="the settings in force, with comments", epilog=EXIT)
    config.add_argument("--json", action="store_true", help="with their schema")
    doctor = commands.add_parser("doctor", help="what is wrong here, and what to do", epilog=EXIT)
    doctor.add_argument("--json", action="store_true")
    completing = commands.add_parser("completions", help="a script for bash, zsh or fish", epilog=EXIT)
    completing.add_argument("shell", choices=("bash", "zsh", "fish"))
    commands.add_parser("man", help="this manual, for man -l -", epilog=EXIT)
    sandbox = commands.add_parser(
        "sandbox", help="the sandbox's servers alone, in the foreground", epilog=EXIT
    )
    if command == "sandbox":
        # Its servers take a third of a second to import: not for the other commands.
        from peft_tui.sandbox import add_arguments

        add_arguments(sandbox)
    return commands


def _write_manual(args: argparse.Namespace) -> int:
    from peft_tui.cli.manual import completions, manual

    if args.command == "man":
        print(manual(_command_parsers(), _command_helps(), DESCRIPTION, EXIT))
    else:
        print(completions(args.shell, _command_parsers(), _command_helps()))
    return 0


def _run(args: argparse.Namespace, damages: Sequence[Damage] = ()) -> int:
    if len(damages) > MOST_DAMAGES:
        raise ConfigurationInvalid(
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
    near: list[str] = []
    if adapter and not os.path.exists(adapter):
        import difflib

        near = difflib.get_close_matches(adapter, COMMANDS, 1)
    if near:
        raise ConfigurationInvalid(
            f"There is no command and no directory “{clean_line(adapter, 60)}”.",
            hint=f"Did you mean peft-tui {near[0]}?",
        )
    if not sys.stdout.isatty():
        raise ConfigurationInvalid(
            "The application needs a terminal, and its output goes elsewhere.",
            hint="For scripts there are commands: peft-tui --help",
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
        trouble = ConfigurationInvalid(
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


def _unfinished(backend: Backend, damage: Damage) -> ConfigurationInvalid:
    """What is not done again by itself: it may bill, and nobody knows how far it came."""
    mended = backend.store.mended
    return ConfigurationInvalid(
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
            raise ConfigurationInvalid(
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
