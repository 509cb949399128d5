"""A version of a deployment, where its platform keeps those that it replaced."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Version:
    """One that was deployed at some time."""

    number: int
    at: datetime | None
    words: str = ""
    """By whom, from where: cleaned, one line."""
    serves: bool = False
    """It is the one that serves."""
    refused: str = ""
    """Why it cannot be gone back to; empty where it can."""
