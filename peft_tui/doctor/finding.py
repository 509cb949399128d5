"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    GOOD = "good"
    NOTE = "note"
    """Works, and could work better."""
    BAD = "bad"
    """Something will not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and where it is not good the next step."""

    area: str
    level: Level
    message: str
    hint: str = ""


def good(area: str, message: str) -> Finding:
    return Finding(area, Level.GOOD, message)


def note(area: str, message: str, hint: str = "") -> Finding:
    return Finding(area, Level.NOTE, message, hint)


def bad(area: str, message: str, hint: str) -> Finding:
    return Finding(area, Level.BAD, message, hint)
