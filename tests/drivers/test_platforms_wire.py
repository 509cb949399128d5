"""What comes from outside is taken as it may come, and refused in our own words where it cannot be used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import respx

from peft_tui.credentials import Credentials
from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.errors import ConfigurationInvalid, ConnectionFailed, Effect, NotFound, PeftTuiError
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers.hugging_face import HuggingFace, split
from peft_tui.drivers.network import Network
from peft_tui.drivers.protocol import StepContext
from peft_tui.drivers.replicate.wire import AccountWire, Version
from peft_tui.drivers.replicate.wire import Deployment as ReplicateDeployment
from peft_tui.drivers.together.driver import TogetherDriver
from peft_tui.drivers.together.wire import Endpoint, Headroom, InstanceTypeWire, Summary, UploadTicket
from peft_tui.drivers.wire import parse
from tests.doubles import NOON, VirtualClock


@pytest.fixture
def router() -> respx.Router:
    return respx.Router(assert_all_called=False)


@pytest.fixture
async def network(router: respx.Router) -> AsyncIterator[Network]:
    made = Network(VirtualClock(leaps=True))
    made._client = httpx.AsyncClient(transport=httpx.MockTransport(router.async_handler))
    yield made
    await made.close()


class TestParse:
    def test_numbers_may_come_as_text(self) -> None:
        item = parse(InstanceTypeWire, {"priceCentsPerHour": "549", "gpuCount": "8"}, "T")
        assert (item.price_cents_per_hour, item.gpu_count) == (549, 8)

    def test_what_is_left_out_has_a_default_and_what_is_new_is_ignored(self) -> None:
        summary = parse(Summary, {"id": "dep_1", "novelty": {"deep": [1]}}, "T")
        assert (summary.ready_replicas, summary.autoscaling.min_replicas, summary.desired_replicas) == (
            0,
            0,
            None,
        )

    @pytest.mark.parametrize(
        ("model", "body"),
        [
            (Endpoint, {"id": "ep_1", "name": None}),
            (Headroom, {"value": None}),
            (Version, {"id": "v", "openapi_schema": None}),
            # One such item in a list would end the whole refresh.
            (Endpoint, {"id": "ep_1", "deployments": None}),
            (Endpoint, {"id": "ep_1", "trafficSplit": None}),
            (Summary, {"id": "dep_1", "readyReplicas": None}),
            (Summary, {"id": "dep_1", "autoscaling": None}),
            (Summary, {"id": "dep_1", "createdAt": None}),
            (UploadTicket, {"files": [{"path": "a", "uploadId": None, "parts": None}]}),
            (ReplicateDeployment, {"owner": "a", "name": "b", "current_release": None}),
            (ReplicateDeployment, {"current_release": {"configuration": None, "created_at": None}}),
        ],
        ids=lambda value: str(value)[:70] if isinstance(value, dict) else value.__name__,
    )
    def test_null_is_as_good_as_left_out(self, model: Any, body: dict[str, Any]) -> None:
        parse(model, body, "T")

    @pytest.mark.parametrize(
        "body", [None, [], "text", 3, {}, {"id": []}, {"id": "e", "deployments": [3]}], ids=str
    )
    def test_another_shape_is_a_broken_connection_and_says_where(self, body: Any) -> None:
        with pytest.raises(ConnectionFailed, match="a shape that peft-tui does not know") as caught:
            parse(Endpoint, body, "T")
        assert not caught.value.transient and caught.value.hint

    def test_its_text_comes_in_clean(self) -> None:
        wire = parse(AccountWire, {"username": "a\x1b[31mb\nc", "type": None}, "T")
        assert (wire.username, wire.type) == ("ab c", "")

    def test_what_it_refuses_is_not_quoted_raw(self) -> None:
        with pytest.raises(ConnectionFailed) as caught:
            parse(Endpoint, {"id": "e", "deployments": [{"id": "\x1b[31m", "state": "s3cret"}, 7]}, "T")
        assert "s3cret" not in f"{caught.value.message}{caught.value.detail}"


def together(network: Network, **environ: str) -> TogetherDriver:
    given = {"TOGETHER_API_KEY": "t0gether", "TOGETHER_BASE_URL": "https://t.example", **environ}
    return TogetherDriver(network, Credentials(given), VirtualClock())


PROJECT = {"id": "proj_1", "name": "p", "slug": "acme"}
WHOAMI = {"type": "project", "organization": {"name": "Acme"}, "project": PROJECT}


class TestTogether:
    async def test_a_deployment_s_time_of_birth_has_a_zone(
        self, network: Network, router: respx.Router
    ) -> None:
        endpoint = {
            "id": "ep",
            "name": "acme/bot",
            "deployments": [{"id": "dep", "createdAt": "2026-03-14T12:00:00"}],
        }
        router.get("/v3/whoami").mock(return_value=httpx.Response(200, json=WHOAMI))
        router.get(path__regex="^/v2/.*/endpoints$").mock(
            return_value=httpx.Response(200, json={"data": [endpoint]})
        )
        router.get("/v1/endpoints").mock(return_value=httpx.Response(404))
        router.get(path__regex="instance-types$").mock(return_value=httpx.Response(200, json={"data": []}))
        [found] = await together(network).deployments()
        assert found.created_at is None or found.created_at.tzinfo is not None

    async def test_an_answer_of_another_shape_to_a_create_may_have_been_a_create(
        self, network: Network, router: respx.Router
    ) -> None:
        router.get("/v3/whoami").mock(return_value=httpx.Response(200, json=WHOAMI))
        router.post(path__regex="/endpoints$").mock(
            return_value=httpx.Response(200, json={"endpoint": {"id": "ep"}})
        )
        spec = DeploymentSpec("bot", "together", AdapterSource(SourceKind.PLATFORM, "ml_1"))
        context = StepContext(spec, "bot-1f3a9c2b", {}, NOON, VirtualClock(), lambda *_: None)
        with pytest.raises(PeftTuiError) as caught:
            await together(network).act("endpoint", context)
        assert caught.value.effect is Effect.UNKNOWN


class TestHuggingFace:
    @pytest.mark.parametrize(
        ("reference", "parts"),
        [
            ("acme/support", ("acme/support", "main")),
            ("acme/support@v2", ("acme/support", "v2")),
            ("a.b_c-d/e.f@refs/pr/1", ("a.b_c-d/e.f", "refs/pr/1")),
        ],
    )
    def test_an_id_has_two_parts(self, reference: str, parts: tuple[str, str]) -> None:
        assert split(reference) == parts

    @pytest.mark.parametrize(
        "reference",
        ["", "acme", "a/b/c", "acme/", "/b", "a b/c", "acme/x?y", "acme/x#y", "a/b@", "a/b\n", "a/b%2f"],
    )
    def test_what_is_no_id_is_refused(self, reference: str) -> None:
        with pytest.raises(ConfigurationInvalid):
            split(reference)

    def mocked(self, router: respx.Router, revision: str, files: dict[str, int], **more: Any) -> respx.Route:
        info = {"siblings": [{"rfilename": name, "size": size} for name, size in files.items()], **more}
        route = router.get(path__regex=r"^/api/models/")
        route.mock(return_value=httpx.Response(200, json=info))
        config = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "acme/base"}
        router.get(path__regex=r"^/acme/.*adapter_config").mock(return_value=httpx.Response(200, json=config))
        return route

    async def ask(self, network: Network, reference: str = "acme/x") -> Any:
        hub = HuggingFace(network, Credentials({"HF_ENDPOINT": "https://hub.example"}))
        return await hub.adapter(AdapterSource(SourceKind.HUGGING_FACE, reference))

    async def test_an_adapter_is_read_without_its_weights(
        self, network: Network, router: respx.Router
    ) -> None:
        self.mocked(router, "main", {"adapter_config.json": 500, "adapter_model.safetensors": 84_000_000})
        adapter = await self.ask(network)
        assert (adapter.rank, adapter.base_model, adapter.size_bytes) == (8, "acme/base", 84_000_000)
        assert not any("safetensors" in str(call.request.url) for call in router.calls)

    async def test_a_gated_adapter_is_said_to_be(self, network: Network, router: respx.Router) -> None:
        self.mocked(router, "main", {"adapter_config.json": 5, "adapter_model.safetensors": 8}, private=True)
        assert (await self.ask(network)).gated

    async def test_a_merged_checkpoint_is_told_from_an_adapter(
        self, network: Network, router: respx.Router
    ) -> None:
        self.mocked(
            router,
            "main",
            {"config.json": 5, "model-1.safetensors": 7, "model-2.safetensors": 8},
            gated="auto",
        )
        adapter = await self.ask(network)
        assert (adapter.merged, adapter.size_bytes, adapter.gated) == (True, 15, True)

    @pytest.mark.parametrize(
        "files", [{}, {"README.md": 1}, {"adapter_config.json": 5}, {"config.json": 5}], ids=str
    )
    async def test_a_repository_without_either_is_refused(
        self, network: Network, router: respx.Router, files: dict[str, int]
    ) -> None:
        self.mocked(router, "main", files)
        with pytest.raises(ConfigurationInvalid) as caught:
            await self.ask(network)
        assert caught.value.hint

    @pytest.mark.parametrize("status", [401, 403, 404])
    async def test_one_that_is_not_shown_is_not_found(
        self, network: Network, router: respx.Router, status: int
    ) -> None:
        router.get(path__regex=r"^/api/models/").mock(return_value=httpx.Response(status))
        with pytest.raises(NotFound) as caught:
            await self.ask(network)
        assert "HF_TOKEN" in caught.value.hint

    async def test_a_revision_with_a_slash_is_one_word_of_the_path(
        self, network: Network, router: respx.Router
    ) -> None:
        route = self.mocked(router, "", {"adapter_config.json": 5, "adapter_model.safetensors": 8})
        await self.ask(network, "acme/x@refs/pr/1")
        assert route.calls.last.request.url.raw_path.startswith(b"/api/models/acme/x/revision/refs%2Fpr%2F1")

    @pytest.mark.parametrize(
        "info", [None, [], "x", {"siblings": None}, {"siblings": [3, {"rfilename": 4}]}], ids=str
    )
    async def test_another_shape_is_refused(self, network: Network, router: respx.Router, info: Any) -> None:
        router.get(path__regex=r"^/api/models/").mock(return_value=httpx.Response(200, json=info))
        with pytest.raises(PeftTuiError):
            await self.ask(network)
