"""How inference is spoken, one dialect a file, whoever the platform is.

A dialect is a module with `body(target, model, request)`, what is posted, and `speak(channel, target, model,
request)`, which yields `StreamEvent`s. None of them imports httpx: a body is wanted for snippets too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from peft_tui.domain.inference import Dialect, InferenceTarget, PromptRequest, ServedModel, StreamEvent

if TYPE_CHECKING:
    from peft_tui.drivers.streaming import Channel

_MODULES = {
    Dialect.OPENAI_CHAT: "openai",
    Dialect.LORAX: "lorax",
    Dialect.LORAX_CHAT: "lorax_chat",
    Dialect.REPLICATE: "replicate",
}


class Speaker(Protocol):
    """What each of the modules is."""

    def path(self, target: InferenceTarget, request: PromptRequest) -> str:
        """The URL that is posted to."""
        ...

    def body(self, target: InferenceTarget, model: ServedModel, request: PromptRequest) -> dict[str, Any]:
        """The JSON that is posted."""
        ...

    def speak(
        self, channel: Channel, target: InferenceTarget, model: ServedModel, request: PromptRequest
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask and yield what comes. Closing it at any point closes the connection.

        Raises:
            PeftTuiError: and nothing else.
        """
        ...


@cache
def speaker(dialect: Dialect) -> Speaker:
    return cast(Speaker, import_module(f"{__name__}.{_MODULES[dialect]}"))
