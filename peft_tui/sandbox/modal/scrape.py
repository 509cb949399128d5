"""vLLM's `/metrics`: one container's counters since it started, in Prometheus' text form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aiohttp import web

from peft_tui.sandbox.modal.state import Container, Function, Sample
from peft_tui.sandbox.world import World

FIRST_TOKEN = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
PER_TOKEN = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
WHOLE = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
)  # fmt: skip


def per_token(sample: Sample) -> float:
    """Seconds between two tokens of an answer."""
    return (sample.seconds - sample.first_token) / (sample.tokens - 1) if sample.tokens > 1 else 0.0


def response(function: Function, container: Container, world: World, model: str) -> web.Response:
    """The page."""
    answered = [s for s in function.samples if s.container_id == container.id and s.tokens]
    labels = f'engine="0",model_name="{model}"'
    # The scrape itself is in flight too, but the engine does not see it.
    running = max(0, world.in_flight[container.id] - 1)
    lines = [
        *_gauge("num_requests_running", "Number of requests in model execution batches.", labels, running),
        *_gauge("num_requests_waiting", "Number of requests waiting to be processed.", labels, 0),
        *_gauge(
            "kv_cache_usage_perc",
            "KV-cache usage. 1 means 100 percent usage.",
            labels,
            min(1.0, running / 64),
        ),
        *_counter(
            "prompt_tokens",
            "Number of prefill tokens processed.",
            labels,
            sum(s.prompt_tokens for s in answered),
        ),
        *_counter(
            "generation_tokens",
            "Number of generation tokens processed.",
            labels,
            sum(s.tokens for s in answered),
        ),
        "# HELP vllm:request_success_total Count of successfully processed requests.",
        "# TYPE vllm:request_success_total counter",
    ]
    reasons = Counter(s.finish for s in answered)
    lines += [
        f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {float(reasons[reason])}'
        for reason in ("stop", "length", "abort")
    ]
    lines += _histogram(
        "time_to_first_token_seconds", "Histogram of time to first token in seconds.", labels,
        FIRST_TOKEN, [s.first_token for s in answered],
    )  # fmt: skip
    for name in ("time_per_output_token_seconds", "inter_token_latency_seconds"):
        lines += _histogram(
            name, "Histogram of time per output token in seconds.", labels, PER_TOKEN,
            [per_token(s) for s in answered if s.tokens > 1],
        )  # fmt: skip
    lines += _histogram(
        "e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", labels, WHOLE,
        [s.seconds for s in answered],
    )  # fmt: skip
    body = "\n".join(lines) + "\n"
    return web.Response(
        body=body.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    )


def _gauge(name: str, help: str, labels: str, value: float) -> list[str]:
    full = f"vllm:{name}"
    return [f"# HELP {full} {help}", f"# TYPE {full} gauge", f"{full}{{{labels}}} {float(value)}"]


def _counter(name: str, help: str, labels: str, value: float) -> list[str]:
    full = f"vllm:{name}_total"
    return [f"# HELP {full} {help}", f"# TYPE {full} counter", f"{full}{{{labels}}} {float(value)}"]


def _histogram(
    name: str, help: str, labels: str, bounds: Sequence[float], values: Sequence[float]
) -> list[str]:
    full = f"vllm:{name}"
    lines = [f"# HELP {full} {help}", f"# TYPE {full} histogram"]
    lines += [
        f'{full}_bucket{{{labels},le="{bound}"}} {float(sum(v <= bound for v in values))}' for bound in bounds
    ]
    lines.append(f'{full}_bucket{{{labels},le="+Inf"}} {float(len(values))}')
    lines.append(f"{full}_count{{{labels}}} {float(len(values))}")
    lines.append(f"{full}_sum{{{labels}}} {sum(values)}")
    return lines
