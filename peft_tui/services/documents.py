"""Deployments and operations as other programs see them. The names are a contract: see the README."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.operation import Operation

if TYPE_CHECKING:
    from peft_tui.services.figures import Brief


def deployment_document(deployment: Deployment, brief: Brief | None = None) -> dict[str, Any]:
    """The deployment as scripts see it; unknown is null.

    Args:
        brief: what was measured of it, all of it.
    """
    seen, spec = deployment.observation, deployment.spec
    return {
        "id": deployment.id,
        "name": deployment.name,
        "platform": deployment.platform,
        "status": deployment.standing,
        "platform_status": (seen.platform_status or None) if seen else None,
        "condition": deployment.condition or None,
        "reason": (seen.reason or None) if seen else None,
        "adapter": spec.source.reference or None,
        "base_model": spec.base_model or None,
        "endpoint_url": (seen.endpoint_url or None) if seen else None,
        "model": (seen.model or None) if seen else None,
        "instance_type": ((seen.instance_type if seen else "") or spec.instance_type) or None,
        "min_instances": _known(seen.min_instances if seen else None, spec.settings.get("min_instances")),
        "max_instances": _known(seen.max_instances if seen else None, spec.settings.get("max_instances")),
        "ready_instances": seen.ready_instances if seen else None,
        "usd_per_hour": deployment.usd_per_hour,
        "price_source": _price_source(deployment),
        "created_at": deployment.created_at,
        "since": deployment.since,
        "observed_at": seen.observed_at if seen else None,
        "requests": brief.requests if brief else None,
        "success_rate": brief.success_rate if brief else None,
        "latency_ms": round(brief.p50_s * 1000, 1) if brief and brief.p50_s is not None else None,
        "cost_usd": brief.cost_usd if brief else None,
        "cost_is_complete": brief.cost_is_complete if brief and brief.cost_usd is not None else None,
        "origin": deployment.origin,
        "remote_name": deployment.remote_name,
        "operation": operation_document(deployment.operation) if deployment.operation else None,
    }


def _price_source(deployment: Deployment) -> str | None:
    """Who says what an hour costs: a list that we keep, with its date, or the platform itself."""
    seen = deployment.observation
    if seen is None or seen.usd_per_hour is None:
        return None
    return seen.price_source or "platform"


def operation_document(operation: Operation) -> dict[str, Any]:
    """An operation with its steps as scripts see it."""
    return {
        "kind": operation.kind,
        "state": operation.state,
        "error": operation.error,
        "steps": [
            {
                "key": s.key,
                "title": s.title,
                "state": s.state,
                "done": s.done,
                "total": s.total,
                "note": s.note,
            }
            for s in operation.steps
        ],
    }


def plain(value: object) -> str:
    """What JSON has no form for."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        # Money is a decimal number and JSON's is not: a string keeps every digit.
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a document")


def _known(*values: object) -> object:
    return next((value for value in values if value is not None), None)
