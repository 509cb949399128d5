"""Time spans in words, coarse enough that a calm screen stays calm."""

from __future__ import annotations

from datetime import datetime, timedelta


def age(seconds: float) -> str:
    """`<1m`, `7m`, `25m`, `3h`, `2d`: changes rarely, so that a settled row is not repainted each tick."""
    minutes = int(max(seconds, 0) // 60)
    if minutes < 1:
        return "<1m"
    if minutes < 10:
        return f"{minutes}m"
    if minutes < 60:
        return f"{minutes // 5 * 5}m"
    if minutes < 48 * 60:
        return f"{minutes // 60}h"
    return f"{minutes // (24 * 60)}d"


def span(seconds: float) -> str:
    """`41s`, `1m12s`, `2h05m`: exact, for something that is going on or has ended."""
    whole = int(max(seconds, 0))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def took(seconds: float | None) -> str:
    """`184 ms`, `1.42 s`, `41.2 s`, `2m05s`: how long something took; `—` when it is not known."""
    if seconds is None:
        return "—"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    return f"{seconds:.1f} s" if seconds < 59.95 else span(seconds)


def clocks(ahead: timedelta | None) -> str:
    """That a platform counts another time than this machine; nothing where that is not known."""
    if ahead is None:
        return ""
    way = "ahead of" if ahead > timedelta() else "behind"
    return f"its clock is {span(abs(ahead.total_seconds()))} {way} ours: it may bill other hours"


def ago(moment: datetime | None, now: datetime) -> str:
    """`just now`, `7m ago`: coarse, so that it stands still."""
    if moment is None:
        return ""
    words = age((now - moment).total_seconds())
    return "just now" if words.startswith("<") else f"{words} ago"
