"""Where a container gets the adapter and its base from, and whether the hub will hand them out to it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from peft_tui.adapters import CONFIG, build
from peft_tui.domain.adapter import Adapter, SourceKind
from peft_tui.domain.errors import ConfigurationInvalid, NotFound
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers.modal import engine, secrets
from peft_tui.drivers.modal.api import ModalApi
from peft_tui.drivers.protocol import StepContext
from peft_tui.text import clean_line

WHERE_FROM = "vLLM fetches it there: check base_model_name_or_path; export HF_TOKEN for a private one."
UNSEEN = (
    "Check base_model_name_or_path. A private one is deployed only if the container has a token that this"
    " machine has not: name HF_TOKEN among its environment variables."
)


async def adapter_of(api: ModalApi, spec: DeploymentSpec, remote_name: str) -> Adapter:
    """The adapter's facts as the container will find them: from the volume, or from the hub.

    The local directory is not asked: it may have changed since, or be gone.
    """
    if spec.source.kind is SourceKind.HUGGING_FACE:
        return await api.hub.adapter(spec.source)
    volume, path = engine.volume_of(spec), engine.directory_of(spec, remote_name)
    there = await api.volumes.listing(volume, path)
    if CONFIG not in there:
        if "config.json" in there:
            return Adapter(spec.source, base_model="", merged=True)
        raise NotFound(
            f"There is no {CONFIG} in {path} on the volume {volume}.",
            hint="Give an adapter's directory there.",
        )
    try:
        config: Any = json.loads(await api.volumes.read(volume, f"{path}/{CONFIG}"))
    except (ValueError, RecursionError) as error:
        raise ConfigurationInvalid(f"{CONFIG} on the volume {volume} is not JSON.") from error
    return build(replace(spec.source, reference=path), config, None, None, ())


def not_on_the_hub(repo: str) -> str:
    return f"Hugging Face shows no model {repo}."


async def see_to_the_hub(api: ModalApi, context: StepContext, model: engine.Model) -> None:
    """What this machine may not see, a container with a token of its own perhaps may.

    Raises:
        ConfigurationInvalid: the container would end as soon as it asks the hub.
    """
    token, its_own = await _hub_token(api, context)
    for repo in (model.base, model.path):
        # What begins so lies on the volume.
        if not repo or repo.startswith(f"{engine.ADAPTERS}/"):
            continue
        shown = await api.hub.shows(repo)
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


async def _hub_token(api: ModalApi, context: StepContext) -> tuple[bool, bool]:
    """Whether the container has one, and whether it may be another than was looked with here."""
    spec = context.spec
    if spec.text("hub_token", "no") != "yes" and secrets.HUB_TOKEN not in engine.environment_names(spec):
        return False, False
    try:
        given = await secrets.environment(api.credentials, spec, context.remote_name)
    except ConfigurationInvalid:
        # It was handed over earlier, and is not here any more.
        return True, True
    token, ours = given[secrets.HUB_TOKEN], api.hub.token
    return True, ours is None or token.reveal() != ours.reveal()
