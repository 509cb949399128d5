"""What an engine tells of itself: health, facts, and Prometheus figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from peft_tui.sandbox.predibase import life, serving
from peft_tui.sandbox.predibase.access import Call
from peft_tui.sandbox.predibase.catalog import base_of
from peft_tui.sandbox.predibase.errors import engine

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_TOKENS = (1.0, 8.0, 32.0, 128.0, 512.0)


async def health(call: Call) -> web.StreamResponse:
    """`GET /health`, `/startup`, `/ping` and the deployment itself."""
    deployment = serving.serving_deployment(call)
    if not deployment.replicas or deployment.status not in life.SERVING:
        raise engine(503, "healthcheck", "unhealthy")
    return web.Response()


async def info(call: Call) -> Any:
    """`GET /info`."""
    deployment = serving.serving_deployment(call)
    await serving.hold(call, deployment)
    base = base_of(deployment.base)
    assert base is not None
    return {
        "model_id": base.hub_id,
        "model_sha": None,
        "model_dtype": "torch.bfloat16",
        "model_device_type": "cuda",
        "model_pipeline_tag": None,
        "max_concurrent_requests": 128,
        "max_best_of": 2,
        "max_stop_sequences": 4,
        "max_input_length": base.context,
        "max_total_tokens": int(deployment.config.get("maxTotalTokens") or base.context + 1),
        "waiting_served_ratio": 1.2,
        "max_batch_total_tokens": 8 * base.context,
        "max_waiting_tokens": 20,
        "validation_workers": 2,
        "version": "0.12.1",
        "sha": None,
        "docker_label": None,
        "request_logger_url": None,
        "embedding_model": False,
        "eager_prefill": False,
    }


async def metrics(call: Call) -> web.StreamResponse:
    """`GET /metrics`: like any request it wakes a deployment that sleeps."""
    deployment = serving.serving_deployment(call)
    await serving.hold(call, deployment)
    lines = [
        *_counter("lorax_request_count", deployment.requests + sum(deployment.failures.values())),
        *_counter("lorax_request_success", deployment.requests),
        "# TYPE lorax_request_failure counter",
        *(f'lorax_request_failure{{err="{kind}"}} {count}' for kind, count in deployment.failures.items()),
        *_histogram("lorax_request_duration", deployment.seconds, _SECONDS),
        *_histogram("lorax_request_inference_duration", deployment.seconds, _SECONDS),
        *_histogram("lorax_request_queue_duration", [0.0] * len(deployment.seconds), _SECONDS),
        *_histogram("lorax_request_generated_tokens", map(float, deployment.generated), _TOKENS),
        "# TYPE lorax_queue_size gauge",
        "lorax_queue_size 0",
    ]
    return web.Response(text="\n".join(lines) + "\n", content_type="text/plain")


def _counter(name: str, value: int) -> list[str]:
    return [f"# TYPE {name} counter", f"{name} {value}"]


def _histogram(name: str, values: Iterable[float], bounds: tuple[float, ...]) -> list[str]:
    seen = list(values)
    rows = [f'{name}_bucket{{le="{bound:g}"}} {sum(v <= bound for v in seen)}' for bound in bounds]
    rows += [
        f'{name}_bucket{{le="+Inf"}} {len(seen)}',
        f"{name}_sum {sum(seen):.6f}",
        f"{name}_count {len(seen)}",
    ]
    return [f"# TYPE {name} histogram", *rows]
