"""`peft-tui deploy`: the wizard's work without a screen."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from peft_tui.backend import Backend
from peft_tui.cli.following import Followed, Waiter, confirm, deadline, follow
from peft_tui.cli.output import data, line, talk
from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid, NotFound
from peft_tui.domain.money import usd_range
from peft_tui.domain.offers import (
    Account,
    Assessment,
    Capabilities,
    InstanceType,
    Level,
)
from peft_tui.domain.spec import DeploymentSpec, Value
from peft_tui.domain.status import word_for
from peft_tui.drivers import capabilities
from peft_tui.services.deployments import TAKEN, cannot_be, taken
from peft_tui.services.documents import deployment_document
from peft_tui.services.lookups import Question, Topic
from peft_tui.services.sources import readings
from peft_tui.store import Changes

LOOKUP_SECONDS = 90.0


async def deploy(backend: Backend, args: argparse.Namespace) -> int:
    """Check, ask, write the intent, and stay until it is carried out as far as was asked."""
    offers = capabilities(args.platform)
    settings, problems = _settings(offers, args)
    # All that can be told before anybody is asked; the machine and the source are for the platform to say.
    asked = DeploymentSpec(args.name, args.platform, _readings(args, "")[0], args.base_model or "", settings)
    known = await backend.deployments.problems(asked)
    problems |= {key: known[key] for key in known if key not in ("instance_type", "source")}
    if problems:
        # A name that is taken and nothing else has a sentence of its own.
        raise taken(args.name) if problems == {"name": TAKEN} else cannot_be(problems)
    backend.credentials.secret(offers.credentials[0].env, offers.title)
    await backend.start()
    account, source, adapter, assessment = await _assess(backend, args)
    base = args.base_model or (adapter.base_model if adapter else "") or assessment.base_model
    for finding in assessment.findings:
        talk(f"{'ok' if finding.level is Level.OK else 'note'}: {finding.message}")
    if "instance_type" not in settings and assessment.instance_types:
        settings["instance_type"] = next(
            (i.id for i in assessment.instance_types if i.available is not False),
            assessment.instance_types[0].id,
        )
    spec = DeploymentSpec(args.name, args.platform, source, base, settings)
    if problems := {**assessment.problems(settings), **await backend.deployments.problems(spec)}:
        raise cannot_be(problems, _way_out(offers, assessment, problems))
    chosen = assessment.instance_type(spec.instance_type)
    if chosen is None and re.fullmatch(offers.unlisted or "(?!)", spec.instance_type):
        talk(f"note: {spec.instance_type} is not known here: {offers.title} decides whether it exists")
        chosen = InstanceType(spec.instance_type, spec.instance_type, None)
    if chosen is None:
        names = ", ".join(item.id for item in assessment.instance_types) or "none"
        raise ConfigurationInvalid(
            f"{offers.title} cannot run this on “{spec.instance_type}”.", hint=f"It offers: {names}."
        )
    price = chosen.price.usd_per_hour if chosen.price else None
    cost = usd_range(
        price * spec.min_instances if price is not None else None,
        price * spec.max_instances if price is not None else None,
    )
    if not args.yes:
        await _confirm(spec, offers, cost)
    talk(f"deploying {spec.name} to {offers.title} on {spec.instance_type}: {cost}")
    deployment = await backend.deployments.deploy(spec, account.id)
    return await _result(backend, deployment, args)


def _settings(offers: Capabilities, args: argparse.Namespace) -> tuple[dict[str, Value], dict[str, str]]:
    """Defaults, then the flags, then `--set`; and by key what this platform does not take."""
    problems: dict[str, str] = {}
    given: dict[str, str] = {}
    for item in args.set or ():
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigurationInvalid(f"--set {item}: it takes KEY=VALUE.")
        given[key] = value
    if args.env:
        given["environment"] = " ".join(args.env)
    flags = {"instance_type": args.instance_type, "min_instances": args.min, "max_instances": args.max}
    given |= {key: value for key, value in flags.items() if value is not None}
    settings = offers.defaults()
    for key, text in given.items():
        setting = offers.setting(key)
        if setting is None:
            names = ", ".join(s.key for s in offers.settings if s.supported)
            problems[key] = f"{offers.title} has no such setting, but {names}"
            continue
        try:
            value = setting.parse(text)
        except ConfigurationInvalid as error:
            # What is meant for an environment is a secret as likely as not.
            problems[key if key == "environment" else f"{key}={text}"] = error.message
            continue
        if value is not None:
            settings[key] = value
        else:
            settings.pop(key, None)
    if args.min is not None and args.max is None:
        low, high = settings.get("min_instances"), settings.get("max_instances")
        if isinstance(low, int) and isinstance(high, int) and low > high:
            settings["max_instances"] = low
    return settings, problems


def _way_out(offers: Capabilities, assessment: Assessment, problems: Iterable[str]) -> str:
    """The flags that mend it, where but one choice is left."""
    flags = []
    for key in problems:
        setting = offers.setting(key)
        left = assessment.choices_left(setting) if setting is not None else []
        if len(left) == 1:
            value, words = left[0]
            flags.append(f"--set {key}={value} ({words})")
    return f"Add {' '.join(flags)}." if flags else ""


async def _assess(
    backend: Backend, args: argparse.Namespace
) -> tuple[Account, AdapterSource, Adapter | None, Assessment]:
    """The adapter, what it is, and how it fits; the first reading of ADAPTER under which it exists."""
    account: Account = await _ask(backend, Question(args.platform, Topic.ACCOUNT))
    unknown: NotFound | None = None
    for source in _readings(args, account.id):
        try:
            adapter = None
            if source.kind is not SourceKind.PLATFORM:
                adapter = await _ask(backend, Question.adapter(source))
            said = adapter.base_model if adapter else ""
            if said and args.base_model and said != args.base_model:
                raise ConfigurationInvalid(
                    f"The adapter was trained on {said}, not on {args.base_model}.",
                    hint="Leave --base-model out.",
                )
            question = Question(args.platform, Topic.ASSESSMENT, source, args.base_model or "")
            assessment: Assessment = await _ask(backend, question)
        except NotFound as error:
            # Of several readings the likeliest is the one to speak of.
            unknown = unknown or error
            continue
        if assessment.blocked:
            hint = next(f.hint for f in assessment.findings if f.level is Level.BLOCKED)
            raise ConfigurationInvalid(assessment.blocked, hint=hint or "Nothing was sent and nothing bills.")
        return account, source, adapter, assessment
    assert unknown is not None, "there is at least one reading"
    raise unknown


def _readings(args: argparse.Namespace, account: str) -> list[AdapterSource]:
    """What ADAPTER may mean, likeliest first; one thing where `--source` says which."""
    if args.source is None:
        return readings(args.adapter, capabilities(args.platform), account)
    kind = SourceKind(args.source)
    if kind is SourceKind.DIRECTORY:
        return [AdapterSource(kind, str(Path(args.adapter).expanduser().resolve()))]
    return [AdapterSource(kind, args.adapter)]


async def _ask(backend: Backend, question: Question) -> Any:
    """Have a question answered by the worker, afresh.

    Raises:
        PeftTuiError: what the answer was, or that there was none in time.
    """
    asked = backend.clock.now()

    def mine(changes: Changes) -> bool:
        return (question.platform, str(question.topic), question.subject) in changes.catalog

    async with Waiter(backend, mine) as waiter:
        backend.lookups.want(question)
        async with deadline(LOOKUP_SECONDS, f"No answer about {question.topic} in time."):
            while True:
                answer = await backend.lookups.answer(question)
                if answer is not None and answer.fetched_at >= asked:
                    break
                await waiter.change()
    if answer.error is not None:
        raise answer.error
    return answer.value


async def _result(backend: Backend, deployment: Deployment, args: argparse.Namespace) -> int:
    """Follow its create as far as was asked, and say what came of it."""
    created = (await backend.store.operations.of_deployment(deployment.id))[-1]
    followed = Followed(deployment.name, created.id)
    hint = "It goes on whenever peft-tui runs, and may bill: peft-tui show " + deployment.name
    await follow(backend, [followed], wait=args.wait, timeout=args.timeout, hint=hint)
    if followed.error is not None:
        raise followed.error
    current = await backend.store.deployments.get(deployment.id)
    assert current is not None
    if args.json:
        data(deployment_document(current))
    else:
        line(f"{current.name}: {word_for(current.status, current.condition)}")
        if current.observation and current.observation.endpoint_url:
            line(f"endpoint  {current.observation.endpoint_url}")
            line(f"model     {current.observation.model}")
    return 0


async def _confirm(spec: DeploymentSpec, offers: Capabilities, cost: str) -> None:
    words = [
        f"{spec.name} on {offers.title}, {spec.instance_type}: {cost}",
        offers.guard(spec.settings) or "Nothing stops it by itself.",
    ]
    await confirm(words, "Deploy?", f"This would cost {cost}", "Not deployed.")
