"""`peft-tui stop`, `start`, `update`, `delete`, `rollback` and `adopt`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from peft_tui.backend import Backend
from peft_tui.cli.following import Followed, confirm, follow
from peft_tui.cli.output import data, failure, line, table, talk
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid, NotLikeThis, NotPossible, PeftTuiError
from peft_tui.domain.money import per_hour
from peft_tui.domain.operation import DOING, Operation, OperationKind
from peft_tui.domain.spec import Settings
from peft_tui.domain.status import Status, word_for
from peft_tui.domain.version import Version
from peft_tui.drivers import PLATFORMS, capabilities
from peft_tui.services.documents import deployment_document
from peft_tui.services.lookups import Question, Topic
from peft_tui.services.previews import Preview, may_carry, preview, total_usd_per_hour
from peft_tui.services.reasons import forgets, why_not

KINDS = {
    "stop": OperationKind.STOP,
    "start": OperationKind.START,
    "update": OperationKind.UPDATE,
    "delete": OperationKind.DELETE,
    "rollback": OperationKind.ROLLBACK,
}
REPEATABLE = frozenset({OperationKind.STOP, OperationKind.START, OperationKind.DELETE})
"""Asked for twice, these are the same thing."""
DONE = {
    OperationKind.STOP: "stop",
    OperationKind.START: "start",
    OperationKind.UPDATE: "change",
    OperationKind.DELETE: "delete",
    OperationKind.ROLLBACK: "roll back",
}


def add_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    """The flags of one of these commands."""
    several = command in ("stop", "start", "delete")
    parser.add_argument("names", metavar="NAME", nargs="+" if several else 1)
    parser.add_argument("--platform", choices=PLATFORMS, help="where several have the same name")
    parser.add_argument("--json", action="store_true")
    if command == "adopt":
        parser.add_argument("--name", default="", metavar="N", help="what it is called here")
        return
    if command == "rollback":
        parser.add_argument(
            "--to",
            type=int,
            metavar="N",
            help="the version that is to serve again; without it they are listed",
        )
    if command == "update":
        parser.add_argument(
            "--set", action="append", metavar="KEY=VALUE", help="an empty VALUE takes the setting away"
        )
    if command == "delete":
        parser.add_argument(
            "--keep-adapter", action="store_true", help="leave there what was uploaded or imported for it"
        )
    parser.add_argument("--wait", action="store_true", help="until it was read back")
    parser.add_argument("--timeout", type=float, default=3600.0, metavar="S", help="in seconds (3600)")
    parser.add_argument("--yes", action="store_true", help="do not ask")


async def adopt(backend: Backend, args: argparse.Namespace) -> int:
    await backend.refresh_once()
    found = await backend.deployments.find(args.names[0], args.platform or "")
    adopted = await backend.life.adopt(found.id, args.name)
    if args.json:
        data(deployment_document(adopted))
    else:
        price = per_hour(adopted.usd_per_hour, adopted.is_guess)
        line(f"{adopted.name}: managed here from now on; {price} now")
    return 0


async def change_life(backend: Backend, args: argparse.Namespace) -> int:
    """Check all of it, ask once, write the intents, and stay until they have come as far as was asked."""
    kind = KINDS[args.command]
    changes: Settings = _changes(args)
    await backend.refresh_once()
    if kind is OperationKind.ROLLBACK:
        found = await _wanted(backend, args.names[0], kind, args)
        if args.to is None:
            return await _versions(backend, found, args)
        changes = await backend.life.going_back(found.id, args.to)
    errors: dict[str, PeftTuiError] = {}
    wanted: list[Deployment] = []
    already: list[Deployment] = []
    for name in dict.fromkeys(args.names):
        try:
            deployment = await _wanted(backend, name, kind, args)
            (already if _is_so(deployment, kind) else wanted).append(deployment)
        except PeftTuiError as error:
            errors[name] = error
    if len(args.names) == 1 and errors:
        raise errors[args.names[0]]
    others = await backend.store.deployments.all() if may_carry(wanted) else ()
    previews = [preview(deployment, kind, changes, others) for deployment in wanted]
    if not args.yes and any(one.steps or one.forgets for one in previews):
        await _confirm(previews, kind)
    if not all(one.forgets for one in previews):
        await backend.start()
    followed: dict[str, Followed] = {}
    for deployment in wanted:
        try:
            operation = await _ask_for(backend, deployment, kind, changes, args)
            followed[deployment.id] = Followed(deployment.name, operation.id)
        except PeftTuiError as error:
            errors[deployment.name] = error
    waits = [*followed.values()]
    hint = "It goes on whenever peft-tui runs, and may bill until then: peft-tui list"
    await follow(backend, waits, wait=args.wait, timeout=args.timeout, hint=hint)
    errors |= {one.name: one.error for one in waits if one.error is not None}
    return await _tell(backend, [*already, *(d for d in wanted if d.id in followed)], errors, args)


async def _wanted(backend: Backend, name: str, kind: OperationKind, args: argparse.Namespace) -> Deployment:
    deployment = await backend.deployments.find(name, args.platform or "")
    offers = capabilities(deployment.platform)
    if kind in offers.no_verbs:
        raise NotLikeThis(f"{name}: {offers.no_verbs[kind]}", hint="Nothing was sent.")
    refused = why_not(deployment, kind)
    if refused and _asked_before(deployment, kind) is None and not _is_so(deployment, kind):
        raise NotPossible(f"{name}: {refused}", hint="Nothing was sent.")
    if kind is OperationKind.DELETE and forgets(deployment):
        return deployment
    backend.credentials.secret(offers.credentials[0].env, offers.title)
    return deployment


def _is_so(deployment: Deployment, kind: OperationKind) -> bool:
    """A stop of what is stopped, or a start of what runs, is no error: it is what was wanted."""
    wanted = {OperationKind.STOP: Status.STOPPED, OperationKind.START: Status.ACTIVE}.get(kind)
    so = deployment.standing is wanted and deployment.under_way is None and bool(why_not(deployment, kind))
    return so and not (kind is OperationKind.STOP and deployment.bills)


def _asked_before(deployment: Deployment, kind: OperationKind) -> Operation | None:
    """The same, which is under way or waits: a command stays with it instead of asking again."""
    coming = [one for one in (deployment.under_way, *deployment.others) if one is not None]
    same = (one for one in coming if one.kind is kind and not one.state.ended and not one.given_up)
    return next(same, None) if kind in REPEATABLE else None


async def _ask_for(
    backend: Backend,
    deployment: Deployment,
    kind: OperationKind,
    changes: Settings,
    args: argparse.Namespace,
) -> Operation:
    if (before := _asked_before(deployment, kind)) is not None and why_not(deployment, kind):
        return before
    match kind:
        case OperationKind.STOP:
            return await backend.life.stop(deployment.id)
        case OperationKind.START:
            return await backend.life.start(deployment.id)
        case OperationKind.UPDATE:
            return await backend.life.update(deployment.id, {key: str(v) for key, v in changes.items()})
        case OperationKind.ROLLBACK:
            return await backend.life.rollback(deployment.id, args.to)
        case _:
            return await backend.life.delete(deployment.id, keep_adapter=args.keep_adapter)


async def _versions(backend: Backend, deployment: Deployment, args: argparse.Namespace) -> int:
    """What can be gone back to; nothing is changed."""
    question = Question(deployment.platform, Topic.VERSIONS, remote_id=deployment.remote_id)
    answer = await backend.answer(question)
    if answer.error is not None:
        raise answer.error
    versions: tuple[Version, ...] = answer.value or ()
    if args.json:
        data({"versions": [asdict(version) for version in versions]})
        return 0
    rows = [("VERSION", "DEPLOYED", "", "")]
    for version in versions:
        can = "serves" if version.serves else version.refused or f"--to {version.number}"
        at = f"{version.at:%Y-%m-%d %H:%M:%S}" if version.at else "—"
        rows.append((str(version.number), at, can, version.words))
    if versions:
        table(rows)
    else:
        line(f"{capabilities(deployment.platform).title} tells of no versions of {deployment.name}.")
    return 0


def _changes(args: argparse.Namespace) -> dict[str, str]:
    given: dict[str, str] = {}
    for item in getattr(args, "set", None) or ():
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigurationInvalid(f"--set {item}: it takes KEY=VALUE.")
        given[key] = value
    if args.command == "update" and not given:
        raise ConfigurationInvalid("Nothing to change.", hint="Give --set KEY=VALUE; see peft-tui platforms.")
    return given


async def _confirm(previews: Sequence[Preview], kind: OperationKind) -> None:
    words: list[str] = []
    for one in previews:
        guess = one.deployment.is_guess
        known = one.usd_per_hour is not None
        cost = f"{per_hour(one.usd_per_hour, guess)} now" if known else "its cost is not known"
        words.append(f"{DONE[kind]} {one.deployment.name} on {one.deployment.platform}: {cost}")
        if one.gives_up is not None:
            waits = one.gives_up is one.deployment.waiting_start
            where = "waits for the stop" if waits else "is under way"
            words.append(f"  the {one.gives_up.kind} that {where} is given up")
        for changed in one.changes:
            how = "kept here" if changed.kept_here else "live" if changed.change == "live" else "new rollout"
            words.append(f"  {changed.title}: {_value(changed.old)} → {_value(changed.new)} ({how})")
        along = f"{', '.join(one.takes_along)}: attached to it, and ends with it." if one.takes_along else ""
        words += [f"  {sentence}" for sentence in (one.stops, along, one.afterwards) if sentence]
    total, unknown = total_usd_per_hour(previews)
    cost = f"{per_hour(total, any(one.deployment.is_guess for one in previews))} now" + (
        f", and {unknown} whose cost is not known" if unknown else ""
    )
    if len(previews) > 1:
        words.append(f"together {cost}")
    names = ", ".join(one.deployment.name for one in previews)
    await confirm(
        words,
        f"{DONE[kind].capitalize()}?",
        f"This would {DONE[kind]} {names} ({cost})",
        "Not done.",
    )


def _value(value: object) -> str:
    return "—" if value is None else str(value)


async def _tell(
    backend: Backend, asked: Sequence[Deployment], errors: dict[str, PeftTuiError], args: argparse.Namespace
) -> int:
    """The result of each; the exit status of the first that failed."""
    rows = [await backend.store.deployments.get(deployment.id) for deployment in asked]
    current = [row for row in rows if row is not None]
    first = next(iter(errors.values()), None)
    if len(args.names) == 1:
        if first is not None:
            raise first
        if args.json:
            data(deployment_document(current[0]))
    elif args.json:
        document: dict[str, Any] = {"deployments": [deployment_document(row) for row in current]}
        if errors:
            document["errors"] = {name: error.as_dict() for name, error in errors.items()}
        data(document)
    if not args.json:
        forgotten = {d.id for d in asked if args.command == "delete" and forgets(d)}
        for row in current:
            if row.name not in errors:
                said = "taken off the list" if row.id in forgotten else _said(row, KINDS[args.command])
                line(f"{row.name}: {said}")
        for name, error in errors.items():
            talk(f"{name}:")
            failure(error, as_json=False)
    return first.exit_status if first is not None else 0


def _said(row: Deployment, kind: OperationKind) -> str:
    """What it is, or what goes on until it is what was asked for."""
    if row.under_way is None:
        return word_for(row.status, row.condition)
    doing = DOING[row.under_way.kind]
    if row.under_way.kind is not kind and any(one.kind is kind for one in row.others):
        doing += f", then {DOING[kind]}"
    ends = kind in (OperationKind.STOP, OperationKind.DELETE)
    return f"{doing}{', still billing' if ends and row.bills else ''} (--wait stays until it is done)"
