"""Error bodies: `{"error": text}` on the control plane, with an `error_type` on the serving plane."""

from __future__ import annotations

from peft_tui.sandbox.web import Refusal


def refuse(status: int, message: str, headers: dict[str, str] | None = None) -> Refusal:
    """An error of the control plane."""
    return Refusal(status, {"error": message}, headers)


def unauthorized() -> Refusal:
    """A missing or unknown token; the text is the sandbox's own choice."""
    return refuse(401, "unauthorized")


def engine(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Refusal:
    """An error of LoRAX."""
    return Refusal(status, {"error": message, "error_type": kind}, headers)


def invalid(message: str) -> Refusal:
    """422 of LoRAX for a request that it does not take."""
    return engine(422, "validation", f"Input validation error: {message}")
