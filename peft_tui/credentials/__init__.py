"""Where each secret comes from: the environment, then what the person let us keep (see `vault`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peft_tui.credentials.index import Place
from peft_tui.credentials.secret import Secret
from peft_tui.credentials.vault import Rung, Vault
from peft_tui.domain.errors import AuthenticationFailed

if TYPE_CHECKING:
    from peft_tui.domain.offers import Capabilities, CredentialField

__all__ = ["CredentialState", "Credentials", "Place", "Rung", "Secret", "Vault"]


@dataclass(frozen=True, slots=True)
class CredentialState:
    """What is there for one platform."""

    missing: tuple[str, ...]
    """Required variables that are neither set nor kept, or that cannot be read now."""
    source: str = Place.ENVIRONMENT
    """Where the first of them comes from."""
    trouble: str = ""
    """Why one that is kept cannot be read now."""
    settled: bool = True
    """False while the keyring is still being read."""

    @property
    def present(self) -> bool:
        return not self.missing


_ADDRESSES = ("TOGETHER_BASE_URL", "REPLICATE_BASE_URL", "MODAL_SERVER_URL", "PREDIBASE_GATEWAY")
_HERE = ("http://127.0.0.1:", "http://localhost:")


class Credentials:
    """Looks names up in the environment that it was made with, which always wins, then in the vault."""

    def __init__(self, environ: Mapping[str, str], vault: Vault | None = None) -> None:
        self._environ = environ
        self.vault = vault or Vault(None)
        self._listeners: list[Callable[[str], None]] = []

    async def load(self) -> None:
        """Read what is kept. Before this only the environment is known."""
        await self.vault.load()

    async def notice_others(self) -> None:
        """Take up what another process set or deleted; whoever listens is told as of what is done here."""
        for name in await self.vault.reload():
            self._tell(name)

    def state(self, capabilities: Capabilities) -> CredentialState:
        required = [field for field in capabilities.credentials if field.required]
        missing = tuple(field.env for field in required if not self.text(field.env))
        source = next(
            (place for f in required if (place := self.place(f.env)) is not None), Place.ENVIRONMENT
        )
        trouble = next((t for name in missing if (t := self.vault.trouble(name))), "")
        return CredentialState(missing, source, trouble, self.vault.settled)

    def place(self, env: str) -> Place | None:
        """Where the value in use comes from; None when there is none."""
        if self._environ.get(env, "").strip():
            return Place.ENVIRONMENT
        known = self.vault.known(env)
        return known[1] if known is not None else None

    def secret(self, env: str, platform: str) -> Secret:
        """The secret called `env`.

        Raises:
            AuthenticationFailed: there is none, or it cannot stand in a header.
        """
        value = self.text(env)
        if not value and (trouble := self.vault.trouble(env)):
            raise AuthenticationFailed(
                f"No credentials for {platform}: {env} cannot be read ({trouble}).",
                hint="Unlock it in the application, or set PEFT_TUI_PASSPHRASE.",
            )
        if not value:
            raise AuthenticationFailed(
                f"No credentials for {platform}: {env} is not set.",
                hint=f"peft-tui credentials set keeps it, export {env}=… lends it{self._without}",
            )
        return sound_secret(env, value)

    @property
    def _without(self) -> str:
        """How to do without an account, for who is not in the sandbox already."""
        here = any(self._environ.get(name, "").startswith(_HERE) for name in _ADDRESSES)
        return "" if here else "; without an account: peft-tui --sandbox"

    def optional_secret(self, env: str) -> Secret | None:
        value = self.text(env)
        return sound_secret(env, value) if value else None

    def text(self, env: str, default: str = "") -> str:
        """The value as it is: for a setting that is no secret."""
        value = self._environ.get(env, "").strip()
        if not value and (known := self.vault.known(env)) is not None:
            value = known[0].reveal().strip()
        return value or default

    # Changing

    async def set(self, field: CredentialField, value: str, place: Place | None = None) -> Place:
        """Keep `value`; where. The environment goes on to win while it is set there.

        Raises:
            AuthenticationFailed: it cannot be one.
            PeftTuiError: `place` does not keep it.
        """
        secret = sound_secret(field.env, value.strip())
        kept = await self.vault.put(field.env, secret, place)
        self._tell(field.env)
        return kept

    async def delete(self, env: str) -> tuple[Place, ...]:
        """Delete it wherever it is kept; where that was.

        Raises:
            PeftTuiError: it is still somewhere.
        """
        try:
            return await self.vault.delete(env)
        finally:
            self._tell(env)

    async def unlock(self, passphrase: str) -> None:
        """Open the encrypted file, or begin one.

        Raises:
            AuthenticationFailed: the passphrase does not fit.
        """
        before = {name for name in self.vault.names() if self.vault.known(name)}
        await self.vault.unlock(passphrase)
        for name in self.vault.names():
            if name not in before and self.vault.known(name):
                self._tell(name)

    def listen(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Have `listener` told the name of each one that changes; call what is returned to end it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell(self, env: str) -> None:
        for listener in tuple(self._listeners):
            listener(env)


def sound_secret(env: str, value: str) -> Secret:
    """The secret, if it can stand in a header.

    Raises:
        AuthenticationFailed: it cannot, or it is nothing.
    """
    if not value:
        raise AuthenticationFailed(f"{env}: nothing was given.", hint="Paste the key.")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise AuthenticationFailed(
            f"{env} holds something that no key holds (a space, a line break, a typographic character).",
            hint="Copy the key again.",
        )
    return Secret(value)
