"""The servers that `--sandbox` brings along."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from peft_tui.embedded import EmbeddedSandbox


async def test_a_package_of_our_name_where_we_were_started_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impostor = tmp_path / "peft_tui"
    impostor.mkdir()
    (impostor / "__init__.py").write_text("raise SystemExit('an impostor')")
    monkeypatch.chdir(tmp_path)
    sandbox = EmbeddedSandbox(tmp_path / "data")
    try:
        environ = await sandbox.start()
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{sandbox.url}/_sandbox")
        assert answer.status_code == 200
        assert environ["TOGETHER_BASE_URL"] == f"{sandbox.url}/together"
        other = EmbeddedSandbox(tmp_path / "data")
        await other.start()
        assert other.url == sandbox.url, "the second process uses the servers of the first"
        await other.stop()
    finally:
        await sandbox.stop()
