"""RPCs about load as series, and request by request."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import Message
from grpclib.const import Status
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal.calls import Call, refuse, rpc, stamp
from peft_tui.sandbox.modal.observing import existed, percentile, samples_of, window
from peft_tui.sandbox.modal.state import Container, Function, Sample

LONGEST_SERIES = 31 * 86400
MOST_POINTS = 500
LEAST_BUCKET = 60
MOST_REQUESTS = 1000

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
    start, end = window(call, request.since, request.until, LONGEST_SERIES)
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
                value = measure(samples_of(function, at, stop), existed(function, at, stop))
                point = series.points.add(timestamp=stamp(at))
                if value is not None:
                    point.value = value
                at += width
            rows.append(series)
    return rows


def _load(call: Call, request: pb.ServerGetMetricsRequest | pb.FunctionGetMetricsRequest) -> dict[str, Any]:
    function = call.function(request.function_id)
    start, end = window(call, request.since, request.until, LONGEST_SERIES)
    width = _bucket(start, end, request.bucket_secs)
    series = _series(call, function, start, end, width, _groups(request.groups))
    return {"since": stamp(start), "until": stamp(end), "bucket_secs": width, "series": series}


@rpc("ServerGetMetrics")
def server_metrics(call: Call, request: pb.ServerGetMetricsRequest) -> Message:
    return pb.ServerGetMetricsResponse(**_load(call, request))


@rpc("FunctionGetMetrics")
def function_metrics(call: Call, request: pb.FunctionGetMetricsRequest) -> Message:
    return pb.FunctionGetMetricsResponse(**_load(call, request))


@rpc("ServerRequestFetch")
def requests(call: Call, request: pb.ServerRequestFetchRequest) -> Message:
    function = call.function(request.function_id)
    if request.WhichOneof("query_oneof") == "range":
        start, end = window(call, request.range.since, request.range.until, LONGEST_SERIES)
        rows = samples_of(function, start, end)[: min(request.range.limit or MOST_REQUESTS, MOST_REQUESTS)]
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
    start, end = window(call, request.since, request.until, LONGEST_SERIES)
    width = max(1, request.bucket_secs, math.ceil((end - start) / 10_000))
    answer = pb.ServerCountRequestsResponse()
    at = start - start % width
    while at < end:
        inside = samples_of(function, max(at, start), min(at + width, end))
        answer.buckets.add(bucket_start_at=stamp(at), count=len(inside))
        at += width
    return answer
