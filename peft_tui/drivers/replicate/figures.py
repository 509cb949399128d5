"""What Replicate tells of single predictions. Their contents vanish after an hour: they are kept at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from peft_tui.domain.measure import Outcome
from peft_tui.domain.reported import Report, ReportedRequest
from peft_tui.domain.sample import Sample
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.replicate.api import ReplicateApi
from peft_tui.drivers.replicate.states import QUEUE_TIME
from peft_tui.drivers.replicate.wire import Page, Prediction
from peft_tui.drivers.wire import moment, parse_all, parse_page

SOURCE = "Replicate predictions"
LONGEST_RUN = timedelta(minutes=35)
"""A prediction may take half an hour: so far back one may have been unfinished at the last look."""
MOST_PAGES = 20
COLD = QUEUE_TIME + timedelta(seconds=3)
"""[INF] Nothing says that an instance booted; whoever waited longer than that did wait for one."""

_OUTCOMES = {
    "succeeded": Outcome.OK,
    "failed": Outcome.FAILED,
    "canceled": Outcome.CANCELLED,
    "aborted": Outcome.CANCELLED,
}


class MeasuredPrediction(Prediction):
    started_at: str | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)


async def reports(api: ReplicateApi, wanted: Mapping[str, datetime]) -> tuple[Report, ...]:
    """One list for all deployments, as far back as the oldest look."""
    since = min(wanted.values()) - LONGEST_RUN
    query = {"created_after": since.isoformat().replace("+00:00", "Z")}
    page_url: str | None = "/v1/predictions"
    found: dict[str, list[ReportedRequest]] = {remote_id: [] for remote_id in wanted}
    by_name = {name: remote_id for remote_id in wanted for name in (remote_id, remote_id.rpartition("/")[2])}
    for number in range(MOST_PAGES):
        if not page_url:
            break
        body = await api.http.get(page_url, query if number == 0 else None, Urgency.BACKGROUND)
        page = parse_page(Page, body, "results", api.title)
        for prediction in await parse_all(MeasuredPrediction, page.results, api.title):
            remote_id = by_name.get(prediction.deployment)
            sample = sample_of(prediction)
            if remote_id is not None and sample is not None:
                found[remote_id].append(ReportedRequest(prediction.id, sample))
        page_url = page.next
    return tuple(Report(remote_id, requests=tuple(told), source=SOURCE) for remote_id, told in found.items())


def sample_of(prediction: MeasuredPrediction) -> Sample | None:
    """What one that has ended took; None while it has not."""
    outcome, created = _OUTCOMES.get(prediction.status), moment(prediction.created_at)
    if outcome is None or created is None:
        return None
    started, completed = moment(prediction.started_at), moment(prediction.completed_at)
    waited = started - created if started is not None else None
    first = _number(prediction.metrics.get("time_to_first_token"))
    return Sample(
        created,
        outcome,
        (completed - created).total_seconds() if completed is not None else None,
        waited.total_seconds() + first if first is not None and waited is not None else None,
        _whole(prediction.metrics.get("input_token_count")),
        _whole(prediction.metrics.get("output_token_count")),
        cold=None if waited is None else waited >= COLD,
        error_kind="platform" if outcome is Outcome.FAILED else "",
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
