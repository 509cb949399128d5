"""What a platform tells of a deployment besides its state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the platform says happened to a deployment."""

    at: datetime
    message: str
    """Cleaned, one line."""
    level: str = "info"
    """`debug`, `info`, `warning` or `error`."""
    kind: str = ""
    """The platform's own word for what sort of event it is."""
