"""What of a deployment is worth taking elsewhere: never a key."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.inference import PromptRequest
from peft_tui.redaction import redacted
from peft_tui.services.documents import deployment_document, plain
from peft_tui.services.prompts import Prompts
from peft_tui.text import clean, clean_line

HELLO = "Hello"
"""The prompt of the requests."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One text, or why there is none."""

    kind: str
    title: str
    text: str
    refusal: str = ""


def of_deployment(deployment: Deployment) -> tuple[Copy, ...]:
    """What is known of it here."""
    seen = deployment.observation
    url = clean_line(seen.endpoint_url, 2000) if seen else ""
    model = clean_line(seen.model, 400) if seen else ""
    known = redacted(deployment_document(deployment))
    document = json.dumps(known, indent=2, ensure_ascii=False, default=plain)
    command = shlex.join(["peft-tui", "test", deployment.name, "--prompt", HELLO])
    return (
        Copy("url", "URL", url, "" if url else "It has no endpoint yet."),
        Copy("model", "model", model, "" if model else "The platform has not named it yet."),
        Copy("id", "id", clean_line(deployment.remote_id, 400), _why_no_id(deployment)),
        Copy("name", "name", clean_line(deployment.name, 400)),
        Copy("command", "command", command),
        Copy("json", "JSON", clean(document)),
    )


def _why_no_id(deployment: Deployment) -> str:
    return "" if deployment.remote_id else "The platform has not given it one yet."


async def of_request(deployment: Deployment, prompts: Prompts) -> tuple[Copy, ...]:
    """A request to it as code, with the names of the variables that hold the key."""
    from peft_tui.services.snippets import snippets

    try:
        target = await prompts.target(deployment)
        found = snippets(deployment.platform, target, target.models[0], PromptRequest(HELLO))
    except PeftTuiError as error:
        return tuple(Copy(kind, title, "", error.message) for kind, title in _CODE.items())
    curl = next(snippet.code for snippet in found if snippet.language == "bash")
    python = next(snippet.code for snippet in found if snippet.language == "python")
    return (Copy("curl", _CODE["curl"], curl), Copy("python", _CODE["python"], python))


_CODE = {"curl": "curl", "python": "Python"}
