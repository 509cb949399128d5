"""From what the SDK raises to what a person can do about it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from peft_tui.domain.errors import (
    AuthenticationFailed,
    ConfigurationInvalid,
    Conflict,
    ConnectionFailed,
    Effect,
    NotFound,
    PeftTuiError,
    PlatformFailed,
    ResourceUnavailable,
    TimedOut,
)
from peft_tui.text import clean_line

TITLE = "Modal"
_SPENT = re.compile(r"spend limit|billing|budget|credit|payment", re.IGNORECASE)
_DISABLED = re.compile(r"workspace\b.*\bdisabled|\bdisabled\b.*\bworkspace", re.IGNORECASE)
_RATE = re.compile(r"rate limit|too many requests|throttl", re.IGNORECASE)


def unreachable(server_url: str, error: BaseException) -> PeftTuiError:
    """No connection came about, and nothing was sent."""
    return ConnectionFailed(
        f"{TITLE}: {clean_line(server_url.split(',')[0], 120)} cannot be reached.",
        hint="Check the network, the proxy and MODAL_SERVER_URL. Nothing was sent.",
        detail=clean_line(error),
        transient=True,
    )


def translate(error: Exception, errors: Any, safe: bool) -> PeftTuiError:
    """What `error` means here.

    Args:
        errors: the module `modal.exception`.
        safe: repeating it can do no harm: a read, or something that twice is the same as once.
    """
    if isinstance(error, PeftTuiError):
        return error
    said = clean_line(error)
    lost = Effect.NONE if safe else Effect.UNKNOWN
    again = "It is asked again by itself." if safe else "It is looked up before it is asked again."
    if isinstance(error, TimeoutError | asyncio.TimeoutError | errors.TimeoutError):
        return TimedOut(
            f"{TITLE} did not answer in time.", hint=again, detail=said, effect=lost, transient=True
        )
    if _DISABLED.search(said):
        return ResourceUnavailable(
            f"{TITLE} has disabled the workspace: {said}",
            hint="Its spend limit is reached, as a rule: see modal.com/settings/usage. Nothing starts.",
            detail=said,
        )
    if isinstance(error, errors.ImageBuildError):
        return PlatformFailed(
            f"The image could not be built: {said}",
            hint="Nothing was deployed and nothing bills.",
            detail=said,
        )
    if isinstance(error, errors.AuthError):
        return AuthenticationFailed(
            f"{TITLE} does not accept the token.",
            hint="Check MODAL_TOKEN_ID and MODAL_TOKEN_SECRET: a pair, whole and current.",
            detail=said,
        )
    if isinstance(error, errors.PermissionDeniedError):
        return AuthenticationFailed(
            f"{TITLE}: this token may not do that: {said}",
            hint="Use a token with more rights, or another environment.",
            detail=said,
        )
    if isinstance(error, errors.ResourceExhaustedError):
        return _exhausted(said)
    if isinstance(error, errors.UnimplementedError):
        return Unimplemented(f"{TITLE} does not offer that here.", detail=said)
    if isinstance(error, errors.NotFoundError | FileNotFoundError):
        return NotFound(f"{TITLE}: there is no such thing: {said}", detail=said)
    if isinstance(error, errors.AlreadyExistsError):
        return Conflict(f"{TITLE}: the name is taken: {said}", detail=said)
    if isinstance(error, errors.ConflictError):
        return Conflict(f"{TITLE}: it changed meanwhile: {said}", hint="Look again.", detail=said)
    if isinstance(error, errors.InvalidError):
        return ConfigurationInvalid(
            f"{TITLE} refused: {said}", hint="This request changed nothing there.", detail=said
        )
    if isinstance(error, errors.VersionError):
        return ConfigurationInvalid(
            f"{TITLE} does not serve this version of its SDK any more.",
            hint="Look for a newer peft-tui.",
            detail=said,
        )
    if isinstance(error, errors.ServiceError | errors.InternalError | errors.DataLossError):
        return PlatformFailed(
            f"{TITLE} is having trouble: {said or 'it gave no reason'}",
            hint=again,
            detail=said,
            effect=lost,
            transient=True,
        )
    if isinstance(error, errors.ConnectionError | OSError) or _is_transport(error):
        return ConnectionFailed(
            f"{TITLE}: the connection broke.", hint=again, detail=said, effect=lost, transient=True
        )
    return PlatformFailed(
        f"{TITLE}'s SDK failed ({type(error).__name__}): {said}",
        hint="modal.com/apps shows what exists.",
        detail=said,
        effect=lost,
    )


class Unimplemented(PlatformFailed):
    """The server does not know the call: what it would have told is not known."""


def _exhausted(said: str) -> PeftTuiError:
    if _RATE.search(said):
        return ResourceUnavailable(
            f"{TITLE} limits the rate of requests.",
            hint="It is asked again by itself.",
            detail=said,
            transient=True,
        )
    if _SPENT.search(said):
        return ResourceUnavailable(
            f"{TITLE}: the spend limit is reached: {said}",
            hint="Nothing was started. Raise it at modal.com/settings/usage, or wait for the next cycle.",
            detail=said,
        )
    return ResourceUnavailable(
        f"{TITLE} has no room for that: {said}", hint="Nothing was started.", detail=said
    )


def _is_transport(error: Exception) -> bool:
    """Of grpclib, h2 or aiohttp, which the SDK lets through: a stream that ended, a reset, a cut upload."""
    return type(error).__module__.partition(".")[0] in ("grpclib", "h2", "aiohttp")
