"""What can go wrong, as a person would sort it.

    PeftTuiError
    ├── ConnectionFailed       no such host, refused, reset, the platform did not speak its protocol
    ├── AuthenticationFailed   the key is missing, wrong, or belongs to nothing
    ├── ConfigurationInvalid   what was asked for cannot be: said before anything is sent where possible
    │   └── NotUsable          the request is right, but a store or a keyring here is not
    ├── ResourceUnavailable    quota, capacity, credit
    ├── TimedOut               no answer in time
    ├── Conflict               a name that is taken, an object that changed meanwhile
    │   └── NotPossible        the same found out here, with no platform asked
    │       └── NotLikeThis    it has to be worded otherwise
    ├── NotFound               there is no such thing
    └── PlatformFailed         the platform refused or broke, in its own words

Each says what happened, what it means, and what to do next. `effect` says whether the request may have
been carried out: this is what decides between "ask again" and "look first".
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar


class Effect(StrEnum):
    """What a failed request did on the other side."""

    NONE = "none"
    UNKNOWN = "unknown"
    """It was sent and not answered: it may have been carried out."""


class PeftTuiError(Exception):
    """The root of the tree above. `str(error)` is its message."""

    kind: ClassVar[str] = "failed"
    exit_status: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        detail: str = "",
        effect: Effect = Effect.NONE,
        transient: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        """One sentence for the person."""
        self.hint = hint
        """What to do next."""
        self.detail = detail
        """The platform's own words, cleaned and shortened."""
        self.effect = effect
        self.transient = transient
        """True when the same request may well succeed later without anyone changing anything."""
        self.retry_after = retry_after
        """Seconds the other side asked us to wait."""
        self.status = status
        """HTTP status, where there was one."""

    @property
    def sentences(self) -> str:
        """What happened and what to do, to be read in one go."""
        return sentences(self.message, self.hint)

    def as_dict(self) -> dict[str, Any]:
        """The `error` object of the command line's `--json` and of the store."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint, "detail": self.detail}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> PeftTuiError:
        """The inverse of `as_dict`, for errors read back from the store."""
        tree: tuple[type[PeftTuiError], ...] = (PeftTuiError, *PeftTuiError.__subclasses__())
        kinds = {cls.kind: cls for cls in tree}
        cls = kinds.get(str(data.get("kind")), PeftTuiError)
        return cls(
            str(data.get("message", "")), hint=str(data.get("hint", "")), detail=str(data.get("detail", ""))
        )


class ConnectionFailed(PeftTuiError):
    kind = "connection"
    exit_status = 6


class AuthenticationFailed(PeftTuiError):
    kind = "authentication"
    exit_status = 3


class ConfigurationInvalid(PeftTuiError):
    kind = "configuration"
    exit_status = 2


class NotUsable(ConfigurationInvalid):
    """The words are right, and something here is not: a store, a keyring. The same may work another time."""

    exit_status = 1


class ResourceUnavailable(PeftTuiError):
    kind = "resource"
    exit_status = 7


class TimedOut(PeftTuiError):
    kind = "timeout"
    exit_status = 5


class Conflict(PeftTuiError):
    kind = "conflict"
    exit_status = 7


class NotPossible(Conflict):
    """Refused here, by what is known already: no platform was asked, so the status is not that of one."""

    exit_status = 1


READ_ONLY = "This is read-only: nothing is changed from here."


def read_only() -> NotPossible:
    """The refusal of everything that would change something at a platform."""
    return NotPossible(READ_ONLY, hint="Start it without --read-only, and without read_only in config.toml.")


class NotLikeThis(NotPossible):
    """What was asked for has to be worded otherwise: a name that is taken, or that several have."""

    exit_status = 2


class NotFound(PeftTuiError):
    kind = "not_found"
    exit_status = 4


class PlatformFailed(PeftTuiError):
    kind = "platform"
    exit_status = 7


def sentences(message: str, hint: str) -> str:
    """The two in a row: what platforms say does not always end as a sentence does."""
    ended = not message or message.endswith((".", "!", "?", "…", ":"))
    return f"{message}{'' if ended else '.'} {hint}".strip()
