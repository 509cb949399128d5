"""What a person means by ADAPTER."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_tui.domain.adapter import SourceKind
from peft_tui.drivers import capabilities
from peft_tui.services.sources import readings, repository

DIRECTORY, HUB, PLATFORM = SourceKind.DIRECTORY, SourceKind.HUGGING_FACE, SourceKind.PLATFORM


@pytest.mark.parametrize(
    ("platform", "text", "kinds"),
    [
        ("together", "ml_abc-1", [PLATFORM]),
        ("together", "acme/support-r16", [HUB]),
        ("together", "./out", [DIRECTORY]),
        ("together", "runs/today/out", [DIRECTORY]),
        ("together", "https://huggingface.co/acme/support-r16", [HUB]),
        ("replicate", "acme/llm-support:5c7d5dc6", [PLATFORM]),
        ("replicate", "acme/llm-support", [PLATFORM, HUB]),
        ("replicate", "globex/llm", [HUB, PLATFORM]),
        ("replicate", "~/out", [DIRECTORY]),
    ],
)
def test_an_adapter_is_read_as_what_it_is_likeliest_to_be(
    platform: str, text: str, kinds: list[SourceKind]
) -> None:
    assert [source.kind for source in readings(text, capabilities(platform), "acme")] == kinds


def test_a_directory_that_is_there_comes_before_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme" / "llm-support").mkdir(parents=True)
    (tmp_path / "ml_abc").mkdir()
    monkeypatch.chdir(tmp_path)
    for platform, text in (("replicate", "acme/llm-support"), ("together", "ml_abc")):
        (source,) = readings(text, capabilities(platform), "acme")
        assert (source.kind, source.reference) == (DIRECTORY, str(tmp_path / text))


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("acme/r16", "acme/r16"),
        ("hf.co/acme/r16/", "acme/r16"),
        ("https://huggingface.co/acme/r16/tree/v2", "acme/r16@v2"),
        ("acme", ""),
        ("a/b/c", ""),
    ],
)
def test_a_pasted_address_is_a_repository_too(typed: str, means: str) -> None:
    assert repository(typed) == means
