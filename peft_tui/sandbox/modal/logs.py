"""RPCs about logs: as they come, from the past, and counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable

from google.protobuf.message import Message
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal.calls import Call, entry_number, moment, rpc, stamp, streamed, window_end
from peft_tui.sandbox.modal.state import STOPPED, LogLine

LOOK_EVERY = 0.1
LONGEST_WAIT = 55.0
MOST_LINES = 20_000
MOST_BUCKETS = 10_000


def _wanted(
    lines: Iterable[LogLine], function_id: str, task_id: str, source: int, search: str
) -> list[LogLine]:
    """Lines that a filter lets through, in the order of their times."""
    found = [
        line
        for line in lines
        if (not function_id or line.function_id == function_id)
        and (not task_id or line.task_id == task_id)
        and (not source or line.fd == source)
        and (not search or search.lower() in line.text.lower())
    ]
    return sorted(found, key=lambda line: (line.at, line.number))


def _batches(lines: list[LogLine]) -> list[pb.TaskLogsBatch]:
    """Runs of lines of one container."""
    batches: list[pb.TaskLogsBatch] = []
    for line in lines:
        last = batches[-1] if batches else None
        if last is None or last.task_id != line.task_id or last.function_id != line.function_id:
            last = pb.TaskLogsBatch(task_id=line.task_id, function_id=line.function_id)
            batches.append(last)
        last.entry_id = _entry(line)
        last.items.append(
            pb.TaskLogs(
                data=line.text,
                timestamp=line.at,
                timestamp_ns=int(line.at * 1e9),
                file_descriptor=line.fd,  # type: ignore[arg-type]
                container_id=line.task_id,
            )
        )
    return batches


def _entry(line: LogLine) -> str:
    return f"{int(line.at * 1000)}-{line.number}"


@streamed("AppGetLogs")
async def stream(call: Call, request: pb.AppGetLogsRequest) -> AsyncIterator[Message]:
    """Lines after `last_entry_id`, then whatever comes until the time is over or the app is done."""
    ends = time.monotonic() + min(request.timeout, LONGEST_WAIT)
    seen = entry_number(request.last_entry_id)
    while True:
        app = call.app(request.app_id)
        new = [line for line in app.log if line.number > seen and line.at <= call.now]
        lines = _wanted(
            new, request.function_id, request.task_id, request.file_descriptor, request.search_text
        )
        seen = max([seen, *(line.number for line in new)])
        for batch in _batches(lines):
            yield batch
        if app.state == STOPPED:
            yield pb.TaskLogsBatch(app_done=True)
            return
        if time.monotonic() >= ends:
            return
        await asyncio.sleep(LOOK_EVERY)


@rpc("AppFetchLogs")
def fetch(call: Call, request: pb.AppFetchLogsRequest) -> Message:
    """The newest lines of a window, oldest first."""
    app = call.app(request.app_id)
    since, until = moment(request.since, 0.0), window_end(call, request.until)
    lines = _wanted(app.log, request.function_id, request.task_id, request.source, request.search_text)
    lines = [line for line in lines if since <= line.at < until and line.at <= call.now]
    lines = lines[-min(request.limit or MOST_LINES, MOST_LINES) :]
    return pb.AppFetchLogsResponse(batches=_batches(lines))


@rpc("AppCountLogs")
def count(call: Call, request: pb.AppCountLogsRequest) -> Message:
    """Lines per bucket of a window."""
    app = call.app(request.app_id)
    until = window_end(call, request.until)
    since = moment(request.since, until - 3600)
    width = max(1, request.bucket_secs, -(-int(until - since) // MOST_BUCKETS))
    lines = _wanted(app.log, request.function_id, request.task_id, request.source, request.search_text)
    answer = pb.AppCountLogsResponse(app_id=app.id)
    start = since - since % width
    while start < until:
        inside = [x for x in lines if max(start, since) <= x.at < min(start + width, until)]
        answer.buckets.add(
            bucket_start_at=stamp(start),
            stdout_logs=sum(x.fd == 1 for x in inside),
            stderr_logs=sum(x.fd == 2 for x in inside),
            system_logs=sum(x.fd == 3 for x in inside),
        )
        start += width
    return answer
