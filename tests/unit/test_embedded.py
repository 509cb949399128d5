"""The servers that `--sandbox` brings along."""

from __future__ import annotations

import socket
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


async def test_it_listens_where_it_did_unless_somebody_else_does_by_now(tmp_path: Path) -> None:
    async def address() -> str:
        sandbox = EmbeddedSandbox(tmp_path)
        try:
            await sandbox.start()
            return sandbox.url
        finally:
            await sandbox.stop()

    first = await address()
    assert await address() == first
    with socket.create_server(("127.0.0.1", int(first.rpartition(":")[2]))):
        assert await address() != first
    (tmp_path / "sandbox-port").write_text("no port")
    assert await address()
