"""What the exit status of a command means. This is the one place that says so.

The errors of `domain.errors` carry the numbers. What decides between 1 and 2 is whether the same words may
succeed another time: what cannot be now, or went wrong here, is 1; what has to be worded otherwise is 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "done, or so already",
        1: "failed, not possible now, or declined when asked",
        2: "cannot be asked for like this: a flag, a value, a name that is taken, a verb it does not have",
        3: "authentication: a key is missing, or refused",
        4: "not found",
        5: "timed out: it goes on",
        6: "the platform cannot be reached",
        7: "refused by the platform",
        130: "interrupted: it goes on",
    }
)
"""Of several deployments, the status of the first one that failed. `list` is 0 when any platform answered."""


def ending() -> str:
    """The same for the end of a `--help`."""
    rows = "\n".join(f"  {status:<4} {words}" for status, words in MEANINGS.items())
    return f"exit status:\n{rows}"
