"""The secrets that a target names, from the environment or the vault."""

from __future__ import annotations

from peft_tui.credentials import Credentials, Secret
from peft_tui.domain.inference import AuthHeader


async def secret_of(credentials: Credentials, auth: AuthHeader, title: str) -> Secret:
    """What goes into the header.

    Raises:
        AuthenticationFailed: it is not there.
    """
    if auth.kept_as and credentials.optional_secret(auth.env) is None:
        kept = await credentials.vault.get(auth.kept_as)
        if kept is not None and auth.part is None:
            return kept
        if kept is not None and auth.part is not None:
            parts = kept.reveal().split(".")
            if auth.part < len(parts):
                return Secret(parts[auth.part])
    return credentials.secret(auth.env, title)
