"""The steps of a deployment's life at Modal, each with the look-up for what a lost answer left behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_tui.adapters import CONFIG, build, read_directory
from peft_tui.domain.adapter import Adapter, SourceKind
from peft_tui.domain.deployment import looks_like_ours
from peft_tui.domain.errors import (
    ConfigurationInvalid,
    ConnectionFailed,
    NotFound,
    PeftTuiError,
    PlatformFailed,
    ResourceUnavailable,
    TimedOut,
)
from peft_tui.domain.operation import VERSION
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.modal import engine, secrets
from peft_tui.drivers.modal.data_plane import Health
from peft_tui.drivers.modal.declaration import PRIVATE, needs_secret
from peft_tui.drivers.modal.progress import Meter
from peft_tui.drivers.protocol import Outputs, StepContext
from peft_tui.text import clean_line

if TYPE_CHECKING:
    from peft_tui.drivers.modal.driver import ModalDriver

POLL_SECONDS = 3.0
LOST_SECONDS = 120.0
"""How long an address may not be known yet."""
MARGIN_SECONDS = 300.0
"""What a start may take beyond its limit: waiting for a GPU is not counted in it."""
CRASHES = 3


async def _nothing(driver: ModalDriver, context: StepContext) -> Outputs | None:
    """For steps that may simply be done again."""
    return None


NOTHING = _nothing


@dataclass(frozen=True, slots=True)
class Step:
    act: Callable[[ModalDriver, StepContext], Awaitable[Outputs]]
    find: Callable[[ModalDriver, StepContext], Awaitable[Outputs | None]] = NOTHING


async def _check(driver: ModalDriver, context: StepContext) -> Outputs:
    """All that can be known before anything is sent: settings, secret values, the budget."""
    engine.gpus_of(context.spec)
    await secrets.environment(driver.credentials, context.spec, context.remote_name)
    budget = await driver.budget()
    if budget is not None and budget.reached:
        raise ResourceUnavailable(
            f"Modal: the budget of the environment {driver.control.environment} is used up ({budget.words}).",
            hint="Nothing was sent and nothing bills. Raise it at modal.com/settings/usage, or wait for the"
            " next cycle.",
        )
    return {}


async def _volume(driver: ModalDriver, context: StepContext) -> Outputs:
    """Make the volume, and in it the directory that says that this deployment exists."""
    marker = {"made_by": "peft-tui", "source": context.spec.source.kind, "of": context.spec.source.label}
    content = json.dumps(marker).encode()
    meter = Meter(len(content), lambda done, total: None)
    path = f"/{context.remote_name}/{engine.MARKER}"
    await driver.control.upload(engine.VOLUME, [(BytesIO(content), path)], meter)
    return {"volume": engine.VOLUME}


async def _upload(driver: ModalDriver, context: StepContext) -> Outputs:
    """Send the adapter's two files. Begun again, what the platform has already is not sent again."""
    directory = Path(context.spec.source.reference)
    context.report(None, None, "reading and hashing")
    # Read again: the directory may have changed since the wizard looked at it.
    adapter = await asyncio.to_thread(read_directory, str(directory))
    sizes = dict(adapter.files)
    total = sum(sizes.values())
    meter = Meter(total, lambda done, total: context.report(done, total, ""))
    files = [(directory / name, f"/{context.remote_name}/{name}") for name in sizes]
    await driver.control.upload(engine.VOLUME, files, meter)
    context.report(total, total, "")
    return {"files": sizes}


async def _verify(driver: ModalDriver, context: StepContext) -> Outputs:
    """What lies there is what was sent, file by file: half an adapter is never deployed."""
    try:
        there = await driver.control.listing(engine.VOLUME, context.remote_name)
    except NotFound:
        there = {}
    for name, size in context.outputs["files"].items():
        if there.get(name) != size:
            raise ConnectionFailed(
                f"{name} did not arrive whole: {there.get(name) or 0} of {size} bytes.",
                hint="Nothing was deployed and nothing bills. Deploy again: what arrived is not sent again.",
            )
    return {}


async def _secret(driver: ModalDriver, context: StepContext) -> Outputs:
    values = await secrets.environment(driver.credentials, context.spec, context.remote_name)
    await driver.control.put_secret(context.remote_name, values)
    # Their names, never the values.
    return {"secret": context.remote_name, "secret_keys": sorted(values)}


async def adapter_of(driver: ModalDriver, spec: DeploymentSpec, remote_name: str) -> Adapter:
    """The adapter's facts as the container will find them: from the volume, or from the hub.

    The local directory is not asked: it may have changed since, or be gone.
    """
    if spec.source.kind is SourceKind.HUGGING_FACE:
        return await driver.hub.adapter(spec.source)
    volume, path = engine.volume_of(spec), engine.directory_of(spec, remote_name)
    there = await driver.control.listing(volume, path)
    if CONFIG not in there:
        if "config.json" in there:
            return Adapter(spec.source, base_model="", merged=True)
        raise NotFound(
            f"There is no {CONFIG} in {path} on the volume {volume}.",
            hint="Give an adapter's directory there.",
        )
    try:
        config: Any = json.loads(await driver.control.read(volume, f"{path}/{CONFIG}"))
    except (ValueError, RecursionError) as error:
        raise ConfigurationInvalid(f"{CONFIG} on the volume {volume} is not JSON.") from error
    return build(replace(spec.source, reference=path), config, None, None, ())


async def _plan(driver: ModalDriver, context: StepContext) -> engine.ServerPlan:
    if (known := context.outputs.get("model")) is not None:
        model = engine.Model(**known)
    else:
        adapter = await adapter_of(driver, context.spec, context.remote_name)
        model = engine.model_of(context.spec, adapter, context.remote_name)
    secret = context.remote_name if needs_secret(context.spec) else ""
    return engine.server_plan(context.spec, model, context.remote_name, secret)


WHERE_FROM = "vLLM fetches it there: check base_model_name_or_path; export HF_TOKEN for a private one."

UNSEEN = (
    "Check base_model_name_or_path. A private one is deployed only if the container has a token that this"
    " machine has not: name HF_TOKEN among its environment variables."
)


def not_on_the_hub(repo: str) -> str:
    return f"Hugging Face shows no model {repo}."


async def _hub_token(driver: ModalDriver, context: StepContext) -> tuple[bool, bool]:
    """Whether the container has one, and whether it may be another than was looked with here."""
    spec = context.spec
    if spec.text("hub_token", "no") != "yes" and secrets.HUB_TOKEN not in engine.environment_names(spec):
        return False, False
    try:
        given = await secrets.environment(driver.credentials, spec, context.remote_name)
    except ConfigurationInvalid:
        # It was handed over earlier, and is not here any more.
        return True, True
    token, ours = given[secrets.HUB_TOKEN], driver.hub.token
    return True, ours is None or token.reveal() != ours.reveal()


async def _see_to_the_hub(driver: ModalDriver, context: StepContext, model: engine.Model) -> None:
    """What this machine may not see, a container with a token of its own perhaps may.

    Raises:
        ConfigurationInvalid: the container would end as soon as it asks the hub.
    """
    token, its_own = await _hub_token(driver, context)
    for repo in (model.base, model.path):
        # What begins so lies on the volume.
        if not repo or repo.startswith(f"{engine.ADAPTERS}/"):
            continue
        shown = await driver.hub.shows(repo)
        if shown.exists is False and shown.is_id and its_own:
            context.report(None, None, f"{clean_line(repo, 80)} cannot be seen from here")
        elif shown.exists is False:
            raise ConfigurationInvalid(
                not_on_the_hub(repo), hint=f"{WHERE_FROM} Nothing was deployed and nothing bills."
            )
        if shown.gated and not token:
            raise ConfigurationInvalid(
                f"{repo} is gated, and the container has no token to fetch it with.",
                hint="Set Hugging Face token to yes. Nothing was deployed and nothing bills.",
            )


def _only_ours(context: StepContext) -> None:
    """
    Raises:
        ConfigurationInvalid: what runs there was not described by us, and cannot be described anew.
    """
    if not context.spec.instance_type or not looks_like_ours(context.remote_name):
        raise ConfigurationInvalid(
            "It was deployed by somebody else's code: only that code can deploy it again.",
            hint="Its bounds can be changed, and it can be stopped.",
        )


async def _image(driver: ModalDriver, context: StepContext) -> Outputs:
    _only_ours(context)
    context.report(None, None, "minutes where this engine was never built, else seconds")
    adapter = await adapter_of(driver, context.spec, context.remote_name)
    model = engine.model_of(context.spec, adapter, context.remote_name)
    await _see_to_the_hub(driver, context, model)
    plan = engine.server_plan(context.spec, model, context.remote_name)
    return {"image_id": await driver.control.build(plan), "model": asdict(model)}


async def _find_app(driver: ModalDriver, context: StepContext) -> Outputs | None:
    """The name is ours alone: whoever is deployed under it is an earlier attempt."""
    app_id = await driver.control.deployed(context.remote_name)
    if not app_id:
        return None
    return {"app_id": app_id, "remote_id": app_id, **await _version(driver, context, app_id)}


async def _deploy(driver: ModalDriver, context: StepContext) -> Outputs:
    app_id = await driver.control.deploy(await _plan(driver, context))
    driver.watch.changed(app_id)
    return {"app_id": app_id, "remote_id": app_id, **await _version(driver, context, app_id)}


async def _version(driver: ModalDriver, context: StepContext, app_id: str) -> Outputs:
    """What it was set to, under the number that Modal gave it: for who goes back to it one day."""
    try:
        told = await driver.control.history(app_id)
    except PeftTuiError:
        # It is deployed; that nobody can say as what is no failure of that.
        return {}
    newest = max((version.version for version in told), default=0)
    return {"version": newest, "settings": _set(context)} if newest else {}


def _set(context: StepContext) -> dict[str, Any]:
    return {key: value for key, value in context.spec.settings.items() if key != VERSION}


async def _find_version(driver: ModalDriver, context: StepContext) -> Outputs:
    """It is there and may serve again; and which is the newest before that."""
    wanted = int(context.changes[VERSION])
    told = await driver.versions(context.remote_id)
    found = next((version for version in told if version.number == wanted), None)
    if found is None:
        raise NotFound(
            f"Modal tells of no version {wanted}.",
            hint="peft-tui rollback NAME shows those that there are. Nothing was changed.",
        )
    if found.refused:
        raise ConfigurationInvalid(f"Version {wanted}: {found.refused}", hint="Nothing was changed.")
    return {"newest_before": told[0].number}


async def _rollback(driver: ModalDriver, context: StepContext) -> Outputs:
    await driver.control.roll_back(context.remote_id, int(context.changes[VERSION]))
    driver.watch.changed(context.remote_id)
    return {}


async def _rolled_back(driver: ModalDriver, context: StepContext) -> Outputs | None:
    """A version that is newer than what was there before, and is the wanted one again."""
    wanted, before = int(context.changes[VERSION]), context.outputs["newest_before"]
    for version in await driver.control.history(context.remote_id):
        if version.version > before and version.rollback_version == wanted:
            driver.watch.changed(context.remote_id)
            return {"app_id": context.remote_id, "version": version.version, "settings": _set(context)}
    return None


async def _read_version(driver: ModalDriver, context: StepContext) -> Outputs:
    if (found := await _rolled_back(driver, context)) is not None:
        return found
    raise PlatformFailed(
        f"Modal does not show yet that version {context.changes[VERSION]} serves.",
        hint="It is asked again by itself; its page at modal.com/apps has the versions.",
        transient=True,
    )


async def _url(driver: ModalDriver, context: StepContext) -> Outputs:
    server = await driver.control.server(context.remote_name)
    if not server.url:
        raise PlatformFailed(
            "Modal gives the server no address.", hint="See its page at modal.com/apps; it may bill."
        )
    return {"endpoint_url": server.url}


async def _proxy_token(driver: ModalDriver, context: StepContext) -> Outputs:
    place = await driver.see_to_the_token()
    if place is None:
        return {}
    context.report(None, None, f"a new one, kept in: {place}")
    return {"proxy_token_kept": str(place)}


async def _answer(driver: ModalDriver, context: StepContext) -> Outputs:
    """Have it boot, and see that it serves the adapter under its name."""
    url, app_id = context.outputs["endpoint_url"], context.outputs["app_id"]
    private = context.spec.text("visibility", PRIVATE) == PRIVATE
    token = await driver.doors.token(await driver.workspace()) if private else None
    limit = context.spec.integer("startup_timeout", 1200) + MARGIN_SECONDS
    begun = context.clock.monotonic()
    ended: dict[str, str] = {}
    seen: set[str] = set()
    while True:
        answer = await driver.plane.health(url, token, Urgency.NORMAL)
        if answer.health is Health.READY:
            break
        if answer.health is Health.DISABLED:
            raise ResourceUnavailable(
                f"Modal does not serve it: {answer.said}",
                hint="The workspace's spend limit is reached: see modal.com/settings/usage.",
            )
        if answer.health is Health.REFUSED:
            raise PlatformFailed(
                f"Its address does not take the proxy token: {answer.said}",
                hint="Check MODAL_PROXY_TOKEN_ID and _SECRET; where tokens are limited to environments, allow"
                " it there. The server is deployed and bills when it is asked.",
            )
        containers = [c for c in await driver.control.containers(Urgency.NORMAL) or () if c.app_id == app_id]
        for task_id in sorted(seen - {c.task_id for c in containers} - set(ended)):
            info = await driver.control.container(task_id)
            ended[task_id] = (info.exception if info else "") or "without a reason"
        seen |= {c.task_id for c in containers}
        if len(ended) >= CRASHES:
            await _crashed(driver, app_id, ended)
        waited = context.clock.monotonic() - begun
        if answer.health is Health.GONE and waited > LOST_SECONDS:
            raise PlatformFailed(
                f"Its address is not known there: {answer.said}",
                hint="It was stopped elsewhere, or could not be set up: see modal.com/apps.",
            )
        if waited > limit:
            raise TimedOut(
                f"It did not answer within {limit:.0f} s.",
                hint="Its container bills while it starts: stop it, or look at its logs and wait.",
            )
        context.report(None, None, _what_it_does(containers, ended))
        await context.clock.sleep(POLL_SECONDS)
    names = await driver.plane.models(url, token)
    if context.remote_name not in names:
        raise PlatformFailed(
            f"It is up and does not serve {context.remote_name}, only {', '.join(names) or 'nothing'}.",
            hint="It is running and bills: stop it, and look at its logs.",
        )
    return {}


def _what_it_does(containers: list[Any], ended: dict[str, str]) -> str:
    before = f"; {len(ended)} ended: {list(ended.values())[-1]}" if ended else ""
    if any(container.started_at for container in containers):
        return f"the container is starting{before}"
    return f"waiting for a GPU{before}" if containers else f"no container yet{before}"


async def _crashed(driver: ModalDriver, app_id: str, ended: dict[str, str]) -> None:
    # The next look must not call it asleep and well.
    driver.watch.crashed(app_id, len(ended), list(ended.values())[-1])
    lines = await driver.logs(app_id, 5)
    raise PlatformFailed(
        f"Its containers end before they answer: {list(ended.values())[-1]}",
        hint="It is still deployed: each request boots it again, and each try bills. Look at its logs, then"
        " delete it or change its settings.",
        detail="\n".join(lines),
    )


async def _update(driver: ModalDriver, context: StepContext) -> Outputs:
    """Bounds that are set to a value: twice is once."""
    names = {
        "min_instances": "min_containers",
        "max_instances": "max_containers",
        "buffer": "buffer_containers",
        "idle_timeout": "scaledown_window",
        "scale_target": "target_concurrency",
    }
    bounds: dict[str, int | None] = {}
    for key in context.changes:
        if key in names:
            value = context.spec.integer(key)
            # Taken away, a setting is what it is by default.
            bounds[names[key]] = value if value or key in ("min_instances", "buffer") else _default(key)
    if bounds and await driver.control.deployed(context.remote_name):
        await driver.control.scale(context.remote_name, bounds)
        driver.watch.changed(context.remote_id)
    return {}


def _default(key: str) -> int | None:
    from peft_tui.drivers.modal.declaration import CAPABILITIES

    default = CAPABILITIES.defaults().get(key)
    return int(default) if default is not None else None


async def _redeploy(driver: ModalDriver, context: StepContext) -> Outputs:
    """A new version under the same name; deployed twice, the second changes nothing."""
    if context.remote_id and not await driver.control.deployed(context.remote_name):
        raise ConfigurationInvalid(
            "It is stopped: a new version would start it.", hint="Start it first, then change it."
        )
    return await _deploy(driver, context)


async def _start(driver: ModalDriver, context: StepContext) -> Outputs:
    """A new app under the old name: the address stays, the id does not."""
    return await _deploy(driver, context)


async def _stop(driver: ModalDriver, context: StepContext) -> Outputs:
    app_id = context.remote_id or await driver.control.deployed(context.remote_name)
    if not app_id:
        return {"absent": True}
    try:
        await driver.control.stop(app_id)
    except NotFound:
        return {"absent": True}
    return {}


async def _delete(driver: ModalDriver, context: StepContext) -> Outputs:
    """Its files and its secret. What lay on the volume before and was not of our making stays."""
    kept = f"/{engine.MARKER}" if context.changes.get("keep_adapter") else ""
    await driver.control.remove(engine.VOLUME, f"{context.remote_name}{kept}")
    await driver.control.remove_secret(context.remote_name)
    if context.remote_id:
        driver.watch.deleted(context.remote_id)
    return {"absent": True}


STEPS: dict[str, Step] = {
    "check": Step(_check),
    "volume": Step(_volume),
    "upload": Step(_upload),
    "verify": Step(_verify),
    "secret": Step(_secret),
    "image": Step(_image),
    "deploy": Step(_deploy, _find_app),
    "url": Step(_url),
    "proxy_token": Step(_proxy_token),
    "answer": Step(_answer),
    "update": Step(_update),
    "redeploy": Step(_redeploy),
    "find_version": Step(_find_version),
    "rollback": Step(_rollback, _rolled_back),
    "read_version": Step(_read_version),
    "stop": Step(_stop),
    "start": Step(_start),
    "delete": Step(_delete),
}
