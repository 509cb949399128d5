"""From what came over the wire to what a person can do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

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

LONGEST_WAIT = 24 * 3600.0
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
UNRESOLVED = ("name or service", "name resolution", "nodename", "no address", "getaddrinfo")
"""How the resolvers of different systems say that there is no such host."""


def broken(status: int) -> bool:
    """The trouble of the server, or of a gateway before it: it may have done what it was asked."""
    return status == 408 or status >= 500


def no_answer(error: Exception, platform: str, origin: str, safe: bool) -> PeftTuiError:
    """The error for a request that got no answer. `safe` says that repeating it can do no harm."""
    if isinstance(error, httpx.LocalProtocolError):
        # Its text quotes the header that could not be written, and the key with it.
        return ConfigurationInvalid(
            f"{platform}: the request cannot be written.", hint="A key holds characters that no key holds."
        )
    sent = not isinstance(error, NOT_SENT)
    effect = Effect.UNKNOWN if sent and not safe else Effect.NONE
    detail = clean_line(error)
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return TimedOut(
            f"{platform} did not answer in time.",
            hint="It is looked up before anything is asked for again."
            if effect is Effect.UNKNOWN
            else "It is asked again.",
            detail=detail,
            effect=effect,
            transient=True,
        )
    text = str(error).lower()
    if isinstance(error, httpx.ConnectError) and any(part in text for part in UNRESOLVED):
        message = f"{platform}: the host of {origin} does not resolve."
        hint = "Check the network, the proxy and the address in the environment."
    elif isinstance(error, httpx.ConnectError) and "certificate" in text:
        message = f"{platform}: the certificate of {origin} cannot be verified."
        hint = "Behind a proxy that inspects TLS, set SSL_CERT_FILE to its certificate."
    elif isinstance(error, httpx.ConnectError):
        message = f"{platform}: {origin} refuses the connection or cannot be reached."
        hint = "Check the network and the address in the environment."
    elif isinstance(error, httpx.UnsupportedProtocol):
        return ConfigurationInvalid(
            f"{platform}: {origin} is not an address for HTTP.",
            hint="It must begin with https:// or http://.",
        )
    else:
        message = f"{platform}: the connection to {origin} broke."
        hint = "It is looked up before anything is asked for again." if sent else "It is tried again."
    return ConnectionFailed(message, hint=hint, detail=detail, effect=effect, transient=True)


def refused(
    status: int,
    headers: Mapping[str, str],
    body: Any,
    platform: str,
    now: datetime,
    safe: bool,
) -> PeftTuiError:
    """The error for an answer with a status of 400 and above. `body` is parsed JSON, or None."""
    said, code = words(body)
    detail = said or f"HTTP {status}"
    wait = retry_after(headers, body, now, limited=status == 429)
    if status == 429:
        again = f" It may be asked again in {wait:.0f} s." if wait else ""
        return ResourceUnavailable(
            f"{platform} limits the rate of requests.{again}",
            hint="It is asked again by itself.",
            detail=detail,
            transient=True,
            retry_after=wait,
            status=status,
        )
    if broken(status):
        kind = TimedOut if status in (408, 504, 522, 524) else PlatformFailed
        return kind(
            f"{platform} is having trouble (HTTP {status}).",
            hint="It is asked again by itself." if safe else "It is looked up before it is asked again.",
            detail=detail,
            effect=Effect.NONE if safe else Effect.UNKNOWN,
            transient=True,
            retry_after=wait,
            status=status,
        )
    cls: type[PeftTuiError] = PlatformFailed
    message, hint = f"{platform} refused: {detail}", "This request changed nothing there."
    if status == 401:
        cls, message = AuthenticationFailed, f"{platform} does not accept the key."
        hint = "Check that it is whole, current and for this platform."
    elif status == 402:
        cls, message = ResourceUnavailable, f"{platform}: the account's credit is used up."
        hint = "Nothing was started. Add credit there; running deployments may be shut down by the platform."
    elif status == 403:
        cls, message = AuthenticationFailed, f"{platform}: this key may not do that: {detail}"
        hint = "Use a key with more rights, or another account."
    elif status == 404:
        cls, message, hint = NotFound, f"{platform}: there is no such thing: {detail}", ""
    elif status in (409, 412):
        cls, message = Conflict, f"{platform}: the name is taken, or it changed meanwhile: {detail}"
    elif status == 413:
        cls, message = ResourceUnavailable, f"{platform}: too large: {detail}"
    elif status in (400, 422):
        cls = ConfigurationInvalid
    return cls(message, hint=hint, detail=f"{code}: {detail}" if code else detail, status=status)


def is_final(error: PeftTuiError) -> bool:
    """Whether the platform said no, to a key that it takes: another try would change nothing."""
    return not error.transient and error.status in (400, 403, 409, 422)


def words(body: Any) -> tuple[str, str]:
    """The platform's own message and code, from any of the shapes that error bodies have here.

    `{"error": {"message", "code"}}`, `{"error": "…"}`, `{"message", "code"}` (gRPC gateways),
    `{"title", "detail"}` (problem+json).
    """
    if not isinstance(body, dict):
        return "", ""
    inner = body.get("error")
    if isinstance(inner, dict):
        body = inner
    elif isinstance(inner, str):
        return clean_line(inner), ""
    said = body.get("message") or body.get("detail") or body.get("title") or ""
    code = body.get("code") or ""
    return clean_line(said), clean_line(code, 60)


def retry_after(headers: Mapping[str, str], body: Any, now: datetime, limited: bool = True) -> float | None:
    """Seconds that the server asked for, in any of its spellings; nonsense is ignored.

    A date is taken against the server's own clock (its `Date` header), for ours may be wrong.
    """
    candidates: list[float | None] = [_number(headers.get("retry-after-ms"), 0.001)]
    hint = headers.get("retry-after")
    candidates.append(_number(hint))
    if hint and candidates[-1] is None:
        date, server = _date(hint), _date(headers.get("date"))
        if date is not None:
            candidates.append((date - (server or now)).total_seconds())
    if isinstance(body, dict):
        candidates.append(_number(body.get("retry_after")))
    if limited:
        # It stands in every answer of who sends it; only where the rate is the trouble it is one to wait for.
        candidates.append(_number(headers.get("ratelimit-reset")))
        candidates.append(_number(headers.get("x-ratelimit-reset")))
    return next((s for s in candidates if s is not None and 0 <= s <= LONGEST_WAIT), None)


def _number(value: object, unit: float = 1.0) -> float | None:
    try:
        number = float(str(value)) * unit
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else None
