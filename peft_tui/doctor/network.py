"""The way to the platforms that there are credentials for: name, proxy, certificates, clock."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from peft_tui.clock import Clock
from peft_tui.credentials import Credentials
from peft_tui.doctor.finding import Finding, bad, good, note
from peft_tui.domain.offers import CredentialField
from peft_tui.services.credentials import Holder, holders
from peft_tui.text import clean_line

SKEW_SECONDS = 30.0
SLOW_SECONDS = 2.0


def certificates(environ: Mapping[str, str]) -> list[Finding]:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if place := environ.get(name):
            if not Path(place).exists():
                return [bad("network", f"{name} names {place}, which is not there", f"Mend or unset {name}.")]
            return [good("network", f"certificates: {place} ({name})")]
    unused = [name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if environ.get(name)]
    if unused:
        hint = f"Behind a proxy that inspects TLS: export SSL_CERT_FILE=${unused[0]}"
        return [note("network", f"certificates: those shipped with certifi; {unused[0]} is not used", hint)]
    return [good("network", "certificates: those shipped with certifi")]


async def network(credentials: Credentials, clock: Clock) -> list[Finding]:
    """Each host once, all at the same time."""
    from peft_tui.drivers.network import Network
    from peft_tui.drivers.reach import reach

    found = certificates(os.environ)
    hosts = {
        url: (holder, field) for holder in holders() for url, field in _addresses(credentials, holder).items()
    }
    if not hosts:
        return [
            *found,
            note("network", "no credentials: no platform was asked", "peft-tui credentials"),
        ]
    line = Network(clock)
    try:
        answers = await asyncio.gather(
            *(reach(url, holder.title, line, grpc=field.grpc) for url, (holder, field) in hosts.items())
        )
    finally:
        await line.close()
    for answer, (holder, _) in zip(answers, hosts.values(), strict=True):
        by = f" by the proxy {answer.proxy}" if answer.proxy else ""
        words = f"{holder.title}: {clean_line(answer.origin, 80)}{by}"
        if answer.error is not None or answer.seconds is None:
            told = answer.error
            detail = f" ({told.detail})" if told and told.detail else ""
            # What a loop does about it by itself is no advice to a person.
            hint = told.hint if told and not told.hint.startswith("It is") else ""
            hint = hint or "Check the network and the proxy; the platform may be down."
            found.append(bad("network", f"{words}: {told.message if told else ''}{detail}", hint))
            continue
        words += f" answers in {answer.seconds * 1000:.0f} ms"
        slow = "A slow line: all of it works, with patience."
        found.append(
            good("network", words) if answer.seconds < SLOW_SECONDS else note("network", words, slow)
        )
    skews = sorted(a.skew_seconds for a in answers if a.skew_seconds is not None)
    if skews:
        skew = skews[len(skews) // 2]
        words = f"this machine's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
        hint = "Ages and costs are wrong by that much: set the clock (timedatectl set-ntp true)."
        found.append(
            note("clock", words, hint)
            if abs(skew) > SKEW_SECONDS
            else good("clock", "agrees with the platforms")
        )
    return found


def _addresses(credentials: Credentials, holder: Holder) -> dict[str, CredentialField]:
    """Where the holder is reached, as far as its declaration says so; nowhere without its key."""
    if any(credentials.place(field.env) is None for field in holder.fields if field.required):
        return {}
    if not any(field.required for field in holder.fields):
        return {}
    urls = {credentials.text(field.env, field.default): field for field in holder.fields if not field.secret}
    return {url: field for url, field in urls.items() if url.startswith(("https://", "http://"))}
