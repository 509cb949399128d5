"""From what came over the wire to what a person can do about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from peft_tui.drivers.failures import no_answer, refused, retry_after, words
from peft_tui.text import clean_line
from tests.doubles import NOON

ORIGIN = "https://api.example:443"


def http_date(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


IN_A_MINUTE = http_date(NOON + timedelta(seconds=60))


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("headers", "body", "seconds"),
        [
            ({}, None, None),
            ({"retry-after": "7"}, None, 7.0),
            ({"retry-after": " 7 "}, None, 7.0),
            ({"retry-after": "1.5"}, None, 1.5),
            ({"retry-after": "0"}, None, 0.0),
            ({"retry-after-ms": "250"}, None, 0.25),
            ({"retry-after-ms": "250", "retry-after": "7"}, None, 0.25),
            ({"retry-after-ms": "soon", "retry-after": "7"}, None, 7.0),
            ({"retry-after": IN_A_MINUTE}, None, 60.0),
            ({"retry-after": IN_A_MINUTE, "date": http_date(NOON + timedelta(seconds=50))}, None, 10.0),
            ({"retry-after": IN_A_MINUTE, "date": "no date"}, None, 60.0),
            ({"retry-after": "Sat, 14 Mar 2026 13:01:00 +0100"}, None, 60.0),
            ({}, {"retry_after": 3}, 3.0),
            ({}, {"retry_after": "3"}, 3.0),
            ({"ratelimit-reset": "9"}, None, 9.0),
            ({"retry-after": "7", "ratelimit-reset": "9"}, {"retry_after": 3}, 7.0),
        ],
    )
    def test_it_is_read_in_all_its_spellings(
        self, headers: dict[str, str], body: Any, seconds: float | None
    ) -> None:
        assert retry_after(headers, body, NOON) == seconds

    @pytest.mark.parametrize(
        "value",
        [
            *("NaN", "nan", "inf", "-inf", "Infinity", "-1", "-0.5", "1e300", "1e400", "86401", "9" * 400),
            *("", " ", "soon", "7 seconds", "0x10", "Sat, 14 Mar 2026", "Sat, 99 Foo 2026 99:99:99 GMT"),
            http_date(NOON - timedelta(seconds=60)),
            http_date(NOON + timedelta(days=2)),
            "Sat, 14 Mar 2026 12:01:00 -0000",
            "Sat, 14 Mar 99999999999999999999 12:01:00 GMT",
            "Sat, 14 Mar 2026 12:01:00 +9999999999999999999",
        ],
    )
    def test_nonsense_is_ignored(self, value: str) -> None:
        assert retry_after({"retry-after": value}, None, NOON) is None
        assert retry_after({"retry-after": value}, {"retry_after": 3}, NOON) == 3.0
        assert retry_after({"retry-after": "7", "date": value}, None, NOON) == 7.0

    @pytest.mark.parametrize("value", [None, True, [], {}, float("nan"), -1, 10**400, "soon"], ids=repr)
    def test_nonsense_in_a_body_is_ignored(self, value: Any) -> None:
        assert retry_after({}, {"retry_after": value}, NOON) is None

    @given(
        st.text(max_size=30)
        | st.from_regex(
            r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,25} [0-9:]{1,12} [+-]?[0-9A-Z]{1,25}",
            fullmatch=True,
        )
    )
    def test_no_text_gets_anything_else_out_than_a_sensible_wait(self, value: str) -> None:
        wait = retry_after({"retry-after": value, "date": value}, None, NOON)
        assert wait is None or 0 <= wait <= 86_400


class TestRefused:
    @pytest.mark.parametrize(
        ("status", "cls", "message"),
        [
            (400, ConfigurationInvalid, "refused: why"),
            (401, AuthenticationFailed, "does not accept the key"),
            (402, ResourceUnavailable, "credit is used up"),
            (403, AuthenticationFailed, "may not do that: why"),
            (404, NotFound, "no such thing: why"),
            (405, PlatformFailed, "refused: why"),
            (409, Conflict, "taken, or it changed meanwhile: why"),
            (412, Conflict, "taken, or it changed meanwhile: why"),
            (413, ResourceUnavailable, "too large: why"),
            (418, PlatformFailed, "refused: why"),
            (422, ConfigurationInvalid, "refused: why"),
        ],
    )
    @pytest.mark.parametrize("safe", [True, False])
    def test_a_refusal_is_final_and_did_nothing(
        self, status: int, cls: type[PeftTuiError], message: str, safe: bool
    ) -> None:
        error = refused(status, {}, {"error": {"message": "why", "code": "c"}}, "Acme", NOON, safe)
        assert type(error) is cls and message in error.message and "Acme" in error.message
        assert (error.effect, error.transient, error.status) == (Effect.NONE, False, status)
        assert error.detail == "c: why"

    @pytest.mark.parametrize("status", [400, 401, 402, 403, 409, 413, 422, 429, 500])
    def test_a_refusal_says_what_to_do_next(self, status: int) -> None:
        assert refused(status, {}, None, "Acme", NOON, True).hint

    @pytest.mark.parametrize(
        ("status", "cls"),
        [
            (408, TimedOut),
            (500, PlatformFailed),
            (502, PlatformFailed),
            (503, PlatformFailed),
            (504, TimedOut),
        ],
    )
    @pytest.mark.parametrize(("safe", "effect"), [(True, Effect.NONE), (False, Effect.UNKNOWN)])
    def test_a_broken_server_may_have_done_what_it_was_asked(
        self, status: int, cls: type[PeftTuiError], safe: bool, effect: Effect
    ) -> None:
        error = refused(status, {}, None, "Acme", NOON, safe)
        assert (type(error), error.effect, error.transient) == (cls, effect, True)
        assert error.detail == f"HTTP {status}"

    @pytest.mark.parametrize("status", [507, 520, 521, 522, 523, 524, 525, 527, 529, 530, 598, 599])
    def test_any_word_of_a_server_or_gateway_about_itself_means_the_same(self, status: int) -> None:
        # 524 is a gateway's "asked, and no answer in time": what was asked for may exist and bill.
        error = refused(status, {}, None, "Acme", NOON, safe=False)
        assert (error.effect, error.transient) == (Effect.UNKNOWN, True)

    @pytest.mark.parametrize("safe", [True, False])
    def test_a_limit_of_the_rate_did_nothing_and_passes(self, safe: bool) -> None:
        error = refused(429, {"retry-after": "7"}, {"detail": "slow down"}, "Acme", NOON, safe)
        assert (type(error), error.effect, error.transient) == (ResourceUnavailable, Effect.NONE, True)
        assert error.retry_after == 7 and "again in 7 s" in error.message and error.detail == "slow down"

    def test_the_reset_of_a_rate_limit_says_nothing_about_a_broken_server(self) -> None:
        # The header stands in every answer of who sends it.
        assert refused(503, {"ratelimit-reset": "60"}, None, "Acme", NOON, True).retry_after is None
        assert refused(429, {"ratelimit-reset": "60"}, None, "Acme", NOON, True).retry_after == 60

    def test_what_the_platform_says_comes_out_clean_and_short(self) -> None:
        body = {
            "error": {"message": "a\x1b]0;owned\x07\n\u202eb" + "c" * 5000, "code": "\x1b[2J" + "d" * 500}
        }
        error = refused(422, {}, body, "Acme", NOON, True)
        for text in (error.message, error.detail):
            assert clean_line(text, 10_000) == text and len(text) < 500


class TestWords:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({"error": {"message": "m", "code": "c"}}, ("m", "c")),
            ({"error": {"message": "m", "code": 3}}, ("m", "3")),
            ({"error": "m"}, ("m", "")),
            ({"message": "m", "code": 5}, ("m", "5")),
            ({"title": "t", "detail": "d"}, ("d", "")),
            ({"title": "t"}, ("t", "")),
            ({"detail": [{"loc": ["a"], "msg": "b"}]}, ("[{'loc': ['a'], 'msg': 'b'}]", "")),
            ({"error": None, "detail": "d"}, ("d", "")),
            ({}, ("", "")),
            (None, ("", "")),
            ([], ("", "")),
            ("text", ("", "")),
        ],
        ids=repr,
    )
    def test_they_are_found_in_each_shape_of_body(self, body: Any, said: tuple[str, str]) -> None:
        assert words(body) == said

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda x: (
                st.lists(x)
                | st.dictionaries(st.sampled_from(["error", "message", "code", "detail", "title"]), x)
            ),
            max_leaves=5,
        )
    )
    def test_no_body_breaks_them(self, body: Any) -> None:
        said, code = words(body)
        assert clean_line(said) == said and clean_line(code) == code


REQUEST = httpx.Request("POST", "https://api.example/v1")


class TestNoAnswer:
    @pytest.mark.parametrize(
        ("error", "cls", "message"),
        [
            (
                httpx.ConnectError("[Errno -2] Name or service not known"),
                ConnectionFailed,
                "does not resolve",
            ),
            (
                httpx.ConnectError("[Errno 8] nodename nor servname provided"),
                ConnectionFailed,
                "does not resolve",
            ),
            (
                httpx.ConnectError("[Errno -3] Temporary failure in name resolution"),
                ConnectionFailed,
                "does not resolve",
            ),
            (
                httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"),
                ConnectionFailed,
                "certificate",
            ),
            (
                httpx.ConnectError("All connection attempts failed"),
                ConnectionFailed,
                "refuses the connection",
            ),
            (httpx.ConnectTimeout("t"), TimedOut, "did not answer in time"),
            (httpx.PoolTimeout("t"), TimedOut, "did not answer in time"),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("safe", [True, False])
    def test_what_never_left_did_nothing(
        self, error: Exception, cls: type[PeftTuiError], message: str, safe: bool
    ) -> None:
        told = no_answer(error, "Acme", ORIGIN, safe)
        assert type(told) is cls and message in told.message and told.hint
        assert (told.effect, told.transient) == (Effect.NONE, True)

    @pytest.mark.parametrize(
        ("error", "cls"),
        [
            (httpx.ReadTimeout("t"), TimedOut),
            (httpx.WriteTimeout("t"), TimedOut),
            (TimeoutError(), TimedOut),
            (httpx.ReadError("reset"), ConnectionFailed),
            (httpx.WriteError("pipe"), ConnectionFailed),
            (httpx.CloseError("x"), ConnectionFailed),
            (httpx.RemoteProtocolError("Server disconnected without sending a response."), ConnectionFailed),
            (httpx.ProxyError("x"), ConnectionFailed),
            (httpx.DecodingError("gzip"), ConnectionFailed),
            (OSError(104, "reset"), ConnectionFailed),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize(("safe", "effect"), [(True, Effect.NONE), (False, Effect.UNKNOWN)])
    def test_what_was_sent_may_have_been_done(
        self, error: Exception, cls: type[PeftTuiError], safe: bool, effect: Effect
    ) -> None:
        told = no_answer(error, "Acme", ORIGIN, safe)
        assert (type(told), told.effect, told.transient) == (cls, effect, True)

    @pytest.mark.parametrize(
        ("error", "safe", "hint"),
        [
            (httpx.ReadTimeout("t"), False, "looked up before"),
            (httpx.ReadTimeout("t"), True, "It is asked again."),
            (httpx.ConnectTimeout("t"), False, "It is asked again."),
        ],
        ids=repr,
    )
    def test_the_hint_says_what_happens_next(self, error: Exception, safe: bool, hint: str) -> None:
        assert hint in no_answer(error, "Acme", ORIGIN, safe).hint

    def test_an_address_that_is_none_is_not_tried_again(self) -> None:
        told = no_answer(httpx.UnsupportedProtocol("x"), "Acme", "ftp://a:0", False)
        assert (type(told), told.transient) == (ConfigurationInvalid, False)

    def test_the_detail_is_clean(self) -> None:
        told = no_answer(httpx.ReadError("a\x1b[31m\nb"), "Acme", ORIGIN, True)
        assert told.detail == "a b"


def test_the_server_s_clock_is_used_even_when_ours_is_years_off() -> None:
    headers = {"retry-after": IN_A_MINUTE, "date": http_date(NOON)}
    assert retry_after(headers, None, datetime(2001, 1, 1, tzinfo=UTC)) == 60
