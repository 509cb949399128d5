"""Lists of V2: cursor, limit, filter, order."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from peft_tui.sandbox.clock import parse_iso
from peft_tui.sandbox.together.access import Call

T = TypeVar("T")


def page(
    call: Call,
    items: Sequence[T],
    show: Callable[[T], Any],
    key: Callable[[T], str],
    *,
    most: int = 500,
    default: int = 50,
) -> dict[str, Any]:
    """One page of a list: `{"object": "list", "data": […], "next_cursor": …}`.

    The cursor names the last item shown, so that a list which grows meanwhile is not shifted.
    """
    raw = call.query.get("limit")
    limit = default
    if raw is not None:
        if not raw.lstrip("-").isdigit() or int(raw) < 0:
            raise call.refuse(400, f"Invalid Argument: limit must be a non-negative integer, got {raw!r}")
        limit = min(int(raw) or default, most)
    start = 0
    if after := call.query.get("after"):
        try:
            name = base64.urlsafe_b64decode(after.encode()).decode()
        except ValueError:
            raise call.refuse(400, "Invalid Argument: invalid cursor") from None
        positions = [i for i, item in enumerate(items) if key(item) == name]
        if not positions:
            raise call.refuse(400, "Invalid Argument: invalid cursor")
        start = positions[0] + 1
    shown = items[start : start + limit]
    more = start + limit < len(items)
    cursor = base64.urlsafe_b64encode(key(shown[-1]).encode()).decode() if more and shown else None
    return {"object": "list", "data": [show(item) for item in shown], "next_cursor": cursor}


def order(
    call: Call, items: list[T], created: Callable[[T], float], updated: Callable[[T], float]
) -> list[T]:
    """Sort by `orderBy` (`created_at|updated_at`, `asc|desc`); newest first if absent."""
    words = call.query.get("orderBy", "created_at desc").split()
    if len(words) == 1:
        words.append("asc")
    if (
        len(words) != 2
        or words[0] not in ("created_at", "updated_at")
        or words[1].lower() not in ("asc", "desc")
    ):
        raise call.refuse(400, "Invalid Argument: orderBy must be created_at or updated_at, asc or desc")
    by = created if words[0] == "created_at" else updated
    return sorted(items, key=by, reverse=words[1].lower() == "desc")


_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(\(|\))|(!=|<=|>=|[=<>:])|([^\s()"=<>!:]+))')
Fields = dict[str, Any]
Test = Callable[[Fields], bool]


class BadFilter(ValueError):
    """The filter cannot be understood."""


@dataclass
class _Parser:
    tokens: list[tuple[str, str]]
    known: tuple[str, ...]
    at: int = 0

    def peek(self) -> tuple[str, str] | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def word(self) -> str | None:
        token = self.peek()
        return token[1].upper() if token and token[0] == "word" else None

    def next(self) -> tuple[str, str]:
        token = self.peek()
        if token is None:
            raise BadFilter("unexpected end")
        self.at += 1
        return token

    def either(self) -> Test:
        left = self.both()
        while self.word() == "OR":
            self.at += 1
            left = _or(left, self.both())
        return left

    def both(self) -> Test:
        left = self.unary()
        while self.word() == "AND":
            self.at += 1
            left = _and(left, self.unary())
        return left

    def unary(self) -> Test:
        if self.word() == "NOT":
            self.at += 1
            inner = self.unary()
            return lambda fields: not inner(fields)
        if self.peek() == ("paren", "("):
            self.at += 1
            inner = self.either()
            if self.next() != ("paren", ")"):
                raise BadFilter("missing )")
            return inner
        return self.comparison()

    def comparison(self) -> Test:
        kind, name = self.next()
        if kind != "word" or name not in self.known:
            raise BadFilter(f"unknown field {name!r}")
        kind, operator = self.next()
        if kind != "op":
            raise BadFilter(f"expected an operator after {name!r}")
        kind, value = self.next()
        if kind not in ("string", "word"):
            raise BadFilter("expected a value")
        if name in ("created_at", "updated_at"):
            try:
                moment = parse_iso(value)
            except ValueError:
                raise BadFilter(f"{value!r} is not an RFC 3339 time") from None
            return _compare(name, operator, moment)
        return _match(name, operator, value)


def _or(left: Test, right: Test) -> Test:
    return lambda fields: left(fields) or right(fields)


def _and(left: Test, right: Test) -> Test:
    return lambda fields: left(fields) and right(fields)


def _compare(name: str, operator: str, value: Any) -> Test:
    tests: dict[str, Callable[[Any], bool]] = {
        "=": lambda x: bool(x == value),
        "!=": lambda x: bool(x != value),
        "<": lambda x: bool(x < value),
        "<=": lambda x: bool(x <= value),
        ">": lambda x: bool(x > value),
        ">=": lambda x: bool(x >= value),
    }
    if operator not in tests:
        raise BadFilter(f"operator {operator} does not apply to {name}")
    return lambda fields: tests[operator](fields[name])


def _match(name: str, operator: str, value: str) -> Test:
    def texts(fields: Fields) -> list[str]:
        found = fields[name]
        return list(found) if isinstance(found, tuple) else [found]

    if operator == ":":
        return lambda fields: any(value.lower() in text.lower() for text in texts(fields))
    if operator in ("=", "!="):
        pattern = re.compile("".join(".*" if c == "*" else re.escape(c) for c in value) + r"\Z", re.S)
        wanted = operator == "="
        return lambda fields: any(pattern.match(text) for text in texts(fields)) is wanted
    return lambda fields: any(_compare(name, operator, value)({name: text}) for text in texts(fields))


def parse_filter(text: str, known: tuple[str, ...]) -> Test:
    """A predicate over fields; a tuple of strings as field value means any of them.

    Raises:
        BadFilter: The text is not a filter.
    """
    tokens: list[tuple[str, str]] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadFilter(f"unexpected {text[at]!r}")
        string, paren, operator, word = match.groups()
        if string is not None:
            tokens.append(("string", re.sub(r"\\(.)", r"\1", string[1:-1])))
        elif paren is not None:
            tokens.append(("paren", paren))
        elif operator is not None:
            tokens.append(("op", operator))
        else:
            tokens.append(("word", word))
        at = match.end()
    parser = _Parser(tokens, known)
    test = parser.either()
    if parser.peek() is not None:
        raise BadFilter(f"unexpected {parser.next()[1]!r}")
    return test


def filtered(call: Call, items: list[T], known: tuple[str, ...], fields: Callable[[T], Fields]) -> list[T]:
    """The items that pass the query's `filter`."""
    text = call.query.get("filter", "").strip()
    if not text:
        return items
    try:
        test = parse_filter(text, known)
    except BadFilter as error:
        raise call.refuse(400, f"Invalid Argument: invalid filter expression: {error}") from None
    return [item for item in items if test(fields(item))]
