"""In which order deployments are listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.status import Status
from peft_tui.ui.status import since

if TYPE_CHECKING:
    from peft_tui.services.figures import Brief

_RANK: dict[Status, int] = {
    Status.FAILED: 0,
    Status.DEPLOYING: 1,
    Status.PENDING: 1,
    Status.ACTIVE: 2,
    Status.STOPPED: 3,
}
SORTS: Mapping[str, tuple[bool, Callable[[Deployment], Any]]] = {
    "name": (False, lambda d: d.name.casefold()),
    "platform": (False, lambda d: (d.platform, d.name.casefold())),
    "status": (False, lambda d: (_RANK[d.standing], d.condition.value, -since(d).timestamp())),
    "instances": (True, lambda d: d.observation.ready_instances if d.observation else None),
    "hourly": (True, lambda d: d.usd_per_hour if d.observation else None),
    "machine": (
        False,
        lambda d: (d.observation and d.observation.instance_type) or d.spec.instance_type or None,
    ),
    "made": (False, lambda d: -d.created_at.timestamp()),
    "adapter": (False, lambda d: d.spec.source.label.casefold()),
    "base": (False, lambda d: d.spec.base_model.rsplit("/", 1)[-1].casefold() or None),
}
"""By column: whether downwards comes first, and what to compare; None is unknown and stands last."""
FIGURE_SORTS: Mapping[str, tuple[bool, Callable[[Brief], Any]]] = {
    "requests": (True, lambda b: b.requests or None),
    "success": (False, lambda b: b.success_rate),
    "latency": (True, lambda b: b.p50_s),
    "cost": (True, lambda b: b.cost_usd),
}
"""The same for what was measured."""
DOWNWARDS: Mapping[str, bool] = {key: first for key, (first, _) in (*SORTS.items(), *FIGURE_SORTS.items())}
"""Every column that can be sorted by, and whether downwards comes first."""


def ordered(
    deployments: Iterable[Deployment],
    sort: tuple[str, bool] | None,
    briefs: Mapping[str, Brief] | None = None,
) -> list[Deployment]:
    """Newest first, or by a column; equal ones stay newest first."""
    newest = sorted(deployments, key=lambda d: (d.created_at, d.id), reverse=True)
    if sort is None:
        return newest
    compare = _comparison(sort[0], briefs or {})
    known = [(value, d) for d in newest if (value := compare(d)) is not None]
    unknown = [d for d in newest if compare(d) is None]
    known.sort(key=lambda pair: pair[0], reverse=sort[1])
    return [d for _, d in known] + unknown


def _comparison(column: str, briefs: Mapping[str, Brief]) -> Callable[[Deployment], Any]:
    if column not in FIGURE_SORTS:
        return SORTS[column][1]
    value = FIGURE_SORTS[column][1]
    return lambda d: value(briefs[d.id]) if d.id in briefs else None
