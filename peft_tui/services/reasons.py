"""Why something cannot be done to a deployment now, as far as can be told without asking anybody."""

from __future__ import annotations

from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.offers import left_behind
from peft_tui.domain.operation import WATCHED, OperationKind, OperationState, StepState
from peft_tui.domain.spec import Settings
from peft_tui.domain.status import Condition, Status
from peft_tui.drivers import capabilities

BEING_DONE = {
    OperationKind.CREATE: "being deployed",
    OperationKind.UPDATE: "being updated",
    OperationKind.STOP: "being stopped",
    OperationKind.START: "being started",
    OperationKind.DELETE: "being deleted",
    OperationKind.ROLLBACK: "being rolled back",
}

UNCLEAR = "What became of it is not known yet: wait until the platform was asked."


def why_not(deployment: Deployment, kind: OperationKind) -> str:
    """A sentence for a greyed action; empty when it is allowed."""
    doing = deployment.under_way.kind if deployment.under_way else None
    if kind is OperationKind.DELETE and deployment.unclear:
        return UNCLEAR
    if kind is OperationKind.DELETE and forgets(deployment):
        return ""
    offers = capabilities(deployment.platform)
    if kind in offers.no_verbs:
        return offers.no_verbs[kind]
    if kind not in offers.verbs:
        return f"{offers.title}: this cannot be done from here."
    ours = deployment.origin is Origin.OURS
    if deployment.condition is Condition.GONE and not (ours and kind is OperationKind.DELETE):
        return "The platform does not have it any more."
    if reason := offers.refuses(kind, as_seen(deployment)):
        return reason
    if not ours and kind is not OperationKind.STOP:
        return "It was not made here: adopt it first."
    if kind is OperationKind.STOP and stops_again(deployment):
        return ""
    if doing is OperationKind.DELETE or doing is kind:
        return f"It is {BEING_DONE[doing]} already."
    match kind:
        case OperationKind.STOP:
            return _why_not_stop(deployment, doing)
        case OperationKind.START:
            return _why_not_start(deployment, doing)
        case OperationKind.UPDATE:
            return _why_not_update(deployment, doing)
        case OperationKind.ROLLBACK:
            return _why_not_rollback(deployment, doing)
        case _:
            return ""


def why_not_again(deployment: Deployment) -> str:
    """The same for deploying anew what failed, with its answers changed."""
    if deployment.origin is not Origin.OURS:
        return "It was not deployed from here."
    if deployment.under_way is not None:
        return f"It is {BEING_DONE[deployment.under_way.kind]}."
    if deployment.unclear:
        return UNCLEAR
    failed = deployment.standing is Status.FAILED
    return "" if failed or deployment.condition is Condition.GONE else "It has not failed: update it."


def left_by_create(deployment: Deployment) -> tuple[str, ...]:
    """What the create that its row shows left at the platform; none of it bills by the hour."""
    create = deployment.operation
    if create is None or create.kind is not OperationKind.CREATE or not create.state.ended:
        return ()
    return left_behind(capabilities(deployment.platform).plan(deployment.spec), create.steps)


def _came_to(deployment: Deployment) -> str:
    """Of a create that ended before anything ran."""
    left = left_by_create(deployment)
    return f"Nothing of it runs or bills; left: {', '.join(left)}." if left else "Nothing of it was made."


def forgets(deployment: Deployment) -> bool:
    """Whether a delete only takes it off the list: it is gone, and no call is out that may make it anew."""
    gone = deployment.condition is Condition.GONE and deployment.origin is Origin.OURS
    coming = (deployment.under_way, *deployment.others)
    return gone and not any(operation is not None and operation.begun for operation in coming)


def stops_again(deployment: Deployment) -> bool:
    """Whether a stop only ends the start that waits for the stop that is under way."""
    stopping = deployment.under_way is not None and deployment.under_way.kind is OperationKind.STOP
    return stopping and deployment.waiting_start is not None


def as_seen(deployment: Deployment) -> Settings:
    """What was asked for; of what was made elsewhere, where it was seen to run."""
    seen = deployment.observation
    place = {"instance_type": seen.instance_type} if seen and seen.instance_type else {}
    return {**place, **deployment.spec.settings}


def why_not_adopt(deployment: Deployment) -> str:
    """The same for making it ours."""
    if deployment.origin is Origin.OURS:
        return "It is managed here already."
    return "The platform does not have it any more." if deployment.condition is Condition.GONE else ""


def _why_not_stop(deployment: Deployment, doing: OperationKind | None) -> str:
    seen = deployment.observation
    if doing is not None:
        return ""
    if seen is None:
        return _came_to(deployment) if deployment.came_to_nothing else ""
    if deployment.started_unseen or deployment.unclear:
        # It may run: whoever wants it stopped is not told that it is.
        return ""
    if seen.billed_instances == 0 and seen.status is Status.STOPPED:
        return "It is stopped already."
    if seen.billed_instances == 0 and seen.status is Status.FAILED:
        return "It has failed and does not bill: delete it."
    return ""


def _why_not_start(deployment: Deployment, doing: OperationKind | None) -> str:
    offers = capabilities(deployment.platform)
    if doing is OperationKind.STOP and deployment.waiting_start is not None:
        return "It is started again once it is stopped."
    if half := _half_made(deployment):
        return half
    if deployment.status is Status.FAILED and offers.failed_is_final:
        return offers.failed_is_final
    if doing is OperationKind.CREATE:
        return "It is being deployed already."
    if deployment.status not in (Status.STOPPED, Status.FAILED) and doing is not OperationKind.STOP:
        return "It is not stopped."
    if deployment.bounds_to_start is None:
        return "Its bounds are not known: set the minimum and maximum first."
    return ""


def _why_not_update(deployment: Deployment, doing: OperationKind | None) -> str:
    if doing is OperationKind.STOP:
        return "It is being stopped: wait until it is."
    if deployment.observation is None and doing is None:
        return _came_to(deployment) if deployment.came_to_nothing else "The platform has not shown it yet."
    if deployment.status is Status.FAILED:
        return capabilities(deployment.platform).failed_is_final
    return ""


def _why_not_rollback(deployment: Deployment, doing: OperationKind | None) -> str:
    if doing is not None:
        return f"It is {BEING_DONE[doing]}: wait until it is done."
    if deployment.observation is None:
        return _came_to(deployment) if deployment.came_to_nothing else "The platform has not shown it yet."
    if deployment.status is Status.STOPPED:
        return "It is stopped: start it first."
    return ""


def _half_made(deployment: Deployment) -> str:
    """A create that was not finished, as far as its row still shows it."""
    operation = deployment.operation
    if operation is None or operation.kind is not OperationKind.CREATE:
        return ""
    if operation.state is not OperationState.FAILED:
        return ""
    left = [s for s in operation.steps if s.state is not StepState.DONE and s.key not in WATCHED]
    return f"Its create did not get past “{left[0].title}”: delete it and deploy again." if left else ""
