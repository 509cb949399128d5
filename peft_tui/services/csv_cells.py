"""What stands in the cells of a CSV file: never a formula, never a secret."""

from __future__ import annotations

from datetime import datetime

from peft_tui.redaction import redact

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of one."""


def cell(value: object) -> str:
    """A value as text; unknown is empty, and text is text whatever it begins with."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, str):
        return str(value)
    text = redact(value)
    return f"'{text}" if text.startswith(FORMULA) else text
