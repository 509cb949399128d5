"""`peft-tui list`, `show` and `platforms`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from peft_tui.backend import Backend
from peft_tui.cli.output import data, deployment_table, failure, line, status_words, table, talk
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import AuthenticationFailed, PeftTuiError
from peft_tui.domain.money import per_hour
from peft_tui.domain.offers import (
    Capabilities,
    Change,
    Setting,
)
from peft_tui.domain.operation import StepState
from peft_tui.domain.status import word_for
from peft_tui.drivers import PLATFORMS, capabilities
from peft_tui.services.documents import deployment_document, operation_document
from peft_tui.store.platforms import PlatformHealth

_MARKS = {StepState.DONE: "✓", StepState.SENT: "▸", StepState.PENDING: "·", StepState.FAILED: "✖"}


async def list_all(backend: Backend, args: argparse.Namespace) -> int:
    if not args.cached:
        await backend.refresh_once()
    deployments = await backend.store.deployments.all()
    health = await backend.store.platforms.all()
    await _tell_failing(backend)
    problem = None if args.cached else _nobody_answered(backend, health)
    if args.json:
        await backend.figures.count_all()
        briefs = await backend.figures.briefs(deployments)
        document: dict[str, Any] = {
            "deployments": [deployment_document(d, briefs.get(d.id)) for d in deployments],
            "platforms": {
                name: {"listed_at": h.listed_at, "error": h.error} for name, h in sorted(health.items())
            },
        }
        if problem is not None:
            document["error"] = problem.as_dict()
        data(document)
    elif args.plain:
        spoken(deployments)
    elif deployments:
        deployment_table(deployments, backend.clock.now())
    elif problem is None:
        line("No deployments. peft-tui opens the application; n begins one.")
    if problem is None:
        return 0
    if not args.json:
        failure(problem, as_json=False)
    return problem.exit_status


def _nobody_answered(backend: Backend, health: Mapping[str, PlatformHealth]) -> PeftTuiError | None:
    """The error to end with when no platform could be asked: an empty list then means nothing."""
    first: PeftTuiError | None = None
    states = {platform: backend.credentials.state(capabilities(platform)).missing for platform in PLATFORMS}
    absent = ", ".join(missing[0] for missing in states.values() if missing)
    for platform, missing in states.items():
        if missing:
            error: PeftTuiError = AuthenticationFailed(
                f"No platform could be asked: not set: {absent}.",
                hint="Export the vendors' variables, or use --cached for what was seen last.",
            )
        elif platform not in health or health[platform].error is None:
            return None
        else:
            error = PeftTuiError.from_dict(dict(health[platform].error or {}))
        if first is None or first.kind == "authentication":
            first = error
    return first


def spoken(deployments: Sequence[Deployment]) -> None:
    """One fact a line, in words and without columns or marks: for a screen reader, or a narrow window."""
    line(f"{len(deployments)} deployment{'' if len(deployments) == 1 else 's'}.")
    for deployment in deployments:
        line()
        for title, value in _facts(deployment):
            if value:
                line(f"{title}: {value}")


async def show(backend: Backend, args: argparse.Namespace) -> int:
    if not args.cached:
        await backend.refresh_once()
    deployment = await backend.deployments.find(args.name, args.platform or "")
    await _tell_failing(backend)
    history = await backend.store.deployments.history(deployment.id)
    operations = [*reversed(await backend.store.operations.of_deployment(deployment.id))]
    coming = [operation for operation in operations if not operation.state.ended]
    if args.json:
        await backend.figures.count_all()
        briefs = await backend.figures.briefs([deployment])
        document = deployment_document(deployment, briefs.get(deployment.id))
        document["settings"] = dict(deployment.spec.settings)
        document["history"] = [asdict(entry) for entry in history]
        document["operations"] = [operation_document(operation) for operation in coming]
        data(document)
        return 0
    for title, value in _facts(deployment):
        line(f"{title:<10} {value or '—'}")
    for entry in history:
        said = f"{word_for(entry.status, entry.condition)}  {entry.reason or entry.platform_status}"
        line(f"{'history':<10} {entry.observed_at:%Y-%m-%d %H:%M:%S} {said}")
    failed = [deployment.operation] if deployment.operation and not coming else []
    for operation in coming or failed:
        asked = f"{operation.created_at:%Y-%m-%d %H:%M:%S}"
        line(f"{'operation':<10} {operation.kind}, asked for {asked}: {operation.state}")
        for step in operation.steps:
            note = f"  ({step.note})" if step.note else ""
            line(f"{'step':<10} {_MARKS[step.state]} {step.title}{note}")
        if operation.error:
            line(f"{'error':<10} {operation.error.get('message', '')}")
            line(f"{'':<10} {operation.error.get('hint', '')}")
    return 0


def platforms(backend: Backend, args: argparse.Namespace) -> int:
    offers = [capabilities(platform) for platform in PLATFORMS]
    if args.json:
        data({"platforms": [_platform_document(offer, backend) for offer in offers]})
        return 0
    for offer in offers:
        state = backend.credentials.state(offer)
        found = "credentials found" if state.present else f"needs {', '.join(state.missing)}"
        line(f"{offer.title} ({offer.platform})  {found}")
        line(f"  {offer.best_for}")
        for source, how in offer.sources.items():
            line(f"  adapter from {source.replace('_', ' ')}: {how}")
        for source, why in offer.no_sources.items():
            line(f"  no adapter from {source.replace('_', ' ')}: {why}")
        table([("SETTING", "CHANGE", "DEFAULT", ""), *map(_setting_row, offer.settings)], indent="    ")
        line()
    return 0


def _setting_row(setting: Setting) -> tuple[str, str, str, str]:
    default = "—" if setting.default is None else str(setting.default)
    return (setting.key, setting.change, default, setting.help)


def _platform_document(offer: Capabilities, backend: Backend) -> dict[str, Any]:
    state = backend.credentials.state(offer)
    return {
        "platform": offer.platform,
        "title": offer.title,
        "best_for": offer.best_for,
        "credentials": {
            "present": state.present,
            "missing": list(state.missing),
            "fields": [asdict(field) for field in offer.credentials],
        },
        "sources": dict(offer.sources),
        "unsupported_sources": dict(offer.no_sources),
        "scale_to_zero": offer.scale_to_zero,
        "verbs": [kind.value for kind in offer.verbs],
        "unsupported_verbs": dict(offer.no_verbs),
        "no_events": offer.no_events or None,
        "no_logs": offer.no_logs or None,
        "settings": [
            {**asdict(s), "supported": s.change is not Change.UNSUPPORTED, "choices": dict(s.choices)}
            for s in offer.settings
        ],
    }


def _facts(deployment: Deployment) -> list[tuple[str, str]]:
    seen, spec = deployment.observation, deployment.spec
    return [
        ("name", deployment.name),
        ("platform", deployment.platform),
        ("status", status_words(deployment)),
        ("said", " · ".join(filter(None, (seen.platform_status, seen.reason))) if seen else ""),
        ("seen", f"{seen.observed_at:%Y-%m-%d %H:%M:%S} UTC" if seen else ""),
        ("endpoint", seen.endpoint_url if seen else ""),
        ("model", seen.model if seen else ""),
        ("adapter", spec.source.reference),
        ("base", spec.base_model),
        ("instance", (seen.instance_type if seen else "") or spec.instance_type),
        ("bills", _bills(deployment)),
        ("remote", deployment.remote_name),
    ]


def _bills(deployment: Deployment) -> str:
    price, seen = deployment.usd_per_hour, deployment.observation
    if price is None:
        return ""
    source = f", at the price of {seen.price_source}" if seen and seen.price_source else ""
    return f"{per_hour(price, deployment.is_guess)} now{source}"


async def _tell_failing(backend: Backend) -> None:
    """A platform that could not be asked is said, so that old rows are not taken for new."""
    for health in (await backend.store.platforms.all()).values():
        if health.error is not None:
            talk(f"{health.platform}: {health.error.get('message')} What is shown of it is old.")
