"""What the SDK raises, in our words: what happened, what it means for the bill, what to do next."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from peft_tui.credentials import Secret
from peft_tui.domain.errors import (
    AuthenticationFailed,
    ConfigurationInvalid,
    Conflict,
    ConnectionFailed,
    Effect,
    NotFound,
    PeftTuiError,
    PlatformFailed,
    ResourceUnavailable,
    TimedOut,
)
from peft_tui.drivers.modal import connection, sdk
from peft_tui.drivers.modal.connection import Connection
from peft_tui.drivers.modal.failures import Unimplemented, translate
from peft_tui.drivers.modal.progress import Meter
from peft_tui.drivers.network import Network
from tests.doubles import VirtualClock

LOADED = sdk.load()
ROOT = Path(__file__).parents[2]
ERRORS = LOADED.errors


class StreamTerminatedError(Exception):
    __module__ = "grpclib.exceptions"


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (ERRORS.AuthError("token not found"), AuthenticationFailed, "does not accept the token"),
        (ERRORS.PermissionDeniedError("no"), AuthenticationFailed, "may not do that"),
        (ERRORS.NotFoundError("no app"), NotFound, "no app"),
        (ERRORS.AlreadyExistsError("taken"), Conflict, "taken"),
        (ERRORS.ConflictError("changed"), Conflict, "changed"),
        (ERRORS.InvalidError("Unknown GPU H1000"), ConfigurationInvalid, "Unknown GPU H1000"),
        (ERRORS.UnimplementedError("?"), Unimplemented, "does not offer"),
        (ERRORS.ServiceError("upstream"), PlatformFailed, "having trouble: upstream"),
        (ERRORS.InternalError("oops"), PlatformFailed, "having trouble: oops"),
        (ERRORS.VersionError("too old"), ConfigurationInvalid, "version"),
        (ERRORS.ConnectionError("reset"), ConnectionFailed, "connection broke"),
        (StreamTerminatedError("gone"), ConnectionFailed, "connection broke"),
        (ConnectionResetError("reset"), ConnectionFailed, "connection broke"),
        (TimeoutError(), TimedOut, "in time"),
        (ERRORS.VolumeUploadTimeoutError("slow"), TimedOut, "in time"),
        (KeyError("handle_metadata"), PlatformFailed, "SDK failed"),
        (
            ERRORS.ResourceExhaustedError("Workspace ac-1 has exceeded its spend limit"),
            ResourceUnavailable,
            "spend limit",
        ),
        (ERRORS.ResourceExhaustedError("rate limit hit"), ResourceUnavailable, "limits the rate"),
        (ERRORS.ResourceExhaustedError("GPU quota"), ResourceUnavailable, "has no room"),
        (ERRORS.ConflictError("workspace ac-1 is disabled"), ResourceUnavailable, "disabled"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_error_has_a_kind_and_a_sentence(raised: Exception, kind: type, words: str) -> None:
    told = translate(raised, ERRORS, safe=True)
    assert type(told) is kind and words in told.message
    assert told.effect is Effect.NONE


@pytest.mark.parametrize(
    ("raised", "effect", "transient"),
    [
        (ERRORS.ServiceError("x"), Effect.UNKNOWN, True),
        (ERRORS.InternalError("x"), Effect.UNKNOWN, True),
        (ERRORS.ConnectionError("x"), Effect.UNKNOWN, True),
        (TimeoutError(), Effect.UNKNOWN, True),
        (RuntimeError("x"), Effect.UNKNOWN, False),
        (ERRORS.AuthError("x"), Effect.NONE, False),
        (ERRORS.InvalidError("x"), Effect.NONE, False),
        (ERRORS.ResourceExhaustedError("spend limit"), Effect.NONE, False),
        (ERRORS.ResourceExhaustedError("rate limit"), Effect.NONE, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_was_sent_and_not_answered_may_have_been_done(
    raised: Exception, effect: Effect, transient: bool
) -> None:
    told = translate(raised, ERRORS, safe=False)
    assert (told.effect, told.transient) == (effect, transient)


def test_its_text_comes_in_clean() -> None:
    assert "\x1b" not in translate(ERRORS.InvalidError("a\x1b]52;c;eA==\x07b"), ERRORS, True).message


class TestVersion:
    @pytest.mark.parametrize("version", ["1.6.0", "1.6.4", "1.6.99.dev1"])
    def test_a_known_one_is_taken(self, version: str) -> None:
        sdk.check_version(version)

    @pytest.mark.parametrize("version", ["1.5.4", "1.7.0", "2.0", "0.73.1", "next"])
    def test_another_one_is_refused_in_plain_words(self, version: str) -> None:
        with pytest.raises(ConfigurationInvalid, match=f"knows modal 1.6; {version} is installed") as caught:
            sdk.check_version(version)
        assert "pip install" in caught.value.hint

    def test_a_person_s_own_settings_of_the_sdk_are_not_read(self, isolated: Any) -> None:
        """In a process of its own: here the SDK may have been loaded for another test."""
        (isolated / ".modal.toml").write_text('[default]\ntoken_id = "ak-theirs"\nactive = true\n')
        program = (
            "import os; from peft_tui.drivers.modal import sdk; sdk.load(); import modal.config as config;"
            "print(config.user_config_path, config._user_config, 'MODAL_CONFIG_PATH' in os.environ)"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.split() == [os.devnull, "{}", "False"], done.stderr

    def test_it_writes_nothing_on_the_terminal(self) -> None:
        import logging

        assert logging.getLogger("modal-client").handlers == []


async def test_a_server_that_is_not_there_is_said_soon_and_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "OPEN_SECONDS", 0.2)
    network = Network(VirtualClock(leaps=True))
    there = Connection(network, "http://127.0.0.1:9", Secret("ak-1"), Secret("as-1"))
    with pytest.raises(ConnectionFailed, match="127.0.0.1:9 cannot be reached") as caught:
        await there.rpc("AppStop", "AppStopRequest", safe=False, app_id="ap-1")
    assert caught.value.effect is Effect.NONE and caught.value.transient
    await network.close()


@pytest.mark.parametrize("address", ["ftp://x", "nonsense"])
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(PeftTuiError):
        Connection(Network(VirtualClock()), address, Secret("ak-1"), Secret("as-1"))


class TestProgress:
    async def played(self, *calls: tuple[Any, dict[str, Any]], total: int = 100) -> list[tuple[int, int]]:
        told: list[tuple[int, int]] = []
        meter = Meter(total, lambda done, total: told.append((done, total)))
        for task, words in calls:
            meter(task, **words)
        await asyncio.sleep(0)
        return told

    async def test_bytes_add_up_over_the_files(self) -> None:
        told = await self.played(
            (None, {"name": "a", "size": 30}),
            (None, {"name": "b", "size": 70}),
            (0, {"advance": 30}),
            (1, {"advance": 50}),
            (1, {"complete": True}),
        )
        assert told == [(30, 100), (80, 100), (100, 100)]

    async def test_a_part_that_is_begun_again_is_taken_back(self) -> None:
        told = await self.played(
            (None, {"name": "a", "size": 100}),
            (0, {"advance": 60}),
            (0, {"advance": -60}),
            (0, {"reset": True}),
        )
        assert [done for done, _ in told] == [60, 0, 0]

    async def test_what_the_platform_has_already_counts_as_sent(self) -> None:
        assert await self.played((None, {"name": "a", "size": 100}), (0, {"complete": True})) == [(100, 100)]

    async def test_it_never_says_more_than_all(self) -> None:
        told = await self.played(
            (None, {"name": "a", "size": 100}), (0, {"advance": 400}), (7, {"advance": 1})
        )
        assert told == [(100, 100)]
