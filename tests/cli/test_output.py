"""What the commands write is whole, whatever stands in it."""

from __future__ import annotations

import json

import pytest

from peft_tui.cli.output import failure
from peft_tui.domain.errors import PlatformFailed


def test_an_error_that_quotes_a_signed_address_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Redacted as JSON it was none any more, and what was told was a traceback."""
    error = PlatformFailed('GET "https://files.example/a?X-Amz-Signature=deadbeefcafe" failed', hint="Wait.")
    assert failure(error, as_json=True) == PlatformFailed.exit_status
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["message"] == 'GET "https://files.example/a?X-Amz-Signature=[redacted]" failed'
    assert (told["kind"], told["hint"]) == (PlatformFailed.kind, "Wait.")
