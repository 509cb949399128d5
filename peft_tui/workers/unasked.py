"""Why something stopped that nobody here asked to stop, where the platform does not say it."""

from __future__ import annotations

from dataclasses import replace

from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.offers import Capabilities
from peft_tui.domain.operation import OperationKind
from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.store import Store

UNASKED = "not stopped from here"
_ENDS = frozenset({OperationKind.STOP, OperationKind.DELETE})


def is_silent(mine: Deployment | None, seen: Observation) -> bool:
    """Whether it shows one of ours stopped, and nothing says why.

    Args:
        mine: as it was seen before.
    """
    known = mine is not None and mine.origin is Origin.OURS and mine.observation is not None
    stopped = seen.status is Status.STOPPED and seen.condition is Condition.NONE and not seen.reason
    return known and stopped


async def with_reason(store: Store, offers: Capabilities, mine: Deployment, seen: Observation) -> Observation:
    """The same with a reason, where it was not asked for from here."""
    before = mine.observation
    if before is not None and before.status is Status.STOPPED:
        return replace(seen, reason=before.reason) if before.reason.startswith(UNASKED) else seen
    if mine.under_way is not None:
        return seen
    newest = next(iter(await store.operations.of_deployment(mine.id)), None)
    if newest is None or newest.kind in _ENDS:
        # Given up or failed, it may have been carried out all the same.
        return seen
    # Where a minimum of 0 is no sleep, the guard is what stops it.
    guard = "" if offers.scale_to_zero else offers.guard(mine.spec.settings)
    return replace(seen, reason=f"{UNASKED}: {guard}" if guard else UNASKED)
