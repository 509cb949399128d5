"""The wizard by its keys: through it, back and forth, and out again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.operation import OperationKind, OperationState
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.services.lookups import Topic
from tests.ui.test_wizard_scene import PLATFORM_SOURCE, wizard


async def test_together_from_a_directory_by_keys_alone(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        at = scene.at
        await at.sees("1 Platform ●", "Together AI", "acme · project Default", "Replicate")
        await at.press("enter")
        await scene.on_page(2)
        await at.type("support-bot")
        await scene.focus_field("Directory")
        scene.fill("/out/support-r16")
        await at.sees("r=16 α=32 · 84 MB", "meta-llama/Llama-3.1-8B-Instruct", "✓ the base matches")
        await at.press("enter")
        await scene.on_page(3)
        await at.sees("$5.49/h", "platform price, just now", "1 × H200 140 GB", "! eu: 0 free")
        await scene.focus_field("Maximum instances")
        scene.fill("2")
        await at.sees("$5.49 – $10.98/h")
        await at.press("ctrl+n")
        await scene.on_page(4)
        await at.sees("support-bot", "$10.98/h at most", "upload its files", "Together stops it after 60")
        await at.press("enter")
        await at.until(lambda: bool(scene.host.results), "it never went away")
        deployed = scene.host.results[0]
        stored = await scene.stored()
        assert deployed is not None
        assert [d.spec for d in stored] == [
            DeploymentSpec(
                "support-bot",
                "together",
                AdapterSource(SourceKind.DIRECTORY, "/out/support-r16"),
                "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference",
                {
                    "serving": "merge",
                    "instance_type": "1xh100",
                    "min_instances": 1,
                    "max_instances": 2,
                    "scale_target": 8,
                    "idle_timeout": 60,
                    "visibility": "private",
                    "hub_token": "no",
                },
            )
        ]
        operation = stored[0].operation
        assert operation is not None
        assert (operation.kind, operation.state) == (OperationKind.CREATE, OperationState.QUEUED)


async def test_replicate_from_its_list_by_keys_alone(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        at = scene.at
        await scene.to_model_page("replicate")
        await at.sees("Replicate takes no adapter files")
        await at.press("tab", "j")
        await at.sees("acme/llm-support", "2 versions", "acme/llm-legal")
        await at.press("tab", "tab", "enter")
        await at.sees("version 5c7d is there")
        await at.press("ctrl+n")
        await scene.on_page(3)
        await at.sees("$0.00 – $0.81/h")
        await scene.focus_field("Instance type")
        await at.press("j")
        await at.sees("$0.00 – $3.51/h")
        await at.press("ctrl+n")
        await scene.on_page(4)
        await at.sees("It sleeps when idle", "$0.00/h at least", "$3.51/h at most")
        await at.press("ctrl+s")
        await at.until(lambda: bool(scene.host.results))
        (deployment,) = await scene.stored()
        assert deployment.name == "llm-support"
        assert deployment.spec.source == PLATFORM_SOURCE
        assert (deployment.spec.instance_type, deployment.spec.min_instances) == ("gpu-l40s", 0)


async def test_back_and_forth_loses_nothing(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        at = scene.at
        await scene.to_configuration()
        await scene.focus_field("Idle stop")
        scene.fill("5")
        await scene.focus_field("Description")
        scene.fill("for the help desk")
        await at.press("escape")
        await scene.on_page(2)
        await at.sees("support-r16", "/out/support-r16", "✓ the base matches")
        await at.press("escape")
        await scene.on_page(1)
        await at.press("enter")
        await scene.on_page(2)
        await at.press("ctrl+n")
        await scene.on_page(3)
        await at.sees("✖ a whole number: 0 or 30 to 1440", "for the help desk")


async def test_each_platform_keeps_its_own_settings(tmp_path: Path) -> None:
    async with wizard(tmp_path, adapter="acme/support") as scene:
        at = scene.at
        await scene.to_model_page()
        await at.sees("the base matches")
        await at.press("ctrl+n")
        await scene.on_page(3)
        await scene.focus_field("Maximum instances")
        scene.fill("7")
        await at.press("escape", "escape")
        await scene.on_page(1)
        await at.press("j", "enter")
        await scene.on_page(2)
        await at.sees("acme/support", "version 5c7d is there")
        await at.press("ctrl+n")
        await scene.on_page(3)
        await scene.focus_field("Maximum instances")
        assert scene.host.focused.value == "1"  # type: ignore[union-attr]
        scene.fill("3")
        await at.press("escape", "escape")
        await scene.on_page(1)
        await at.press("k", "enter", "ctrl+n")
        await scene.on_page(3)
        await scene.focus_field("Maximum instances")
        assert scene.host.focused.value == "7"  # type: ignore[union-attr]


@pytest.mark.parametrize("keys", [("ctrl+s", "ctrl+s"), ("enter", "enter"), ("enter", "ctrl+s", "enter")])
async def test_deploying_twice_deploys_once(tmp_path: Path, keys: tuple[str, ...]) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_configuration()
        await scene.at.press("ctrl+n")
        await scene.on_page(4)
        await scene.at.press(*keys)
        await scene.at.until(lambda: bool(scene.host.results))
        assert len(await scene.stored()) == 1
        assert len(scene.host.results) == 1


async def test_movement_never_deploys(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_configuration()
        await scene.at.press("ctrl+n")
        await scene.on_page(4)
        await scene.at.press("j", "k", "up", "down", "ctrl+d", "ctrl+u", "g", "G", "pagedown", "tab")
        assert await scene.stored() == []
        assert scene.host.results == []


async def test_leaving_asks_once_when_something_was_typed(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        at = scene.at
        await scene.to_model_page()
        await at.type("bot")
        await at.press("escape")
        await scene.on_page(1)
        await at.press("escape")
        await at.sees("Discard what was typed?")
        await at.press("n")
        await at.gone("Discard")
        await at.press("escape")
        await at.sees("Discard what was typed?")
        await at.press("y")
        await at.until(lambda: scene.host.results == [None])


async def test_leaving_at_once_when_nothing_was(tmp_path: Path) -> None:
    async with wizard(tmp_path, adapter="/out/support-r16") as scene:
        await scene.at.press("escape")
        await scene.at.until(lambda: scene.host.results == [None])


async def test_the_adapter_of_the_command_line_stands_on_page_two(tmp_path: Path) -> None:
    async with wizard(tmp_path, adapter="acme/support@main") as scene:
        await scene.at.sees("1 Platform ●")
        await scene.to_model_page()
        await scene.at.sees("acme/support@main", "the base matches", "Hugging Face id")
        question = await scene.asked(Topic.ADAPTER)
        assert question.source == AdapterSource(SourceKind.HUGGING_FACE, "acme/support@main")


async def test_the_command_line_is_copied(tmp_path: Path) -> None:
    async with wizard(tmp_path) as scene:
        await scene.to_configuration("/my out/support-r16")
        await scene.at.press("ctrl+n")
        await scene.on_page(4)
        await scene.at.press("y")
        await scene.at.sees("given to the terminal's clipboard")
        words = shlex.split(scene.host.clipboard)
        assert words[:3] == ["peft-tui", "deploy", "/my out/support-r16"]
        assert words[words.index("--name") + 1] == "support-r16"
        assert words[words.index("--min") + 1] == "1"
        assert "idle_timeout=60" in words and words[-1] == "--yes"


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (140, 40)])
async def test_the_field_that_has_the_keys_is_in_view(tmp_path: Path, size: tuple[int, int]) -> None:
    async with wizard(tmp_path, size=size) as scene:
        await scene.to_configuration()
        for _ in range(12):
            await scene.at.press("tab")
            await scene.at.pilot.pause()
            focused = scene.host.focused
            assert focused is not None
            assert scene.host.screen.region.contains_region(focused.region), (
                f"{scene.field()} is out of view\n{scene.at.picture}"
            )
            assert focused.region.height > 0


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (40, 12), (140, 40)])
async def test_no_size_breaks_it(tmp_path: Path, size: tuple[int, int]) -> None:
    async with wizard(tmp_path, size=size, adapter="/out/support-r16") as scene:
        at = scene.at
        await at.press("enter")
        await scene.on_page(2)
        await scene.fits()
        for step in (3, 4):
            await at.press("ctrl+n")
            await scene.on_page(step)
            assert len(at.lines) == size[1]
        await at.press("ctrl+s")
        await at.until(lambda: bool(scene.host.results))


async def test_browsing_for_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "work"
    (root / "out" / "router").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "out" / "router" / "adapter_config.json").write_text("{}")
    monkeypatch.chdir(root)
    async with wizard(tmp_path / "store") as scene:
        at = scene.at
        await scene.to_model_page()
        await at.press("ctrl+o")
        await at.sees("empty/", "out/")
        await at.press("j", "enter")
        await at.sees("router/", "● adapter")
        await at.press("enter")
        await at.sees("✓ the base matches")
        question = await scene.asked(Topic.ADAPTER)
        assert question.source == AdapterSource(SourceKind.DIRECTORY, str(root / "out" / "router"))
