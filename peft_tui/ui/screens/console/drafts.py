"""What stands in the fields, as it is kept: without secrets, and read back with care, for another version may
have written it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peft_tui.domain.inference import PromptRequest
from peft_tui.redaction import holds_secret
from peft_tui.services.parameters import problems


def draft_document(request: PromptRequest) -> dict[str, Any]:
    return {
        "prompt": _kept(request.prompt),
        "system": _kept(request.system),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": [text for text in request.stop if _kept(text)],
        "seed": request.seed,
    }


def _kept(text: str) -> str:
    """Who has pasted a key into a prompt has not asked for it to be written down."""
    return "" if holds_secret(text) else text


def draft_of(document: Mapping[str, Any]) -> PromptRequest | None:
    """None of what is no draft; a prompt may be missing, other things may not be wrong."""
    usual = PromptRequest("")
    try:
        found = PromptRequest(
            str(document.get("prompt", "")),
            str(document.get("system", "")),
            int(document.get("max_tokens", usual.max_tokens)),
            float(document.get("temperature", usual.temperature)),
            float(document.get("top_p", usual.top_p)),
            tuple(map(str, document.get("stop", ()))),
            None if document.get("seed") is None else int(document["seed"]),
        )
    except (TypeError, ValueError, OverflowError):
        return None
    return found if document and not set(problems(found)) - {"prompt"} else None
