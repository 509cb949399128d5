"""What the dialects have in common: words, counts, and what is kept of an answer."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from peft_tui.domain.errors import ConnectionFailed, PeftTuiError, PlatformFailed, ResourceUnavailable
from peft_tui.domain.inference import Usage
from peft_tui.text import clean_line

REASONS = {
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop sequence",
    "max_tokens": "length",
}
KEPT_FIRST, KEPT_LAST = 20, 20
KEPT_CHARACTERS = 20_000


class Record:
    """What came, for a person to look at: the beginning and the end of a long stream."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=KEPT_LAST)
        self._count = 0

    def add(self, text: str) -> None:
        self._count += 1
        text = text if len(text) <= KEPT_CHARACTERS else f"{text[:KEPT_CHARACTERS]}…"
        if len(self._first) < KEPT_FIRST:
            self._first.append(text)
        else:
            self._last.append(text)

    @property
    def text(self) -> str:
        left_out = self._count - len(self._first) - len(self._last)
        middle = [f"… {left_out} more …"] if left_out else []
        return "\n".join([*self._first, *middle, *self._last])


def reason(word: object) -> str:
    """The platform's word for why it ended, in ours where they mean the same."""
    said = clean_line(word or "", 60)
    return REASONS.get(said, said)


def count(value: object) -> int | None:
    """A number of tokens; anything else is not known."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or value != value:
        return None
    return int(value) if value < 1e15 else None


def usage(data: object) -> Usage | None:
    """The counts in an OpenAI-shaped `usage`, wherever the cached ones stand."""
    if not isinstance(data, dict):
        return None
    details = data.get("prompt_tokens_details")
    cached = count(details.get("cached_tokens")) if isinstance(details, dict) else None
    if cached is None:
        cached = count(data.get("cached_tokens"))
    found = Usage(count(data.get("prompt_tokens")), count(data.get("completion_tokens")), cached)
    return found if found.tokens_in is not None or found.tokens_out is not None else None


def parse(text: str, title: str) -> Any:
    """JSON of an event.

    Raises:
        ConnectionFailed: it is none, as when a stream was cut in the middle.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConnectionFailed(
            f"{title} sent something in its stream that is not JSON.",
            hint="The connection may have been cut. What came until then is shown.",
            detail=clean_line(text, 200),
        ) from error


def failure(data: Any, title: str, status: int) -> PeftTuiError | None:
    """The error that an answer with a status of 200 holds, if it holds one."""
    error = data.get("error") if isinstance(data, dict) else None
    if not error:
        return None
    kind = data.get("error_type")
    if isinstance(error, dict):
        said = error.get("message") or error.get("detail") or json.dumps(error)
        kind = error.get("type") or error.get("code") or kind
    else:
        said = error
    words, word = clean_line(said), clean_line(kind or "", 60)
    hint = "What came until then is shown. Send it again."
    if word == "overloaded":
        return ResourceUnavailable(
            f"{title} is overloaded: {words}", hint=hint, detail=word, transient=True, status=status
        )
    return PlatformFailed(f"{title} failed while answering: {words}", hint=hint, detail=word, status=status)


def broken_off(title: str) -> ConnectionFailed:
    return ConnectionFailed(
        f"{title}'s answer broke off: the stream ended before it said that it was done.",
        hint="What came until then is shown. It may have been billed. Send it again.",
        transient=True,
    )
