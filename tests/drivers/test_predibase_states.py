"""From Predibase's words to ours, and the notes that stand for what it has no object for."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.money import Price
from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.drivers.predibase import configuration, notes, states
from peft_tui.drivers.predibase.accelerators import TABLE as TABLE_OF_MACHINES
from peft_tui.drivers.predibase.accelerators import machines
from peft_tui.drivers.predibase.api import gateway, serving_of
from peft_tui.drivers.predibase.assessing import can_serve
from peft_tui.drivers.predibase.declaration import CAPABILITIES, carrier_of
from peft_tui.drivers.predibase.notes import HUB, Note, Served
from peft_tui.drivers.predibase.wire import CONFIG, Deployment, whole
from peft_tui.text import clean_line
from tests.doubles import NOON


def seen(word: str, replicas: int = 0, *, price: str | None = "2", **config: Any) -> Observation:
    deployment = Deployment(
        name="bot",
        status=word,
        current_replicas=replicas,
        config={"minReplicas": 0, "maxReplicas": 2, **config},
    )
    return states.observe(deployment, NOON, Decimal(price) if price else None, "http://x", "bot/1")


TABLE = [
    ("queued", 0, Status.PENDING, Condition.NONE),
    ("pending", 0, Status.PENDING, Condition.NONE),
    ("initializing", 0, Status.DEPLOYING, Condition.NONE),
    ("deploying", 0, Status.DEPLOYING, Condition.NONE),
    ("ready", 1, Status.ACTIVE, Condition.NONE),
    ("active", 1, Status.ACTIVE, Condition.NONE),
    ("ready", 0, Status.ACTIVE, Condition.ASLEEP),
    ("standby", 0, Status.ACTIVE, Condition.ASLEEP),
    ("updating", 1, Status.ACTIVE, Condition.SCALING),
    ("updating", 0, Status.DEPLOYING, Condition.NONE),
    ("failed", 0, Status.FAILED, Condition.NONE),
    ("errored", 0, Status.FAILED, Condition.NONE),
    ("canceled", 0, Status.FAILED, Condition.NONE),
    ("terminating", 1, Status.ACTIVE, Condition.STOPPING),
    ("terminating", 0, Status.STOPPED, Condition.NONE),
    ("stopped", 0, Status.STOPPED, Condition.NONE),
    ("inactive", 0, Status.STOPPED, Condition.NONE),
    ("deleted", 0, Status.STOPPED, Condition.NONE),
]


@pytest.mark.parametrize(("word", "replicas", "status", "condition"), TABLE)
@pytest.mark.parametrize("spelled", [str.lower, str.title])
def test_each_word_has_its_status(spelled, word, replicas, status, condition) -> None:
    observation = seen(spelled(word), replicas)
    assert (observation.status, observation.condition) == (status, condition)
    assert observation.platform_status == spelled(word)


@given(st.text(max_size=20))
def test_a_word_that_nobody_knows_is_deploying_and_shown(word: str) -> None:
    observation = seen(word)
    if word.lower() not in {row[0] for row in TABLE} | {"requested", "error", "cancelled"}:
        assert observation.status is Status.DEPLOYING and "does not know" in observation.reason
        assert observation.platform_status == clean_line(word)


@pytest.mark.parametrize(
    ("word", "replicas", "low", "billed"),
    [
        ("queued", 0, 2, 0),
        ("initializing", 0, 0, 1),
        ("initializing", 0, 3, 3),
        ("updating", 2, 0, 2),
        ("ready", 2, 0, 2),
        ("standby", 0, 0, 0),
        ("some new word", 0, 0, 1),
        ("failed", 0, 1, 0),
        ("terminating", 1, 0, 1),
    ],
)
def test_what_costs_is_rather_counted_too_high_than_too_low(word, replicas, low, billed) -> None:
    observation = seen(word, replicas, minReplicas=low)
    assert observation.billed_instances == billed and observation.usd_per_hour == 2 * billed


@pytest.mark.parametrize(
    ("word", "status", "condition", "billed"),
    [
        ("ready", Status.ACTIVE, Condition.NONE, None),
        ("failed", Status.FAILED, Condition.NONE, None),
        ("terminating", Status.ACTIVE, Condition.STOPPING, None),
        ("initializing", Status.DEPLOYING, Condition.NONE, 1),
        ("stopped", Status.STOPPED, Condition.NONE, 0),
    ],
)
def test_replicas_that_are_not_told_are_not_none_of_them(word, status, condition, billed) -> None:
    """Left out or null, they were taken for zero: asleep, and free."""
    found = Deployment.model_validate({"name": "bot", "status": word, "currentReplicas": None})
    observation = states.observe(found, NOON, Decimal(2), "http://x", "bot/1")
    assert (observation.status, observation.condition) == (status, condition)
    assert observation.ready_instances is None and observation.billed_instances == billed
    assert observation.usd_per_hour == (None if billed is None else 2 * billed)


def test_what_the_platform_keeps_of_ours_is_foreign_text_too() -> None:
    """The configuration and a repository's description come back as anybody may have written them."""
    found = Deployment.model_validate(
        {"name": "bot", "config": {"baseModel": "a\x1b]0;b\x07/c", "preloadedAdapters": ["d\x9b2J/1"]}}
    )
    assert (found.base, found.preloaded) == ("a/c", ("d/1",))
    assert notes.plain("mine\x1b[2J") == "mine"


def test_a_price_that_is_not_known_is_not_nothing() -> None:
    assert seen("ready", 1, price=None).usd_per_hour is None
    assert seen("standby", 0, price=None).usd_per_hour == 0


def test_an_attached_one_is_what_its_carrier_is_and_costs_nothing_of_its_own() -> None:
    note = Note("bot-1", Served("support/3"), "llama")
    carried = states.attached(note, seen("ready", 1), NOON)
    assert (carried.status, carried.ready_instances, carried.model) == (Status.ACTIVE, 1, "support/3")
    assert (carried.usd_per_hour, carried.billed_instances) == (0, 0)
    assert "llama" in carried.reason and carrier_of({"instance_type": carried.instance_type}) == "llama"
    assert states.attached(note, seen("failed"), NOON).status is Status.FAILED
    resting = states.attached(note, states.stopped(Note("llama"), NOON), NOON)
    assert (
        resting.status is Status.STOPPED
        and resting.reason == "llama, which serves it, is stopped: start that one"
    )
    alone = states.attached(note, None, NOON)
    assert alone.status is Status.STOPPED and "does not exist" in alone.reason


@given(
    st.text(max_size=60),
    st.text(max_size=60),
    st.dictionaries(st.text(max_size=8), st.integers(), max_size=3),
)
def test_a_note_is_read_as_it_was_written(adapter: str, text: str, config: dict[str, int]) -> None:
    note = Note("bot-1", Served("a/1", HUB), "llama", "acme/base", config, "")
    assert notes.read(f"{text} {note.written()}") == note or notes.BEGIN in text
    assert notes.read(text) is None or notes.BEGIN in text


@pytest.mark.parametrize(
    "text", ["", "[peft-tui ", "[peft-tui ]", "[peft-tui 3]", "[peft-tui {]", '[peft-tui {"name":3}] later']
)
def test_what_is_no_note_is_none(text: str) -> None:
    assert notes.read(text) is None


def test_a_note_of_odd_members_is_read_without_them() -> None:
    note = notes.read('[peft-tui {"name":3,"config":[],"adapter":null}]')
    assert note == Note()


def test_a_description_is_shown_without_its_mark() -> None:
    assert notes.plain(f"For support. {Note('b', Served('a/b', HUB)).written()}") == "For support."
    assert notes.plain("For [support]") == "For [support]"


@pytest.mark.parametrize(
    ("text", "base", "serving"),
    [
        (
            "https://api.app.predibase.com",
            "https://api.app.predibase.com",
            "https://serving.app.predibase.com",
        ),
        (
            "https://api.app.predibase.com/v1/",
            "https://api.app.predibase.com",
            "https://serving.app.predibase.com",
        ),
        ("api.acme.example/v2", "https://api.acme.example", "https://serving.acme.example"),
        ("http://api.acme.example:8080", "http://api.acme.example:8080", "http://serving.acme.example:8080"),
        (
            "http://127.0.0.1:8080/predibase",
            "http://127.0.0.1:8080/predibase",
            "http://127.0.0.1:8080/predibase",
        ),
        ("http://localhost:1", "http://localhost:1", "http://localhost:1"),
    ],
)
def test_addresses_are_read_as_the_vendor_s_client_reads_them(text: str, base: str, serving: str) -> None:
    assert gateway(text) == base
    assert serving_of(base) == serving


class TestConfiguration:
    def test_what_is_not_chosen_is_not_decided(self) -> None:
        assert configuration.chosen(CAPABILITIES.defaults()) == {
            "minReplicas": 0,
            "maxReplicas": 1,
            "cooldownTime": 3600,
            "scaleUpRequestThreshold": 1,
        }

    def test_settings_become_fields(self) -> None:
        settings = {
            "custom_args": "--max-loras 8 --name 'a b'",
            "preloaded_adapters": "x/1, y/2",
            "prefix_caching": "off",
            "speculator": "auto",
            "guaranteed": "yes",
            "quantization": "fp8",
            "idle_timeout": 10,
            "max_total_tokens": 4096,
        }
        assert configuration.chosen(settings) == {
            "customArgs": ["--max-loras", "8", "--name", "a b"],
            "preloadedAdapters": ["x/1", "y/2"],
            "prefixCaching": False,
            "speculator": "auto",
            "usesGuaranteedCapacity": True,
            "quantization": "fp8",
            "cooldownTime": 600,
            "maxTotalTokens": 4096,
        }

    def test_every_field_is_one_that_the_platform_has(self) -> None:
        assert {field for field, _ in configuration.FIELDS.values()} <= set(CONFIG)
        assert len(whole({}, CONFIG)) == 25

    def test_an_open_quote_is_refused_in_words(self) -> None:
        with pytest.raises(ConfigurationInvalid, match="LoRAX arguments"):
            configuration.chosen({"custom_args": "--a 'b"})

    def test_taking_a_setting_away_sends_what_undoes_it_or_is_refused(self) -> None:
        own = Served("bot/1")
        changes = {"custom_args": "", "preloaded_adapters": "", "guaranteed": "no"}
        assert configuration.for_update(changes, own) == {
            "customArgs": [],
            "preloadedAdapters": ["bot/1"],
            "usesGuaranteedCapacity": False,
        }
        with pytest.raises(ConfigurationInvalid, match="replaced, not taken away"):
            configuration.for_update({"max_total_tokens": ""}, own)

    def test_a_token_is_not_noted_down(self) -> None:
        assert configuration.kept({"hfToken": "hf_x", "baseModel": "b", "backend": None}) == {
            "baseModel": "b"
        }


class TestAttaching:
    def test_what_belongs_to_the_machine_is_refused_beside_it(self) -> None:
        settings = {**CAPABILITIES.defaults(), "instance_type": "on:llama"}
        assert CAPABILITIES.problems(settings) == {}
        problems = CAPABILITIES.problems({**settings, "min_instances": 1, "custom_args": "--x"})
        assert set(problems) == {"min_instances", "custom_args"} and "llama" in problems["custom_args"]
        assert CAPABILITIES.problems({**settings, "instance_type": "a10_24gb_100", "min_instances": 1}) == {}

    @pytest.mark.parametrize(
        ("status", "base", "model", "serves"),
        [
            ("ready", "llama-3-1-8b-instruct", "", True),
            ("standby", "", "llama-3-1-8b-instruct", True),
            ("updating", "meta-llama/Llama-3.1-8B-Instruct", "", True),
            ("initializing", "llama-3-1-8b-instruct", "", False),
            ("failed", "llama-3-1-8b-instruct", "", False),
            ("ready", "qwen3-8b", "qwen3-8b", False),
        ],
    )
    def test_only_a_base_that_is_the_adapter_s_serves_it(self, status, base, model, serves) -> None:
        deployment = Deployment.model_validate(
            {"name": "d", "status": status, "config": {"baseModel": base}, "model": {"name": model}}
        )
        assert can_serve(deployment, "meta-llama/Llama-3.1-8B-Instruct") is serves

    def test_one_that_takes_no_adapters_serves_none(self) -> None:
        config = {"baseModel": "x", "disableAdapters": True}
        assert not can_serve(Deployment(name="d", status="ready", config=config), "acme/x")


@pytest.mark.parametrize("id", [*TABLE_OF_MACHINES, "b200_180gb_100", "mi300_192gb_oam_800"])
def test_an_accelerator_that_no_list_has_may_exist(id: str) -> None:
    assert re.fullmatch(CAPABILITIES.unlisted, id)


@pytest.mark.parametrize("id", ["tpu", "on:llama", "a10_24gb", "", "1xnvidia-h100-80gb"])
def test_what_is_built_otherwise_is_no_accelerator(id: str) -> None:
    assert not re.fullmatch(CAPABILITIES.unlisted, id)


def test_one_s_own_price_table_adds_accelerators() -> None:
    prices = {"b200_180gb_100": Price(Decimal(9), "mine", "2026-11-24")}
    found = machines(prices, ("l40s_48gb_100", "odd"), recommended="l40s_48gb_100")
    assert [m.id for m in found][:2] == ["l40s_48gb_100", "a10_24gb_100"]
    assert [m.id for m in found][-2:] == ["b200_180gb_100", "odd"]
    assert len(found) == len(TABLE_OF_MACHINES) + 2
