"""Where each secret comes from. For now: the vendors' own environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peft_tui.domain.errors import AuthenticationFailed

if TYPE_CHECKING:
    from peft_tui.domain.offers import Capabilities


class Secret:
    """A value that never shows itself: not in a repr, not in a format string, not in a log."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class CredentialState:
    """What is there for one platform."""

    missing: tuple[str, ...]
    """Required variables that are not set."""
    source: str = "environment"

    @property
    def present(self) -> bool:
        return not self.missing


class Credentials:
    """Looks names up in the environment that it was made with."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def state(self, capabilities: Capabilities) -> CredentialState:
        return CredentialState(
            tuple(f.env for f in capabilities.credentials if f.required and not self.text(f.env))
        )

    def secret(self, env: str, platform: str) -> Secret:
        """The secret in `env`.

        Raises:
            AuthenticationFailed: it is not set, or cannot stand in a header.
        """
        value = self._environ.get(env, "").strip()
        if not value:
            raise AuthenticationFailed(
                f"No credentials for {platform}: {env} is not set.",
                hint=f"export {env}=… and start again, or try it without an account: peft-tui --sandbox",
            )
        return _secret(env, value)

    def optional_secret(self, env: str) -> Secret | None:
        value = self._environ.get(env, "").strip()
        return _secret(env, value) if value else None

    def text(self, env: str, default: str = "") -> str:
        """A setting that is no secret."""
        return self._environ.get(env, "").strip() or default


def _secret(env: str, value: str) -> Secret:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise AuthenticationFailed(
            f"{env} holds something that no key holds (a space, a line break, a typographic character).",
            hint="Copy the key again.",
        )
    return Secret(value)
