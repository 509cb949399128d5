"""Reads an adapter's facts from the Hugging Face Hub, without its weights.

Source of the routes: huggingface_hub 1.x (`model_info(files_metadata=True)`, `hf_hub_url`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from peft_tui.adapters import CONFIG, WEIGHTS, build
from peft_tui.credentials import Credentials, Secret
from peft_tui.domain.adapter import Adapter, AdapterSource
from peft_tui.domain.errors import AuthenticationFailed, ConfigurationInvalid, NotFound, PeftTuiError
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers.network import Network
from peft_tui.drivers.transport import Transport
from peft_tui.text import clean_line

ENDPOINT = "https://huggingface.co"
_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True, slots=True)
class Shown:
    """What the hub says of a model."""

    exists: bool | None
    """None when it did not say; False also for one that it hides from who has no token for it."""
    gated: bool | None = None
    """Handed out to token holders only."""
    trouble: str = ""
    """Why it did not say."""
    is_id: bool = True
    """False for what names nothing on any hub, such as a path: then no token helps."""


class HuggingFace:
    """One hub, with the token that the environment has, if any."""

    def __init__(self, network: Network, credentials: Credentials) -> None:
        token = credentials.optional_secret("HF_TOKEN")
        self.token = token
        self._transport = Transport(network, credentials.text("HF_ENDPOINT", ENDPOINT), token, "Hugging Face")

    async def adapter(self, source: AdapterSource) -> Adapter:
        """The adapter, or merged checkpoint, in a repository `owner/name[@revision]`.

        Raises:
            ConfigurationInvalid: not an id, or the repository holds neither.
            NotFound: there is no such repository, or this token does not see it.
        """
        repo, named = split(source.reference)
        revision = quote(named, safe="")
        try:
            info = await self._transport.get(f"/api/models/{repo}/revision/{revision}", {"blobs": "true"})
        except (AuthenticationFailed, NotFound) as error:
            raise NotFound(
                f"Hugging Face shows no repository {repo}@{named}.",
                hint="Check the spelling; for a private or gated one, export HF_TOKEN.",
                detail=error.detail,
            ) from error
        sizes = _sizes(info)
        gated = bool(info.get("gated") or info.get("private")) if isinstance(info, dict) else False
        if CONFIG in sizes:
            config = await self._transport.get(f"/{repo}/resolve/{revision}/{CONFIG}")
            if WEIGHTS not in sizes:
                raise ConfigurationInvalid(
                    f"{repo} has {CONFIG} but no {WEIGHTS}.", hint="Push it again with safe_serialization."
                )
            files = ((CONFIG, sizes[CONFIG] or 0), (WEIGHTS, sizes[WEIGHTS] or 0))
            return replace(build(source, config, None, sizes[WEIGHTS], files), gated=gated)
        weights = [size or 0 for name, size in sizes.items() if name.endswith(".safetensors")]
        if "config.json" in sizes and weights:
            return Adapter(source, base_model="", size_bytes=sum(weights), merged=True, gated=gated)
        raise ConfigurationInvalid(
            f"{repo} holds neither an adapter ({CONFIG}) nor a model (config.json and safetensors).",
            hint="Give the repository that the training pushed to.",
        )

    async def shows(self, repo: str) -> Shown:
        """What the hub lets this token know of a model."""
        try:
            repo, revision = split(repo)
        except ConfigurationInvalid:
            return Shown(exists=False, is_id=False)
        try:
            info = await self._transport.get(f"/api/models/{repo}/revision/{quote(revision, safe='')}")
        except NotFound:
            return Shown(exists=False)
        except AuthenticationFailed as error:
            # Without a token what is private and what is not there look alike; with one it may be the token.
            return Shown(exists=None if self.token is not None else False, trouble=error.message)
        except PeftTuiError as error:
            return Shown(exists=None, trouble=error.message)
        gated = bool(info.get("gated") or info.get("private")) if isinstance(info, dict) else None
        return Shown(exists=True, gated=gated)


def hub_token(token: Secret | None, spec: DeploymentSpec) -> Secret | None:
    """The token to hand to the platform: only where the person said so.

    Raises:
        ConfigurationInvalid: they did, and there is none.
    """
    if spec.text("hub_token", "no") != "yes":
        return None
    if token is None:
        raise ConfigurationInvalid("HF_TOKEN is not set.", hint="export HF_TOKEN=… and deploy again.")
    return token


def split(reference: str) -> tuple[str, str]:
    """`owner/name@revision` → its two parts; the revision is `main` when none is given.

    Raises:
        ConfigurationInvalid: it is no such id.
    """
    match = _ID.fullmatch(reference)
    if match is None:
        raise ConfigurationInvalid(
            f"“{clean_line(reference, 80)}” is not a Hugging Face id.", hint="It looks like owner/name."
        )
    return match["repo"], match["revision"] or "main"


def _sizes(info: Any) -> dict[str, int | None]:
    """Size in bytes by file name; None where the hub does not say."""
    siblings = info.get("siblings") if isinstance(info, dict) else None
    sizes: dict[str, int | None] = {}
    for sibling in siblings if isinstance(siblings, list) else ():
        if isinstance(sibling, dict) and isinstance(sibling.get("rfilename"), str):
            size = sibling.get("size")
            sizes[sibling["rfilename"]] = size if isinstance(size, int) else None
    return sizes
