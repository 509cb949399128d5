"""What a platform offers, as data; how an adapter fits it.

The wizard, `peft-tui platforms`, the update form and the README's table are all drawn from `Capabilities`:
a platform that is new to the program needs no change in any of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.money import Price
from peft_tui.domain.operation import OperationKind, OperationStep, StepState
from peft_tui.domain.spec import DeploymentSpec, Settings, Value


class Change(StrEnum):
    """When a setting can be changed."""

    LIVE = "live"
    REDEPLOY = "redeploy"
    CREATE_ONLY = "create only"
    UNSUPPORTED = "unsupported"


class Kind(StrEnum):
    """How a setting is asked for."""

    INTEGER = "integer"
    CHOICE = "choice"
    TEXT = "text"
    INSTANCE_TYPE = "instance type"
    """A choice among what the platform says it has today, each with its price."""
    REGION = "region"
    """A choice among the regions of the instance type; empty where it may run anywhere."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the wizard's third page."""

    key: str
    title: str
    kind: Kind
    change: Change
    default: Value | None = None
    """None: the platform decides when nothing is given."""
    minimum: int | None = None
    maximum: int | None = None
    also: tuple[int, ...] = ()
    """Integers outside minimum…maximum that are allowed too, such as 0 for "never"."""
    choices: tuple[tuple[str, str], ...] = ()
    """Value and words for a person."""
    unit: str = ""
    help: str = ""
    """One short sentence; for an unsupported setting the reason."""
    local: bool = False
    """Kept here only, never sent."""

    @property
    def supported(self) -> bool:
        return self.change is not Change.UNSUPPORTED

    def parse(self, text: str) -> Value | None:
        """The value that a person typed.

        Raises:
            ConfigurationInvalid: with a sentence to stand beside the field.
        """
        text = text.strip()
        if not self.supported:
            raise ConfigurationInvalid(f"{self.title} is not supported here: {self.help}")
        if not text:
            return None
        if self.kind is Kind.INTEGER:
            return self._integer(text)
        if self.kind is Kind.CHOICE and text not in dict(self.choices):
            raise ConfigurationInvalid(f"one of: {', '.join(value for value, _ in self.choices)}")
        return text

    def _integer(self, text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
            raise ConfigurationInvalid(f"a whole number{self._range()}")
        number = int(text)
        too_small = self.minimum is not None and number < self.minimum
        too_large = self.maximum is not None and number > self.maximum
        if (too_small or too_large) and number not in self.also:
            raise ConfigurationInvalid(f"a whole number{self._range()}")
        return number

    def _range(self) -> str:
        extra = "".join(f"{number} or " for number in self.also)
        if self.minimum is not None and self.maximum is not None:
            return f": {extra}{self.minimum} to {self.maximum}"
        if self.minimum is not None:
            return f": {extra}at least {self.minimum}"
        return ""


HUB_TOKEN = Setting(
    "hub_token",
    "Hugging Face token",
    Kind.CHOICE,
    Change.CREATE_ONLY,
    "no",
    choices=(("no", "not needed"), ("yes", "hand HF_TOKEN to the platform")),
    help="for a private or gated repository, which the platform fetches with it",
)
"""For platforms that fetch from Hugging Face. A secret goes to a third party only when asked for."""


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One thing a platform asks for to know who is calling."""

    env: str
    """The vendor's own environment variable."""
    title: str
    secret: bool = True
    required: bool = True
    default: str = ""
    """What is used when nothing is given: the address of an API."""
    grpc: bool = False
    """An address that speaks gRPC: that a connection comes about is all that a look at it can tell."""


@dataclass(frozen=True, slots=True)
class NameRule:
    """What a deployment may be called there, our own suffix not counted."""

    pattern: str = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
    max_length: int = 40
    words: str = "lower-case letters, digits and inner hyphens"

    def problem(self, name: str) -> str:
        """A sentence to stand beside the field, or nothing."""
        if not name:
            return "a name is needed"
        if len(name) > self.max_length:
            return f"at most {self.max_length} characters"
        if not re.fullmatch(self.pattern, name):
            return f"only {self.words}"
        return ""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A line of the plan that is shown before anything happens."""

    key: str
    title: str
    bills: bool = False
    """From this step on something may cost money."""
    makes: str = ""
    """What it leaves at the platform, which does not bill by the hour: `an endpoint`."""


Plan = Callable[[DeploymentSpec, Settings], tuple[PlannedStep, ...]]
"""The steps of an operation on something that exists: the spec as it will be, and what is changed of it."""


def planned(steps: Iterable[PlannedStep]) -> tuple[OperationStep, ...]:
    """The same as steps of an operation that nothing was done of yet."""
    return tuple(OperationStep(seq, step.key, step.title, bills=step.bills) for seq, step in enumerate(steps))


def left_behind(plan: Iterable[PlannedStep], steps: Iterable[OperationStep]) -> tuple[str, ...]:
    """What a create that came no further leaves at the platform; none of it bills by the hour."""
    sent = {step.key for step in steps if step.state in (StepState.DONE, StepState.SENT)}
    return tuple(dict.fromkeys(step.makes for step in plan if step.makes and step.key in sent))


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Everything the rest of the program may know about a platform without asking it."""

    platform: str
    title: str
    best_for: str
    """One line for the wizard's first page."""
    credentials: tuple[CredentialField, ...]
    sources: Mapping[SourceKind, str]
    """How an adapter can come there; the text says how, in a few words."""
    no_sources: Mapping[SourceKind, str]
    """The other ways, each with the reason."""
    settings: tuple[Setting, ...]
    scale_to_zero: bool
    """Whether 0 as minimum with a positive maximum means "sleep when idle"."""
    plan: Callable[[DeploymentSpec], tuple[PlannedStep, ...]]
    """The steps of a create."""
    guard: Callable[[Settings], str]
    """What stops the billing when nobody is looking; empty when nothing does."""
    overruled: Callable[[Settings], Mapping[str, str]] = lambda settings: {}
    """Settings that do nothing beside the others as they are chosen, each with the reason."""
    carrier: Callable[[Settings], str] | None = None
    """The remote name of what one with these settings is attached to; None where nothing ever is."""
    starts_anew: bool = False
    """Whether a start makes it anew from what is known here: changes of what is stopped wait for that."""
    verbs: Mapping[OperationKind, Plan] = field(default_factory=dict)
    """What can be done to a deployment that exists, each with its steps."""
    no_verbs: Mapping[OperationKind, str] = field(default_factory=dict)
    """The others, each with the reason."""
    refuses: Callable[[OperationKind, Settings], str] = lambda kind, settings: ""
    """Why a verb does not apply to a deployment with these settings; empty when it does."""
    reference: str = ""
    """Pattern of what lies at the platform already, as a person would name it; empty when there is none."""
    failed_is_final: str = ""
    """Why what has failed cannot be started again; empty where it can."""
    patience: Mapping[str, float] = field(default_factory=dict)
    """By watched step: after how many seconds waiting for it is worth a word."""
    leaves: Callable[[DeploymentSpec], str] = lambda spec: ""
    """What a delete does not take away, for a person; empty when nothing is left."""
    keeps_adapter: Callable[[DeploymentSpec], bool] = lambda spec: False
    """Whether a delete can leave there what was uploaded or imported for it."""
    unlisted: str = ""
    """Pattern of instance types that may exist although no list has them; empty where the list is whole."""
    no_events: str = ""
    """Why the platform tells no events of a deployment; empty where it does."""
    no_logs: str = ""
    """Why the platform hands out no logs; empty where it does."""
    name_rule: NameRule = NameRule()
    how_to_stop: str = ""
    """How to end the billing on the platform's own page, for where something went wrong."""
    time_to_live: str = ""
    """How long a first start takes, for a person."""

    def setting(self, key: str) -> Setting | None:
        return next((setting for setting in self.settings if setting.key == key), None)

    def defaults(self) -> dict[str, Value]:
        """A value for every setting that has one."""
        return {s.key: s.default for s in self.settings if s.supported and s.default is not None}

    def problems(self, settings: Settings) -> dict[str, str]:
        """What cannot be, by setting; empty when everything can be sent."""
        found: dict[str, str] = {}
        parsed: dict[str, Value | None] = {}
        for key, value in settings.items():
            setting = self.setting(key)
            if setting is None:
                found[key] = f"{self.title} has no setting “{key}”"
                continue
            try:
                parsed[key] = setting.parse(str(value))
            except ConfigurationInvalid as error:
                found[key] = error.message
        for key, reason in self.overruled(settings).items():
            setting = self.setting(key)
            if setting is not None and parsed.get(key) not in (None, setting.default):
                found[key] = reason
        low, high = parsed.get("min_instances"), parsed.get("max_instances")
        if isinstance(low, int) and isinstance(high, int) and "min_instances" not in found:
            if high < 1:
                found.setdefault("max_instances", "at least 1: a deployment of 0 serves nothing")
            elif low > high:
                found["min_instances"] = f"at most the maximum, {high}"
            elif low == 0 and not self.scale_to_zero:
                found["min_instances"] = "at least 1: 0 is how this platform stops a deployment"
        return found


@dataclass(frozen=True, slots=True)
class Account:
    """Who the key belongs to."""

    id: str
    """What tells this account's deployments from another's: project id, owner name."""
    title: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class InstanceType:
    """A kind of machine as the platform offers it now."""

    id: str
    title: str
    price: Price | None
    availability: str = ""
    """In the platform's terms, for a person: `us-east: 12 free`."""
    available: bool | None = None
    """False when the platform says that it has none; None when it does not say."""
    regions: Mapping[str, str] = field(default_factory=dict)
    """Where it is offered, each with what the platform says of it: `12 free`. Empty: it does not say."""


@dataclass(frozen=True, slots=True)
class PlatformModel:
    """Something of the person's own that lies at the platform and could be deployed."""

    reference: str
    title: str
    base_model: str = ""
    detail: str = ""


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about how an adapter fits a platform."""

    level: Level
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Assessment:
    """How an adapter fits a platform, and the machines it could run on there."""

    findings: tuple[Finding, ...] = ()
    base_model: str = ""
    """The base under the platform's own name."""
    instance_types: tuple[InstanceType, ...] = ()
    unsupported: Mapping[str, str] = field(default_factory=dict)
    """Choices (`setting=value`) that do not apply to this adapter, each with the reason."""

    @property
    def blocked(self) -> str:
        """The first reason why it cannot be deployed, or nothing."""
        return next((f.message for f in self.findings if f.level is Level.BLOCKED), "")

    def problems(self, settings: Settings) -> dict[str, str]:
        """What does not go with this adapter, or with the instance type that was chosen, by setting."""
        pairs = ((key, self.unsupported.get(f"{key}={value}", "")) for key, value in settings.items())
        found = {key: reason for key, reason in pairs if reason}
        machine = self.instance_type(str(settings.get("instance_type", "")))
        region = str(settings.get("region", ""))
        if machine is not None and machine.regions and region and region not in machine.regions:
            offered = ", ".join(machine.regions)
            found.setdefault("region", f"{machine.id} is not offered there, but in: {offered}")
        return found

    def choices_left(self, setting: Setting) -> list[tuple[str, str]]:
        """Of a setting's choices those that go with this adapter: value and words."""
        return [choice for choice in setting.choices if f"{setting.key}={choice[0]}" not in self.unsupported]

    def instance_type(self, wanted: str) -> InstanceType | None:
        return next((item for item in self.instance_types if item.id == wanted), None)
