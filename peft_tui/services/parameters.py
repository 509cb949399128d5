"""The parameters of a request as they are typed, and what cannot be sent."""

from __future__ import annotations

from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.inference import MAX_STOP, RANGES, PromptRequest

MAX_PROMPT = 1_000_000


def problems(request: PromptRequest) -> dict[str, str]:
    """What cannot be sent, by field; a sentence to stand beside it."""
    found: dict[str, str] = {}
    if not request.prompt.strip():
        found["prompt"] = "a prompt is needed"
    elif len(request.prompt) + len(request.system) > MAX_PROMPT:
        found["prompt"] = f"at most {MAX_PROMPT:,} characters"
    for key, (low, high) in RANGES.items():
        value = getattr(request, key)
        if not low <= value <= high:
            found[key] = f"{low:,.9g} to {high:,.9g}"
    if len(request.stop) > MAX_STOP:
        found["stop"] = f"at most {MAX_STOP}"
    return found


def number(key: str, text: str) -> float:
    """A parameter as it was typed.

    Raises:
        ConfigurationInvalid: with a sentence to stand beside the field.
    """
    low, high = RANGES[key]
    whole = key == "max_tokens"
    words = f"{'a whole number' if whole else 'a number'}, {low:,.9g} to {high:,.9g}"
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        raise ConfigurationInvalid(words) from None
    if not low <= value <= high or (whole and value != int(value)):
        raise ConfigurationInvalid(words)
    return value


def seed(text: str) -> int | None:
    """A seed as it was typed; None of nothing.

    Raises:
        ConfigurationInvalid: with a sentence to stand beside the field.
    """
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ConfigurationInvalid("a whole number, or nothing")
    return int(text)
