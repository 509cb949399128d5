"""What no text that leaves the program may hold: the secrets in use, and what looks like one.

`credentials.Secret` teaches its value here when it is made, so that nothing has to remember to. `redact` is
for texts: the log, reports, exports, the clipboard, errors on their way into the store. `masked` keeps every
line as long as it was: for pictures.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

MARK = "[redacted]"
SHORTEST = 8
"""Shorter values are words as likely as secrets: hiding each `true` would make a log useless."""
FRAGMENT = 10
"""That many characters of a secret in a row are hidden in a picture, where a line may break it."""

_PATTERNS = re.compile(
    # The vendors' own prefixes; what precedes must not be a word that merely ends like one.
    r"(?<![A-Za-z0-9_])(?:hf_|r8_|pb_|tgp_v\d_)[A-Za-z0-9_-]{16,}"
    r"|(?<![A-Za-z0-9-])(?:ak|as|wk|ws)-[A-Za-z0-9]{16,}"
    # Not “a basic understanding”: a digit, a sign or capitals within make it no word.
    r"|(?i:(?<=bearer )|(?<=bearer%20)|(?<=basic ))"
    r"(?=[A-Za-z.~+/-]*(?:[0-9_=]|[a-z][A-Z][A-Za-z]*[a-z][A-Z]))[A-Za-z0-9._~+/=-]{8,}"
    # Signed addresses: whoever has the signature has the file.
    r"|(?i:(?<=x-amz-signature=)|(?<=x-amz-security-token=)|(?<=x-amz-credential=)|(?<=x-goog-signature=)"
    r"|(?<=[?&]signature=)|(?<=[?&]sig=))[^&\s\"'<>]{8,}"
)


class Redactor:
    """Knows values; finds them as they are, and as they look in JSON, in an address and in base64."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._known: re.Pattern[str] | None = None

    def learn(self, value: str) -> None:
        """Hide `value` from now on."""
        value = value.strip()
        if len(value) >= SHORTEST and value not in self._values:
            self._values.add(value)
            self._known = None

    def redact(self, text: str) -> str:
        """`text` without secrets."""
        if self._values:
            text = self._pattern().sub(MARK, text)
        return _PATTERNS.sub(MARK, text)

    def masked(self, lines: Sequence[str]) -> list[str]:
        """The same lines, dots where secrets or parts of them stand."""
        return [self._masked(line) for line in lines]

    def _masked(self, line: str) -> str:
        letters = list(line)
        for start, end in self._spans(line):
            letters[start:end] = "•" * (end - start)
        return "".join(letters)

    def _spans(self, line: str) -> Iterator[tuple[int, int]]:
        for pattern in (self._pattern(), _PATTERNS) if self._values else (_PATTERNS,):
            for match in pattern.finditer(line):
                yield match.span()
        for value in self._values:
            size = min(FRAGMENT, len(value))
            for offset in range(len(value) - size + 1):
                found = line.find(value[offset : offset + size])
                while found >= 0:
                    yield found, found + size
                    found = line.find(value[offset : offset + size], found + 1)

    def _pattern(self) -> re.Pattern[str]:
        if self._known is None:
            forms = {form for value in self._values for form in _forms(value)}
            # The longest first: a value may begin with another one.
            self._known = re.compile("|".join(re.escape(f) for f in sorted(forms, key=len, reverse=True)))
        return self._known


def _forms(value: str) -> Iterator[str]:
    """`value` in the spellings that a log or an address may have it in."""
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="")
    yield quote_plus(value)
    raw = value.encode("utf-8", "surrogatepass")
    for before in range(3):
        # Inside of something longer, as `user:value` is, base64 looks one of three ways. The characters at
        # both ends depend on the neighbours and are left out.
        text = base64.b64encode(b"\0" * before + raw).decode()
        core = text[(0, 2, 3)[before] : len(text) - (0, 3, 2)[(before + len(raw)) % 3]]
        if len(core) >= SHORTEST:
            yield core
            yield core.replace("+", "-").replace("/", "_")


_OURS = Redactor()
learn = _OURS.learn
redact = _OURS.redact
masked = _OURS.masked


def holds_secret(text: str) -> bool:
    """Whether anything in it is, or looks like, a secret."""
    return redact(text) != text


def redacted(data: Any) -> Any:
    """A document with each of its texts redacted.

    Before it is written as JSON or CSV: in those a pattern could take the backslash or the comma behind it,
    and what is left would be none.
    """
    if isinstance(data, str):
        return redact(data)
    if isinstance(data, Mapping):
        return {key: redacted(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [redacted(value) for value in data]
    return data
