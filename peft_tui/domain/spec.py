"""What a person asked for. What it may be stands in `offers.py`, which the first frame does without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from peft_tui.domain.adapter import AdapterSource

Value = str | int | bool
Settings = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class DeploymentSpec:
    """What a person asked for: enough to carry it out without asking again. It holds no secret."""

    name: str
    platform: str
    source: AdapterSource
    base_model: str = ""
    settings: Settings = field(default_factory=dict)

    def changed(self, changes: Settings) -> DeploymentSpec:
        """The same with other settings; an empty text takes one away."""
        settings = {key: value for key, value in {**self.settings, **changes}.items() if value != ""}
        return replace(self, settings=settings)

    def named(self, name: str) -> DeploymentSpec:
        """The same under another name."""
        return replace(self, name=name)

    def integer(self, key: str, default: int = 0) -> int:
        value = self.settings.get(key)
        return int(value) if value not in (None, "") else default

    def text(self, key: str, default: str = "") -> str:
        value = self.settings.get(key)
        return str(value) if value is not None else default

    @property
    def instance_type(self) -> str:
        return self.text("instance_type")

    @property
    def min_instances(self) -> int:
        return self.integer("min_instances")

    @property
    def max_instances(self) -> int:
        return self.integer("max_instances")
