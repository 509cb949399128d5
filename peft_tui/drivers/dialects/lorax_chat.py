"""LoRAX's OpenAI-shaped routes: the same shape, other habits.

The base is `model: ""`; `stream_options` are ignored, and the counts come in the last chunk anyway; a stop
sequence is reported as `content_filter`; `id`, `object`, `model` and `created` say nothing ("null", 0).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from peft_tui.domain.inference import InferenceTarget, PromptRequest, ServedModel, StreamEvent
from peft_tui.drivers.dialects import openai

if TYPE_CHECKING:
    from peft_tui.drivers.streaming import Channel

REASONS = {"content_filter": "stop sequence"}

path = openai.path


def body(target: InferenceTarget, model: ServedModel, request: PromptRequest) -> dict[str, Any]:
    return openai.body(target, model, request)


def speak(
    channel: Channel, target: InferenceTarget, model: ServedModel, request: PromptRequest
) -> AsyncGenerator[StreamEvent, None]:
    return openai.speak(channel, target, model, request, REASONS)
