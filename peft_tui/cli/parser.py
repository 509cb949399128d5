"""The words and flags of all commands."""

from __future__ import annotations

import argparse
import difflib
import os
from typing import Any, NoReturn

from peft_tui import __version__
from peft_tui.cli.statuses import ending
from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.drivers import PLATFORMS
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
EXIT = f"""{ending()}
With --json, standard output is one JSON document."""


class _Parser(argparse.ArgumentParser):
    """Ends in our own error, so that `--json` is kept even for a misspelt flag."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **options)

    def error(self, message: str) -> NoReturn:
        raise ConfigurationInvalid(message, hint=f"{self.prog} --help")


def parse(words: list[str]) -> argparse.Namespace:
    """What was typed.

    Raises:
        ConfigurationInvalid: it is no command, or not one of its flags.
    """
    command = next((word for word in words if not word.startswith("-")), None)
    parser = _Parser("peft-tui", description=DESCRIPTION, epilog=EXIT)
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

        commands = overview(command_helps(), COMMANDS)
        parser.epilog = f"commands (peft-tui COMMAND --help says more):\n{commands}\n\n{EXIT}"
    args, more = parser.parse_known_args(words)
    if more and command is not None and not is_adapter(command):
        raise no_command(command)
    if more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    args.command = None
    return args


def is_adapter(word: str) -> bool:
    """Whether a first word may be meant as one: it is a directory, or has the form of a Hugging Face id."""
    return "/" in word or os.path.exists(word)


def near_commands(word: str) -> list[str]:
    """The one that was meant, if any is like it."""
    return difflib.get_close_matches(word, COMMANDS, 1)


def no_command(word: str) -> ConfigurationInvalid:
    """For a first word that is no command and hardly an adapter."""
    near = near_commands(word)
    hint = f"Did you mean peft-tui {near[0]}?" if near else "peft-tui --help lists the commands."
    return ConfigurationInvalid(f"There is no command and no directory “{clean_line(word, 60)}”.", hint=hint)


def command_helps() -> dict[str, str]:
    """What each command does, in a few words."""
    return {a.dest: a.help or "" for a in _add_commands(_Parser("peft-tui"), "")._choices_actions}


def command_parsers() -> dict[str, argparse.ArgumentParser]:
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
