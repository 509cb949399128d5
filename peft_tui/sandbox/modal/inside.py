"""A request that has reached a container of Modal's, and how it may end without an answer of the engine's."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from peft_tui.sandbox.modal import engine
from peft_tui.sandbox.modal.state import App, Container, Definition, Function
from peft_tui.sandbox.world import World


class TakesLonger(Exception):
    """The answer will only be there at `until`, later than its caller may be kept waiting."""

    def __init__(self, until: float) -> None:
        super().__init__(until)
        self.until = until


class Wrong(Exception):
    """A refusal in vLLM's form."""

    def __init__(self, status: int, message: str, type: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": type, "param": param, "code": status}}


@dataclass(frozen=True)
class Inside:
    """A request that has reached a container.

    Attributes:
        deadline: World time at which the caller is sent away with a 303.
        generated: The time of generating has passed already, in an earlier request.
    """

    world: World
    app: App
    function: Function
    definition: Definition
    container: Container
    engine: engine.Engine
    request: web.Request
    deadline: float
    generated: bool

    @property
    def now(self) -> float:
        """World time."""
        return self.world.now()

    @property
    def names(self) -> list[str]:
        """What the engine calls its base model."""
        return self.engine.names or [self.engine.base]
