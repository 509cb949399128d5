"""Our settings as Predibase's configuration."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.spec import DeploymentSpec, Settings, Value
from peft_tui.drivers.predibase.declaration import AUTO, COOLDOWN_MINUTES
from peft_tui.drivers.predibase.notes import PBASE, Served
from peft_tui.text import clean_line


def _arguments(text: Value) -> list[str]:
    try:
        return shlex.split(str(text))
    except ValueError as error:
        raise ConfigurationInvalid(
            f"LoRAX arguments: {error}.", hint="Quotes must be closed. Nothing was sent."
        ) from error


def _words(text: Value) -> list[str]:
    return str(text).replace(",", " ").split()


def _switch(value: Value) -> bool:
    return value == "on"


FIELDS: dict[str, tuple[str, Callable[[Value], Any]]] = {
    "min_instances": ("minReplicas", int),
    "max_instances": ("maxReplicas", int),
    "idle_timeout": ("cooldownTime", lambda minutes: 60 * int(minutes)),
    "scale_target": ("scaleUpRequestThreshold", int),
    "max_total_tokens": ("maxTotalTokens", int),
    "custom_args": ("customArgs", _arguments),
    "preloaded_adapters": ("preloadedAdapters", _words),
    "prefix_caching": ("prefixCaching", _switch),
    "speculator": ("speculator", str),
    "guaranteed": ("usesGuaranteedCapacity", lambda value: value == "yes"),
    "quantization": ("quantization", str),
    "instance_type": ("accelerator", str),
}
TAKEN_AWAY: dict[str, Any] = {
    "custom_args": [],
    "preloaded_adapters": [],
    "idle_timeout": 60 * COOLDOWN_MINUTES,
    "scale_target": 1,
}
"""What is sent for a setting that is emptied: null would leave it as it is."""


def chosen(settings: Settings) -> dict[str, Any]:
    """The fields that `settings` decide; what the platform decides is left out."""
    fields: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in FIELDS or value in ("", AUTO) and key != "speculator":
            continue
        if key == "guaranteed" and value == "no":
            continue
        name, convert = FIELDS[key]
        fields[name] = convert(value)
    return fields


def for_create(spec: DeploymentSpec, adapter: Served, hub_token: str | None) -> dict[str, Any]:
    """The configuration of a deployment that is made for `adapter`."""
    fields = {"baseModel": spec.base_model, **chosen(spec.settings)}
    if adapter.id and adapter.source == PBASE:
        fields["preloadedAdapters"] = with_own(adapter, fields.get("preloadedAdapters", ()))
    if hub_token is not None:
        fields["hfToken"] = hub_token
    return fields


def for_update(changes: Settings, adapter: Served) -> dict[str, Any]:
    """The fields that an update changes.

    Raises:
        ConfigurationInvalid: a setting is to be taken away that can only be replaced.
    """
    fields = chosen(changes)
    for key, value in changes.items():
        if key not in FIELDS:
            continue
        if value in ("", AUTO) and FIELDS[key][0] not in fields:
            if key not in TAKEN_AWAY:
                raise ConfigurationInvalid(
                    f"{key}: Predibase keeps the last value; it can be replaced, not taken away.",
                    hint="Nothing was sent.",
                )
            fields[FIELDS[key][0]] = TAKEN_AWAY[key]
        elif key == "guaranteed":
            fields["usesGuaranteedCapacity"] = value == "yes"
    if "preloadedAdapters" in fields and adapter.id and adapter.source == PBASE:
        fields["preloadedAdapters"] = with_own(adapter, fields["preloadedAdapters"])
    return fields


def settings(config: Mapping[str, Any], description: str) -> Settings:
    """The declared settings of one that was made elsewhere, from its configuration there.

    What it preloads holds the adapter that it serves too: that is not taken for a setting.
    """
    found: dict[str, Value] = {}
    for key, (name, _) in FIELDS.items():
        value = config.get(name)
        if key in ("preloaded_adapters", "guaranteed") or value is None:
            continue
        if key == "idle_timeout":
            value = round(value / 60) if isinstance(value, int | float) else None
        elif key == "custom_args":
            value = shlex.join(map(str, value)) if isinstance(value, list) and value else None
        elif key == "prefix_caching":
            value = "on" if value is True else "off"
        if isinstance(value, str | int) and value != "":
            found[key] = clean_line(value) if isinstance(value, str) else value
    if config.get("usesGuaranteedCapacity") is True:
        found["guaranteed"] = "yes"
    if description:
        found["description"] = description
    return found


def with_own(adapter: Served, others: Any) -> list[str]:
    """The adapter that it was made for comes first: that is how it is known again."""
    return [adapter.id, *(other for other in others if other != adapter.id)]


def kept(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is noted down of one that is stopped: never a token."""
    return {key: value for key, value in config.items() if key != "hfToken" and value is not None}
