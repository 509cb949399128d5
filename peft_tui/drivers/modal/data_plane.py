"""The address of a deployed server: may it be asked, and what does it say of its health?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from peft_tui.credentials import Secret
from peft_tui.domain.errors import ConnectionFailed, PeftTuiError
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.modal.failures import TITLE
from peft_tui.drivers.network import Network
from peft_tui.drivers.transport import Transport
from peft_tui.text import clean_line

SUFFIXES = (".modal.direct", ".modal.run")
"""Where Modal serves what people deploy. A proxy token goes nowhere else."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")

ProxyToken = tuple[Secret, Secret]
"""Its two halves, `wk-…` and `ws-…`."""


class Health(Enum):
    READY = "ready"
    STARTING = "starting"
    REFUSED = "refused"
    """It did not take our proxy token, so that nothing is known of what is behind."""
    CLOSED = "closed"
    """It wants a proxy token, and there is none to ask with."""
    DISABLED = "disabled"
    """The workspace is shut down, whatever the list says."""
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    health: Health
    said: str = ""


def is_ours_to_ask(url: str, local: bool) -> bool:
    """Whether `url` is one of Modal's own; with a `local` control plane, one on this machine."""
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname or "", parts.scheme
    except ValueError:
        return False
    if local:
        return scheme == "http" and host in LOOPBACK
    return scheme == "https" and host.endswith(SUFFIXES) and not parts.username


def check_address(url: str, local: bool) -> None:
    """
    Raises:
        ConnectionFailed: it is none of Modal's.
    """
    if not is_ours_to_ask(url, local):
        raise ConnectionFailed(
            f"{TITLE} names an address that is not its own; it was not asked.",
            detail=clean_line(url, 120),
        )


class DataPlane:
    """Asks deployed servers, with the proxy token where there is one."""

    def __init__(self, network: Network, local: bool) -> None:
        self._network = network
        self.local = local

    def _transport(self, url: str) -> Transport:
        check_address(url, self.local)
        return Transport(self._network, url, None, TITLE)

    async def health(
        self, url: str, token: ProxyToken | None, urgency: Urgency = Urgency.BACKGROUND
    ) -> Answer:
        """What `/health` says. Asking wakes what sleeps: only for what is awake, or is to be woken."""
        try:
            status, said = await self._transport(url).ask("/health", headers_of(token), urgency)
        except PeftTuiError as error:
            return Answer(Health.UNKNOWN, error.message)
        return Answer(read_health(status, said), clean_line(said, 200))

    async def models(self, url: str, token: ProxyToken | None) -> tuple[str, ...]:
        """The names that a request may ask for.

        Raises:
            ConnectionFailed: it did not tell.
        """
        status, said = await self._transport(url).ask("/v1/models", headers_of(token), Urgency.NORMAL)
        try:
            rows: Any = json.loads(said)["data"] if status == 200 else None
            return tuple(clean_line(row["id"], 200) for row in rows)
        except (ValueError, KeyError, TypeError) as error:
            raise ConnectionFailed(
                f"The server is up and does not list its models (HTTP {status}).",
                hint="The engine's image may not be vLLM.",
                detail=clean_line(said, 200),
                transient=status >= 500,
            ) from error


def headers_of(token: ProxyToken | None) -> dict[str, str]:
    if token is None:
        return {}
    return {"Modal-Key": token[0].reveal(), "Modal-Secret": token[1].reveal()}


def read_health(status: int, said: str) -> Health:
    """From the proxy's answers and the engine's (dossier §6.2)."""
    if status == 401:
        return Health.REFUSED
    if status == 404 and "disabled" in said:
        return Health.DISABLED
    if status == 404 and ("stopped" in said or "invalid function call" in said):
        return Health.GONE
    if status == 503 or status in (303, 502, 504):
        return Health.STARTING
    # 429 is a server at its limit, and 404 without the proxy's words one that has no such path: both are up.
    return Health.READY if status < 500 else Health.STARTING
