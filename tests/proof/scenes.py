"""What is deployed where. A platform joins the proof with its line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from peft_tui.domain.adapter import AdapterSource
from peft_tui.domain.operation import OperationKind
from peft_tui.domain.spec import Value
from peft_tui.drivers import capabilities
from tests.life import at_platform, directory, hub


@dataclass(frozen=True, slots=True)
class Scene:
    platform: str
    source: Callable[[Path], AdapterSource]
    settings: Mapping[str, Value]
    update: Mapping[str, str] = field(default_factory=lambda: {"max_instances": "2"})
    """What an update changes of it."""
    remakes: bool = False
    """The platform has no stop: a start makes it anew."""

    @property
    def kinds(self) -> tuple[OperationKind, ...]:
        """What can be done to it, its create included."""
        return (OperationKind.CREATE, *capabilities(self.platform).verbs)


H100 = {"instance_type": "1xnvidia-h100-80gb"}
L40S: Mapping[str, Value] = {"instance_type": "gpu-l40s", "min_instances": 1}
MODAL: Mapping[str, Value] = {"instance_type": "L40S", "hub_token": "yes", "min_instances": 1}
SCENES: dict[str, Scene] = {
    "together": Scene("together", directory, H100),
    "together hub": Scene("together", lambda _: hub("acme/support-r16"), H100),
    "replicate": Scene("replicate", lambda _: at_platform("acme/llm-support"), L40S),
    "replicate import": Scene("replicate", lambda _: hub("acme/llm-support-merged"), L40S),
    # Of its update a part is live and a part a new version, which is what a rollback needs.
    "modal": Scene("modal", directory, MODAL, {"max_instances": "2", "context_length": "4096"}, remakes=True),
    "predibase": Scene(
        "predibase", directory, {"instance_type": "a10_24gb_100", "min_instances": 1}, remakes=True
    ),
}
