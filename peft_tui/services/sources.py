"""What a person means by ADAPTER: a directory, a Hugging Face repository, or something at the platform."""

from __future__ import annotations

import os
import re

from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.offers import Capabilities

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:@[\w./-]+)?")
_HUB = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/")


def repository(text: str) -> str:
    """`owner/name[@revision]` of an id or of a pasted address; empty when it is neither."""
    bare = _HUB.sub("", text.strip()).rstrip("/").replace("/tree/", "@")
    return bare if _REPOSITORY.fullmatch(bare) else ""


def local_or_hub(text: str) -> SourceKind:
    """What `text` is when no platform is chosen yet."""
    if text.startswith((".", "/", "~")) or os.path.isdir(os.path.expanduser(text)):
        return SourceKind.DIRECTORY
    return SourceKind.HUGGING_FACE if _HUB.match(text) or repository(text) else SourceKind.DIRECTORY


def readings(text: str, offers: Capabilities, account: str) -> list[AdapterSource]:
    """All that `text` may mean on a platform, likeliest first; the second where the first does not exist.

    Args:
        account: `Account.id`: what begins with one's own name is meant to be one's own.
    """
    at_platform = AdapterSource(SourceKind.PLATFORM, text)
    kind = local_or_hub(text)
    named = bool(re.fullmatch(offers.reference, text)) if offers.reference else False
    if kind is SourceKind.DIRECTORY and named and not os.path.isdir(os.path.expanduser(text)):
        return [at_platform]
    if kind is SourceKind.DIRECTORY:
        return [AdapterSource(kind, os.path.realpath(os.path.expanduser(text)))]
    on_hub = AdapterSource(kind, repository(text) or text)
    if not named:
        return [on_hub]
    own = text.partition("/")[0] == account
    return [at_platform, on_hub] if own else [on_hub, at_platform]
