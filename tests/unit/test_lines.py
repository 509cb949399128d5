"""Text that is laid out: broken where one may break it, left out in whole parts."""

from __future__ import annotations

import pytest

from peft_tui.ui.widgets.lines import first_part, wrapped


def broken(text: str, width: int) -> list[str]:
    return ["".join(cell.text for cell in line) for line in wrapped(text, width)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", ["meta-llama/Llama-", "3.1-8B-Instruct"]),
        ("vllm/vllm-openai:v0.11.2", ["vllm/vllm-openai:", "v0.11.2"]),
        ("served on meta-llama/Llama-3.1-8B-Instruct", ["served on", "meta-llama/Llama-", "3.1-8B-Instruct"]),
        ("a-" + "b" * 30, ["a-" + "b" * 16, "b" * 14]),
        ("b" * 20, ["b" * 18, "bb"]),
    ],
)
def test_a_long_id_is_broken_behind_a_joint_of_it(text: str, lines: list[str]) -> None:
    assert broken(text, 18) == lines


@pytest.mark.parametrize(
    ("width", "part"),
    [
        (60, "0 sleeps when idle; the first request boots it · per container"),
        (50, "0 sleeps when idle; the first request boots it"),
        (40, "0 sleeps when idle"),
        (10, ""),
    ],
)
def test_what_has_no_room_is_left_out_in_whole_parts(width: int, part: str) -> None:
    text = "0 sleeps when idle; the first request boots it · per container"
    assert first_part(text, width + 2) == part
