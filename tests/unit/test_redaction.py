"""A secret that was loaded shows up nowhere, in no spelling; what merely looks like one neither."""

from __future__ import annotations

import base64
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_tui.credentials import Secret
from peft_tui.domain.errors import PlatformFailed
from peft_tui.domain.operation import OperationState
from peft_tui.domain.status import Status
from peft_tui.logs import log_to
from peft_tui.redaction import MARK, Redactor, masked, redact
from peft_tui.store import Store
from tests.doubles import deployment, intend, see, seen

AT = datetime(2026, 1, 1, tzinfo=UTC)

ODD = 'pa"ss\\wörd /?&=+%'


def knowing(*values: str) -> Redactor:
    redactor = Redactor()
    for value in values:
        redactor.learn(value)
    return redactor


SPELLINGS = [
    ODD,
    json.dumps({"key": ODD}),
    json.dumps({"key": ODD}, ensure_ascii=False),
    quote(ODD, safe=""),
    quote_plus(ODD),
    urlencode({"key": ODD}),
    base64.b64encode(ODD.encode()).decode(),
    base64.urlsafe_b64encode(ODD.encode()).decode(),
    f"Authorization: {base64.b64encode(f'user:{ODD}'.encode()).decode()}",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_value_is_found_in_every_spelling(text: str) -> None:
    assert MARK in knowing(ODD).redact(text)
    for piece in ("wörd", "w\\u00f6rd", "w%C3%B6rd", base64.b64encode(ODD.encode()).decode()[4:-6]):
        assert piece not in knowing(ODD).redact(text)


@given(
    value=st.text(alphabet=st.characters(codec="utf-8"), min_size=12, max_size=60),
    before=st.binary(max_size=5),
    after=st.binary(max_size=5),
)
def test_base64_of_something_around_it_hides_it_too(value: str, before: bytes, after: bytes) -> None:
    if len(value.strip()) < 12:
        return
    text = base64.b64encode(before + value.strip().encode() + after).decode()
    assert MARK in knowing(value).redact(text)


@pytest.mark.parametrize(
    "secret",
    [
        "hf_AbCdEfGhIjKlMnOpQrStUvWx",
        "r8_0123456789abcdefABCDEF0123456789abcde",
        "pb_abcdefghijklmnopqrst",
        "tgp_v1_abcdefghijklmnopqrstuvwxyz0123456789",
        "ak-AbCdEfGhIjKlMnOpQrStUv",
        "as-AbCdEfGhIjKlMnOpQrStUv",
        "wk-AbCdEfGhIjKlMnOpQrStUv",
        "ws-AbCdEfGhIjKlMnOpQrStUv",
    ],
)
def test_what_looks_like_a_vendor_s_key_goes_although_nobody_told_it(secret: str) -> None:
    for text in (secret, f"key={secret}&x=1", f'{{"key": "{secret}"}}', f"Bearer {secret}", f"x:{secret}."):
        assert secret not in redact(text) and MARK in redact(text)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.def-ghi_123", "abc.def-ghi_123"),
        ("'authorization': 'Basic dXNlcjpwYXNz'", "dXNlcjpwYXNz"),
        ("authorization: basic dXNlcjpzZWNyZXQ=", "dXNlcjpzZWNyZXQ="),
        ("https://s3/x?X-Amz-Signature=0f1e2d3c4b5a&X-Amz-Date=2026", "0f1e2d3c4b5a"),
        ("https://s3/x?X-Amz-Security-Token=IQoJb3JpZ2lu", "IQoJb3JpZ2lu"),
        ("https://storage/x?Expires=1&Signature=abcdefghij%3D", "abcdefghij%3D"),
        ("https://blob/x?sv=2024&sig=abcdefghij", "abcdefghij"),
    ],
)
def test_what_signs_a_request_goes(text: str, secret: str) -> None:
    shown = redact(text)
    assert secret not in shown and shown.split(MARK)[0] == text.split(secret)[0]
    if "Date" in text:
        assert shown.endswith("&X-Amz-Date=2026")


@pytest.mark.parametrize(
    "text",
    [
        "support-bot is active on 1x_nvidia_h100_80gb_sxm",
        "meta-llama/Llama-3.1-8B-Instruct",
        "peft-task-classification-1f3a9c2b was deployed",
        "news-summariser-of-the-whole-week",
        "the bearer of this letter",
        "The bearer instrument, and a basic understanding of basic JavaScript. Basic building-blocks.",
        "hf_token is not set",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert redact(text) == text


def test_a_short_value_is_not_learnt_for_it_would_hide_words() -> None:
    assert knowing("true").redact("this is true") == "this is true"


def test_the_longer_of_two_that_begin_alike_goes_whole() -> None:
    assert knowing("abcdefgh", "abcdefgh-and-more").redact("abcdefgh-and-more") == MARK


def test_a_picture_keeps_its_shape_and_hides_what_a_line_broke() -> None:
    redactor = knowing("a-secret-that-is-rather-long")
    lines = redactor.masked(["key: a-secret-that-is-", "rather-long   next column", "nothing here"])
    assert [len(line) for line in lines] == [22, 25, 12]
    assert lines[0].startswith("key: •••") and lines[1].endswith("•   next column")
    assert lines[2] == "nothing here" and "secret" not in "".join(lines)


def test_to_make_a_secret_is_to_teach_it() -> None:
    Secret("taught-by-being-made")
    assert redact("it is taught-by-being-made.") == f"it is {MARK}."
    assert "taught" not in masked(["taught-by-being-made"])[0]


def test_the_log_has_none_not_even_in_a_traceback_or_after_it_was_rotated(tmp_path: Path) -> None:
    secret = Secret("never-in-a-log-file-42")
    path = log_to(tmp_path)
    handler = logging.getLogger("peft_tui").handlers[0]
    assert isinstance(handler, logging.handlers.RotatingFileHandler)
    handler.maxBytes = 500
    log = logging.getLogger("peft_tui.somewhere")
    for _ in range(6):
        try:
            raise ValueError(f"cannot send {secret.reveal()}")
        except ValueError:
            log.exception("with %s", secret.reveal())
    files = list(path.parent.glob("peft-tui.log*"))
    assert len(files) == 3
    for file in files:
        assert secret.reveal() not in file.read_text() and MARK in file.read_text()


async def test_the_store_has_none_where_a_platform_quotes_the_request(store: Store) -> None:
    secret = Secret("never-in-the-store-4711")
    error = PlatformFailed(f"It does not know {secret.reveal()}.", detail=f'{{"key": "{secret.reveal()}"}}')
    operation = await intend(store, deployment("bot"))
    await store.operations.step_failed(operation, operation.steps[0], error.message)
    await store.operations.set_state(operation, OperationState.FAILED, AT, error.as_dict())
    await store.platforms.failed("together", error.as_dict(), AT)
    await store.catalog.put("together", "account", "", AT, None, error.as_dict())
    found = deployment("bot")
    await see(store, found.id, seen(Status.FAILED, reason=error.message))
    read = await store.deployments.get(found.id)
    assert read is not None and read.observation is not None and MARK in read.observation.reason
    await store.close()
    for file in store.database.path.parent.iterdir():
        assert secret.reveal().encode() not in file.read_bytes()
