"""Whose keys there are to have, and where each one is: what screen, command line and doctor show."""

from __future__ import annotations

from dataclasses import dataclass

from peft_tui.credentials import Credentials, Place
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.offers import CredentialField
from peft_tui.drivers import PLATFORMS, capabilities


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who asks for credentials."""

    key: str
    title: str
    fields: tuple[CredentialField, ...]
    checkable: bool = True
    """Whether it can be asked who they belong to."""


HUGGING_FACE = Holder(
    "huggingface",
    "Hugging Face",
    (CredentialField("HF_TOKEN", "token, for private and gated repositories", required=False),),
    checkable=False,
)


def holders() -> tuple[Holder, ...]:
    """The platforms, then the hub that adapters come from."""
    offers = [capabilities(platform) for platform in PLATFORMS]
    return (*(Holder(o.platform, o.title, o.credentials) for o in offers), HUGGING_FACE)


def find_holder(key: str) -> Holder:
    """
    Raises:
        ConfigurationInvalid: there is none called so.
    """
    for holder in holders():
        if holder.key == key.lower():
            return holder
    raise ConfigurationInvalid(
        f"There is no platform “{key}”.", hint=f"Choose one of: {', '.join(h.key for h in holders())}."
    )


def find_field(holder: Holder, name: str | None) -> CredentialField:
    """The field with that variable's name; without a name the first one, the key itself.

    Raises:
        ConfigurationInvalid: it has no such field.
    """
    if name is None:
        return holder.fields[0]
    for field in holder.fields:
        if field.env == name.upper():
            return field
    raise ConfigurationInvalid(
        f"{holder.title} has no “{name}”.", hint=f"It has: {', '.join(f.env for f in holder.fields)}."
    )


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """One field and where its value is."""

    field: CredentialField
    source: Place | None
    """Where the value in use comes from; None when there is none."""
    kept: tuple[Place, ...]
    """Where copies are kept, whether they are in use or not."""
    trouble: str
    """Why what is kept cannot be read now."""
    value: str
    """Of what is no secret; empty for secrets."""

    @property
    def unused(self) -> tuple[Place, ...]:
        """Where a copy is kept that something above it outshines."""
        return tuple(place for place in self.kept if place is not self.source)


def whereabouts(credentials: Credentials, field: CredentialField) -> Whereabouts:
    return Whereabouts(
        field,
        credentials.place(field.env),
        credentials.vault.places(field.env),
        credentials.vault.trouble(field.env),
        "" if field.secret else credentials.text(field.env),
    )
