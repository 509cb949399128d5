"""The draft by itself: what was typed, what it means, what it costs."""

from __future__ import annotations

import shlex
from decimal import Decimal
from pathlib import Path

import pytest

from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.offers import Assessment, NameRule
from peft_tui.ui.screens.wizard.draft import Draft, derived_name, numbered
from peft_tui.ui.screens.wizard.words import command_line
from tests.ui.test_wizard_scene import REPLICATE_FIT, TOGETHER_FIT, machine

DIRECTORY, HUB, THERE = SourceKind.DIRECTORY, SourceKind.HUGGING_FACE, SourceKind.PLATFORM


def together() -> Draft:
    draft = Draft("together")
    draft.type_reference("/out/support")
    return draft


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        ("./out", DIRECTORY),
        ("~/out", DIRECTORY),
        ("/a/b", DIRECTORY),
        ("owner/name", HUB),
        ("owner/name@main", HUB),
        ("https://huggingface.co/owner/name", HUB),
        ("out", DIRECTORY),
    ],
)
def test_what_the_command_line_names_is_a_directory_or_a_repository(typed: str, kind: SourceKind) -> None:
    draft = Draft.of(typed)
    draft.platform = "together"
    assert (draft.kind, draft.reference, draft.touched) == (kind, typed, False)


def test_a_directory_that_is_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    draft = Draft.of("owner/name")
    draft.platform = "together"
    assert draft.source == AdapterSource(DIRECTORY, str(tmp_path / "owner" / "name"))


def test_a_home_directory_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    draft = together()
    draft.type_reference("~/out/")
    assert draft.source == AdapterSource(DIRECTORY, "/home/ann/out")


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        (" acme/support ", "acme/support"),
        ("https://huggingface.co/acme/support/", "acme/support"),
        ("hf.co/acme/support/tree/v2", "acme/support@v2"),
        ("acme", None),
        ("acme/a/b", None),
        ("acme/ support", None),
    ],
)
def test_a_hugging_face_id(typed: str, means: str | None) -> None:
    draft = Draft("together")
    draft.choose_kind(HUB)
    draft.type_reference(typed)
    assert draft.source == (AdapterSource(HUB, means) if means else None)
    assert bool(draft.source_problem) is (means is None)


def test_a_platform_without_that_way_falls_back_and_the_choice_is_kept() -> None:
    draft = together()
    draft.choose_kind(DIRECTORY)
    draft.platform = "replicate"
    assert draft.kind is HUB
    draft.platform = "together"
    assert (draft.kind, draft.reference) == (DIRECTORY, "/out/support")


def test_an_id_of_one_platform_means_nothing_to_another() -> None:
    draft = Draft("replicate")
    draft.choose_kind(THERE)
    draft.type_reference("acme/llm")
    draft.platform = "together"
    assert (draft.kind, draft.reference) == (THERE, "")
    draft.platform = "replicate"
    assert draft.reference == "acme/llm"


def test_settings_belong_to_their_platform() -> None:
    draft = together()
    draft.type("max_instances", "4")
    draft.platform = "replicate"
    assert draft.text("max_instances") == "1"
    draft.platform = "together"
    assert draft.text("max_instances") == "4"


def test_an_emptied_field_means_its_default() -> None:
    draft = together()
    draft.type("idle_timeout", "")
    assert draft.checked(TOGETHER_FIT).values["idle_timeout"] == 60
    assert draft.text("idle_timeout") == ""


def test_what_is_wrong_is_said_and_kept() -> None:
    draft = together()
    for key, text in {"max_instances": "two", "idle_timeout": "5", "concurrency": "-1"}.items():
        draft.type(key, text)
    problems = draft.checked(TOGETHER_FIT).problems
    assert problems["max_instances"] == "a whole number: 1 to 100"
    assert problems["idle_timeout"] == "a whole number: 0 or 30 to 1440"
    assert problems.keys() == {"max_instances", "idle_timeout", "concurrency"}
    assert draft.text("max_instances") == "two"


def test_more_at_least_than_at_most() -> None:
    draft = together()
    draft.type("min_instances", "3")
    assert draft.checked(TOGETHER_FIT).problems == {"min_instances": "at most the maximum, 1"}


def test_the_cheapest_that_is_free_is_proposed() -> None:
    fit = Assessment(
        instance_types=(machine("a", "A", "1", available=False), machine("b", "B", "2", available=True))
    )
    assert together().spec(None, fit).instance_type == "b"


def test_one_that_is_not_free_can_be_chosen_with_a_warning() -> None:
    draft = together()
    draft.type("instance_type", "1xh200")
    checked = draft.checked(TOGETHER_FIT)
    assert not checked.problems
    assert "none free" in checked.warnings["instance_type"]


def test_one_that_is_not_offered_any_more_has_to_be_chosen_anew() -> None:
    draft = together()
    draft.type("instance_type", "1xa100")
    assert "choose another" in draft.checked(TOGETHER_FIT).problems["instance_type"]


def test_a_choice_that_is_ruled_out_is_not_proposed_and_not_accepted() -> None:
    fit = Assessment(instance_types=TOGETHER_FIT.instance_types, unsupported={"serving=merge": "too large"})
    draft = together()
    assert draft.spec(None, fit).text("serving") == "attach"
    draft.type("serving", "merge")
    assert draft.checked(fit).problems == {"serving": "too large"}


def test_cost_is_price_times_instances() -> None:
    draft = together()
    draft.type("max_instances", "3")
    cost = draft.cost(TOGETHER_FIT)
    assert (cost.low, cost.high) == (Decimal("5.49"), Decimal("16.47"))


def test_a_sleeping_minimum_costs_nothing_at_least() -> None:
    cost = Draft("replicate").cost(REPLICATE_FIT)
    assert (cost.low, cost.high) == (Decimal(0), Decimal("0.81"))


def test_cost_is_unknown_while_something_is_missing() -> None:
    draft = together()
    assert draft.cost(None).low is None
    assert draft.cost(Assessment(instance_types=(machine("a", "A", None),))).low is None
    draft.type("max_instances", "many")
    assert draft.cost(TOGETHER_FIT).high is None


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (AdapterSource(DIRECTORY, "/home/ann/out/Support_R16/"), "support-r16"),
        (AdapterSource(DIRECTORY, "/runs/router/checkpoint-500"), "router-500"),
        (AdapterSource(HUB, "acme/Legal.v2@main"), "legal-v2"),
        (AdapterSource(THERE, "acme/llm:5c7d"), "llm"),
        (AdapterSource(DIRECTORY, "/…"), ""),
    ],
)
def test_a_name_is_made_of_where_it_lies(source: AdapterSource, name: str) -> None:
    assert derived_name(source, NameRule()) == name


def test_names_stay_within_the_rule() -> None:
    rule = NameRule(max_length=12)
    name = derived_name(AdapterSource(DIRECTORY, "/out/" + "long-" * 9), rule)
    assert not rule.problem(name)
    assert not rule.problem(numbered(name, 10, rule))


def test_the_command_line_is_quoted() -> None:
    draft = together()
    draft.type_reference("/out/it's $HOME")
    draft.type_name("bot")
    draft.type("description", "for `me`; rm -rf /")
    words = shlex.split(command_line(draft.spec(None, TOGETHER_FIT)))
    assert words[2] == "/out/it's $HOME"
    assert "description=for `me`; rm -rf /" in words
    assert words[words.index("--instance-type") + 1] == "1xh100"
