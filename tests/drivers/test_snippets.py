"""The snippets run as they are, against the sandbox on a socket, with nothing set but their variables."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from peft_tui.credentials import Secret
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.inference import (
    AuthHeader,
    Dialect,
    InferenceTarget,
    PromptRequest,
    ServedModel,
)
from peft_tui.services.snippets import Snippet, snippets, variables
from tests.life import Life, at_platform, life

PROMPT = PromptRequest("It's a “test” with $HOME, `backticks` and \\n: say hello", 'Be "kind".', 20)


@pytest.fixture
async def replicate(tmp_path: Path) -> AsyncIterator[tuple[Life, Deployment]]:
    async with life(tmp_path, "replicate") as lived:
        made = await lived.intend(at_platform("acme/llm-support"), instance_type="gpu-l40s")
        await lived.run(made)
        await lived.refresh.tick()
        yield lived, await lived.backend.deployments.find("bot")


async def run(snippet: Snippet, env: dict[str, str], directory: Path) -> str:
    """What it prints."""
    commands = {
        "bash": ["bash", "-euc", snippet.code],
        "python": [sys.executable, "-c", snippet.code],
        "javascript": ["node", "--input-type=module", "-e", snippet.code],
    }
    clean = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")}
    process = await asyncio.create_subprocess_exec(
        *commands[snippet.language],
        env={**clean, **env},
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, f"{snippet.code}\n{err.decode()}"
    return out.decode()


async def test_every_one_for_replicate_runs(replicate: tuple[Life, Deployment], tmp_path: Path) -> None:
    lived, deployment = replicate
    target = await lived.driver.inference(deployment)
    found = snippets("replicate", target, target.models[0], PROMPT)
    assert [s.title for s in found] == ["curl", "Python, replicate", "Python, httpx", "JavaScript, fetch"]
    env = {name: lived.sandbox.env[name] for name in variables(target)}
    for snippet in found:
        if snippet.language != "javascript" or shutil.which("node"):
            said = await run(snippet, env, tmp_path)
            assert len(said) > 20, snippet.title


async def test_every_one_for_openai_s_dialect_runs(tmp_path: Path) -> None:
    """One of the sandbox's serverless models: the dialect is the same, and nothing has to be deployed."""
    from peft_tui.sandbox import Sandbox
    from peft_tui.sandbox.together.catalog import BY_NAME

    name = next(name for name, base in BY_NAME.items() if base.serverless is not None)
    sandbox = Sandbox(seed=1, speed=0.0)
    await sandbox.start()
    try:
        target = InferenceTarget(
            Dialect.OPENAI_CHAT,
            f"{sandbox.env['TOGETHER_BASE_URL']}/v1",
            (ServedModel(name, name),),
            (AuthHeader("Authorization", "TOGETHER_API_KEY", "Bearer"),),
        )
        found = snippets("together", target, target.models[0], PROMPT)
        assert [s.title for s in found] == [
            *("curl", "Python, openai", "Python, together", "Python, httpx", "JavaScript, fetch"),
        ]
        env = {"TOGETHER_API_KEY": sandbox.env["TOGETHER_API_KEY"]}
        for snippet in found:
            if snippet.language != "javascript" or shutil.which("node"):
                said = await run(snippet, env, tmp_path)
                assert len(said) > 20, snippet.title
        bodies = [r for r in sandbox.world.data.requests if r.method == "POST"]
        assert len(bodies) >= 4
    finally:
        await sandbox.stop()


@pytest.mark.parametrize("stream", [False, True])
async def test_what_litellm_posts_is_answered(replicate: tuple[Life, Deployment], stream: bool) -> None:
    """The bodies of its `together_ai` and `replicate` providers, so that code behind it can be tried here."""
    from peft_tui.sandbox.together.catalog import BY_NAME

    lived, deployment = replicate
    env = lived.sandbox.env
    chat: dict[str, Any] = {
        "model": next(name for name, base in BY_NAME.items() if base.serverless is not None),
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 20,
        "n": 1,
        "stop": ["END"],
        "seed": 7,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "user": "somebody",
    }
    if stream:
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    given = {"prompt": "Hello", "temperature": 0.7, "max_tokens": 20, "top_p": 0.9}
    async with httpx.AsyncClient() as client:
        key = {"Authorization": f"Bearer {env['TOGETHER_API_KEY']}"}
        answer = await client.post(f"{env['TOGETHER_BASE_URL']}/v1/chat/completions", json=chat, headers=key)
        assert answer.status_code == 200, answer.text
        assert ("[DONE]" in answer.text) is stream and "usage" in answer.text
        token = {"Authorization": f"Token {env['REPLICATE_API_TOKEN']}"}
        target = await lived.driver.inference(deployment)
        made = await client.post(target.url, json={"input": given, "stream": stream}, headers=token)
        assert made.status_code in (200, 201, 202), made.text
        assert (await client.get(made.json()["urls"]["get"], headers=token)).json()["id"] == made.json()["id"]


def test_no_snippet_holds_a_key_and_each_names_its_variable() -> None:
    Secret("sk-abcdefghijklmnop")
    pair = (
        AuthHeader("Modal-Key", "MODAL_PROXY_TOKEN_ID"),
        AuthHeader("Modal-Secret", "MODAL_PROXY_TOKEN_SECRET"),
    )
    target = InferenceTarget(
        Dialect.OPENAI_CHAT, "https://acme--bot.us-east.modal.direct/v1", (ServedModel("bot", "bot"),), pair
    )
    for snippet in snippets("modal", target, target.models[0], PROMPT):
        assert "sk-abcdefghijklmnop" not in snippet.code
        for name in variables(target):
            assert name in snippet.code, snippet.title


@pytest.mark.parametrize("dialect", [Dialect.LORAX, Dialect.LORAX_CHAT])
def test_lorax_has_its_own(dialect: Dialect) -> None:
    target = InferenceTarget(
        dialect,
        "https://serving.example/acme/llms/bot",
        (ServedModel("bot/3", "bot"),),
        (AuthHeader("Authorization", "PREDIBASE_API_TOKEN", "Bearer"),),
        extra={"adapter_source": "pbase"},
    )
    found = {s.title: s.code for s in snippets("predibase", target, target.models[0], PROMPT)}
    assert "adapter_source" in found["curl"] and "$PREDIBASE_API_TOKEN" in found["curl"]
    if dialect is Dialect.LORAX_CHAT:
        assert "extra_body={'adapter_source': 'pbase'}" in found["Python, openai"]
    else:
        assert "/generate'" in found["curl"] and "adapter_id" in found["curl"]
