"""Whether a host can be reached from here, for `peft-tui doctor`. Sends no key."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from peft_tui.domain.errors import ConfigurationInvalid, PeftTuiError
from peft_tui.drivers.failures import no_answer
from peft_tui.drivers.network import Network, origin_of
from peft_tui.text import clean_line

SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Reach:
    """What one request to a host came to."""

    origin: str
    proxy: str
    """The proxy in between, without its password; empty when there is none."""
    seconds: float | None = None
    """For name, connection, TLS and answer together; None when there was no answer."""
    skew_seconds: float | None = None
    """How far this machine's clock is ahead of the host's."""
    error: PeftTuiError | None = None


async def reach(url: str, title: str, network: Network, *, grpc: bool = False) -> Reach:
    """Ask a host for its root: any answer at all will do.

    Args:
        grpc: it speaks no HTTP/1.1, and hangs up on who does: that it was connected to is the answer.
    """
    proxy = ""
    try:
        origin = origin_of(url)
        proxy = proxy_for(url)
        client = await network.client()
        before, began = datetime.now(UTC), time.monotonic()
        response = await client.head(origin, timeout=SECONDS)
        seconds = time.monotonic() - began
    except PeftTuiError as error:
        return Reach(clean_line(url, 100), proxy, error=error)
    except (httpx.RemoteProtocolError, httpx.ReadError) as error:
        if not grpc:
            return Reach(origin, proxy, error=no_answer(error, title, origin, safe=True))
        return Reach(origin, proxy, time.monotonic() - began)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return Reach(origin, proxy, error=no_answer(error, title, origin, safe=True))
    # The host wrote its date about half way through.
    here = before.timestamp() + seconds / 2
    try:
        there = parsedate_to_datetime(response.headers.get("date", ""))
        skew = here - there.timestamp() - 0.5 if there.tzinfo else None
    except (ValueError, OverflowError):
        skew = None
    return Reach(origin, proxy, seconds, skew)


def proxy_for(url: str) -> str:
    """The proxy that the environment names for it, without user and password.

    Raises:
        ConfigurationInvalid: what it names is no address.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    named = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not named or proxy_bypass(parts.hostname or ""):
        return ""
    try:
        shown = urlsplit(named if "://" in named else f"//{named}")
        return clean_line(f"{shown.hostname}:{shown.port}" if shown.port else shown.hostname or "?", 100)
    except ValueError as error:
        # What is wrong with it is not told: its password may stand in it.
        raise ConfigurationInvalid(
            "The proxy that the environment names is no address.",
            hint="Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY.",
        ) from error
