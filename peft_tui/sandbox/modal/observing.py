"""RPCs about load: now, over a window, as series, and request by request."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

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
LONGEST_SERIES = 31 * 86400
MOST_POINTS = 500
LEAST_BUCKET = 60
MOST_REQUESTS = 1000
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


def _window(call: Call, since: Timestamp, until: Timestamp, longest: float) -> tuple[float, float]:
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


def _samples(function: Function, start: float, end: float, container_id: str = "") -> list[Sample]:
    return [
        s
        for s in function.samples
        if start <= s.at < end and (not container_id or s.container_id == container_id)
    ]


def _existed(function: Function, start: float, end: float) -> list[Container]:
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
    start, end = _window(call, request.since, request.until, LONGEST_STATS)
    samples = _samples(function, start, end, request.container_id)
    containers = _existed(function, start, end)
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
    start, end = _window(call, request.since, request.until, LONGEST_STATS)
    samples = [s for s in _samples(function, start, end, request.container_id) if s.container_id]
    containers = _existed(function, start, end)
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
    start, end = _window(call, request.since, request.until, LONGEST_STATS)
    answer = pb.AppGetTimeRangeStatsResponse(
        since=stamp(start),
        until=stamp(end),
        deployment_count=sum(start <= r.deployed_at < end for r in app.releases),
    )
    for name, id in app.functions.items():
        function = call.state.functions[id]
        samples, containers = _samples(function, start, end), _existed(function, start, end)
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


# Series

Measure = Callable[[list[Sample], list[Container]], "float | None"]


def _p(values: list[float], basis_points: int) -> float | None:
    return percentile(sorted(values), basis_points) if values else None


_SERIES: dict[str, tuple[tuple[str, str, Measure], ...]] = {
    "requests": (
        ("request_count", "count", lambda s, c: float(len(s))),
        ("request_duration_p50", "s", lambda s, c: _p([x.seconds for x in s if x.container_id], 5000)),
        ("request_duration_p99", "s", lambda s, c: _p([x.seconds for x in s if x.container_id], 9900)),
    ),
    "containers": (("container_count", "count", lambda s, c: float(len(c))),),
}


def _bucket(start: float, end: float, asked: int) -> int:
    """Seconds of a bucket, so that there are not too many points."""
    width = max(asked or LEAST_BUCKET, LEAST_BUCKET)
    if asked and (end - start) / width > MOST_POINTS:
        raise refuse(Status.INVALID_ARGUMENT, f"More than {MOST_POINTS} points; choose a larger bucket")
    return max(width, math.ceil((end - start) / MOST_POINTS))


def _groups(asked: Sequence[str]) -> list[str]:
    if unknown := [g for g in asked if g not in _SERIES]:
        raise refuse(Status.INVALID_ARGUMENT, f"Unknown metric group {unknown[0]!r}")
    return list(asked) or list(_SERIES)


@rpc("MetricsGetInfo")
def metrics_info(call: Call, request: pb.MetricsGetInfoRequest) -> Message:
    start, end = _window(call, request.since, request.until, LONGEST_SERIES)
    width = _bucket(start, end, request.bucket_secs)
    answer = pb.MetricsGetInfoResponse(bucket_secs=width, bucket_count=math.ceil((end - start) / width))
    for group in _groups(request.groups):
        row = answer.groups.add(name=group, display_name=group.capitalize())
        for name, unit, _ in _SERIES[group]:
            row.metrics.add(name=name, unit=unit)
    return answer


def _series(
    call: Call, function: Function, start: float, end: float, width: int, groups: list[str]
) -> list[pb.FunctionMetricSeries]:
    rows: list[pb.FunctionMetricSeries] = []
    for group in groups:
        for name, unit, measure in _SERIES[group]:
            series = pb.FunctionMetricSeries(name=name, unit=unit)
            at = start
            while at < end:
                stop = min(at + width, end)
                value = measure(_samples(function, at, stop), _existed(function, at, stop))
                point = series.points.add(timestamp=stamp(at))
                if value is not None:
                    point.value = value
                at += width
            rows.append(series)
    return rows


@rpc("ServerGetMetrics")
def server_metrics(call: Call, request: pb.ServerGetMetricsRequest) -> Message:
    function = call.function(request.function_id)
    start, end = _window(call, request.since, request.until, LONGEST_SERIES)
    width = _bucket(start, end, request.bucket_secs)
    series = _series(call, function, start, end, width, _groups(request.groups))
    return pb.ServerGetMetricsResponse(since=stamp(start), until=stamp(end), bucket_secs=width, series=series)


@rpc("FunctionGetMetrics")
def function_metrics(call: Call, request: pb.FunctionGetMetricsRequest) -> Message:
    function = call.function(request.function_id)
    start, end = _window(call, request.since, request.until, LONGEST_SERIES)
    width = _bucket(start, end, request.bucket_secs)
    series = _series(call, function, start, end, width, _groups(request.groups))
    return pb.FunctionGetMetricsResponse(
        since=stamp(start), until=stamp(end), bucket_secs=width, series=series
    )


# Single requests


@rpc("ServerRequestFetch")
def requests(call: Call, request: pb.ServerRequestFetchRequest) -> Message:
    function = call.function(request.function_id)
    if request.WhichOneof("query_oneof") == "range":
        start, end = _window(call, request.range.since, request.range.until, LONGEST_SERIES)
        rows = _samples(function, start, end)[: min(request.range.limit or MOST_REQUESTS, MOST_REQUESTS)]
    else:
        rows = function.samples[-min(request.tail.count or MOST_REQUESTS, MOST_REQUESTS) :]
    return pb.ServerRequestFetchResponse(
        requests=[
            pb.ServerRequestInfo(
                route=s.route,
                timestamp=stamp(s.at),
                container_id=s.container_id,
                duration_seconds=s.seconds,
                status=s.status,
            )
            for s in rows
        ]
    )


@rpc("ServerCountRequests")
def count_requests(call: Call, request: pb.ServerCountRequestsRequest) -> Message:
    function = call.function(request.function_id)
    start, end = _window(call, request.since, request.until, LONGEST_SERIES)
    width = max(1, request.bucket_secs, math.ceil((end - start) / 10_000))
    answer = pb.ServerCountRequestsResponse()
    at = start - start % width
    while at < end:
        inside = _samples(function, max(at, start), min(at + width, end))
        answer.buckets.add(bucket_start_at=stamp(at), count=len(inside))
        at += width
    return answer
