"""Answers come early, late, as errors, or with things in them that no screen should obey."""

from __future__ import annotations

from pathlib import Path

from peft_tui.domain.adapter import Adapter
from peft_tui.domain.errors import (
    AuthenticationFailed,
    ConfigurationInvalid,
    ConnectionFailed,
    PeftTuiError,
)
from peft_tui.domain.offers import (
    Account,
    Assessment,
    Finding,
    InstanceType,
    Level,
    PlatformModel,
)
from peft_tui.services.lookups import Question, Topic
from tests.ui.test_wizard_fields import refused
from tests.ui.test_wizard_scene import NOW, TOGETHER_FIT, Scene, adapter_at, machine, wizard

EVIL = "[/x] [@click=app.quit]now[/] \x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m\u202eevil"


async def test_late_answers_are_waited_for_calmly(tmp_path: Path) -> None:
    async with wizard(tmp_path, silent=True, adapter="/out/support") as scene:
        at = scene.at
        await at.sees("asking whose they are")
        await scene.answer(Question("together", Topic.ACCOUNT), Account("p", "acme", "project Default"))
        await at.sees("✓ acme · project Default")
        await scene.to_model_page()
        await at.sees("reading its files…")
        await refused(scene, "still being read")
        adapter = await scene.asked(Topic.ADAPTER)
        assert not [q for q in scene.questions if q.topic is Topic.ASSESSMENT]
        await scene.answer(adapter, adapter_at(adapter.source))
        await at.sees("r=16", "asking Together AI…")
        await refused(scene, "has not said yet whether it fits")
        await scene.answer(await scene.asked(Topic.ASSESSMENT), TOGETHER_FIT)
        await at.sees("the base matches")
        await at.gone("has not said yet")
        await at.press("ctrl+n")
        await scene.on_page(3)


async def test_an_answer_of_before_stands_with_its_age_until_the_new_one(tmp_path: Path) -> None:
    async with wizard(tmp_path, silent=True, adapter="/out/support") as scene:
        at = scene.at
        await scene.to_model_page()
        adapter = await scene.asked(Topic.ADAPTER)
        assert adapter.source is not None
        old = Adapter(adapter.source, "old/base", 8)
        fit = Question("together", Topic.ASSESSMENT, adapter.source)
        await scene.answer(fit, TOGETHER_FIT, NOW.replace(day=21))
        await scene.answer(adapter, old, NOW.replace(day=21))
        await at.sees("r=8", "read 2d ago, reading again…", "as of 2d ago, asking Together AI…")
        await refused(scene, "still being read")
        await scene.answer(adapter, adapter_at(adapter.source))
        await scene.answer(fit, TOGETHER_FIT)
        await at.sees("r=16")
        await at.gone("2d ago")
        await at.press("ctrl+n")
        await scene.on_page(3)


async def test_a_blocked_adapter_does_not_pass(tmp_path: Path) -> None:
    blocked = Assessment(
        (
            Finding(Level.OK, "read well"),
            Finding(Level.BLOCKED, "its base is not served here", "Choose another platform."),
        ),
        instance_types=TOGETHER_FIT.instance_types,
    )
    async with wizard(
        tmp_path, adapter="/out/support", replies={("together", Topic.ASSESSMENT): blocked}
    ) as scene:
        await scene.to_model_page()
        await scene.at.sees("✖ its base is not served here", "Choose another platform.", "✓ read well")
        await refused(scene, "It cannot be deployed on Together AI: its base is not served here")


async def test_what_is_blocked_after_the_review_was_opened_is_not_deployed(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_configuration()
        await scene.at.press("ctrl+n")
        await scene.on_page(4)
        blocked = Assessment((Finding(Level.BLOCKED, "the base was withdrawn"),))
        await scene.answer(await scene.asked(Topic.ASSESSMENT), blocked)
        work = scene.host.screen._work
        await scene.at.until(lambda: bool(work.assessment.value.blocked))
        await scene.at.press("ctrl+s")
        await scene.told("It cannot be deployed on Together AI: the base was withdrawn")
        assert await scene.stored() == []


async def test_a_price_that_is_too_old_is_asked_again_before_deploying(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_configuration()
        await scene.at.press("ctrl+n")
        await scene.on_page(4)
        asked = len(scene.questions)
        scene.clock.turn(3600)
        await scene.at.press("ctrl+s")
        await scene.at.until(lambda: len(scene.questions) > asked)
        assert await scene.stored() == []
        await scene.at.gone("has not said yet")
        await scene.at.press("ctrl+s")
        await scene.at.until(lambda: bool(scene.host.results))
        assert len(await scene.stored()) == 1


async def test_an_account_error_is_said_beside_the_platform(tmp_path: Path) -> None:
    error = AuthenticationFailed("The key is not accepted.", hint="Make a new one.")
    async with wizard(tmp_path, replies={("together", Topic.ACCOUNT): error}) as scene:
        await scene.at.sees("✖ The key is not accepted.", "Make a new one.", "ctrl+r asks again")
        scene.replies["together", Topic.ACCOUNT] = Account("p", "acme")
        await scene.at.press("ctrl+r")
        await scene.at.sees("✓ acme")
        await scene.at.gone("not accepted")


async def test_an_adapter_that_cannot_be_read(tmp_path: Path) -> None:
    error = ConfigurationInvalid("/out/x has no adapter_config.json.", hint="Save the adapter with PEFT.")
    async with wizard(tmp_path, adapter="/out/x", replies={("", Topic.ADAPTER): error}) as scene:
        await scene.to_model_page()
        await scene.at.sees("✖ /out/x has no adapter_config.json.", "Save the adapter with PEFT.")
        await refused(scene, "The adapter cannot be used: /out/x has no adapter_config.json.")


async def test_a_platform_that_does_not_answer(tmp_path: Path) -> None:
    error = ConnectionFailed("api.together.ai cannot be reached.", hint="Check the network.")
    async with wizard(
        tmp_path, adapter="acme/support", replies={("together", Topic.ASSESSMENT): error}
    ) as scene:
        await scene.to_model_page()
        await scene.at.sees("✖ api.together.ai cannot be reached.", "Check the network.")
        await refused(scene, "is not known: api.together.ai cannot be reached.")
        scene.replies["together", Topic.ASSESSMENT] = TOGETHER_FIT
        await scene.at.press("ctrl+r")
        await scene.at.sees("the base matches")


async def test_the_platform_may_read_what_we_may_not(tmp_path: Path) -> None:
    error = AuthenticationFailed("The repository is private.", hint="Set HF_TOKEN.")
    async with wizard(tmp_path, adapter="acme/private", replies={("", Topic.ADAPTER): error}) as scene:
        await scene.to_model_page()
        await scene.at.sees("✖ The repository is private.", "the base matches")
        scene.fill("private")
        await scene.at.press("ctrl+n")
        await scene.on_page(3)


async def hostile_everywhere(scene: Scene) -> None:
    """Nothing of it reaches the screen as anything but text."""
    await scene.at.pilot.pause()
    for line in scene.at.lines:
        assert not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 for letter in line), repr(line)
        assert "\u202e" not in line


async def test_hostile_text_is_text(tmp_path: Path) -> None:
    fit = Assessment(
        (Finding(Level.WARNING, EVIL, EVIL),),
        EVIL,
        (
            InstanceType(EVIL, EVIL, machine("", "", "1").price, EVIL, True),
            InstanceType("b", "B", None, EVIL, False),
        ),
        {"serving=attach": EVIL},
    )
    replies = {
        ("together", Topic.ACCOUNT): Account(EVIL, EVIL, EVIL),
        ("replicate", Topic.ACCOUNT): PeftTuiError(EVIL, hint=EVIL),
        ("together", Topic.MODELS): (PlatformModel("ml_1" + EVIL, EVIL, EVIL, EVIL),),
        ("together", Topic.ASSESSMENT): fit,
    }
    async with wizard(tmp_path, size=(120, 50), replies=replies) as scene:
        at = scene.at
        await at.sees("[/x] [@click=app.quit]now[/]")
        await hostile_everywhere(scene)
        await scene.to_model_page()
        await at.press("tab", "j", "j")
        await at.sees("ml_1[/x]")
        await hostile_everywhere(scene)
        await at.press("k", "k", "tab")
        scene.fill("/out/x" + EVIL)
        await scene.fits()
        await at.sees("! [/x]")
        await hostile_everywhere(scene)
        await scene.focus_field("Name")
        scene.fill("bot")
        await at.press("ctrl+n")
        await scene.on_page(3)
        await at.sees("[/x]")
        await hostile_everywhere(scene)
        await at.press("ctrl+n")
        await scene.on_page(4)
        await at.sees("[/x]")
        await hostile_everywhere(scene)
        await at.press("y")
        assert "\x1b" not in scene.host.clipboard


async def test_leaving_ends_the_listening(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        listeners = scene.backend.store.database._listeners
        assert len(listeners) == 1
        await scene.at.press("escape")
        await scene.at.until(lambda: not listeners)


async def test_typing_is_asked_about_when_it_pauses(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_model_page()
        await scene.focus_field("Directory")
        await scene.at.type("/out")
        question = await scene.asked(Topic.ADAPTER)
        assert question.source is not None and question.source.reference == "/out"
