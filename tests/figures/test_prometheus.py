"""The text of engines, read as far as it goes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from peft_tui.domain.reported import Metric
from peft_tui.drivers.prometheus import MAX_SAMPLES, parse, readings

AT = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)

LORAX = """\
# HELP lorax_request_count requests
# TYPE lorax_request_count counter
lorax_request_count 42
lorax_request_success{method="single"} 39
lorax_request_failure{err="overloaded"} 2
lorax_request_failure{err="validation"} 1
# TYPE lorax_request_duration histogram
lorax_request_duration_bucket{le="0.1"} 3
lorax_request_duration_bucket{le="0.25"} 25
lorax_request_duration_bucket{le="1"} 38
lorax_request_duration_bucket{le="+Inf"} 39
lorax_request_duration_sum 12.25
lorax_request_duration_count 39
lorax_request_generated_tokens_sum 1834
lorax_queue_size 0
"""

VLLM = """\
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 2.0
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:prompt_tokens_total{engine="0",model_name="m"} 10500.0
vllm:generation_tokens_total{engine="0",model_name="m"} 5.2e+04
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 90.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 8.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="m"} 1.0
vllm:request_success_total{engine="0",finished_reason="error",model_name="m"} 1.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} 60.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 100.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="1.0",model_name="m"} 40.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="2.5",model_name="m"} 96.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="+Inf",model_name="m"} 100.0
vllm:lora_requests_info{max_lora="4",running_lora_adapters="a,b",waiting_lora_adapters=""} 1.7e+09
"""


def figures(text: str) -> dict[Metric, str]:
    return {reading.metric: reading.value for reading in readings(parse(text), AT)}


def test_lorax_s_names_are_known() -> None:
    assert figures(LORAX) == {
        Metric.REQUESTS: "42",
        Metric.FAILED: "3",
        Metric.TOKENS_OUT: "1834",
        Metric.QUEUE: "0",
        Metric.LATENCY_P50_S: "0.25",
        Metric.LATENCY_P95_S: "1",
    }


def test_vllm_s_names_are_known() -> None:
    assert figures(VLLM) == {
        Metric.REQUESTS: "100",
        Metric.FAILED: "2",
        Metric.TOKENS_IN: "10500",
        Metric.TOKENS_OUT: "52000",
        Metric.QUEUE: "2",
        Metric.RUNNING: "3",
        Metric.LATENCY_P50_S: "2.5",
        Metric.LATENCY_P95_S: "2.5",
        Metric.FIRST_TEXT_P50_S: "0.1",
    }


@pytest.mark.parametrize("text", [LORAX, VLLM])
def test_it_reads_what_the_real_parser_reads(text: str) -> None:
    # It puts `_total` behind the name of every counter, also where the server writes none.
    names = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    real = {
        (
            sample.name if sample.name in names else sample.name.removesuffix("_total"),
            tuple(sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    ours = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in parse(text)}
    assert ours == real
    assert len(ours) == len([line for line in text.splitlines() if not line.startswith("#")])


def test_odd_lines_are_passed_over_and_the_others_kept() -> None:
    text = (
        "nonsense\n{} 3\nlorax_request_count seven\n<html>\n\x00\x1b[31m 1\n"
        'lorax_request_failure{err="a \\"quoted\\" \\\\ name\\n"} 1 1700000000000\n'
        "lorax_request_count 5 # {} 1\n"
        "lorax_request_duration_bucket{le=} 3\nlorax_queue_size NaN\n"
        "lorax_request_generated_tokens_sum +Inf\n"
    )
    assert figures(text) == {Metric.REQUESTS: "5", Metric.FAILED: "1"}
    assert parse(text)[0].labels == {"err": 'a "quoted" \\ name\n'}


def test_a_flood_of_samples_ends_somewhere() -> None:
    assert len(parse("x 1\n" * (MAX_SAMPLES + 10))) == MAX_SAMPLES


@given(st.text(max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    readings(parse(text), AT)


@given(st.text(alphabet='lorax_request_count{}="\\\n 0123.e+-Inf#', max_size=200))
def test_nearly_right_text_breaks_nothing_either(text: str) -> None:
    readings(parse(text), AT)


@pytest.mark.parametrize("odd", ['{le="NaN"} 3', '{le="0.5"} NaN', '{le="0.5"} +Inf', '{le="+Inf"} NaN'])
def test_a_histogram_of_what_is_no_number_tells_nothing_and_the_rest_is_kept(odd: str) -> None:
    """A NaN is under no bound and over none: the search for one ran off the end."""
    text = (
        f"lorax_request_count 7\nlorax_request_duration_bucket{odd}\n"
        'lorax_request_duration_bucket{le="9"} 5\n'
    )
    found = {reading.metric: reading.value for reading in readings(parse(text), AT)}
    assert found[Metric.REQUESTS] == "7" and Metric.LATENCY_P50_S not in found
