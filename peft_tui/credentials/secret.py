"""A value that never shows itself."""

from __future__ import annotations

from peft_tui.redaction import learn


class Secret:
    """Not in a repr, not in a format string, and from the moment it is made not in the log either."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        learn(value)

    def reveal(self) -> str:
        """The value, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")
