"""RPCs about load: now and over a window; as series and request by request in `series.py`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpclib.const import Status
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal import life
from peft_tui.sandbox.modal.calls import Call, moment, refuse, rpc, stamp, window_end
from peft_tui.sandbox.modal.engine import engine_of
from peft_tui.sandbox.modal.scrape import per_token
from peft_tui.sandbox.modal.state import Container, Function, Sample

LONGEST_STATS = 7 * 86400
# In hundredths of a percent, as the protocol counts them.
PERCENTILES = (5000, 9000, 9500, 9900)


def percentile(values: Sequence[float], basis_points: int) -> float:
    """The nearest-rank percentile of sorted values."""
    return values[max(0, math.ceil(len(values) * basis_points / 10_000) - 1)]


def _distribution(values: list[float], unit: str) -> pb.StatsPercentileDistribution:
    values = sorted(values)
    return pb.StatsPercentileDistribution(
        unit=unit,
        percentiles=[
            pb.StatsPercentile(percentile_basis_points=p, value=percentile(values, p)) for p in PERCENTILES
        ],
    )


def window(call: Call, since: Timestamp, until: Timestamp, longest: float) -> tuple[float, float]:
    end = window_end(call, until)
    start = moment(since, end - 3600)
    asked = moment(until, end)
    if asked < end and start < asked:
        # "The last hour" is the world's last hour.
        start += end - asked
    if start >= end:
        raise refuse(Status.INVALID_ARGUMENT, "'since' must be before 'until'")
    if end - start > longest:
        raise refuse(Status.INVALID_ARGUMENT, f"The window is longer than {longest / 86400:g} days")
    return start, end


def samples_of(function: Function, start: float, end: float, container_id: str = "") -> list[Sample]:
    return [
        s
        for s in function.samples
        if start <= s.at < end and (not container_id or s.container_id == container_id)
    ]


def existed(function: Function, start: float, end: float) -> list[Container]:
    return [
        c
        for c in function.containers
        if c.started_at is not None and c.started_at < end and (c.ended_at is None or c.ended_at >= start)
    ]


def _failed(containers: list[Container], start: float, end: float) -> int:
    return sum(c.exit_code != 0 and c.ended_at is not None and start <= c.ended_at < end for c in containers)


def _creating(function: Function, end: float) -> int:
    """Containers that were not up yet at a time."""
    return sum(
        c.enqueued_at < end
        and (c.healthy_at is None or c.healthy_at > end)
        and (c.ended_at is None or c.ended_at > end)
        for c in function.containers
    )


def _startups(containers: list[Container], start: float, end: float) -> list[float]:
    return [
        c.healthy_at - c.enqueued_at
        for c in containers
        if c.healthy_at is not None and start <= c.healthy_at < end
    ]


@rpc("FunctionGetCurrentStats")
def current(call: Call, request: pb.FunctionGetCurrentStatsRequest) -> Message:
    function = call.function(request.function_id)
    here = life.live(function)
    busy = sum(call.world.in_flight[c.id] for c in here)
    definition = call.state.definitions.get(function.live)
    most = definition.max_concurrency if definition else 0
    up = sum(life.is_healthy(c, call.now) for c in here)
    return pb.FunctionStats(
        num_total_tasks=sum(c.started_at is not None for c in here),
        num_running_inputs=busy,
        input_headroom=max(0, most * up - busy),
    )


@rpc("ServerGetTimeRangeStats")
def server_stats(call: Call, request: pb.ServerGetTimeRangeStatsRequest) -> Message:
    function = call.function(request.function_id)
    start, end = window(call, request.since, request.until, LONGEST_STATS)
    samples = samples_of(function, start, end, request.container_id)
    containers = existed(function, start, end)
    answer = pb.ServerGetTimeRangeStatsResponse(
        since=stamp(start),
        until=stamp(end),
        request_count=len(samples),
        request_rate_per_second=len(samples) / (end - start),
        container_started_count=sum(start <= (c.started_at or 0) < end for c in containers),
        container_error_count=_failed(containers, start, end),
        container_creating_at_end_count=_creating(function, end),
        container_total_count=len(containers),
    )
    for status, count in sorted(Counter(s.status for s in samples).items()):
        answer.request_count_by_status_code.add(status_code=status, count=count)
    if answered := [s.seconds for s in samples if s.container_id]:
        answer.request_percentile_stats["Request duration (s)"].CopyFrom(_distribution(answered, "s"))
    if startups := _startups(containers, start, end):
        answer.container_percentile_stats["Startup time (s)"].CopyFrom(_distribution(startups, "s"))
    _inference(call, function, [s for s in samples if s.tokens], answer)
    return answer


def _inference(
    call: Call, function: Function, samples: list[Sample], answer: pb.ServerGetTimeRangeStatsResponse
) -> None:
    """What the engine itself reports; names as the vendor's command line knows them."""
    inference = answer.inference
    definition = call.state.definitions.get(function.live)
    if definition is None or not engine_of(call.state, definition).known:
        inference.status = pb.SERVER_INFERENCE_STATS_STATUS_UNAVAILABLE
        return
    inference.engine = pb.LLM_ENGINE_VLLM
    if not samples:
        inference.status = pb.SERVER_INFERENCE_STATS_STATUS_NO_DATA
        return
    inference.status = pb.SERVER_INFERENCE_STATS_STATUS_AVAILABLE
    for name, values in (
        ("time_to_first_token", [s.first_token for s in samples]),
        ("inter_token_latency", [per_token(s) for s in samples if s.tokens > 1]),
        ("end_to_end_latency", [s.seconds for s in samples]),
    ):
        if values:
            inference.percentile_stats[name].CopyFrom(_distribution(values, "s"))


@rpc("FunctionGetTimeRangeStats")
def function_stats(call: Call, request: pb.FunctionGetTimeRangeStatsRequest) -> Message:
    function = call.function(request.function_id)
    start, end = window(call, request.since, request.until, LONGEST_STATS)
    samples = [s for s in samples_of(function, start, end, request.container_id) if s.container_id]
    containers = existed(function, start, end)
    answer = pb.FunctionGetTimeRangeStatsResponse(
        since=stamp(start),
        until=stamp(end),
        input_success_count=sum(s.status < 500 for s in samples),
        input_failure_count=sum(s.status >= 500 for s in samples),
        container_started_count=sum(start <= (c.started_at or 0) < end for c in containers),
        container_error_count=_failed(containers, start, end),
        container_creating_at_end_count=_creating(function, end),
        container_total_count=len(containers),
        variant_count=1,
    )
    if samples:
        answer.input_percentile_stats["Execution time (s)"].CopyFrom(
            _distribution([s.seconds for s in samples], "s")
        )
    if startups := _startups(containers, start, end):
        answer.container_percentile_stats["Startup time (s)"].CopyFrom(_distribution(startups, "s"))
    return answer


@rpc("AppGetTimeRangeStats")
def app_stats(call: Call, request: pb.AppGetTimeRangeStatsRequest) -> Message:
    app = call.app(request.app_id)
    start, end = window(call, request.since, request.until, LONGEST_STATS)
    answer = pb.AppGetTimeRangeStatsResponse(
        since=stamp(start),
        until=stamp(end),
        deployment_count=sum(start <= r.deployed_at < end for r in app.releases),
    )
    for name, id in app.functions.items():
        function = call.state.functions[id]
        samples, containers = samples_of(function, start, end), existed(function, start, end)
        ok = sum(s.status < 400 for s in samples)
        errors, active = _failed(containers, start, end), len(containers)
        if function.kind == "server":
            row = answer.servers.by_name[name]
            row.object_id = id
            for counts in (row.counts, answer.servers.total):
                counts.requests.total += len(samples)
                counts.requests.ok += ok
                counts.requests.failed += len(samples) - ok
                counts.containers.container_errors += errors
                counts.containers.container_active_count += active
        else:
            other = answer.functions.by_name[name]
            other.object_id = id
            for tally in (other.counts, answer.functions.total):
                tally.calls.total += len(samples)
                tally.calls.succeeded += ok
                tally.calls.failed += len(samples) - ok
                tally.containers.container_errors += errors
                tally.containers.container_active_count += active
    return answer
