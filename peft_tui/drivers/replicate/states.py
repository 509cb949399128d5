"""The state of a deployment at a platform that has no word for it.

Derived (dossier §4.5 [INF]) from the bounds of its release and from its newest predictions. What cannot be
known is said to be assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from peft_tui.domain.status import Condition, Status
from peft_tui.drivers.replicate.wire import Deployment, Prediction
from peft_tui.drivers.wire import moment

IDLE_TAIL = timedelta(minutes=5)
"""How long an instance is taken to stay warm after a request: "a few minutes", says the vendor."""
BOOT_TIME = timedelta(minutes=10)
"""The platform's default limit for setting up."""
QUEUE_TIME = timedelta(seconds=2)
SERVED = "served"
STAYS_WARM = "it served a moment ago; how long it stays warm after that, and bills, Replicate does not say"
SETUP_WORDS = ("setup", "boot")


def derive(
    deployment: Deployment, predictions: Sequence[Prediction], complete: bool, now: datetime
) -> tuple[Status, Condition, str, str]:
    """Status, condition, a word in the platform's terms, and the reason.

    Args:
        predictions: this deployment's, newest first.
        complete: whether they are all there are since the release; otherwise silence means nothing.
    """
    release = deployment.current_release
    low = release.configuration.min_instances or 0
    high = release.configuration.max_instances
    if high == 0:
        return Status.STOPPED, Condition.NONE, "0/0", "disabled: it takes no requests"
    released = moment(release.created_at)
    # A prediction of an earlier release says nothing about this one.
    seen = [p for p in predictions if released is None or (moment(p.created_at) or now) >= released]
    served = [p for p in seen if p.status == "succeeded"]
    if any(p.status == "processing" for p in seen):
        return Status.ACTIVE, Condition.NONE, "processing", ""
    last = max((moment(p.completed_at) or moment(p.created_at) or now for p in served), default=None)
    if last is not None and now - last < IDLE_TAIL:
        if low == 0:
            return Status.ACTIVE, Condition.ASSUMED, SERVED, STAYS_WARM
        return Status.ACTIVE, Condition.NONE, SERVED, ""
    waiting = [p for p in seen if p.status == "starting"]
    if any(now - (moment(p.created_at) or now) >= QUEUE_TIME for p in waiting):
        return Status.DEPLOYING, Condition.NONE, "starting", "a request is waiting for an instance to boot"
    failed = next((p for p in seen if p.status in ("failed", "aborted")), None)
    if failed is not None and not served and _about_setup(failed):
        return Status.FAILED, Condition.NONE, "failed", failed.error or "its first request failed"
    if waiting:
        return Status.DEPLOYING, Condition.NONE, "starting", "a request is waiting for an instance to boot"
    if low == 0:
        if served:
            return Status.ACTIVE, Condition.ASLEEP, "idle", "the next request boots it"
        ended = next((p for p in seen if p.status in ("failed", "canceled", "aborted")), None)
        if ended is not None:
            return Status.ACTIVE, Condition.ASSUMED, f"last {ended.status}", "no request was served yet"
        if complete:
            return Status.PENDING, Condition.ASLEEP, "never used", "the first request boots it"
        return Status.ACTIVE, Condition.ASSUMED, "idle", "its last requests are too long ago to be listed"
    if served:
        return Status.ACTIVE, Condition.NONE, "idle", ""
    if released is not None and now - released < BOOT_TIME:
        return Status.DEPLOYING, Condition.NONE, "new release", "booting, or never asked yet"
    return (
        Status.ACTIVE,
        Condition.ASSUMED,
        "not asked yet",
        "Replicate does not say; no request has proved it",
    )


def belongs_to(prediction: Prediction, deployment: Deployment) -> bool:
    return prediction.deployment in (f"{deployment.owner}/{deployment.name}", deployment.name)


def _about_setup(prediction: Prediction) -> bool:
    said = prediction.error.lower()
    return prediction.status == "failed" and any(word in said for word in SETUP_WORDS)
