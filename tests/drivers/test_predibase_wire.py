"""Predibase: a host that is gone, refusals, and answers of odd shapes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import respx

from peft_tui.credentials import Credentials
from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    NotFound,
    PeftTuiError,
    PlatformFailed,
    ResourceUnavailable,
)
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.domain.status import Status
from peft_tui.drivers import open_driver
from peft_tui.drivers.network import Network
from peft_tui.drivers.predibase import api as api_module
from peft_tui.drivers.predibase.assessing import recommended_machine
from peft_tui.drivers.predibase.driver import PredibaseDriver
from peft_tui.drivers.protocol import StepContext
from tests.doubles import NOON, VirtualClock
from tests.life import LLAMA, write_adapter

# Odd answers


@pytest.fixture
async def mocked() -> AsyncIterator[tuple[PredibaseDriver, respx.Router]]:
    router = respx.Router(assert_all_called=False)
    clock = VirtualClock(leaps=True)
    network = Network(clock)
    network._client = httpx.AsyncClient(transport=httpx.MockTransport(router.async_handler))
    made = open_driver("predibase", network, Credentials({"PREDIBASE_API_TOKEN": "pb_x"}), clock)
    assert isinstance(made, PredibaseDriver)
    yield made, router
    await network.close()


API = api_module.HOST
WHO = {"tenant": {"name": "A", "shortCode": "a1", "subscription": None}, "username": None}


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("[Errno -2] Name or service not known"),
        httpx.ConnectError("All connection attempts failed"),
        httpx.ConnectTimeout("slow"),
        httpx.Response(200, text="<html>Agent Cloud</html>"),
        httpx.Response(302, headers={"location": "https://www.rubrik.com/"}),
    ],
    ids=["unresolved", "refused", "silent", "a web page", "moved away"],
)
async def test_when_the_host_is_gone_it_says_that_the_service_may_be(mocked, trouble) -> None:
    driver, router = mocked
    effect = {"side_effect": trouble} if isinstance(trouble, Exception) else {"return_value": trouble}
    router.get(f"{API}/users/current").mock(**effect)
    with pytest.raises(PeftTuiError) as caught:
        await driver.account()
    assert "may have withdrawn the service" in str(caught.value) == caught.value.message
    assert "predibase.com" in caught.value.hint


async def test_once_it_has_answered_a_broken_line_is_a_broken_line(mocked) -> None:
    driver, router = mocked
    router.get(f"{API}/users/current").mock(return_value=httpx.Response(200, json=WHO))
    router.get(f"{API}/v2/deployments").mock(side_effect=httpx.ReadError("reset"))
    await driver.account()
    with pytest.raises(ConnectionFailed) as caught:
        await driver.api.listed()
    assert "withdrawn" not in caught.value.message


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, AuthenticationFailed, "does not accept the key"),
        (402, ResourceUnavailable, "credit"),
        (403, AuthenticationFailed, "may not"),
        (404, NotFound, "said so"),
        (424, PlatformFailed, "said so"),
    ],
)
async def test_a_refusal_is_told_in_the_platform_s_words(mocked, status, kind, words) -> None:
    driver, router = mocked
    router.get(f"{API}/users/current").mock(return_value=httpx.Response(status, json={"error": "said so"}))
    with pytest.raises(kind, match=words):
        await driver.account()


async def test_the_gateway_s_own_limit_is_waited_for(mocked) -> None:
    driver, router = mocked
    limited = httpx.Response(429, headers={"x-envoy-ratelimited": "true", "x-ratelimit-reset": "7"})
    router.get(f"{API}/users/current").mock(side_effect=[limited, httpx.Response(200, json=WHO)])
    assert (await driver.account()).id == "a1"
    assert driver._clock.slept == [7.0]


async def test_half_filled_answers_are_read(mocked) -> None:
    driver, router = mocked
    row = {"name": "d", "description": None, "status": "ready", "accelerator": None, "model": None}
    rows = [row, {**row, "name": "e", "config": {"preloadedAdapters": "x", "minReplicas": "1"}, "type": None}]
    router.get(f"{API}/users/current").mock(return_value=httpx.Response(200, json=WHO))
    router.get(f"{API}/v2/deployments").mock(return_value=httpx.Response(200, json={"data": rows}))
    router.get(f"{API}/v2/repos").mock(
        return_value=httpx.Response(200, json={"data": {"repos": [{"name": "r", "description": None}]}})
    )
    found = await driver.deployments()
    assert [(r.remote_id, r.observation.status, r.observation.min_instances) for r in found] == [
        ("d", Status.ACTIVE, None),
        ("e", Status.ACTIVE, None),
    ]
    assert found[0].observation.endpoint_url == "https://serving.app.predibase.com/a1/deployments/v2/llms/d"


@pytest.mark.parametrize("body", [None, [], {"deployments": []}, {"data": 3}], ids=str)
async def test_half_a_list_is_no_list(mocked, body) -> None:
    driver, router = mocked
    router.get(f"{API}/v2/deployments").mock(return_value=httpx.Response(200, json=body))
    with pytest.raises(ConnectionFailed):
        await driver.api.listed()


async def test_a_list_of_repositories_that_is_full_is_asked_for_again(mocked, monkeypatch) -> None:
    monkeypatch.setattr(api_module, "REPOS", 2)
    driver, router = mocked
    repos = [{"name": f"r{n}"} for n in range(5)]

    def answer(request: httpx.Request) -> httpx.Response:
        limit = int(request.url.params["limit"])
        return httpx.Response(200, json={"data": {"repos": repos[:limit]}})

    router.get(f"{API}/v2/repos").mock(side_effect=answer)
    assert [repo.name for repo in await driver.api.repos()] == [f"r{n}" for n in range(5)]


@pytest.mark.parametrize("body", [{}, {"data": []}, {"data": {"accelerator": 3}}, [1], None], ids=str)
async def test_a_recommendation_of_another_shape_recommends_nothing(mocked, body) -> None:
    driver, router = mocked
    router.get(f"{API}/v2/deployments/recommended-config").mock(return_value=httpx.Response(200, json=body))
    assert await recommended_machine(driver.api, "acme/x") == ("", "")


async def test_a_ticket_without_an_address_for_a_file_is_refused(mocked, tmp_path: Path) -> None:
    driver, router = mocked
    ticket = {"uploadToken": "t", "presignedUrls": {"adapter_config.json": f"{API}/x"}}
    router.post(f"{API}/v2/adapters/upload").mock(return_value=httpx.Response(200, json=ticket))
    source = AdapterSource(SourceKind.DIRECTORY, str(write_adapter(tmp_path / "a")))
    spec = DeploymentSpec("bot", "predibase", source, LLAMA)
    step = StepContext(spec, "bot-1a", {}, NOON, VirtualClock(), lambda *_: None)
    with pytest.raises(ConnectionFailed, match=r"adapter_model\.safetensors"):
        await driver.act("upload", step)
