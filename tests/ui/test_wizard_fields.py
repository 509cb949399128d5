"""What is wrong is said beside the field, and nothing goes on until it is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_tui.domain.offers import Assessment
from peft_tui.services.lookups import Topic
from tests.ui.test_wizard_scene import TOGETHER_FIT, Scene, wizard


async def refused(scene: Scene, sentence: str) -> None:
    """Continue does not, and says why."""
    page = scene.host.screen._page
    await scene.at.press("ctrl+n")
    await scene.told(sentence)
    assert scene.host.screen._page is page


async def test_a_platform_without_credentials_can_be_looked_at_only(tmp_path: Path) -> None:
    async with wizard(tmp_path, environ={"TOGETHER_API_KEY": "k"}) as scene:
        await scene.at.sees("missing: REPLICATE_API_TOKEN", "credentials found in the environment")
        await scene.at.press("j", "enter")
        await scene.told("Replicate cannot be used without REPLICATE_API_TOKEN")
        await scene.on_page(1)
        assert {q.platform for q in scene.questions} == {"together"}
        await scene.at.press("k", "enter")
        await scene.on_page(2)


async def test_with_no_credentials_at_all_nothing_is_asked(tmp_path: Path) -> None:
    async with wizard(tmp_path, environ={}) as scene:
        await scene.at.sees("missing: TOGETHER_API_KEY", "missing: REPLICATE_API_TOKEN", "--sandbox")
        await refused(scene, "Together AI cannot be used without TOGETHER_API_KEY")
        assert scene.questions == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Support Bot", "only lower-case letters, digits and inner hyphens"),
        ("-bot", "only lower-case letters"),
        ("b" * 41, "at most 40 characters"),
    ],
)
async def test_a_bad_name(tmp_path: Path, name: str, problem: str) -> None:
    async with wizard(tmp_path, adapter="/out/support") as scene:
        await scene.to_model_page()
        await scene.fits()
        scene.fill(name)
        await scene.noted("Name", f"✖ {problem}")
        await refused(scene, f"Name: {problem[:40]}")


async def deploy_one(scene: Scene) -> None:
    """A deployment `support` in the store."""
    from peft_tui.domain.adapter import AdapterSource, SourceKind
    from peft_tui.domain.spec import DeploymentSpec
    from peft_tui.drivers import capabilities

    source = AdapterSource(SourceKind.DIRECTORY, "/out/support")
    settings = {**capabilities("together").defaults(), "instance_type": "1xh100"}
    await scene.backend.deployments.deploy(DeploymentSpec("support", "together", source, "", settings))


async def test_a_name_that_is_taken(tmp_path: Path) -> None:
    async with wizard(tmp_path, adapter="/out/other") as scene:
        await deploy_one(scene)
        await scene.to_model_page()
        await scene.fits()
        scene.fill("support")
        await scene.noted("Name", "✖ taken by another deployment here")
        await refused(scene, "There is a deployment named “support” already")
        await scene.focus_field("Name")
        scene.fill("support-b")
        await scene.at.press("ctrl+n")
        await scene.on_page(3)


async def test_a_derived_name_makes_way(tmp_path: Path) -> None:
    async with wizard(tmp_path, adapter="/out/support") as scene:
        await deploy_one(scene)
        await scene.to_model_page()
        await scene.at.sees("support-2")


async def test_a_name_that_another_window_took_meanwhile(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_configuration("/out/support")
        await scene.at.press("ctrl+n")
        await scene.on_page(4)
        await deploy_one(scene)
        await scene.at.press("ctrl+s")
        await scene.told("There is a deployment named “support” already")
        assert len(await scene.stored()) == 1
        assert scene.host.results == []


async def test_no_adapter(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_model_page()
        await refused(scene, "Adapter: an adapter is needed")


async def test_a_bad_hugging_face_id_is_not_asked_about(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_model_page()
        await scene.at.press("tab", "j", "tab")
        scene.fill("just-a-name")
        await scene.at.sees("✖ owner/name, or owner/name@revision")
        await refused(scene, "Adapter: owner/name")
        assert not [q for q in scene.questions if q.topic is Topic.ADAPTER]


@pytest.mark.parametrize(
    ("field", "text", "problem"),
    [
        ("Minimum instances", "0", "a whole number: 1 to 100"),
        ("Minimum instances", "5", "at most the maximum, 1"),
        ("Maximum instances", "1e3", "a whole number: 1 to 100"),
        ("Idle stop", "29", "a whole number: 0 or 30 to 1440"),
        ("Concurrency", "many", "a whole number: 1 to 100000"),
    ],
)
async def test_a_bad_number(tmp_path: Path, field: str, text: str, problem: str) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_configuration()
        await scene.focus_field(field)
        scene.fill(text)
        await scene.at.sees(f"✖ {problem}")
        await refused(scene, f"{field}: {problem}")
        assert await scene.stored() == []


async def test_numbers_of_a_platform_that_sleeps(tmp_path: Path) -> None:
    async with wizard(tmp_path, adapter="acme/support") as scene:
        await scene.to_model_page("replicate")
        await scene.fits()
        await scene.at.press("ctrl+n")
        await scene.on_page(3)
        await scene.focus_field("Minimum instances")
        assert not scene.note("Minimum instances").startswith("✖")
        scene.fill("6")
        await scene.at.until(lambda: scene.note("Minimum instances").startswith("✖ a whole number: 0 to 5"))


async def test_every_setting_is_a_field_or_has_its_reason(tmp_path: Path) -> None:
    async with wizard(tmp_path, size=(120, 60)) as scene:
        await scene.to_configuration()
        offers = scene.host.screen._work.offers
        await scene.at.sees(*(setting.title for setting in offers.settings))
        await scene.at.sees(*(s.help for s in offers.settings if not s.supported))


async def test_a_choice_that_does_not_apply_says_why(tmp_path: Path) -> None:
    reason = "the base is not offered for that"
    fit = Assessment(TOGETHER_FIT.findings, "b", TOGETHER_FIT.instance_types, {"serving=attach": reason})
    async with wizard(tmp_path, replies={("together", Topic.ASSESSMENT): fit}) as scene:
        await scene.to_configuration()
        await scene.at.sees("merge the adapter into its base", f"not “attach”: {reason}")
        await scene.focus_field("Serving")
        await scene.at.press("right", "left", "l", "space")
        assert scene.host.screen._work.draft.checked(fit).values["serving"] == "merge"


async def test_a_choice_is_turned_by_arrows(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_configuration()
        await scene.at.press("right")
        await scene.at.sees("attach it to a running base")
        await scene.at.press("ctrl+n")
        await scene.on_page(4)
        await scene.at.sees("attach the adapter")


async def test_a_machine_that_is_not_free_is_marked_and_can_be_chosen(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_configuration()
        await scene.focus_field("Instance type")
        await scene.at.press("j")
        await scene.at.sees("none free now", "$5.99/h")
        await scene.at.press("ctrl+n")
        await scene.on_page(4)


async def test_nothing_that_stops_it_is_a_warning(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_configuration()
        await scene.focus_field("Idle stop")
        scene.fill("0")
        await scene.at.press("ctrl+n")
        await scene.on_page(4)
        await scene.at.sees("! Nothing stops it by itself")


async def test_no_machine_at_all(tmp_path: Path) -> None:
    async with wizard(tmp_path, replies={("together", Topic.ASSESSMENT): Assessment()}) as scene:
        await scene.to_configuration()
        await refused(scene, "Instance type: nothing on offer for this adapter now")
