"""A window that only looks changes nothing, and keeps no other window from its work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from peft_tui.backend import Backend
from peft_tui.cli.main import main
from peft_tui.config import Config
from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import NotPossible
from peft_tui.domain.operation import OperationState
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.sandbox import Sandbox
from tests.doubles import until_true
from tests.life import SandboxClock
from tests.seeds import populated, still_app
from tests.ui.test_deployments_screen import at_home, backend_of

SPEC = DeploymentSpec(
    "bot",
    "replicate",
    AdapterSource(SourceKind.PLATFORM, "acme/llm-support"),
    "",
    {"instance_type": "gpu-l40s", "min_instances": 1},
)


@asynccontextmanager
async def window(sandbox: Sandbox, directory: Path, *, read_only: bool) -> AsyncIterator[Backend]:
    environ = {name: value for name, value in sandbox.env.items() if name.startswith("REPLICATE")}
    opened = await Backend.open(directory, environ, SandboxClock(sandbox), config=Config(read_only=read_only))
    try:
        await opened.start()
        yield opened
    finally:
        await opened.close()


async def test_it_refuses_every_verb_and_leaves_what_is_asked_for_elsewhere_to_that(tmp_path: Path) -> None:
    sandbox = Sandbox(seed=1, speed=0.0)
    await sandbox.start()
    try:
        async with window(sandbox, tmp_path, read_only=True) as looking:

            async def listed() -> bool:
                return "replicate" in await looking.store.platforms.all()

            await until_true(listed)
            with pytest.raises(NotPossible, match="read-only"):
                await looking.deployments.deploy(SPEC)
            with pytest.raises(NotPossible, match="read-only"):
                await looking.life.stop("anything")
            # The other window begins second, and works all the same.
            async with window(sandbox, tmp_path, read_only=False) as other:
                made = await other.deployments.deploy(SPEC)

                async def begun() -> bool:
                    found: Deployment | None = await other.store.deployments.get(made.id)
                    operation = found.operation if found is not None else None
                    return operation is None or operation.state is not OperationState.QUEUED

                await until_true(begun)
    finally:
        await sandbox.stop()


async def test_its_screen_says_so_and_why(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        backend_of(at).config = Config(read_only=True)
        at.app.screen.tick()  # type: ignore[attr-defined]
        await at.sees("read only 7 deployments")
        for key in ("n", "x", "D", "u"):
            await at.press(key)
            await at.sees("This is read-only")
        assert len(at.app.screen_stack) == 2


def test_a_command_that_would_change_something_is_refused_before_anything_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PEFT_TUI_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PEFT_TUI_CONFIG_DIR", str(tmp_path))
    assert main(["--read-only", "stop", "bot", "--yes"]) == 1
    assert "read-only" in capsys.readouterr().err
    monkeypatch.setenv("PEFT_TUI_READ_ONLY", "yes")
    assert main(["delete", "bot", "--yes"]) == 1
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").glob("*.db"))
