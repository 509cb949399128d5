"""The snippets run as they are, against the sandbox on a socket, with nothing set but their variables."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from peft_tui.backend import Backend
from peft_tui.credentials import Secret
from peft_tui.domain.inference import (
    AuthHeader,
    Dialect,
    InferenceTarget,
    PromptRequest,
    ServedModel,
)
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers import capabilities
from peft_tui.sandbox import Sandbox
from peft_tui.sandbox.modal.state import PROXY_TOKEN
from peft_tui.sandbox.together.catalog import BY_NAME
from peft_tui.services.snippets import Snippet, snippets, variables
from tests.life import LLAMA, Life, SandboxClock, at_platform, directory

PROMPT = PromptRequest("It's a “test” with $HOME, `backticks` and \\n: say hello", 'Be "kind".', 20)


SERVERLESS = next(name for name, base in BY_NAME.items() if base.serverless is not None)
"""A model of Together's that need not be deployed."""
MADE: dict[str, dict[str, Any]] = {
    "predibase": {"instance_type": "a10_24gb_100", "min_instances": 1},
    "replicate": {"instance_type": "gpu-l40s"},
    "modal": {"instance_type": "L40S", "hub_token": "yes", "min_instances": 1},
}


@asynccontextmanager
async def served(
    tmp_path: Path, *platforms: str
) -> AsyncIterator[tuple[Sandbox, dict[str, InferenceTarget]]]:
    """A deployment at each of them, and how it is asked."""
    sandbox = Sandbox(seed=1, speed=0.0)
    await sandbox.start()
    backend = await Backend.open(tmp_path / "data", sandbox.env, SandboxClock(sandbox))
    targets = {}
    try:
        for platform in platforms:
            lived = Life(backend, sandbox, platform)
            at_replicate = platform == "replicate"
            source = at_platform("acme/llm-support") if at_replicate else directory(tmp_path / platform)
            settings = {**capabilities(platform).defaults(), **MADE[platform]}
            spec = DeploymentSpec(platform, platform, source, "" if at_replicate else LLAMA, settings)
            await lived.run(await backend.deployments.deploy(spec))
            await lived.refresh.tick()
            targets[platform] = await lived.driver.inference(await backend.deployments.find(platform))
            await lived.network.close()
        yield sandbox, targets
    finally:
        await backend.close()
        await sandbox.stop()


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


async def all_run(found: Sequence[Snippet], env: dict[str, str], directory: Path) -> None:
    """As they are; JavaScript where there is something to run it."""
    runnable = [s for s in found if s.language != "javascript" or shutil.which("node")]
    for snippet, said in zip(
        runnable, await asyncio.gather(*(run(s, env, directory) for s in runnable)), strict=True
    ):
        assert len(said) > 20, snippet.title


@pytest.mark.parametrize("platform", sorted(MADE))
async def test_every_one_for_a_deployment_runs(tmp_path: Path, platform: str) -> None:
    async with served(tmp_path, platform) as (sandbox, targets):
        target = targets[platform]
        found = snippets(platform, target, target.models[0], PROMPT)
        own = "Python, replicate" if platform == "replicate" else "Python, openai"
        assert [s.title for s in found] == ["curl", own, "Python, httpx", "JavaScript, fetch"]
        proxy = dict(zip(variables(target), PROXY_TOKEN, strict=True)) if platform == "modal" else sandbox.env
        await all_run(found, {name: proxy[name] for name in variables(target)}, tmp_path)


async def test_every_one_for_openai_s_dialect_runs(tmp_path: Path) -> None:
    """One of the sandbox's serverless models: the dialect is the same, and nothing has to be deployed."""
    sandbox = Sandbox(seed=1, speed=0.0)
    await sandbox.start()
    try:
        target = InferenceTarget(
            Dialect.OPENAI_CHAT,
            f"{sandbox.env['TOGETHER_BASE_URL']}/v1",
            (ServedModel(SERVERLESS, SERVERLESS),),
            (AuthHeader("Authorization", "TOGETHER_API_KEY", "Bearer"),),
        )
        found = snippets("together", target, target.models[0], PROMPT)
        assert [s.title for s in found] == [
            *("curl", "Python, openai", "Python, together", "Python, httpx", "JavaScript, fetch"),
        ]
        env = {"TOGETHER_API_KEY": sandbox.env["TOGETHER_API_KEY"]}
        await all_run(found, env, tmp_path)
        bodies = [r for r in sandbox.world.data.requests if r.method == "POST"]
        assert len(bodies) >= 4
    finally:
        await sandbox.stop()


SAMPLING = {"temperature": 0.7, "top_p": 0.9}
SAID = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_litellm_posts_is_answered(tmp_path: Path, stream: bool) -> None:
    """Its `together_ai`, `hosted_vllm`, `openai`, `predibase` and `replicate`, as litellm
    1.110.2 posts them: what is written on top of it can be tried here."""
    async with (
        served(tmp_path, "predibase", "replicate") as (sandbox, targets),
        httpx.AsyncClient() as client,
    ):
        chat = {"messages": SAID, **SAMPLING, "stop": ["END"], "max_tokens": 20, "seed": 7}
        # `openai` leaves `stream` out where it is not asked for, the others say that it is not.
        for more in ({"stream": stream}, {"stream": True} if stream else {}):
            answer = await client.post(
                f"{sandbox.env['TOGETHER_BASE_URL']}/v1/chat/completions",
                json={"model": SERVERLESS, **chat, **more},
                headers={"Authorization": f"Bearer {sandbox.env['TOGETHER_API_KEY']}"},
            )
            assert answer.status_code == 200, answer.text
            assert ("[DONE]" in answer.text) is stream and "usage" in answer.text

        adapter = targets["predibase"].models[0].name
        parameters = {"stop": ["END"], "max_new_tokens": 20, "adapter_id": adapter, "adapter_source": "pbase"}
        answer = await client.post(
            f"{targets['predibase'].url.removesuffix('/v1')}/{'generate_stream' if stream else 'generate'}",
            json={
                "inputs": "Be kind. Hello",
                "parameters": {**SAMPLING, **parameters, "details": True, "return_full_text": False},
            },
            headers={"Authorization": f"Bearer {sandbox.env['PREDIBASE_API_TOKEN']}"},
        )
        assert answer.status_code == 200, answer.text
        assert "generated_text" in answer.text and "[DONE]" not in answer.text

        token = {"Authorization": f"Token {sandbox.env['REPLICATE_API_TOKEN']}"}
        given: dict[str, Any] = {"prompt": "Be kind. Hello", **SAMPLING, "max_new_tokens": 20}
        if stream:
            # Among the inputs, where no model looks for it.
            given["stream"] = True
        made = await client.post(targets["replicate"].url, json={"input": given}, headers=token)
        assert made.status_code in (200, 201, 202), made.text
        read = await client.get(made.json()["urls"]["get"], headers=token)
        assert read.json()["id"] == made.json()["id"]
        # Its list of stops is none of this model's strings: refused here as it is there.
        listed = {"input": {**given, "stop_sequences": ["END"]}}
        refused = await client.post(targets["replicate"].url, json=listed, headers=token)
        assert refused.status_code == 422 and "stop_sequences" in refused.text


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
