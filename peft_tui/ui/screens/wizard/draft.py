"""What was typed so far: no screen, no store, no network.

Text is kept as it was typed, so that going back and forth loses nothing, not even what is wrong. Settings
belong to a platform and wait there while another one is looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.money import Price
from peft_tui.domain.offers import (
    Assessment,
    Capabilities,
    Kind,
    NameRule,
    Setting,
)
from peft_tui.domain.spec import DeploymentSpec, Value
from peft_tui.drivers import PLATFORMS, capabilities
from peft_tui.redaction import holds_secret
from peft_tui.services.sources import local_or_hub, repository


@dataclass(frozen=True, slots=True)
class Cost:
    """What the deployment costs per hour; None where something needed is unknown."""

    price: Price | None = None
    low: Decimal | None = None
    high: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """The settings as they would be sent, with a sentence for each that cannot be."""

    values: Mapping[str, Value]
    problems: Mapping[str, str]
    warnings: Mapping[str, str]


@dataclass(slots=True)
class Draft:
    """One deployment in the making."""

    platform: str = ""
    name: str = ""
    name_is_typed: bool = False
    """False while the name is one that we derived from the adapter."""
    touched: bool = False
    """Whether the person typed or chose anything worth a question before it is thrown away."""
    _kind: SourceKind | None = None
    _references: dict[tuple[str, SourceKind], str] = field(default_factory=dict)
    _texts: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, adapter: str | None) -> Draft:
        """A draft with the adapter of the command line in it: a directory, or `owner/name`."""
        draft = cls()
        if adapter:
            draft._kind = local_or_hub(adapter)
            draft._references["", draft._kind] = adapter
        return draft

    def as_dict(self) -> dict[str, Any]:
        """For the store, to go on with another day. Values that may be secrets are left out."""
        references = {place: text for place, text in self._references.items() if not holds_secret(text)}
        # A name that was derived may be made of a reference that is left out; it is derived again.
        is_derived = not self.name_is_typed and len(references) < len(self._references)
        name = self.name if not holds_secret(self.name) and not is_derived else ""
        return {
            "platform": self.platform,
            "name": name,
            "name_is_typed": self.name_is_typed and bool(name),
            "kind": self._kind.value if self._kind is not None else None,
            "references": [[*place, text] for place, text in references.items()],
            "texts": {
                platform: {key: text for key, text in texts.items() if _may_be_kept(key, text)}
                for platform, texts in self._texts.items()
            },
        }

    @classmethod
    def from_dict(cls, kept: object) -> Draft | None:
        """None where it cannot be read."""
        if not isinstance(kept, Mapping):
            return None
        try:
            draft = cls(str(kept["platform"]), str(kept["name"]), bool(kept["name_is_typed"]), True)
            draft._kind = SourceKind(kept["kind"]) if kept["kind"] else None
            draft._references = {(str(p), SourceKind(k)): str(text) for p, k, text in kept["references"]}
            draft._texts = {
                str(platform): {str(key): str(text) for key, text in texts.items()}
                for platform, texts in kept["texts"].items()
            }
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        return draft if draft.platform in ("", *PLATFORMS) else None

    @classmethod
    def of_deployment(cls, deployment: Deployment, values: Mapping[str, str]) -> Draft:
        """One of something that exists, with its settings as they are."""
        spec = deployment.spec
        draft = cls(spec.platform, spec.name, True)
        draft._kind = spec.source.kind
        draft._references[draft._place(spec.source.kind)] = spec.source.reference
        draft._texts[spec.platform] = dict(values)
        return draft

    # The platform

    @property
    def offers(self) -> Capabilities:
        return capabilities(self.platform)

    # The adapter

    @property
    def kind(self) -> SourceKind:
        """The way that was chosen, or the first that this platform has when it has not that one."""
        sources = self.offers.sources
        if self._kind is not None and self._kind in sources:
            return self._kind
        return next(iter(sources))

    def choose_kind(self, kind: SourceKind) -> None:
        if kind is not self.kind:
            self._kind, self.touched = kind, True

    @property
    def reference(self) -> str:
        """As typed."""
        return self._references.get(self._place(self.kind), "")

    def type_reference(self, text: str) -> None:
        if text != self.reference:
            self._references[self._place(self.kind)] = text
            self.touched = True

    def _place(self, kind: SourceKind) -> tuple[str, SourceKind]:
        # A path or a repository is the same everywhere; an id of one platform means nothing to another.
        return (self.platform if kind is SourceKind.PLATFORM else "", kind)

    @property
    def source_problem(self) -> str:
        """A sentence to stand beside the field, or nothing."""
        text = self.reference.strip()
        if not text:
            return "an adapter is needed"
        if self.kind is SourceKind.HUGGING_FACE and not repository(text):
            return "owner/name, or owner/name@revision"
        if self.kind is SourceKind.PLATFORM and re.search(r"\s", text):
            return "an id has no spaces"
        return ""

    @property
    def source(self) -> AdapterSource | None:
        """None while what is typed cannot be one."""
        if not self.platform or self.source_problem:
            return None
        text = self.reference.strip()
        if self.kind is SourceKind.DIRECTORY:
            # Whole, because the work may be taken up again in another process, started elsewhere.
            text = os.path.abspath(os.path.expanduser(text))
        elif self.kind is SourceKind.HUGGING_FACE:
            text = repository(text)
        return AdapterSource(self.kind, text)

    # The name

    def type_name(self, text: str) -> None:
        if text != self.name:
            self.name, self.name_is_typed, self.touched = text, bool(text), True

    @property
    def name_problem(self) -> str:
        return self.offers.name_rule.problem(self.name.strip())

    # The settings

    def text(self, key: str) -> str:
        """What stands in the field of a setting."""
        setting = self.offers.setting(key)
        default = "" if setting is None or setting.default is None else str(setting.default)
        return self._texts.get(self.platform, {}).get(key, default)

    def type(self, key: str, text: str) -> None:
        """Kept even where it is the default: a choice may be proposed otherwise."""
        if text != self._texts.get(self.platform, {}).get(key):
            self._texts.setdefault(self.platform, {})[key] = text
            self.touched = True

    def chosen(self, setting: Setting, assessment: Assessment | None) -> str:
        """The value of a choice: what was picked, else the best that applies to this adapter."""
        picked = self._texts.get(self.platform, {}).get(setting.key, "")
        if picked or assessment is None:
            return picked or self.text(setting.key)
        if setting.kind is Kind.INSTANCE_TYPE:
            # They come cheapest first.
            offered = [item for item in assessment.instance_types if item.available is not False]
            return next((item.id for item in (*offered, *assessment.instance_types)), "")
        values = [self.text(setting.key), *(value for value, _ in setting.choices)]
        return next((v for v in values if f"{setting.key}={v}" not in assessment.unsupported), values[0])

    def checked(self, assessment: Assessment | None) -> Checked:
        """The settings, each with its default where nothing was typed."""
        values: dict[str, Value] = {}
        problems: dict[str, str] = {}
        warnings: dict[str, str] = {}
        for setting in self.offers.settings:
            if not setting.supported:
                continue
            chosen = setting.kind in (Kind.CHOICE, Kind.INSTANCE_TYPE)
            text = self.chosen(setting, assessment) if chosen else self.text(setting.key)
            try:
                value = setting.parse(text)
            except ConfigurationInvalid as error:
                problems[setting.key] = error.message
                continue
            value = setting.default if value is None else value
            if value is not None:
                values[setting.key] = value
            if assessment is None:
                continue
            if setting.kind is Kind.INSTANCE_TYPE:
                machine = assessment.instance_type(text)
                if not text:
                    problems[setting.key] = "nothing on offer for this adapter now"
                elif machine is None:
                    problems[setting.key] = "not on offer any more: choose another"
                elif machine.available is False:
                    warnings[setting.key] = "none free now: the deployment may wait or be refused"
        if assessment is not None:
            problems |= assessment.problems(values)
        for key, sentence in self.offers.problems(values).items():
            problems.setdefault(key, sentence)
        return Checked(values, problems, warnings)

    def cost(self, assessment: Assessment | None) -> Cost:
        """Price × least and most instances."""
        checked = self.checked(assessment)
        wanted = str(checked.values.get("instance_type", ""))
        machine = assessment.instance_type(wanted) if assessment else None
        price = machine.price if machine else None
        low, high = checked.values.get("min_instances"), checked.values.get("max_instances")
        bad = {"min_instances", "max_instances"} & checked.problems.keys()
        if price is None or bad or not isinstance(low, int) or not isinstance(high, int):
            return Cost(price)
        return Cost(price, price.usd_per_hour * low, price.usd_per_hour * high)

    # All of it

    def spec(self, adapter: Adapter | None, assessment: Assessment | None) -> DeploymentSpec:
        """What would be asked for. Whether it can be is for the checks to say."""
        source = self.source or AdapterSource(self.kind, "")
        base = (assessment.base_model if assessment else "") or (adapter.base_model if adapter else "")
        return DeploymentSpec(
            self.name.strip(), self.platform, source, base, dict(self.checked(assessment).values)
        )


def _may_be_kept(key: str, text: str) -> bool:
    """Environment values are kept as secrets are, or not at all."""
    return key != "environment" and not holds_secret(text)


def derived_name(source: AdapterSource, rule: NameRule) -> str:
    """A name for what lies at `source`; empty when none can be made."""
    reference = source.reference.rstrip("/").partition("@")[0]
    parts = [part for part in reference.split("/") if part]
    if source.kind is not SourceKind.DIRECTORY and parts:
        parts[-1] = parts[-1].partition(":")[0]
    words = parts[-1] if parts else ""
    if re.fullmatch(r"checkpoint-\d+", words) and len(parts) > 1:
        # Every run has a checkpoint-500: the run is what tells them apart.
        words = f"{parts[-2]}-{words.removeprefix('checkpoint-')}"
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[: rule.max_length].rstrip("-")
    return "" if rule.problem(slug) else slug


def numbered(name: str, number: int, rule: NameRule) -> str:
    """`name-2`, within the rule's length."""
    tail = f"-{number}"
    return name[: rule.max_length - len(tail)].rstrip("-") + tail
