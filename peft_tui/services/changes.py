"""What a person wants different of a deployment: read, checked, and told before it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.offers import Change
from peft_tui.domain.operation import OperationKind
from peft_tui.domain.spec import Settings, Value
from peft_tui.domain.status import Status
from peft_tui.drivers import capabilities

BOUNDS = ("min_instances", "max_instances")
HOW = {Change.LIVE: "live", Change.REDEPLOY: "rolls out"}
"""What a change does to what runs, in a word or two."""


@dataclass(frozen=True, slots=True)
class ChangedSetting:
    """One line of the difference."""

    key: str
    title: str
    old: Value | None
    """None: not known, or never set."""
    new: Value | None
    """None: taken away, the platform decides."""
    change: Change
    kept_here: bool
    """Nothing is sent for it."""

    @property
    def how(self) -> str:
        """`live`, `rolls out` or `kept here`."""
        return "kept here" if self.kept_here else HOW.get(self.change, self.change.value)


def current_value(deployment: Deployment, key: str) -> Value | None:
    """What a setting is now: the platform's word where it has one, else what was asked for."""
    seen = deployment.observation
    if key in BOUNDS:
        bounds = deployment.bounds_to_start
        if is_stopped(deployment) or seen is None:
            return bounds[BOUNDS.index(key)] if bounds else None
        return seen.min_instances if key == "min_instances" else seen.max_instances
    waits = is_stopped(deployment) and capabilities(deployment.platform).starts_anew
    if key == "instance_type" and seen is not None and seen.instance_type and not waits:
        return seen.instance_type
    return deployment.spec.settings.get(key)


def is_stopped(deployment: Deployment) -> bool:
    """Its bounds are 0/0: other ones would start it."""
    seen, coming = deployment.observation, deployment.under_way
    if coming is not None and coming.kind in (OperationKind.CREATE, OperationKind.START):
        return False
    return seen is not None and (seen.max_instances == 0 or seen.status is Status.STOPPED)


def read_changes(deployment: Deployment, typed: Mapping[str, str]) -> dict[str, Value]:
    """The settings that are different, parsed; an empty text takes one away.

    Raises:
        ConfigurationInvalid: a setting that there is not, that cannot be changed, or a value that cannot be.
    """
    offers = capabilities(deployment.platform)
    changes: dict[str, Value] = {}
    for key, text in typed.items():
        setting = offers.setting(key)
        if setting is None:
            names = ", ".join(s.key for s in offers.settings if s.change in (Change.LIVE, Change.REDEPLOY))
            raise ConfigurationInvalid(
                f"{offers.title} has no setting “{key}”.", hint=f"These can be changed: {names}."
            )
        if setting.change is Change.UNSUPPORTED:
            raise ConfigurationInvalid(f"{key}: not supported here: {setting.help}")
        if setting.change is Change.CREATE_ONLY:
            raise ConfigurationInvalid(
                f"{key}: it is decided when a deployment is created.", hint="Deploy another one."
            )
        try:
            value = setting.parse(text)
        except ConfigurationInvalid as error:
            shown = key if key == "environment" else f"{key}={text}"
            raise ConfigurationInvalid(f"{shown}: {error.message}", hint="Nothing was sent.") from error
        if value is None and key in (*BOUNDS, "instance_type"):
            raise ConfigurationInvalid(f"{key}: it cannot be empty.", hint="Nothing was sent.")
        if value == current_value(deployment, key):
            continue
        if key == "environment" and value and offers.starts_anew and is_stopped(deployment):
            # A start takes the secret that lies there: values of other names would never reach it.
            raise ConfigurationInvalid(
                "environment: its values go to the platform with a new version, and it is stopped.",
                hint="Start it, then change it. Nothing was sent.",
            )
        changes[key] = "" if value is None else value
    bounds = {key: changes.get(key, current_value(deployment, key)) for key in BOUNDS}
    known = {key: value for key, value in bounds.items() if value is not None}
    if problems := offers.problems(known) if changes.keys() & set(BOUNDS) else {}:
        key, sentence = next(iter(problems.items()))
        raise ConfigurationInvalid(f"{key}: {sentence}", hint="Nothing was sent.")
    return changes


def local_part(
    deployment: Deployment, changes: Mapping[str, Value]
) -> tuple[Settings, tuple[int, int] | None]:
    """What is kept here only, and the bounds of the next start where it is stopped."""
    offers = capabilities(deployment.platform)
    local = {key: value for key, value in changes.items() if (s := offers.setting(key)) and s.local}
    if not is_stopped(deployment):
        return local, None
    local |= {key: value for key, value in changes.items() if key in BOUNDS or offers.starts_anew}
    if not changes.keys() & set(BOUNDS):
        return local, None
    low, high = (changes.get(key, current_value(deployment, key)) for key in BOUNDS)
    return local, (int(low or 0), int(high or 0))


def difference(deployment: Deployment, typed: Mapping[str, str]) -> tuple[ChangedSetting, ...]:
    """Old and new of everything that would be different, in the order of the declaration.

    Raises:
        ConfigurationInvalid: as `read_changes`.
    """
    offers = capabilities(deployment.platform)
    changes = read_changes(deployment, typed)
    local, _ = local_part(deployment, changes)
    return tuple(
        ChangedSetting(
            s.key,
            s.title,
            current_value(deployment, s.key),
            changes[s.key] if changes[s.key] != "" else None,
            s.change,
            s.key in local,
        )
        for s in offers.settings
        if s.key in changes
    )
