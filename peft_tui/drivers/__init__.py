"""The platforms, one folder each behind one protocol.

A new platform is a folder here with `declaration.py` (what it can do, as data; imports nothing heavy) and
`driver.py` (its verbs), its name in `PLATFORMS`, and a folder in the sandbox.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.spec import Capabilities

PLATFORMS = ("together", "replicate")


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
    declared = import_module(f"peft_tui.drivers.{platform}.declaration").CAPABILITIES
    assert isinstance(declared, Capabilities)
    return declared
