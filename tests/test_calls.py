"""What was asked on the person's behalf can be looked at, and holds no secret."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from peft_tui.calls import MOST, Call, Calls
from peft_tui.credentials import Secret
from peft_tui.domain.errors import PeftTuiError
from peft_tui.drivers.network import Network
from peft_tui.drivers.transport import Transport
from peft_tui.ui.screens.requests import RequestsScreen, changes
from tests.doubles import VirtualClock
from tests.seeds import populated, still_app
from tests.ui.test_deployments_screen import at_home, backend_of

KEY = "sk-a-key-that-nobody-may-see"


def network(answer: httpx.MockTransport) -> Network:
    made = Network(VirtualClock(leaps=True))
    made._client = httpx.AsyncClient(transport=answer)
    return made


async def test_every_attempt_is_noted_with_its_end_and_without_query_or_key() -> None:
    answers = iter([503, 200])
    line = network(httpx.MockTransport(lambda request: httpx.Response(next(answers), json={})))
    await Transport(line, "https://api.acme.ai", Secret(KEY), "Acme").get(f"/v1/things/{KEY}", {"q": "x"})
    noted = [(call.platform, call.method, call.host, call.status, call.failed) for call in line.calls]
    assert noted == [
        ("Acme", "GET", "api.acme.ai", "503", True),
        ("Acme", "GET", "api.acme.ai", "200", False),
    ]
    assert all(call.path.startswith("/v1/things/") and call.seconds is not None for call in line.calls)
    assert KEY not in repr([*line.calls]) and "q=x" not in repr([*line.calls])
    await line.close()


async def test_a_presigned_address_is_not_noted_and_what_was_not_answered_is(tmp_path: Path) -> None:
    def cut(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    line = network(httpx.MockTransport(cut))
    (tmp_path / "part").write_bytes(b"x")
    with pytest.raises(PeftTuiError):
        await Transport(line, "https://api.acme.ai", None, "Acme").upload(
            "https://s3.acme.ai/secret-path?sig=1", tmp_path / "part", 0, 1, {}, lambda sent: None
        )
    first = next(iter(line.calls))
    assert (first.status, first.failed, first.host) == ("ConnectError", True, "s3.acme.ai")
    assert "secret-path" not in repr([*line.calls])
    await line.close()


def test_only_the_last_ones_are_kept() -> None:
    calls = Calls(VirtualClock())
    for number in range(MOST + 10):
        calls.end(calls.begin("Acme", "GET", "h", f"/{number}"), "200")
    assert len(calls) == MOST and next(iter(calls)).path == "/10"


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [("GET", "/x", False), ("POST", "/x", True), ("RPC", "AppList", False), ("RPC", "AppPublish", True)],
)
def test_what_changes_something_is_told_from_what_looks(method: str, path: str, more: bool) -> None:
    assert changes(Call(1, VirtualClock().now(), "Acme", method, "h", path, 0.0)) is more


async def test_they_are_shown_as_they_happen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        calls = Calls(backend_of(at).clock)
        monkeypatch.setattr(type(backend_of(at)), "calls", calls)
        calls.end(calls.begin("Acme", "GET", "api.acme.ai", "/v1/list"), "200")
        await at.press("at")
        await at.until(lambda: isinstance(at.app.screen, RequestsScreen))
        await at.sees("Requests 1", "200", "Acme GET /v1/list")
        stop = calls.begin("Acme", "PATCH", "api.acme.ai", "/v1/stop")
        await at.sees("… Acme PATCH /v1/stop")
        calls.end(stop, "409", failed=True)
        await at.sees("409", "PATCH /v1/stop")
        await at.press("f")
        await at.gone("/v1/list")
        await at.press("f", "c")
        await at.sees("1 changing", "/v1/stop")


def test_what_is_handed_in_is_written_into_although_it_is_still_empty() -> None:
    calls = Calls(VirtualClock())
    assert Network(VirtualClock(), calls).calls is calls
