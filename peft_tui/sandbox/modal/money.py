"""RPCs about money: the price list, and what was spent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

from google.protobuf.message import Message
from grpclib.const import Status
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal import life
from peft_tui.sandbox.modal.calls import Call, moment, refuse, rpc, stamp, streamed
from peft_tui.sandbox.modal.catalog import RATES
from peft_tui.sandbox.modal.costs import month_start, spent
from peft_tui.sandbox.modal.state import ENVIRONMENT

RESOLUTIONS = {"d": 86400, "h": 3600}


@rpc("WorkspaceBillingRates")
def rates(call: Call, request: pb.WorkspaceBillingRatesRequest) -> Message:
    return pb.WorkspaceBillingRatesResponse(
        rates=RATES, formatted="\n".join(f"{name}: {usd}" for name, usd in RATES.items())
    )


def _allowed(call: Call) -> None:
    if call.state.knobs.billing_forbidden:
        raise refuse(Status.PERMISSION_DENIED, "Billing reports are not part of this workspace's plan")


@streamed("WorkspaceBillingReport")
async def report(call: Call, request: pb.WorkspaceBillingReportRequest) -> AsyncIterator[Message]:
    """One item per app and interval in which it cost something; what has not ended is left out."""
    _allowed(call)
    life.settle_all(call.world)
    width = RESOLUTIONS.get(request.resolution or "d")
    if width is None:
        raise refuse(Status.INVALID_ARGUMENT, "resolution must be 'd' or 'h'")
    end = moment(request.end_timestamp, call.now)
    start = moment(request.start_timestamp, month_start(call.now))
    at = start - start % width
    while at + width <= min(end, call.now):
        for app in call.state.apps.values():
            if app.workspace != call.workspace or (request.app_ids and app.id not in request.app_ids):
                continue
            cost = spent(call.world, app, at, at + width)
            if cost:
                yield pb.WorkspaceBillingReportItem(
                    object_id=app.id,
                    description=app.description,
                    environment_name=ENVIRONMENT,
                    interval=stamp(at),
                    cost=f"{cost:.8f}",
                    tags={k: v for k, v in app.tags.items() if k in request.tag_names},
                )
        at += width


@rpc("WorkspaceBillingSummary")
def summary(call: Call, request: pb.WorkspaceBillingSummaryRequest) -> Message:
    """A billing cycle, which is a calendar month [INF]."""
    _allowed(call)
    life.settle_all(call.world)
    start = month_start(moment(request.start_timestamp, call.now))
    end = min(call.now, month_start(start + 32 * 86400))
    mine = [a for a in call.state.apps.values() if a.workspace == call.workspace]
    total = sum((spent(call.world, a, start, end) for a in mine), Decimal(0))
    return pb.WorkspaceBillingSummaryResponse(
        start_timestamp=stamp(start),
        end_timestamp=stamp(end),
        metered_cost=f"{total:.8f}",
        billed_cost=f"{total:.8f}",
        metered_cost_breakdown={"Deployed Apps": f"{total:.8f}"},
    )
