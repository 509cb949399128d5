"""From Predibase's words to ours (dossier §2.5). Its client knows no list of them: any word may come."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.drivers.predibase.declaration import ON
from peft_tui.drivers.predibase.notes import Note
from peft_tui.drivers.predibase.wire import Deployment

WAITING = ("queued", "pending", "requested")
COMING = ("initializing", "deploying")
SERVING = ("ready", "active", "standby")
FAILED = ("failed", "errored", "error", "canceled", "cancelled")
ENDED = ("stopped", "inactive", "deleted")
STOPPED_REASON = "deleted to stop it; its adapter is there, and start creates it again"


def observe(
    deployment: Deployment,
    now: datetime,
    usd_per_instance_hour: Decimal | None,
    endpoint_url: str,
    model: str,
    price_source: str = "",
) -> Observation:
    """What the list says of one deployment."""
    word = deployment.status.lower()
    status, condition, reason = _translate(word, deployment)
    billed = _billed(word, deployment)
    cost = None
    if billed == 0:
        cost = Decimal(0)
    elif billed is not None and usd_per_instance_hour is not None:
        cost = billed * usd_per_instance_hour
    return Observation(
        status,
        now,
        platform_status=deployment.status,
        reason=reason,
        condition=condition,
        ready_instances=deployment.current_replicas,
        billed_instances=billed,
        min_instances=deployment.count("minReplicas"),
        max_instances=deployment.count("maxReplicas"),
        instance_type=deployment.accelerator.id,
        usd_per_hour=cost,
        endpoint_url=endpoint_url,
        model=model,
        price_source=price_source if cost else "",
    )


def attached(note: Note, carrier: Observation | None, now: datetime) -> Observation:
    """One that another deployment serves: it is what that one is, and costs nothing of its own."""
    if carrier is None:
        return Observation(
            Status.STOPPED,
            now,
            platform_status="no carrier",
            reason=f"{note.carrier}, which served it, does not exist any more: delete it, or deploy it anew",
            billed_instances=0,
            instance_type=f"{ON}{note.carrier}",
            usd_per_hour=Decimal(0),
            model=note.adapter.id,
        )
    reason = carrier.reason or f"served by {note.carrier}, which bills in a row of its own"
    if carrier.status is Status.STOPPED:
        reason = f"{note.carrier}, which serves it, is stopped: start that one"
    return replace(
        carrier,
        observed_at=now,
        reason=reason,
        billed_instances=0,
        usd_per_hour=Decimal(0),
        price_source="",
        instance_type=f"{ON}{note.carrier}",
        model=note.adapter.id,
    )


def stopped(note: Note, now: datetime) -> Observation:
    """One that was deleted to stop it."""
    accelerator = note.config.get("accelerator")
    return Observation(
        Status.STOPPED,
        now,
        platform_status="deleted",
        reason=STOPPED_REASON,
        ready_instances=0,
        billed_instances=0,
        min_instances=0,
        max_instances=0,
        instance_type=accelerator if isinstance(accelerator, str) else "",
        usd_per_hour=Decimal(0),
        model=note.adapter.id,
    )


def _translate(word: str, deployment: Deployment) -> tuple[Status, Condition, str]:
    replicas = deployment.current_replicas
    if word in WAITING:
        return Status.PENDING, Condition.NONE, "waits for a GPU"
    if word in COMING:
        return Status.DEPLOYING, Condition.NONE, ""
    if word == "updating":
        if replicas:
            return Status.ACTIVE, Condition.SCALING, "rolls out a change, and serves meanwhile"
        return Status.DEPLOYING, Condition.NONE, ""
    if word in SERVING and replicas == 0:
        return Status.ACTIVE, Condition.ASLEEP, "scaled to zero: the next request boots it"
    if word in SERVING:
        return Status.ACTIVE, Condition.NONE, ""
    if word in FAILED:
        return Status.FAILED, Condition.NONE, "the platform does not say why"
    if word == "terminating" and replicas != 0:
        # It bills until its last replica is gone: not "stopped" before that was read.
        return Status.ACTIVE, Condition.STOPPING, "stopping, still billing"
    if word in ENDED or word == "terminating":
        return Status.STOPPED, Condition.NONE, ""
    return Status.DEPLOYING, Condition.NONE, "a state that peft-tui does not know"


def _billed(word: str, deployment: Deployment) -> int | None:
    """Replicas that cost money. A start holds GPUs before any is counted: rather too many than too few."""
    replicas = deployment.current_replicas
    if replicas is None and word in ENDED:
        return 0
    if word in (*WAITING, *SERVING, *FAILED, *ENDED, "terminating"):
        return replicas
    return max(replicas or 0, deployment.count("minReplicas") or 0, 1)
