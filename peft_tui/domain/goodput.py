"""Goodput: how many requests met every target of what they are for.

A figure that is not known misses its target, and so does a request that failed; one that was cancelled is in
neither number. The presets are the published examples of guidellm.
"""

from __future__ import annotations

from dataclasses import dataclass

from peft_tui.domain.sample import Sample


@dataclass(frozen=True, slots=True)
class Target:
    """Limits in seconds; None is no limit."""

    name: str
    title: str
    first_text_s: float | None = None
    per_token_s: float | None = None
    """From the first text on, for each further token."""
    total_s: float | None = None

    def met_by(self, sample: Sample) -> bool:
        return (
            _within(sample.first_text_s, self.first_text_s)
            and _within(sample.per_token_s, self.per_token_s)
            and _within(sample.latency_s, self.total_s)
        )


TARGETS = (
    Target("chat", "chat", first_text_s=0.2, per_token_s=0.05),
    Target("rag", "RAG", first_text_s=0.3, per_token_s=0.1, total_s=3.0),
    Target("agents", "agents", total_s=5.0),
    Target("code", "code", total_s=2.0),
)
"""Their order is that of the counts that are stored."""


def _within(value: float | None, limit: float | None) -> bool:
    return limit is None or (value is not None and value <= limit)
