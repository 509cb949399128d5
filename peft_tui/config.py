"""The settings: `config.toml`, then the environment on top.

What is wrong is said with its line, the nearest right word and what was expected, and the default stands in
for it. The docstring below a field is its documentation: `peft-tui config` prints it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

FILE = "config.toml"
PREFIX = "PEFT_TUI_"
YES, NO = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Config:
    """All there is to set. Prices of your own stand in prices.toml beside it."""

    theme: str = "auto"
    """Colours: auto (by the terminal), peft-dark, peft-light, peft-contrast, peft-ansi (the terminal's own),
    or one of Textual's."""
    mouse: bool = True
    """Take the mouse. Without, the terminal selects text as ever; with it, hold shift to select."""
    ascii: str = field(default="auto", metadata={"choices": ("auto", "always", "never")})
    """Draw with ASCII only: auto (by locale and terminal), always, never."""
    notifications: bool = True
    """Tell by bell and desktop notice when a deployment becomes active or fails."""
    refresh_seconds: int = field(default=5, metadata={"least": 5, "most": 3600})
    """Seconds between two looks at each platform, 5 at least."""
    keep_texts: bool = True
    """Keep prompts and answers of the test console in the store. Without, only their figures are kept."""
    keep_days: int = field(default=90, metadata={"least": 1, "most": 3650})
    """Days that single requests are kept, with their texts. What they come to is kept for good."""
    log_level: str = field(default="warning", metadata={"choices": ("debug", "info", "warning", "error")})
    """How much the log file tells: debug, info, warning, error."""
    keymap: Mapping[str, str] = field(default_factory=dict)
    """Keys of your own, by the name of what they do: "deployments.new" = "n,f2". The help (?) shows what is
    in force; peft-tui config lists all names."""
    read_only: bool = False
    """Look only: nothing is deployed, changed, stopped or deleted from here, and what another window asked
    for is left to that. Prompts can be sent."""
    rest_minutes: int = field(default=5, metadata={"least": 0, "most": 1440})
    """Minutes without focus, where the terminal tells of it, after which the platforms are looked at only
    every 30 seconds while nothing is under way. 0: never."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was not taken."""

    where: str
    """`config.toml, line 3`, or the variable."""
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is in force, where each value that is no default comes from, and what was not taken."""

    config: Config = field(default_factory=Config)
    sources: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    path: Path | None = None


def load(directory: Path, environ: Mapping[str, str]) -> Settings:
    """Never fails: what cannot be used is among the problems."""
    path = directory / FILE
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    problems: list[Problem] = []
    document, text = _document(path, problems)
    for key, given in document.items():
        where = _where(path, text, key)
        _take(key, given, where, values, problems, lambda name, t=text: _where(path, t, name, "keymap"))
        if key in values:
            sources[key] = str(path)
    for key in _FIELDS:
        name = f"{PREFIX}{key.upper()}"
        if key != "keymap" and (said := environ.get(name, "").strip()):
            before = len(problems)
            _take(key, said, name, values, problems)
            if len(problems) == before:
                sources[key] = name
    return Settings(Config(**values), sources, tuple(problems), path)


def _document(path: Path, problems: list[Problem]) -> tuple[dict[str, Any], str]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}, ""
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(path.name, f"it cannot be read ({type(error).__name__}); the defaults stand"))
        return {}, ""
    import tomllib  # only where there is something to parse

    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        words = str(error)
        at = re.search(r" \(at line (\d+), column \d+\)$", words)
        where = f"{path.name}, line {at[1]}" if at else path.name
        words = words[: at.start()] if at else words
        problems.append(Problem(where, f"this is no TOML ({words}); none of the file is in force"))
        return {}, ""


def _take(
    key: str,
    given: object,
    where: str,
    values: dict[str, Any],
    problems: list[Problem],
    line_of: Any = None,
) -> None:
    """Put one value where it belongs, or say why not."""
    known = _FIELDS.get(key)
    if known is None:
        near = _nearest(key, _FIELDS)
        hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(_FIELDS)}"
        problems.append(Problem(where, f"there is no setting “{_short(key)}”{hint}"))
        return
    if key == "keymap":
        values[key] = _keymap(given, where, problems, line_of)
        return
    try:
        values[key] = _value(known, given)
    except ValueError as error:
        problems.append(Problem(where, f"{key} must be {error}, not {_short(given)}"))


def _value(known: Any, given: object) -> Any:
    """
    Raises:
        ValueError: what was expected.
    """
    if known.type == "bool":
        if isinstance(given, bool):
            return given
        if isinstance(given, str) and given.lower() in YES | NO:
            return given.lower() in YES
        raise ValueError("true or false")
    if known.type == "int":
        least, most = known.metadata["least"], known.metadata["most"]
        number = int(given) if isinstance(given, str) and re.fullmatch(r"[0-9]{1,9}", given) else given
        if isinstance(number, int) and not isinstance(number, bool) and least <= number <= most:
            return number
        raise ValueError(f"a whole number from {least} to {most}")
    choices = known.metadata.get("choices", ())
    if choices:
        text = given.lower() if isinstance(given, str) else given
        if text in choices:
            return text
        near = _nearest(str(text), choices)
        raise ValueError(f"one of {', '.join(choices)}{f' ({near[0]}?)' if near else ''}")
    if isinstance(given, str) and given:
        return given
    raise ValueError("a text in quotes")


def _keymap(given: object, where: str, problems: list[Problem], line_of: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        problems.append(Problem(where, 'keymap must be a table: [keymap], then "deployments.new" = "n"'))
        return {}
    taken: dict[str, str] = {}
    for name, keys in given.items():
        if isinstance(keys, dict):
            # Without quotes a name with a dot in it is a table within the table, which means the same.
            taken |= _keymap({f"{name}.{k}": v for k, v in keys.items()}, where, problems, line_of)
        elif isinstance(keys, str) and keys.strip():
            taken[name] = keys
        else:
            at = line_of(name) if line_of else where
            problems.append(Problem(at, f'{_short(name)} must be keys such as "n" or "ctrl+n,f2"'))
    return taken


def _where(path: Path, text: str, key: str, section: str = "") -> str:
    """The file with the line that sets `key`, as far as that can be seen in the text."""
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\]]+)\]", line):
            inside = header[1].strip()
            if inside == key and not section:
                return f"{path.name}, line {number}"
        elif (set_ := re.match(r"""\s*["']?([\w.-]+?)["']?\s*=""", line)) and set_[1] == key:
            if inside == section:
                return f"{path.name}, line {number}"
    return path.name


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:39]}…"


@cache
def documentation() -> Mapping[str, str]:
    """What each setting does: the docstrings below the fields, read from the source."""
    import ast
    import inspect

    body = ast.parse(inspect.getsource(Config)).body[0]
    assert isinstance(body, ast.ClassDef)
    words: dict[str, str] = {}
    for first, second in zip(body.body, body.body[1:], strict=False):
        if isinstance(first, ast.AnnAssign) and isinstance(second, ast.Expr):
            assert isinstance(first.target, ast.Name) and isinstance(second.value, ast.Constant)
            words[first.target.id] = " ".join(str(second.value.value).split())
    return words


def as_toml(settings: Settings, key_names: Mapping[str, str] | None = None) -> str:
    """The settings in force as a file with comments, to be kept as `config.toml`.

    Args:
        key_names: the names that a keymap takes, each with its default keys.
    """
    lines = [f"# {Config.__doc__}", f"# A variable {PREFIX}<NAME> wins over this file.", ""]
    words = documentation()
    for known in _FIELDS.values():
        if known.name == "keymap":
            continue
        lines.append(f"# {words[known.name]}")
        source = settings.sources.get(known.name)
        if source is not None and source.startswith(PREFIX):
            lines.append(f"# Set by {source}.")
        value = getattr(settings.config, known.name)
        mark = "# " if value == known.default else ""
        lines += [f"{mark}{known.name} = {_toml(value)}", ""]
    lines += [f"# {words['keymap']}", "[keymap]"]
    own = settings.config.keymap
    lines += [f"{_toml(name)} = {_toml(keys)}" for name, keys in own.items()]
    lines += [f"# {_toml(n)} = {_toml(keys)}" for n, keys in (key_names or {}).items() if n not in own]
    return "\n".join(lines)


def schema() -> dict[str, Any]:
    """The same as a JSON Schema, for editors."""
    words = documentation()
    types = {"bool": "boolean", "int": "integer", "str": "string"}
    properties: dict[str, Any] = {}
    for known in _FIELDS.values():
        if known.name == "keymap":
            entry: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
        else:
            entry = {"type": types[str(known.type)], "default": known.default}
        limits = {"least": "minimum", "most": "maximum", "choices": "enum"}
        entry |= {limits[k]: list(v) if k == "choices" else v for k, v in known.metadata.items()}
        properties[known.name] = {**entry, "description": words[known.name]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "peft-tui config.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    escaped = "".join(
        {"\\": "\\\\", '"': '\\"'}.get(c, c if c.isprintable() else f"\\u{ord(c):04x}") for c in str(value)
    )
    return f'"{escaped}"'


_FIELDS = {known.name: known for known in fields(Config)}


def _nearest(word: str, known: Iterable[str]) -> list[str]:
    # Wanted only where something is misspelt.
    import difflib

    return difflib.get_close_matches(word, known, 1, 0.6)
