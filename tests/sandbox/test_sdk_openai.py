"""The `openai` client, which most people point at what they have deployed, on the clouds that speak so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import openai
import pytest

from tests.sandbox.modal_client import BASE, KEYS, connected

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
MESSAGES: Any = [{"role": "user", "content": "Where is my refund?"}]


@dataclass(frozen=True)
class Place:
    """Where to ask, as whom, and for what; how an unknown model and a wrong key are refused."""

    url: str
    key: str
    base: str
    tuned: str
    unknown: type[openai.APIStatusError] = openai.NotFoundError
    refused: type[openai.APIStatusError] = openai.AuthenticationError
    lists_models: bool = True
    chat: str = "chat.completion"


async def asked(place):
    """Chat, stream, complete, and be refused."""
    async with openai.AsyncOpenAI(base_url=place.url, api_key=place.key, max_retries=0) as client:
        whole = await client.chat.completions.create(model=place.tuned, messages=MESSAGES)
        said = whole.choices[0].message.content
        assert whole.object == place.chat and whole.choices[0].finish_reason in ("stop", "length")
        assert said and whole.usage is not None
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens

        base = await client.chat.completions.create(model=place.base, messages=MESSAGES)
        assert base.choices[0].message.content not in ("", said)

        stream = await client.chat.completions.create(model=place.tuned, messages=MESSAGES, stream=True)
        chunks = [chunk async for chunk in stream]
        pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
        assert "".join(pieces) == said and len(pieces) > 5
        assert chunks[0].choices[0].delta.role == "assistant"

        short = await client.completions.create(model=place.tuned, prompt="Refund", max_tokens=3)
        assert short.choices[0].text and short.choices[0].finish_reason == "length"
        assert short.usage is not None and short.usage.completion_tokens == 3

        with pytest.raises(place.unknown):
            await client.chat.completions.create(model="nobody/nothing", messages=MESSAGES)
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model=place.tuned, messages=[])
        assert 400 <= caught.value.status_code < 500
        if place.lists_models:
            assert [model.id async for model in client.models.list()]
    async with openai.AsyncOpenAI(base_url=place.url, api_key="wrong", max_retries=0) as nobody:
        with pytest.raises(place.refused):
            await nobody.chat.completions.create(model=place.tuned, messages=MESSAGES)


async def test_modal(sb):
    async with connected(sb) as m:
        await m.adapter()
        await m.deploy("bot", min_containers=1)
        sb.clock.advance(45)
        await asked(Place(f"{await m.url()}/v1", ".".join(KEYS.values()), BASE, "support"))


async def test_together(sb, together):
    model = await together.adapter()
    made = await together.deployment(profile=1)
    await together.post(f"{together.path(made)}/adapters", {"adapterModelId": model["id"]})
    sb.clock.advance(21)
    place = Place(
        f"{sb.env['TOGETHER_BASE_URL']}/v1",
        sb.env["TOGETHER_API_KEY"],
        "acme/support",
        f"acme/support/main:{model['name']}",
        # Its list is a bare one, which this client cannot read; so it is on the real platform.
        lists_models=False,
    )
    await asked(place)


async def test_predibase(sb, predibase):
    await predibase.adapter()
    await predibase.deployment()
    url = f"{sb.env['PREDIBASE_SERVING_URL']}{predibase.serving('bot', '/v1')}"
    # LoRAX takes the name for an adapter and an unknown one for one that cannot be loaded.
    place = Place(
        url,
        sb.env["PREDIBASE_API_TOKEN"],
        "",
        "support/1",
        openai.APIStatusError,
        lists_models=False,
        chat="text_completion",
    )
    await asked(place)
