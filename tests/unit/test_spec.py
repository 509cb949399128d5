"""What may be asked for: settings, names, and what cannot be together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.offers import (
    Assessment,
    Change,
    Finding,
    InstanceType,
    Kind,
    Level,
    NameRule,
    Setting,
)
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers import PLATFORMS
from peft_tui.drivers import capabilities as declared
from tests.doubles import capabilities

IDLE = Setting("idle", "Idle stop", Kind.INTEGER, Change.LIVE, 60, minimum=30, maximum=1440, also=(0,))
OPEN_ENDED = Setting("n", "N", Kind.INTEGER, Change.LIVE, minimum=1)
FREE = Setting("any", "Any", Kind.INTEGER, Change.LIVE)
CHOICE = Setting(
    "way", "Way", Kind.CHOICE, Change.LIVE, choices=(("merge", "merge it"), ("attach", "attach it"))
)
TEXT = Setting("text", "Text", Kind.TEXT, Change.LIVE)
NEVER = Setting("batch", "Batch size", Kind.INTEGER, Change.UNSUPPORTED, help="decided by the engine")
BOUNDS = tuple(
    Setting(f"{end}_instances", end, Kind.INTEGER, Change.LIVE, 1, minimum=0, maximum=5)
    for end in ("min", "max")
)


class TestSetting:
    @pytest.mark.parametrize(
        ("setting", "text", "value"),
        [
            (IDLE, "30", 30),
            (IDLE, " 1440 ", 1440),
            (IDLE, "0", 0),
            (IDLE, "+60", 60),
            (IDLE, "", None),
            (IDLE, "   ", None),
            (FREE, "-7", -7),
            (OPEN_ENDED, "999999999", 999_999_999),
            (CHOICE, "attach", "attach"),
            (TEXT, " some words ", "some words"),
        ],
    )
    def test_what_can_be_is_taken(self, setting: Setting, text: str, value: Any) -> None:
        assert setting.parse(text) == value

    @pytest.mark.parametrize(
        ("setting", "text", "words"),
        [
            (IDLE, "29", "a whole number: 0 or 30 to 1440"),
            (IDLE, "1441", "a whole number: 0 or 30 to 1440"),
            (IDLE, "-1", "a whole number: 0 or 30 to 1440"),
            (IDLE, "ten", "a whole number: 0 or 30 to 1440"),
            (OPEN_ENDED, "0", "a whole number: at least 1"),
            (FREE, "1.5", "a whole number"),
            (FREE, "1e3", "a whole number"),
            (FREE, "0x10", "a whole number"),
            (FREE, "1_000", "a whole number"),
            (FREE, "٣", "a whole number"),
            (FREE, "9" * 10, "a whole number"),
            (FREE, "True", "a whole number"),
            (CHOICE, "other", "one of: merge, attach"),
            (NEVER, "8", "Batch size is not supported here: decided by the engine"),
            (NEVER, "", "Batch size is not supported here: decided by the engine"),
        ],
    )
    def test_what_cannot_be_is_refused_with_a_sentence(self, setting: Setting, text: str, words: str) -> None:
        with pytest.raises(ConfigurationInvalid) as caught:
            setting.parse(text)
        assert caught.value.message == words

    @given(st.text(max_size=15))
    def test_no_text_gets_a_value_outside_the_bounds(self, text: str) -> None:
        try:
            value = IDLE.parse(text)
        except ConfigurationInvalid:
            return
        assert value is None or value == 0 or (isinstance(value, int) and 30 <= value <= 1440)


class TestCapabilities:
    OFFERS = capabilities(settings=(*BOUNDS, CHOICE, NEVER))
    SLEEPS = capabilities(settings=(*BOUNDS,), scale_to_zero=True)

    @pytest.mark.parametrize(
        ("given_", "wrong"),
        [
            ({"min_instances": 1, "max_instances": 5}, {}),
            ({"min_instances": 5, "max_instances": 5, "way": "merge"}, {}),
            ({"min_instances": 3, "max_instances": 2}, {"min_instances"}),
            ({"min_instances": 0, "max_instances": 2}, {"min_instances"}),
            ({"min_instances": 0, "max_instances": 0}, {"max_instances"}),
            ({"min_instances": 1, "max_instances": 6}, {"max_instances"}),
            ({"min_instances": -1, "max_instances": 6}, {"min_instances", "max_instances"}),
            ({"colour": "red"}, {"colour"}),
            ({"way": "fly"}, {"way"}),
            ({"batch": 8}, {"batch"}),
        ],
    )
    def test_each_problem_stands_beside_its_field(self, given_: dict[str, Any], wrong: set[str]) -> None:
        assert set(self.OFFERS.problems(given_)) == set(wrong)

    def test_nothing_as_a_minimum_is_fine_where_it_means_sleep(self) -> None:
        assert self.SLEEPS.problems({"min_instances": 0, "max_instances": 1}) == {}

    @pytest.mark.parametrize(
        "given_", [{"min_instances": "3", "max_instances": "2"}, {"min_instances": True}]
    )
    def test_bounds_are_compared_however_they_are_written(self, given_: dict[str, Any]) -> None:
        assert "min_instances" in self.OFFERS.problems(given_)

    def test_defaults_are_those_of_supported_settings_only(self) -> None:
        assert self.OFFERS.defaults() == {"min_instances": 1, "max_instances": 1}

    @pytest.mark.parametrize("platform", PLATFORMS)
    def test_the_defaults_of_a_platform_can_be_sent_as_they_are(self, platform: str) -> None:
        offers = declared(platform)
        assert offers.problems(offers.defaults()) == {}

    @pytest.mark.parametrize("platform", PLATFORMS)
    def test_every_unsupported_setting_says_why(self, platform: str) -> None:
        assert all(s.help for s in declared(platform).settings if not s.supported)

    @pytest.mark.parametrize("platform", PLATFORMS)
    @pytest.mark.parametrize("kind", SourceKind)
    def test_every_way_to_bring_an_adapter_is_offered_or_refused_with_a_reason(
        self, platform: str, kind: SourceKind
    ) -> None:
        offers = declared(platform)
        assert bool(offers.sources.get(kind)) is not bool(offers.no_sources.get(kind))

    @pytest.mark.parametrize("platform", PLATFORMS)
    def test_the_mission_s_settings_are_all_accounted_for(self, platform: str) -> None:
        wanted = {"min_instances", "max_instances", "scale_target", "instance_type", "batch_size", "timeout"}
        wanted |= {"idle_timeout", "description", "environment", "visibility"}
        assert wanted <= {setting.key for setting in declared(platform).settings}

    def test_an_unknown_platform_is_refused_and_the_known_ones_named(self) -> None:
        with pytest.raises(ConfigurationInvalid) as caught:
            declared("nimbus")
        assert all(platform in caught.value.hint for platform in PLATFORMS)


class TestNameRule:
    @pytest.mark.parametrize("name", ["a", "0", "support-bot", "a--b", "x" * 40])
    def test_a_name_that_can_be(self, name: str) -> None:
        assert NameRule().problem(name) == ""

    @pytest.mark.parametrize(
        "name", ["", "-a", "a-", "-", "A", "a b", "a_b", "ä", "a\n", "x" * 41, "a/b", "a.b", "\x1b[31m"]
    )
    def test_a_name_that_cannot_be(self, name: str) -> None:
        assert NameRule().problem(name)


class TestSpec:
    def test_a_spec_reads_its_settings_with_defaults(self) -> None:
        source = AdapterSource(SourceKind.PLATFORM, "ml_1")
        spec = DeploymentSpec("a", "p", source, settings={"min_instances": 2, "instance_type": "gpu"})
        assert (spec.min_instances, spec.instance_type) == (2, "gpu")
        assert (spec.integer("idle", 60), spec.text("region")) == (60, "")

    def test_an_assessment_is_blocked_by_its_first_blocking_finding(self) -> None:
        findings = [
            Finding(Level.WARNING, "w"),
            Finding(Level.BLOCKED, "no"),
            Finding(Level.BLOCKED, "never"),
        ]
        assert Assessment(tuple(findings)).blocked == "no"
        assert Assessment((findings[0],)).blocked == ""

    def test_an_assessment_finds_its_machines_by_name(self) -> None:
        machine = InstanceType("gpu-1", "one", None)
        assert Assessment(instance_types=(machine,)).instance_type("gpu-1") is machine
        assert Assessment(instance_types=(machine,)).instance_type("gpu-2") is None
