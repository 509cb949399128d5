"""The same request in other tongues: with the name of the environment variable, never with the key."""

from __future__ import annotations

import json
import pprint
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from peft_tui.domain.inference import AuthHeader, Dialect, InferenceTarget, PromptRequest, ServedModel
from peft_tui.drivers import post_of


@dataclass(frozen=True, slots=True)
class Snippet:
    """One to copy. It runs as it is, with the variables set."""

    title: str
    language: str
    code: str


@dataclass(frozen=True, slots=True)
class _Post:
    target: InferenceTarget
    url: str
    body: dict[str, Any]
    auth: tuple[AuthHeader, ...]


def snippets(
    platform: str, target: InferenceTarget, model: ServedModel, request: PromptRequest
) -> tuple[Snippet, ...]:
    """All that fit the dialect. They ask for the answer in one piece, which is enough to begin with."""
    url, body = post_of(target, model, replace(request, stream=False))
    post = _Post(target, url, body, target.auth)
    found = [Snippet("curl", "bash", _curl(post))]
    if target.dialect in (Dialect.OPENAI_CHAT, Dialect.LORAX_CHAT):
        found.append(Snippet("Python, openai", "python", _openai(post)))
        if platform == "together":
            found.append(Snippet("Python, together", "python", _together(post)))
    if target.dialect is Dialect.REPLICATE:
        found.append(Snippet("Python, replicate", "python", _replicate(post)))
    found.append(Snippet("Python, httpx", "python", _httpx(post)))
    found.append(Snippet("JavaScript, fetch", "javascript", _fetch(post)))
    return tuple(found)


def variables(target: InferenceTarget) -> tuple[str, ...]:
    """The names that the snippets expect to be set."""
    return tuple(auth.env for auth in target.auth)


def _curl(post: _Post) -> str:
    lines = [f"curl {_shell(post.url)}"]
    # In double quotes, so that the shell puts the value in.
    lines += [f'  -H "{auth.header}: {_value(auth, lambda env: f"${env}")}"' for auth in post.auth]
    if post.target.dialect is Dialect.REPLICATE:
        lines.append('  -H "Prefer: wait"')
    lines.append('  -H "Content-Type: application/json"')
    lines.append(f"  -d {_shell(_json(post.body))}")
    return " \\\n".join(lines) + "\n"


def _openai(post: _Post) -> str:
    standard = {"model", "messages", "max_tokens", "temperature", "top_p", "stop", "seed"}
    given = {key: value for key, value in post.body.items() if key in standard}
    extra = {key: value for key, value in post.body.items() if key not in standard}
    if extra:
        given["extra_body"] = extra
    return (
        "import os\n\nfrom openai import OpenAI\n\n"
        f"client = OpenAI(\n    base_url={post.target.url.rstrip('/')!r},\n{_openai_auth(post.auth)})\n"
        f"answer = client.chat.completions.create(\n{_arguments(given)})\n"
        "print(answer.choices[0].message.content)\n"
    )


def _openai_auth(auth: tuple[AuthHeader, ...]) -> str:
    if len(auth) == 1 and (auth[0].header, auth[0].scheme) == ("Authorization", "Bearer"):
        return f'    api_key=os.environ["{auth[0].env}"],\n'
    return f'    api_key="unused",\n    default_headers={_headers(auth, 4)},\n'


def _together(post: _Post) -> str:
    return (
        "from together import Together\n\n"
        "# TOGETHER_API_KEY is read from the environment\n"
        f"client = Together(base_url={post.target.url.rstrip('/').removesuffix('/v1')!r})\n"
        f"answer = client.chat.completions.create(\n{_arguments(post.body)})\n"
        "print(answer.choices[0].message.content)\n"
    )


def _replicate(post: _Post) -> str:
    address, _, rest = post.url.partition("/v1/deployments/")
    name = rest.removesuffix("/predictions")
    given = _python(post.body["input"], 4)
    return (
        "import os\n\nimport replicate\n\n"
        "client = replicate.Client(\n"
        f'    api_token=os.environ["{post.auth[0].env}"],\n    base_url={address!r},\n)\n'
        "prediction = client.deployments.predictions.create(\n"
        f"    {name!r},\n    {given},\n)\n"
        "prediction.wait()\n"
        'print("".join(prediction.output))\n'
    )


def _httpx(post: _Post) -> str:
    replicate = post.target.dialect is Dialect.REPLICATE
    wait = "\n    timeout=90," if replicate else "\n    timeout=600,"
    return (
        "import os\n\nimport httpx\n\n"
        f"answer = httpx.post(\n    {post.url!r},\n    headers={_headers(post.auth, 4, replicate)},\n"
        f"    json={_python(post.body, 4)},{wait}\n)\n"
        "answer.raise_for_status()\nprint(answer.json())\n"
    )


def _fetch(post: _Post) -> str:
    headers = [
        f'    "{auth.header}": `{_value(auth, lambda env: f"${{process.env.{env}}}")}`,' for auth in post.auth
    ]
    if post.target.dialect is Dialect.REPLICATE:
        headers.append('    "Prefer": "wait",')
    headers.append('    "Content-Type": "application/json",')
    body = _json(post.body, 2).replace("\n", "\n  ")
    return (
        f"const answer = await fetch({json.dumps(post.url)}, {{\n"
        '  method: "POST",\n  headers: {\n' + "\n".join(headers) + "\n  },\n"
        f"  body: JSON.stringify({body}),\n}});\n"
        "if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);\n"
        "console.log(await answer.json());\n"
    )


def _headers(auth: tuple[AuthHeader, ...], indent: int, waits: bool = False) -> str:
    inner = " " * (indent + 4)
    lines = []
    for item in auth:
        value = f'os.environ["{item.env}"]'
        if item.scheme:
            value = f"f\"{item.scheme} {{os.environ['{item.env}']}}\""
        lines.append(f'{inner}"{item.header}": {value},')
    if waits:
        lines.append(f'{inner}"Prefer": "wait",')
    return "{\n" + "\n".join(lines) + "\n" + " " * indent + "}"


def _value(auth: AuthHeader, spelled: Callable[[str], str]) -> str:
    return f"{auth.scheme} {spelled(auth.env)}".strip()


def _arguments(given: dict[str, Any]) -> str:
    return "".join(f"    {key}={_python(value, 4)},\n" for key, value in given.items())


def _python(value: Any, indent: int) -> str:
    """A literal, its further lines indented."""
    text = pprint.pformat(value, width=88 - indent, sort_dicts=False)
    return text.replace("\n", "\n" + " " * (indent + 1))


def _json(value: Any, indent: int | None = None) -> str:
    # Two line ends that JSON allows and a shell or an old engine may stumble over are written as escapes.
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
