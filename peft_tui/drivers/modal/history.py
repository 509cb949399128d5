"""The versions of an app: what was deployed when, and the steps of going back to one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from peft_tui.domain.errors import ConfigurationInvalid, NotFound, PeftTuiError, PlatformFailed
from peft_tui.domain.event import Event
from peft_tui.domain.operation import VERSION
from peft_tui.domain.version import Version
from peft_tui.drivers.modal import wire
from peft_tui.drivers.modal.api import ModalApi
from peft_tui.drivers.modal.wire import at
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.drivers.steps import Step

NOT_ALLOWED = "Modal does not let it serve again."


async def _history(api: ModalApi, app_id: str) -> list[wire.Version]:
    """Newest first."""
    told = await api.control.history(app_id)
    return sorted(told, key=lambda version: version.version, reverse=True)


async def versions(api: ModalApi, app_id: str) -> tuple[Version, ...]:
    """All that Modal tells of, newest first."""
    told = await _history(api, app_id)
    newest = told[0].version if told else 0
    return tuple(
        Version(
            one.version,
            at(one.deployed_at),
            _words(one),
            one.version == newest,
            "" if one.rollback_allowed else "It serves." if one.version == newest else NOT_ALLOWED,
        )
        for one in told
    )


async def events(api: ModalApi, app_id: str, now: datetime) -> tuple[Event, ...]:
    """The same as what happened: what was deployed when, by whom, and what can be gone back to."""
    told = await _history(api, app_id)
    return tuple(Event(at(one.deployed_at) or now, _tell(one), kind="deployment") for one in told)


def _words(version: wire.Version) -> str:
    parts = [f"rolled back to {version.rollback_version}"] if version.rollback_version else []
    parts += [f"by {version.deployed_by}"] if version.deployed_by else []
    return " · ".join([*parts, *([version.tag] if version.tag else [])])


def _tell(version: wire.Version) -> str:
    parts = [f"version {version.version}", _words(version)]
    if version.rollback_allowed:
        parts.append("can be gone back to")
    return " · ".join(part for part in parts if part)


async def number_of(api: ModalApi, context: StepContext, app_id: str) -> Outputs:
    """What it was set to, under the number that Modal gave it: for who goes back to it one day."""
    try:
        told = await api.control.history(app_id)
    except PeftTuiError:
        # It is deployed; that nobody can say as what is no failure of that.
        return {}
    newest = max((version.version for version in told), default=0)
    return {"version": newest, "settings": _settings(context)} if newest else {}


def _settings(context: StepContext) -> dict[str, Any]:
    return {key: value for key, value in context.spec.settings.items() if key != VERSION}


async def _find_version(api: ModalApi, context: StepContext) -> Outputs:
    """It is there and may serve again; and which is the newest before that."""
    wanted = int(context.changes[VERSION])
    told = await versions(api, context.remote_id)
    found = next((version for version in told if version.number == wanted), None)
    if found is None:
        raise NotFound(
            f"Modal tells of no version {wanted}.",
            hint="peft-tui rollback NAME shows those that there are. Nothing was changed.",
        )
    if found.refused:
        raise ConfigurationInvalid(f"Version {wanted}: {found.refused}", hint="Nothing was changed.")
    return {"newest_before": told[0].number}


async def _rollback(api: ModalApi, context: StepContext) -> Outputs:
    await api.control.roll_back(context.remote_id, int(context.changes[VERSION]))
    api.watch.changed(context.remote_id)
    return {}


async def _rolled_back(api: ModalApi, context: StepContext) -> Outputs | None:
    """A version that is newer than what was there before, and is the wanted one again."""
    wanted, before = int(context.changes[VERSION]), context.outputs["newest_before"]
    for version in await api.control.history(context.remote_id):
        if version.version > before and version.rollback_version == wanted:
            api.watch.changed(context.remote_id)
            return {"app_id": context.remote_id, "version": version.version, "settings": _settings(context)}
    return None


async def _read_version(api: ModalApi, context: StepContext) -> Outputs:
    if (found := await _rolled_back(api, context)) is not None:
        return found
    raise PlatformFailed(
        f"Modal does not show yet that version {context.changes[VERSION]} serves.",
        hint="It is asked again by itself; its page at modal.com/apps has the versions.",
        transient=True,
    )


ROLLBACK: dict[str, Step[ModalApi]] = {
    "find_version": Step(_find_version),
    "rollback": Step(_rollback, _rolled_back),
    "read_version": Step(_read_version),
}
