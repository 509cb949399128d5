"""Remote names, and what a row says before the platform has said anything."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_tui.domain.deployment import looks_like_ours, remote_name
from peft_tui.domain.errors import (
    AuthenticationFailed,
    ConfigurationInvalid,
    Conflict,
    ConnectionFailed,
    NotFound,
    PeftTuiError,
    PlatformFailed,
    ResourceUnavailable,
    TimedOut,
)
from peft_tui.domain.operation import OperationState, StepState
from peft_tui.domain.status import GLYPHS, Condition, Status
from peft_tui.ui.theme import plain
from tests.doubles import deployment, operation, seen

IDENTITY = "1f3a9c2b" + "0" * 24


class TestRemoteName:
    @pytest.mark.parametrize(
        ("name", "remote"),
        [
            ("support-bot", "support-bot-1f3a9c2b"),
            ("Support Bot!", "support-bot-1f3a9c2b"),
            ("--a--", "a-1f3a9c2b"),
            ("日本", "adapter-1f3a9c2b"),
            ("", "adapter-1f3a9c2b"),
        ],
    )
    def test_it_is_a_slug_and_eight_digits(self, name: str, remote: str) -> None:
        assert remote_name(name, IDENTITY) == remote

    @given(st.text(max_size=100), st.uuids(version=4), st.integers(20, 63))
    def test_it_is_the_same_each_time_fits_and_is_known_again(
        self, name: str, identity: object, most: int
    ) -> None:
        given_ = getattr(identity, "hex", "")
        remote = remote_name(name, given_, most)
        assert remote == remote_name(name, given_, most)
        assert len(remote) <= most
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", remote)
        assert looks_like_ours(remote)

    @pytest.mark.parametrize("identity", ["12345678" * 4, "0" * 32, "99999999" + "f" * 24])
    def test_a_mark_of_digits_only_is_still_known_for_ours(self, identity: str) -> None:
        assert looks_like_ours(remote_name("bot", identity))

    def test_another_deployment_of_the_same_name_has_another_one(self) -> None:
        assert remote_name("bot", "0" * 32) != remote_name("bot", "1" * 32)

    @pytest.mark.parametrize(
        "name", ["bot", "llama-chat", "bot-1f3a9c2", "bot-1F3A9C2B", "1f3a9c2b", "bot-1f3a9c2g"]
    )
    def test_a_foreign_name_is_not_taken_for_ours(self, name: str) -> None:
        assert not looks_like_ours(name)

    @pytest.mark.parametrize("name", ["llama-20260314", "support-lora-20251231"])
    def test_a_date_at_the_end_is_not_taken_for_our_mark(self, name: str) -> None:
        # Many people date what they deploy; it would be offered as an orphan, to adopt or to stop.
        assert not looks_like_ours(name)


class TestStatus:
    def test_nothing_heard_and_nothing_begun_is_pending(self) -> None:
        assert deployment().status is Status.PENDING
        wanted = deployment()
        assert replace(wanted, operation=operation(wanted)).status is Status.PENDING

    def test_a_step_that_bills_makes_it_deploying(self) -> None:
        wanted = deployment()
        asked = operation(wanted)
        steps = tuple(replace(s, state=StepState.SENT) if s.bills else s for s in asked.steps)
        assert replace(wanted, operation=replace(asked, steps=steps)).status is Status.DEPLOYING

    def test_an_operation_that_failed_unseen_makes_it_failed(self) -> None:
        wanted = deployment()
        failed = replace(operation(wanted), state=OperationState.FAILED)
        assert replace(wanted, operation=failed).status is Status.FAILED

    def test_what_was_seen_has_the_last_word(self) -> None:
        wanted = deployment()
        failed = replace(operation(wanted), state=OperationState.FAILED)
        watched = replace(
            wanted, operation=failed, observation=seen(Status.ACTIVE, condition=Condition.SCALING)
        )
        assert (watched.status, watched.condition) == (Status.ACTIVE, Condition.SCALING)

    @pytest.mark.parametrize("status", Status)
    def test_each_status_has_a_glyph_of_its_own_on_any_terminal(self, status: Status) -> None:
        in_ascii = {s: plain(glyph) for s, glyph in GLYPHS.items()}
        for glyphs in (GLYPHS, in_ascii):
            assert len(glyphs[status]) == 1
            assert [s for s in Status if glyphs[s] == glyphs[status]] == [status]
        assert in_ascii[status].isascii()


class TestOperation:
    def test_its_outputs_are_those_of_all_its_steps(self) -> None:
        asked = operation(deployment())
        first, second, *rest = asked.steps
        steps = (replace(first, outputs={"a": 1, "b": 1}), replace(second, outputs={"b": 2}), *rest)
        assert replace(asked, steps=steps).outputs == {"a": 1, "b": 2}

    def test_its_current_step_is_the_first_that_is_not_done(self) -> None:
        asked = operation(deployment())
        first, *rest = asked.steps
        assert replace(asked, steps=(replace(first, state=StepState.DONE), *rest)).current == rest[0]
        done = tuple(replace(step, state=StepState.DONE) for step in asked.steps)
        assert replace(asked, steps=done).current is None


TREE = (
    PeftTuiError,
    ConnectionFailed,
    AuthenticationFailed,
    ConfigurationInvalid,
    ResourceUnavailable,
    TimedOut,
    Conflict,
    NotFound,
    PlatformFailed,
)


class TestErrors:
    @pytest.mark.parametrize("cls", TREE)
    def test_an_error_comes_back_from_the_store_as_it_went_in(self, cls: type[PeftTuiError]) -> None:
        back = PeftTuiError.from_dict(cls("message", hint="hint", detail="detail").as_dict())
        assert type(back) is cls
        assert (back.message, back.hint, back.detail, str(back)) == ("message", "hint", "detail", "message")

    @pytest.mark.parametrize("data", [{}, {"kind": "newer"}, {"kind": None, "message": None}])
    def test_what_no_version_wrote_is_still_an_error(self, data: dict[str, object]) -> None:
        assert type(PeftTuiError.from_dict(data)) is PeftTuiError

    def test_each_kind_has_the_exit_status_of_the_contract(self) -> None:
        assert {cls.kind: cls.exit_status for cls in TREE} == {
            "failed": 1,
            "configuration": 2,
            "authentication": 3,
            "not_found": 4,
            "timeout": 5,
            "connection": 6,
            "resource": 7,
            "conflict": 7,
            "platform": 7,
        }
