"""From a spec to vLLM's arguments and Modal's: pure, so that every choice can be read here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.operation import AWAIT_ACTIVE, OperationKind
from peft_tui.domain.spec import DeploymentSpec, Value
from peft_tui.drivers.modal import engine, gpus
from peft_tui.drivers.modal.declaration import CAPABILITIES, IMAGE, LIVE

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
NAME = "bot-0123abcd"


def spec(
    kind: SourceKind = SourceKind.DIRECTORY, reference: str = "/a/r16", **settings: Value
) -> DeploymentSpec:
    chosen = {**CAPABILITIES.defaults(), "instance_type": "L40S", **settings}
    return DeploymentSpec("bot", "modal", AdapterSource(kind, reference), "", chosen)


def adapter(asked: DeploymentSpec, **facts: Any) -> Adapter:
    return Adapter(asked.source, **{"base_model": LLAMA, "rank": 16, **facts})


def command(asked: DeploymentSpec, **facts: Any) -> list[str]:
    return list(engine.command(engine.model_of(asked, adapter(asked, **facts), NAME), asked, NAME))


class TestCommand:
    def test_an_uploaded_adapter_is_served_under_the_deployment_s_name_from_its_directory(self) -> None:
        assert command(spec()) == [
            LLAMA,
            *("--host", "0.0.0.0", "--port", "8000"),
            *("--enable-lora", "--max-loras", "1", "--max-lora-rank", "16"),
            *("--lora-modules", f"{NAME}=/adapters/{NAME}"),
        ]

    def test_an_adapter_on_the_hub_is_named_by_its_id(self) -> None:
        words = command(spec(SourceKind.HUGGING_FACE, "acme/support-r16"))
        assert f"{NAME}=acme/support-r16" in words

    def test_a_merged_model_is_the_model_and_there_is_no_lora(self) -> None:
        words = command(spec(SourceKind.HUGGING_FACE, "acme/merged@v2"), base_model="", merged=True)
        assert words[0] == "acme/merged" and words[words.index("--revision") + 1] == "v2"
        assert words[words.index("--served-model-name") + 1] == NAME
        assert "--enable-lora" not in words

    def test_what_is_on_a_volume_already_is_served_from_there(self) -> None:
        asked = spec(SourceKind.PLATFORM, "models:team/r8")
        assert f"{NAME}=/adapters/team/r8" in command(asked)
        plan = engine.server_plan(asked, engine.model_of(asked, adapter(asked), NAME), NAME)
        assert plan.read_only == {"/adapters": "models"}

    @pytest.mark.parametrize(("rank", "taken"), [(1, 8), (8, 8), (9, 16), (64, 64), (65, 128), (500, 512)])
    def test_the_rank_is_the_next_that_vllm_takes(self, rank: int, taken: int) -> None:
        words = command(spec(), rank=rank)
        assert words[words.index("--max-lora-rank") + 1] == str(taken)

    def test_the_settings_are_all_there(self) -> None:
        words = command(spec(instance_type="H100:2", batch_size=64, context_length=8192), revision="abc")
        joined = " ".join(words)
        assert "--tensor-parallel-size 2" in joined
        assert "--max-num-seqs 64" in joined and "--max-model-len 8192" in joined
        assert "--revision abc" in joined

    def test_what_was_not_asked_for_is_left_to_the_engine(self) -> None:
        words = command(spec())
        assert not {"--max-num-seqs", "--max-model-len", "--tensor-parallel-size", "--revision"} & set(words)

    @pytest.mark.parametrize(
        ("facts", "words"),
        [({"dora": True}, "DoRA"), ({"rank": 513}, "up to 512"), ({"base_model": ""}, "base model")],
    )
    def test_what_vllm_cannot_serve_is_refused_before_anything_is_sent(
        self, facts: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(ConfigurationInvalid, match=words):
            command(spec(), **facts)

    def test_a_revision_of_an_adapter_is_refused_for_vllm_fetches_the_newest(self) -> None:
        with pytest.raises(ConfigurationInvalid, match="newest revision"):
            command(spec(SourceKind.HUGGING_FACE, "acme/support-r16@v1"))

    @pytest.mark.parametrize("reference", ["../x", "v:", "v:/", "a b", "v:a/../../b"])
    def test_a_directory_that_is_none_is_refused(self, reference: str) -> None:
        with pytest.raises(ConfigurationInvalid, match="no directory"):
            engine.directory_of(spec(SourceKind.PLATFORM, reference), NAME)


class TestServer:
    def plan(self, **settings: Value) -> engine.ServerPlan:
        asked = spec(**settings)
        return engine.server_plan(asked, engine.model_of(asked, adapter(asked), NAME), NAME)

    def test_it_is_private_sleeps_when_idle_and_has_a_ceiling_unless_asked_otherwise(self) -> None:
        plan = self.plan()
        assert (plan.private, plan.min_containers, plan.max_containers) == (True, 0, 1)
        assert plan.scaledown_window == 300 and plan.image == IMAGE
        assert not self.plan(visibility="public").private

    def test_its_entrypoint_is_ours_for_images_differ(self) -> None:
        entry, cmd = self.plan().dockerfile
        assert entry == 'ENTRYPOINT ["vllm", "serve"]' and cmd.startswith(f'CMD ["{LLAMA}"')

    def test_the_target_is_never_above_what_a_container_takes(self) -> None:
        assert self.plan(scale_target=16, concurrency=4).target_concurrency == 4
        assert self.plan(scale_target=16).target_concurrency == 16

    def test_other_gpus_are_tried_in_their_order(self) -> None:
        assert self.plan(fallback="A100-80GB, H100  L40S").gpu == ("L40S", "A100-80GB", "H100")

    @pytest.mark.parametrize("wanted", ["H1000", "A10:8", "L40S:0", "L40S:", "cpu", "H100:16", "\x1b[31m"])
    def test_a_gpu_that_modal_has_not_is_refused_and_those_it_has_are_told(self, wanted: str) -> None:
        with pytest.raises(ConfigurationInvalid, match="Modal has no GPU") as caught:
            self.plan(instance_type=wanted)
        assert "L40S" in caught.value.hint

    def test_a_fallback_of_another_number_does_not_fit_the_engine(self) -> None:
        with pytest.raises(ConfigurationInvalid, match="not as many"):
            self.plan(instance_type="L40S:2", fallback="H100")

    def test_environment_takes_names_and_never_repeats_a_value(self) -> None:
        assert engine.environment_names(spec(environment="A_KEY, B_KEY,A_KEY")) == ("A_KEY", "B_KEY")
        with pytest.raises(ConfigurationInvalid) as caught:
            engine.environment_names(spec(environment="A_KEY=s3cret"))
        assert "s3cret" not in f"{caught.value.message}{caught.value.hint}"


class TestPrices:
    RATES = gpus.parse_rates(
        {
            "gpu_hour_cost_l40s": "1.95000",
            "gpu_hour_cost_h100": "3.95",
            "gpu_hour_cost_a10g": "1.10000",
            "cpu_hour_cost": "0.04730",
            "mem_gib_hour_cost": "0.00800",
            "odd": "free",
            "worse": "NaN",
        }
    )

    def test_a_price_is_that_of_all_its_gpus(self) -> None:
        assert gpus.gpu_price("L40S", self.RATES) == Decimal("1.95")
        assert gpus.gpu_price("H100:2", self.RATES) == Decimal("7.90")
        assert gpus.gpu_price("A10G", self.RATES) == Decimal("1.10")

    def test_what_the_list_does_not_know_has_no_price(self) -> None:
        assert gpus.gpu_price("B200", self.RATES) is None
        assert gpus.gpu_price("TPU", self.RATES) is None
        assert set(self.RATES) & {"odd", "worse"} == set()

    def test_the_cheapest_comes_first_and_says_what_is_not_in_it(self) -> None:
        first, *rest = gpus.instance_types(self.RATES, "2026-03-14")
        assert (first.id, first.price and first.price.usd_per_hour) == ("A10", Decimal("1.1"))
        assert first.price and first.price.source == "platform" and first.price.as_of == "2026-03-14"
        assert "$0.0473 a core·h" in first.availability
        assert rest[-1].price is None, "what has no price stands last"
        assert all(gpus.gpu_count(item.id) for item in (first, *rest))

    @pytest.mark.parametrize(
        ("base", "gib"),
        [
            ("meta-llama/Llama-3.1-8B-Instruct", 20.0),
            ("google/gemma-3-12b-it", 30.0),
            ("mistralai/Mixtral-8x7B-v0.1", 140.0),
            ("Qwen/Qwen2.5-0.5B", 1.25),
            ("Qwen/Qwen2.5-7B-Instruct-AWQ", None),
            ("acme/our-model", None),
            ("", None),
        ],
    )
    def test_what_a_base_takes_is_read_off_its_name(self, base: str, gib: float | None) -> None:
        assert gpus.needed_gib(base) == gib

    def test_what_is_too_small_stands_last_and_says_so(self) -> None:
        rates = {**self.RATES, "gpu_hour_cost_t4": Decimal("0.59"), "gpu_hour_cost_l4": Decimal("0.80")}
        found = gpus.instance_types(rates, "2026-03-14", needed=20.0)
        assert found[0].id == "L4" and found[1].id == "A10"
        assert [item.id for item in found if "too small" in item.availability] == ["T4"]
        assert found[-1].id == "T4"
        assert "T4:2" in [item.id for item in found[:4]], "two of them have the memory"


class TestDeclaration:
    def test_nothing_bills_before_the_deploy(self) -> None:
        for source in SourceKind:
            steps = CAPABILITIES.plan(spec(source, "acme/x", hub_token="yes", environment="A"))
            assert [step.key for step in steps if step.bills] == ["deploy"]
            assert steps[-1].key == AWAIT_ACTIVE

    def test_bounds_alone_are_set_without_a_rollout(self) -> None:
        plan = CAPABILITIES.verbs[OperationKind.UPDATE]
        live = plan(spec(), {"min_instances": 1, "idle_timeout": 60})
        assert [step.key for step in live] == ["update", AWAIT_ACTIVE]
        keys = [step.key for step in plan(spec(), {"min_instances": 1, "batch_size": 8})]
        assert "redeploy" in keys and "update" not in keys

    def test_what_is_live_is_what_the_autoscaler_takes(self) -> None:
        assert LIVE == {
            "min_instances",
            "max_instances",
            "buffer",
            "idle_timeout",
            "scale_target",
            "description",
        }

    def test_the_guard_is_the_idle_stop_and_a_kept_container_has_none(self) -> None:
        assert "300 s" in CAPABILITIES.guard(CAPABILITIES.defaults())
        assert CAPABILITIES.guard({**CAPABILITIES.defaults(), "min_instances": 1}) == ""
        assert CAPABILITIES.guard({**CAPABILITIES.defaults(), "buffer": 1}) == ""

    def test_every_step_can_be_carried_out(self) -> None:
        from peft_tui.domain.operation import WATCHED
        from peft_tui.drivers.modal.driver import ModalDriver

        keys = {step.key for step in CAPABILITIES.plan(spec(environment="A", min_instances=1))}
        for plan in CAPABILITIES.verbs.values():
            for changes in ({}, {"image": "x", "environment": "A"}, {"min_instances": 1}):
                keys |= {step.key for step in plan(spec(environment="A"), changes)}
        assert keys - WATCHED == set(ModalDriver.steps)
