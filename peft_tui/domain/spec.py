"""What a person asked for. What it may be stands in `offers.py`, which the first frame does without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
