"""`peft-tui credentials`: where each secret comes from, to keep one, to delete it, to ask the platform.

A secret comes from a hidden prompt or standard input, never from an argument: those are in the shell's
history and in everybody's process list.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from peft_tui.backend import PASSPHRASE, Backend
from peft_tui.cli.asking import agrees, anybody_there, ask
from peft_tui.cli.output import data, line, table, talk
from peft_tui.credentials import Place
from peft_tui.domain.errors import (
    AuthenticationFailed,
    ConfigurationInvalid,
    NotUsable,
    PeftTuiError,
    TimedOut,
)
from peft_tui.domain.offers import Account
from peft_tui.services.credentials import (
    Holder,
    Whereabouts,
    find_field,
    find_holder,
    holders,
    whereabouts,
)
from peft_tui.services.lookups import Question, Topic

_CHECK_SECONDS = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("verb", nargs="?", choices=("set", "delete", "check"), help="without: where each is")
    parser.add_argument("platform", nargs="?", metavar="PLATFORM", help="as in peft-tui platforms")
    parser.add_argument("field", nargs="?", metavar="FIELD", help="the variable's name; without: the key")
    parser.add_argument(
        "--store", choices=("keyring", "file"), help="where set keeps it; without: the best there is"
    )
    parser.add_argument("--yes", action="store_true", help="delete without asking")
    parser.add_argument("--json", action="store_true")


async def credentials(backend: Backend, args: argparse.Namespace) -> int:
    if args.verb == "check":
        return await _check(backend, args)
    if args.verb is None:
        return await _list(backend, args)
    if args.platform is None:
        raise ConfigurationInvalid(
            f"{args.verb} needs a platform.", hint=f"peft-tui credentials {args.verb} together"
        )
    holder = find_holder(args.platform)
    return await (_set if args.verb == "set" else _delete)(backend, args, holder)


async def _list(backend: Backend, args: argparse.Namespace) -> int:
    rungs = await backend.credentials.vault.rungs()
    if args.json:
        data(
            {
                "credentials": [
                    {
                        "platform": holder.key,
                        "title": holder.title,
                        "fields": [_document(whereabouts(backend.credentials, f)) for f in holder.fields],
                    }
                    for holder in holders()
                ],
                "stores": [{"store": r.place, "usable": r.usable, "detail": r.words} for r in rungs],
            }
        )
        return 0
    if fault := backend.credentials.vault.fault:
        talk(fault)
    for holder in holders():
        line(f"{holder.title} ({holder.key})")
        table([_row(whereabouts(backend.credentials, field)) for field in holder.fields], indent="  ")
    line()
    line("Kept in, best first (the environment always wins):")
    table([(rung.place, "yes" if rung.usable else "no", rung.words) for rung in rungs], indent="  ")
    if url := backend.sandbox_url:
        line(f"The sandbox listens at {url} while this runs; GET {url}/_sandbox lists its controls.")
    return 0


def _row(found: Whereabouts) -> tuple[str, str, str]:
    field = found.field
    source = found.source or ("locked" if found.trouble else "—")
    notes = [found.value] if found.value else []
    notes += [field.title] if not field.required or found.source is None else []
    notes += ["optional"] if not field.required else []
    notes += [found.trouble] if found.trouble else []
    notes += [f"also kept in: {', '.join(found.unused)}, not used"] if found.unused and found.source else []
    return (field.env, source, " · ".join(notes))


def _document(found: Whereabouts) -> dict[str, Any]:
    field = found.field
    return {
        "field": field.env,
        "title": field.title,
        "secret": field.secret,
        "required": field.required,
        "source": found.source,
        "kept_in": list(found.kept),
        "trouble": found.trouble or None,
        **({} if field.secret else {"value": found.value or None}),
    }


async def _set(backend: Backend, args: argparse.Namespace, holder: Holder) -> int:
    field = find_field(holder, args.field)
    vault = backend.credentials.vault
    place = {"keyring": Place.KEYRING, "file": Place.FILE, None: None}[args.store]
    rungs = {rung.place: rung for rung in await vault.rungs()}
    if Place.KEYRING not in rungs:
        raise ConfigurationInvalid("In the sandbox nothing is kept.", hint="Set it without --sandbox.")
    if place is Place.KEYRING and not rungs[Place.KEYRING].usable:
        raise NotUsable(f"The keyring cannot be used: {rungs[Place.KEYRING].words}.")
    needs_file = place is Place.FILE or not rungs[Place.KEYRING].usable
    if needs_file and not rungs[Place.FILE].usable:
        if not anybody_there():
            raise ConfigurationInvalid(
                f"There is nowhere to keep it: the keyring: {rungs[Place.KEYRING].words};"
                f" the encrypted file: {rungs[Place.FILE].words}.",
                hint=f"Set {PASSPHRASE}, or do this at a terminal, which asks for the passphrase.",
            )
        await _open_file(backend, rungs[Place.KEYRING].words)
    value = await ask(f"{holder.title}, {field.title} ({field.env}): ", hidden=field.secret)
    if not value.strip():
        raise ConfigurationInvalid("Nothing was given.", hint=f"{field.env} is as it was.")
    kept = await backend.credentials.set(field, value, Place.FILE if needs_file else Place.KEYRING)
    shadowed = backend.credentials.place(field.env) is Place.ENVIRONMENT
    if args.json:
        data({"field": field.env, "kept_in": kept, "source": backend.credentials.place(field.env)})
        return 0
    line(f"{field.env} is kept in the {kept}.")
    if shadowed:
        talk(f"{field.env} is set in the environment too, and that wins: unset it to use what is kept.")
    if holder.checkable:
        talk(f"Ask the platform about it: peft-tui credentials check {holder.key}")
    return 0


async def _open_file(backend: Backend, why: str) -> None:
    vault = backend.credentials.vault
    if vault.is_locked:
        await backend.credentials.unlock(await ask("Passphrase of the encrypted file: ", hidden=True))
        return
    talk(f"The keyring cannot be used ({why}). A file sealed with a passphrase takes its place.")
    passphrase = await ask("A new passphrase: ", hidden=True)
    if passphrase != await ask("Once more: ", hidden=True):
        raise ConfigurationInvalid("The two are not the same.", hint="Nothing was kept.")
    if not passphrase:
        raise ConfigurationInvalid("A passphrase cannot be empty.", hint="Nothing was kept.")
    await backend.credentials.unlock(passphrase)


async def _delete(backend: Backend, args: argparse.Namespace, holder: Holder) -> int:
    fields = [find_field(holder, args.field)] if args.field else list(holder.fields)
    kept = [f for f in fields if backend.credentials.vault.places(f.env)]
    if kept and not args.yes:
        if not anybody_there():
            raise ConfigurationInvalid("Nobody is there to be asked.", hint="Add --yes.")
        names = ", ".join(field.env for field in kept)
        if not await agrees(f"Delete {names} wherever it is kept?"):
            raise PeftTuiError("Nothing was deleted.")
    if kept and backend.credentials.vault.is_locked and anybody_there():
        if any(Place.FILE in backend.credentials.vault.places(field.env) for field in kept):
            await backend.credentials.unlock(await ask("Passphrase of the encrypted file: ", hidden=True))
    deleted = {field.env: list(await backend.credentials.delete(field.env)) for field in kept}
    if args.json:
        data({"deleted": deleted})
    for env, places in deleted.items() if not args.json else ():
        line(f"{env} was deleted from the {' and the '.join(places)}.")
    if not deleted and not args.json:
        line(f"Nothing is kept for {holder.title}.")
    for field in fields:
        if backend.credentials.place(field.env) is Place.ENVIRONMENT:
            talk(f"{field.env} is still set in the environment, which is not ours to change.")
    return 0


async def _check(backend: Backend, args: argparse.Namespace) -> int:
    wanted = [find_holder(args.platform)] if args.platform else [h for h in holders() if h.checkable]
    results: list[dict[str, Any]] = []
    status = 0
    for holder in wanted:
        if not holder.checkable:
            raise ConfigurationInvalid(f"{holder.title} is asked only when an adapter comes from there.")
        required = [field.env for field in holder.fields if field.required]
        absent = [e for e in required if backend.credentials.place(e) is None]
        if absent and args.platform is None and not any(backend.credentials.vault.trouble(e) for e in absent):
            results.append({"platform": holder.key, "title": holder.title, "ok": None, "missing": absent})
            continue
        result, error = await _ask(backend, holder)
        results.append(result)
        status = status or (error.exit_status if error else 0)
    if all(result["ok"] is None for result in results):
        status = AuthenticationFailed.exit_status
    if args.json:
        data({"checks": results})
        return status
    for result in results:
        title = str(result["title"])
        if result["ok"] is None:
            line(f"· {title}: {', '.join(result['missing'])} not set")
        elif result["ok"]:
            line(f"✓ {title}: {result['account']} ({result['source']})")
        else:
            line(f"✖ {title}: {result['error']['message']}")
            talk(f"  {result['error']['hint']}")
    return status


async def _ask(backend: Backend, holder: Holder) -> tuple[dict[str, Any], PeftTuiError | None]:
    result: dict[str, Any] = {"platform": holder.key, "title": holder.title}
    answer = None
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            answer = await backend.answer(Question(holder.key, Topic.CHECK))
    except TimeoutError:
        pass
    if answer is None or answer.value is None:
        late = TimedOut(f"{holder.title} did not answer in time.", hint="Try again, or: peft-tui doctor")
        error = answer.error if answer is not None and answer.error is not None else late
        return {**result, "ok": False, "error": error.as_dict()}, error
    account: Account = answer.value
    source = backend.credentials.place(holder.fields[0].env)
    words = " · ".join(part for part in (account.title or account.id, account.detail) if part)
    return {**result, "ok": True, "account": words, "account_id": account.id, "source": source}, None
