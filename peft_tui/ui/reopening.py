"""The screens that were left open, made anew from what each said of its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from textual.screen import Screen

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.ui.places import Place


async def screen_at(place: Place, backend: Backend) -> Screen[Any] | None:
    """The screen that was there; None where there is no such thing any more."""
    make = _MAKERS.get(str(place.get("screen")))
    return await make(place, backend) if make is not None else None


async def _deployment_of(place: Place, backend: Backend) -> Deployment | None:
    found = await backend.store.deployments.some([str(place.get("deployment"))])
    return found[0] if found else None


# Each is loaded when it is wanted, as when its key is pressed.


async def _deployment(place: Place, backend: Backend) -> Screen[Any] | None:
    from peft_tui.ui.screens.deployment import DeploymentScreen

    deployment = await _deployment_of(place, backend)
    return DeploymentScreen(backend, deployment, str(place.get("section", ""))) if deployment else None


async def _metrics(place: Place, backend: Backend) -> Screen[Any] | None:
    await backend.with_figures()
    from peft_tui.ui.screens.metrics import MetricsScreen

    deployment = await _deployment_of(place, backend)
    return MetricsScreen(backend, deployment, str(place.get("range", "1h"))) if deployment else None


async def _console(place: Place, backend: Backend) -> Screen[Any] | None:
    from peft_tui.ui.screens.console import ConsoleScreen

    deployment = await _deployment_of(place, backend)
    return ConsoleScreen(backend, deployment) if deployment else None


async def _overview(place: Place, backend: Backend) -> Screen[Any] | None:
    await backend.with_figures()
    from peft_tui.ui.screens.metrics import OverviewScreen

    return OverviewScreen(backend, str(place.get("range", "24h")))


async def _credentials(place: Place, backend: Backend) -> Screen[Any] | None:
    from peft_tui.ui.screens.platforms import PlatformsScreen

    return PlatformsScreen(backend)


async def _requests(place: Place, backend: Backend) -> Screen[Any] | None:
    from peft_tui.ui.screens.requests import RequestsScreen

    return RequestsScreen(backend)


async def _wizard(place: Place, backend: Backend) -> Screen[Any] | None:
    from peft_tui.services.reasons import why_not_again
    from peft_tui.ui.screens.wizard import WizardScreen
    from peft_tui.ui.screens.wizard.draft import Draft

    draft = Draft.from_dict(place.get("draft"))
    again = await _deployment_of({"deployment": place.get("again")}, backend) if place.get("again") else None
    step = place.get("step")
    if draft is None or not isinstance(step, int):
        return None
    if again is not None and why_not_again(again):
        # What was typed is kept for a new one: this one serves by now, or is on its way.
        again = None
    return WizardScreen(backend, draft=draft, step=step, again=again)


_MAKERS: Mapping[str, Callable[[Place, Backend], Awaitable[Screen[Any] | None]]] = {
    "deployment": _deployment,
    "metrics": _metrics,
    "console": _console,
    "overview": _overview,
    "credentials": _credentials,
    "requests": _requests,
    "wizard": _wizard,
}
