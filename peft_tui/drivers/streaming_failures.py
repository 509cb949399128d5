"""What can go wrong with a question that costs money, in words that say what it means for the bill."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from peft_tui.domain.errors import ConnectionFailed, Effect, PeftTuiError, ResourceUnavailable, TimedOut
from peft_tui.drivers.failures import broken, no_answer, refused
from peft_tui.text import clean_line


def turned_down(
    status: int, headers: Mapping[str, str], content: bytes, title: str, now: datetime
) -> PeftTuiError:
    """The error for an answer with a status of 400 and above."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        # Gateways answer in plain text; a page is of no use to anybody.
        text = content.decode("utf-8", "replace").strip()
        body = {"message": text} if text and not text.startswith("<") else None
    error = refused(status, headers, body, title, now, safe=False)
    if status == 429:
        error.hint = "Send it again then." if error.retry_after else "Send it again later."
        if isinstance(body, dict) and body.get("error_type") == "overloaded":
            error = ResourceUnavailable(
                f"{title} is overloaded.",
                hint=error.hint,
                detail=error.detail,
                transient=True,
                status=status,
            )
    elif broken(status):
        error.hint = "Send it again. Whether this one was billed is not known."
        if error.detail and error.detail != f"HTTP {status}":
            error.message = f"{title} (HTTP {status}): {error.detail}"
    else:
        error.hint = error.hint if status in (401, 402, 403) else "Nothing was generated."
    return error


def broke(error: Exception, title: str, origin: str, begun: bool) -> PeftTuiError:
    """The connection ended by itself.

    Args:
        begun: the answer had.
    """
    found = no_answer(error, title, origin, safe=False)
    if isinstance(found, (ConnectionFailed, TimedOut)):
        if begun:
            found.hint = "What came until then is shown. It may have been billed. Send it again."
        elif found.effect is Effect.UNKNOWN:
            found.hint = "It may have been carried out, and billed. Send it again if you want it."
    return found


def silent(title: str, seconds: float, status: int) -> TimedOut:
    """Nothing came for that long."""
    return TimedOut(
        f"{title} sent nothing for {seconds:.0f} s; the connection was closed.",
        hint="What came until then is shown. It may have been billed.",
        transient=True,
        status=status,
    )


def endless(title: str, seconds: float, status: int) -> TimedOut:
    """It went on for longer than it may."""
    return TimedOut(
        f"{title} was still answering after {seconds:.0f} s; the connection was closed.",
        hint="What came until then is shown.",
        status=status,
    )


def never_woke(title: str, seconds: float) -> TimedOut:
    """No instance came up."""
    return TimedOut(
        f"{title}: no instance came up in {seconds:.0f} s.",
        hint="One may still be booting, and billed. Try again, or stop the deployment.",
        transient=True,
    )


def not_understood(title: str, content: bytes = b"") -> ConnectionFailed:
    """What came is not what was asked for."""
    page = content.lstrip()[:1] == b"<"
    what = "a web page" if page else "something"
    return ConnectionFailed(
        f"{title} answers with {what} that is not what was asked for.",
        hint="A proxy or sign-in page may be in between, or the address is another one's.",
        detail=clean_line(content[:200].decode("utf-8", "replace")) if content and not page else "",
    )
