"""The manual page and the shells' completions, written from the very parsers that read the commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from peft_tui import __version__

Parsers = Mapping[str, argparse.ArgumentParser]


@dataclass(frozen=True, slots=True)
class Flag:
    """An option of a command."""

    names: tuple[str, ...]
    help: str
    choices: tuple[str, ...]
    takes: str
    """What follows it; empty where nothing does."""

    @property
    def long(self) -> str:
        return next((name for name in self.names if name.startswith("--")), self.names[0])


def flags(parser: argparse.ArgumentParser) -> list[Flag]:
    found = []
    for action in parser._actions:
        if action.option_strings:
            takes = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
            choices = tuple(str(choice) for choice in action.choices or ())
            found.append(Flag(tuple(action.option_strings), _words(action.help), choices, takes))
    return found


def completions(shell: str, parsers: Parsers, helps: Mapping[str, str]) -> str:
    """A script for `shell`. Directories and files are completed where an adapter may stand."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](parsers, helps)


def _bash(parsers: Parsers, helps: Mapping[str, str]) -> str:
    after: list[str] = []
    words: list[str] = []
    for command, parser in parsers.items():
        options = flags(parser)
        after += [
            f'        "{command} {flag.long}") words="{" ".join(flag.choices)}" ;;'
            for flag in options
            if flag.choices
        ]
        first = [*_first_choices(parser), *(flag.long for flag in options)]
        words.append(f'        {command}) words="{" ".join(first)}" ;;')
    everywhere = " ".join([*parsers, "--sandbox", "--version", "--help"])
    lines = [
        "# bash completion of peft-tui: source <(peft-tui completions bash)",
        "_peft_tui() {",
        "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}",
        "    local command= word words=",
        '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        f"        case $word in {'|'.join(parsers)}) command=$word; break ;; esac",
        "    done",
        '    case "$command $previous" in',
        *after,
        "    esac",
        "    if [[ -z $words ]]; then case $command in",
        *words,
        f'        *) words="{everywhere}" ;;',
        "    esac; fi",
        '    COMPREPLY=($(compgen -W "$words" -- "$current"))',
        "}",
        "complete -o default -F _peft_tui peft-tui",
    ]
    return "\n".join(lines)


def _zsh(parsers: Parsers, helps: Mapping[str, str]) -> str:
    lines = [
        "#compdef peft-tui",
        "# zsh completion of peft-tui: peft-tui completions zsh > ~/.zfunc/_peft-tui",
        "_peft_tui() {",
        "    local -a commands=(",
        *(f"        {_single(f'{name}:{helps.get(name, str())}')}" for name in parsers),
        "    )",
        "    local command=${words[(r)(" + "|".join(parsers) + ")]}",
        "    case $command in",
    ]
    for command, parser in parsers.items():
        specs = [_zsh_flag(flag) for flag in flags(parser)]
        if first := _first_choices(parser):
            specs.append(_single(f"*:what:({' '.join(first)})"))
        else:
            specs.append("'*:file:_files'")
        lines.append(f"        {command}) _arguments " + " ".join(specs) + " ;;")
    lines += [
        "        *) _describe command commands",
        "           _arguments '--sandbox' '--version' '--help' '*:adapter:_files' ;;",
        "    esac",
        "}",
        '_peft_tui "$@"',
    ]
    return "\n".join(lines)


def _zsh_flag(flag: Flag) -> str:
    words = flag.help.replace("[", "(").replace("]", ")").replace(":", " ")
    value = f":{flag.takes.lower()}:{'(' + ' '.join(flag.choices) + ')' if flag.choices else ''}"
    return _single(f"{flag.long}[{words}]{value if flag.takes or flag.choices else ''}")


def _fish(parsers: Parsers, helps: Mapping[str, str]) -> str:
    lines = ["# fish completion of peft-tui: peft-tui completions fish | source"]
    none = f"not __fish_seen_subcommand_from {' '.join(parsers)}"
    for command in parsers:
        lines.append(
            f"complete -c peft-tui -n {_single(none)} -a {command} -d {_single(helps.get(command, ''))}"
        )
    for name in ("sandbox", "version", "help"):
        lines.append(f"complete -c peft-tui -n {_single(none)} -l {name}")
    for command, parser in parsers.items():
        seen = f"complete -c peft-tui -n {_single(f'__fish_seen_subcommand_from {command}')}"
        for flag in flags(parser):
            values = (
                f" -x -a {_single(' '.join(flag.choices))}" if flag.choices else " -r" if flag.takes else ""
            )
            lines.append(f"{seen} -l {flag.long.lstrip('-')}{values} -d {_single(flag.help)}")
        if first := _first_choices(parser):
            lines.append(f"{seen} -a {_single(' '.join(first))}")
    return "\n".join(lines)


def manual(parsers: Parsers, helps: Mapping[str, str], description: str, statuses: Mapping[int, str]) -> str:
    """A manual page in roff: `peft-tui man | man -l -`."""
    lines = [
        f'.TH PEFT-TUI 1 "" "peft-tui {__version__}"',
        ".SH NAME",
        "peft\\-tui \\- deploy LoRA adapters from the terminal",
        ".SH SYNOPSIS",
        ".B peft\\-tui",
        "[\\-\\-sandbox] [ADAPTER]",
        ".br",
        ".B peft\\-tui",
        "[\\-\\-sandbox] COMMAND ...",
        ".SH DESCRIPTION",
        _roff(description),
        "Without a command the application opens; with an adapter, its wizard on it.",
        "With \\-\\-sandbox all of it happens on local servers that behave like the platforms.",
        ".SH COMMANDS",
    ]
    for command, parser in parsers.items():
        usage = " ".join(parser.format_usage().removeprefix("usage:").split())
        lines += [f".SS {_roff(command)}", _roff(helps.get(command, "")), ".PP", _roff(usage)]
        for flag in flags(parser):
            if flag.long != "--help":
                takes = f" {flag.takes}" if flag.takes else ""
                lines += [".TP", f".B {_roff(', '.join(flag.names) + takes)}", _roff(flag.help) or "\\&"]
    lines.append(".SH EXIT STATUS")
    for status, words in statuses.items():
        lines += [".TP", f".B {status}", _roff(words)]
    lines += [".SH FILES", ".TP"]
    lines += [
        ".B ~/.config/peft\\-tui",
        "config.toml, prices.toml; credentials where there is no keyring.",
        ".TP",
    ]
    lines += [".B ~/.local/share/peft\\-tui", "The store, the log, crash reports.", ".SH ENVIRONMENT", ".TP"]
    lines += [".B PEFT_TUI_DATA_DIR, PEFT_TUI_CONFIG_DIR", "Move all of it elsewhere.", ".TP"]
    lines += [".B PEFT_TUI_PASSPHRASE", "Opens the encrypted file of credentials where nobody can be asked."]
    return "\n".join(lines)


def _first_choices(parser: argparse.ArgumentParser) -> list[str]:
    """What the first argument of a command may be, where it is one of a few."""
    for action in parser._actions:
        if not action.option_strings and action.choices:
            return [str(choice) for choice in action.choices]
    return []


def _words(help: str | None) -> str:
    return " ".join((help or "").replace("%%", "%").split())


def _single(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def overview(helps: Mapping[str, str], names: Iterable[str]) -> str:
    """The commands with a sentence each, for --help."""
    width = max(len(name) for name in helps)
    return "\n".join(f"  {name.ljust(width)}  {helps.get(name, '')}" for name in names)
