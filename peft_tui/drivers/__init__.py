"""The platforms, one folder each behind one protocol.

A new platform is a folder here with `declaration.py` (what it can do, as data; imports nothing heavy),
`api.py` (the calls that all of it shares) and `driver.py` (the verbs), its name in `_DRIVERS`, and a folder
in the sandbox.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from peft_tui.domain.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from peft_tui.clock import Clock
    from peft_tui.credentials import Credentials
    from peft_tui.domain.inference import InferenceTarget, PromptRequest, ServedModel
    from peft_tui.domain.offers import Capabilities
    from peft_tui.drivers.network import Network
    from peft_tui.drivers.protocol import Driver

_DRIVERS = {
    "together": "TogetherDriver",
    "replicate": "ReplicateDriver",
    "modal": "ModalDriver",
    "predibase": "PredibaseDriver",
}
PLATFORMS = tuple(_DRIVERS)


@cache
def capabilities(platform: str) -> Capabilities:
    """What `platform` declares.

    Raises:
        ConfigurationInvalid: there is no such platform.
    """
    if platform not in PLATFORMS:
        raise ConfigurationInvalid(
            f"There is no platform “{platform}”.", hint=f"Choose one of: {', '.join(PLATFORMS)}."
        )
    declared: Capabilities = import_module(f"peft_tui.drivers.{platform}.declaration").CAPABILITIES
    return declared


def open_driver(platform: str, network: Network, credentials: Credentials, clock: Clock) -> Driver:
    """The driver of `platform`, with the credentials that are there. Loads pydantic and httpx.

    Raises:
        AuthenticationFailed: there are none.
        ConfigurationInvalid: an address or a price table that cannot be used.
    """
    module = import_module(f"peft_tui.drivers.{platform}.driver")
    driver: Driver = getattr(module, _DRIVERS[platform])(network, credentials, clock)
    return driver


def post_of(
    target: InferenceTarget, model: ServedModel, request: PromptRequest
) -> tuple[str, dict[str, Any]]:
    """The URL and the JSON that `request` is posted with: for a person to copy."""
    from peft_tui.drivers.dialects import speaker

    dialect = speaker(target.dialect)
    return dialect.path(target, request), dialect.body(target, model, request)


def load_drivers() -> None:
    """Import all of them, which takes longer than a key press may wait: for a thread."""
    for platform in PLATFORMS:
        import_module(f"peft_tui.drivers.{platform}.driver")
